"""The model registry: versions, aliases and champions."""

import contextlib
import json
import os
import platform
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mlflow.entities import LoggedModel, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from convlens.errors import ConvLensError
from convlens.progress import say
from convlens.tracking.environment import show_moment, user_name, utc_now
from convlens.tracking.runs import DECISION_TAG, KEY_TAG
from convlens.tracking.store import LOCK_SECONDS, STORE_FAILURES, Store, database_path, lock_store

# --- Versions of the registered model: one per training, found by its key; aliases say which one to use ---

# MLflow's pages show no tag that begins with `mlflow.`: these are for programs, and would hide those for people.
HIDDEN = "mlflow.convlens."
CHALLENGER = "challenger"
CHAMPION = "champion"
PREVIOUS = "previous"
ABSENT = "RESOURCE_DOES_NOT_EXIST"
PRESENT = "RESOURCE_ALREADY_EXISTS"
MODEL_DESCRIPTION = (
    "Classifies photos. Takes paths, bytes or base64 texts, as a list or in a column `image`; returns a data frame "
    "with `label`, a probability per class and `error`. Its alias `champion` is the version to use; `previous` is the "
    "one before it, `challenger` the newest that has not become champion."
)


def ensure_version(store: Store, name: str, run: Run, model: LoggedModel, description: str) -> ModelVersion:
    """The version of this training's model, registered if it is not yet; another threshold is another version.

    Args:
        store: where the registry is.
        name: of the registered model.
        run: the training's run; its tag is the key.
        model: the packaged model of the run.
        description: Markdown about the version; replaces what an earlier call wrote.
    """
    key, decision = run.data.tags[KEY_TAG], (model.tags or {}).get(DECISION_TAG, "")
    tags = {KEY_TAG: key, **({DECISION_TAG: decision} if decision else {})}
    with lock_store(store.uri):
        _ensure_name(store, name)
        found = find_version(store, name, key, decision)
        if found is not None:
            return _redescribe(store, found, description)
        source = f"models:/{model.model_id}"
        return store.client.create_model_version(
            name, source, run_id=run.info.run_id, tags=tags, description=description, model_id=model.model_id
        )


def find_version(store: Store, name: str, key: str, decision: str = "") -> ModelVersion | None:
    """The version of this key and decision, aliases and tags included."""
    found = store.client.search_model_versions(f"name = {_quote(name)} and tags.`{KEY_TAG}` = '{key}'")
    versions = sorted(int(version.version) for version in found if version.tags.get(DECISION_TAG, "") == decision)
    return store.client.get_model_version(name, str(versions[0])) if versions else None


def find_alias(store: Store, name: str, alias: str) -> ModelVersion | None:
    """The version an alias points at; None if there is no such model or alias."""
    try:
        version: ModelVersion = store.client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in (ABSENT, "INVALID_PARAMETER_VALUE"):  # no model; no alias
            return None
        raise
    return version


def list_versions(store: Store, name: str) -> list[ModelVersion]:
    """All versions of a model, tags included, the oldest first."""
    found, token = list[ModelVersion](), None
    while True:
        page = store.client.search_model_versions(f"name = {_quote(name)}", page_token=token)
        found, token = [*found, *page], page.token
        if not token:
            return sorted(found, key=lambda version: int(version.version))


def _redescribe(store: Store, version: ModelVersion, description: str) -> ModelVersion:
    """A report may have been made anew for the same training."""
    if version.description == description:
        return version
    store.client.update_model_version(version.name, version.version, description)
    return store.client.get_model_version(version.name, version.version)


def _ensure_name(store: Store, name: str) -> None:
    try:
        store.client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        try:
            store.client.create_registered_model(name, description=MODEL_DESCRIPTION)
        except MlflowException as race:
            if race.error_code != PRESENT:
                raise


def _quote(name: str) -> str:
    return '"' + name + '"' if "'" in name else f"'{name}'"


# --- One process at a time changes the aliases of a model, also where the store is a server that knows no locks ---
#
# A claim is a tag of the registered model with a name of its own. Whoever wants the model writes one and reads them
# all: of two who write and then read, at least one sees the other. Who sees another takes its own claim back and tries
# again, so never two go on at once.

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


# --- Who is champion, who was, and why: aliases say the present, tags on the versions the past ---
#
# A change of champion is compare-and-set: it happens only if the champion is still the one that the decision was about,
# nobody else changes aliases meanwhile, and the alias is read again afterwards.

PERIOD_TAG = f"{HIDDEN}champion."  # and the moment; the value is JSON
CHAMPION_TAG = "convlens.champion"  # the latest of them in words
ROLLED_BACK_TAG = "convlens.rolled_back"
GATE, PROMOTED, FORCED, BACK = "gate", "promote", "force", "rollback"
HOW = {GATE: "by the gate", PROMOTED: "promoted", FORCED: "promoted by force", BACK: "rolled back to"}


class ChampionChangedError(ConvLensError):
    """Somebody else changed the champion between the decision and the deed."""


@dataclass(frozen=True)
class Reason:
    """Why the champion changes.

    Attributes:
        how: one of `HOW`.
        why: in words.
    """

    how: str
    why: str


@dataclass(frozen=True)
class AliasPeriod:
    """A version became the champion.

    Attributes:
        version: that became it.
        since: when, UTC, as `2026-03-01T12:30:00.123Z`.
        by: the user's name.
        how: one of `HOW`.
        why: in words.
        before: the champion until then; None for the first.
    """

    version: str
    since: str
    by: str
    how: str
    why: str
    before: str | None


def list_alias_periods(store: Store, name: str) -> list[AliasPeriod]:
    """All changes of champion, the oldest first."""
    found = [
        AliasPeriod(version=str(version.version), **json.loads(value))
        for version in list_versions(store, name)
        for tag, value in version.tags.items()
        if tag.startswith(PERIOD_TAG)
    ]
    return sorted(found, key=lambda period: period.since)


def challenge(store: Store, version: ModelVersion) -> None:
    """Make a version the challenger, unless it is the champion."""
    with exclusive(store, version.name):
        champion = find_alias(store, version.name, CHAMPION)
        if champion is None or champion.version != version.version:
            store.client.set_registered_model_alias(version.name, CHALLENGER, version.version)


def promote(store: Store, version: ModelVersion, reason: Reason, *, expected: ModelVersion | None) -> None:
    """Make a version the champion if `expected` still is; that one keeps the alias `previous`.

    A crash in between leaves the old champion in place, or the new one without a note of how it became so; then the
    next call adds the note. Else nothing happens to who is champion already.

    Raises:
        ChampionChangedError: somebody else was quicker.
    """
    with exclusive(store, version.name):
        before = _demand(store, version.name, expected)
        periods = list_alias_periods(store, version.name)
        is_champion = before is not None and before.version == version.version
        if before is not None and not is_champion:
            store.client.set_registered_model_alias(version.name, PREVIOUS, before.version)
        if not (is_champion and periods and periods[-1].version == str(version.version)):
            _set_champion(store, version, reason, before)
        _forget_past(store, version)


def _forget_past(store: Store, version: ModelVersion) -> None:
    """A champion is no challenger, and no longer the one that was rolled back."""
    challenger = find_alias(store, version.name, CHALLENGER)
    if challenger is not None and challenger.version == version.version:
        store.client.delete_registered_model_alias(version.name, CHALLENGER)
    if ROLLED_BACK_TAG in version.tags:
        store.client.delete_model_version_tag(version.name, version.version, ROLLED_BACK_TAG)


def demote(store: Store, name: str, why: str) -> AliasPeriod:
    """Back to the version with the alias `previous`; who was champion before that one gets the alias.

    Raises:
        ConvLensError: there is no champion, or none before it.
        ChampionChangedError: somebody else changed it meanwhile.
    """
    with exclusive(store, name):
        fallen, back = find_alias(store, name, CHAMPION), find_alias(store, name, PREVIOUS)
        if fallen is None or back is None or fallen.version == back.version:
            missing = CHAMPION if fallen is None else PREVIOUS
            raise ConvLensError(
                f"Expected a version of '{name}' to go back to. Received: none with the alias '{missing}'. "
                "`convlens history` lists them, `convlens promote VERSION` makes one the champion."
            )
        earlier = _champion_before(store, name, str(back.version))
        period = _set_champion(store, back, Reason(BACK, why), fallen)
        store.client.set_model_version_tag(name, fallen.version, ROLLED_BACK_TAG, why)
        if earlier is None or earlier == str(fallen.version):
            store.client.delete_registered_model_alias(name, PREVIOUS)
        else:
            store.client.set_registered_model_alias(name, PREVIOUS, earlier)
    return period


def _demand(store: Store, name: str, expected: ModelVersion | None) -> ModelVersion | None:
    """The champion, which must be the expected one."""
    before = find_alias(store, name, CHAMPION)
    if (before and before.version) == (expected and expected.version):
        return before
    wanted = f"version {expected.version}" if expected else "no version"
    raise ChampionChangedError(
        f"Expected {wanted} of '{name}' to be the champion still. Received: "
        f"{f'version {before.version}' if before else 'none'}; somebody else changed it meanwhile. "
        "See `convlens history`, and decide again."
    )


def _set_champion(store: Store, version: ModelVersion, reason: Reason, before: ModelVersion | None) -> AliasPeriod:
    name = version.name
    store.client.set_registered_model_alias(name, CHAMPION, version.version)
    _demand(store, name, version)  # whoever sets aliases by other means asks nobody
    last = list_alias_periods(store, name)
    moment = utc_now(after=last[-1].since if last else "")
    known = None if before is None or before.version == version.version else str(before.version)
    period = AliasPeriod(str(version.version), moment, user_name(), reason.how, reason.why, known)
    value = {key: item for key, item in asdict(period).items() if key != "version"}
    tag = f"{PERIOD_TAG}{moment.replace(':', '-')}"
    store.client.set_model_version_tag(name, version.version, tag, json.dumps(value, ensure_ascii=False))
    told = f"since {show_moment(moment)}, {HOW[reason.how]} ({period.by}): {reason.why}"
    store.client.set_model_version_tag(name, version.version, CHAMPION_TAG, told)
    return period


def _champion_before(store: Store, name: str, version: str) -> str | None:
    """Whom a version followed when it was last made champion by itself, if that one still exists."""
    followed = [
        period.before for period in list_alias_periods(store, name) if period.version == version and period.how != BACK
    ]
    if not followed or followed[-1] is None:
        return None
    try:
        return str(store.client.get_model_version(name, followed[-1]).version)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        return None


def alias_period_rows(periods: list[AliasPeriod]) -> list[dict[str, Any]]:
    """The periods with their ends, the newest first, as JSON takes them."""
    ends = [*(period.since for period in periods[1:]), None]
    rows = [{**asdict(period), "until": end} for period, end in zip(periods, ends, strict=False)]
    return rows[::-1]
