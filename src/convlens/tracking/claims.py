"""One process at a time changes the aliases of a model, also where the store is a server that knows no locks.

A claim is a tag of the registered model with a name of its own. Whoever wants the model writes one and reads them all:
of two who write and then read, at least one sees the other. Who sees another takes its own claim back and tries again,
so never two go on at once.
"""

import contextlib
import os
import platform
import random
import time
import uuid
from collections.abc import Iterator

from convlens.errors import ConvLensError
from convlens.progress import say
from convlens.tracking.failures import STORE_FAILURES
from convlens.tracking.people import user_name
from convlens.tracking.store import LOCK_SECONDS, Store, database_path, lock_store

CLAIM_TAG = "convlens.claim."
PURPOSE = "aliases"
STALE_SECONDS = 60.0  # whoever made a claim and has not taken it back by then was killed
WAIT_SECONDS = 180.0
PAUSE_SECONDS = 0.2


@contextlib.contextmanager
def exclusive(store: Store, name: str) -> Iterator[None]:
    """Let nobody else change the aliases of a registered model during the block.

    Raises:
        ConvLensError: others did not finish in time.
    """
    if database_path(store.uri) is not None:
        with lock_store(store.uri, PURPOSE, seconds=LOCK_SECONDS):
            yield
        return
    claim = _obtain(store, name)
    try:
        yield
    finally:
        with contextlib.suppress(*STORE_FAILURES):  # a claim left behind is stale soon
            store.client.delete_registered_model_tag(name, claim)


def _obtain(store: Store, name: str) -> str:
    """Wait until no claim but one's own is there; returns that one's tag."""
    mine, seen = f"{CLAIM_TAG}{uuid.uuid4().hex}", dict[str, float]()
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if not _others(store, name, mine, seen):
            store.client.set_registered_model_tag(
                name, mine, f"{user_name()}, process {os.getpid()} on {platform.node()}"
            )
            if not _others(store, name, mine, seen):
                return mine
            store.client.delete_registered_model_tag(name, mine)
        time.sleep(random.uniform(0.25, 1) * PAUSE_SECONDS)  # noqa: S311 so that two do not keep step
    raise ConvLensError(
        f"Expected to be the only one who changes the aliases of '{name}'. Received: somebody else does, "
        f"for {WAIT_SECONDS:.0f} s now. Try again."
    )


def _others(store: Store, name: str, mine: str, seen: dict[str, float]) -> set[str]:
    """Claims of others; those seen for too long, by one's own clock, are taken away."""
    tags = store.client.get_registered_model(name).tags
    now, others = time.monotonic(), {tag for tag in tags if tag.startswith(CLAIM_TAG) and tag != mine}
    if others and not seen:
        say(f"Waiting for {tags[min(others)]}, to finish with the aliases of '{name}'.")
    for tag in sorted(others):
        if now - seen.setdefault(tag, now) > STALE_SECONDS:
            with contextlib.suppress(*STORE_FAILURES):  # another one was quicker
                store.client.delete_registered_model_tag(name, tag)
    return others
