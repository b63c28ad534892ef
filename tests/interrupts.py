"""Ctrl-C for tests: the signal that a terminal sends to all processes of a command."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ctrl_c_is_heard() -> Iterator[None]:
    """Let processes that are started here hear Ctrl-C. A shell's background jobs, such as a CI's, have it ignored."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
