"""Progress of long work: a bar in a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

LOG_INTERVAL_SECONDS = 10.0


def track(items: Iterable[T], *, total: int, task: str, unit: str = "photos") -> Iterator[T]:
    """Yield `items` unchanged while showing how far the work has come.

    A terminal gets a bar; anything else gets a line at most every ten seconds, and one at the end.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=task, unit=f" {unit}", leave=True)
        return
    yield from _log_progress(items, total=total, task=task, unit=unit)


def _log_progress(items: Iterable[T], *, total: int, task: str, unit: str) -> Iterator[T]:
    started = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= LOG_INTERVAL_SECONDS and done < total:
            last = now
            say(f"{task}: {done:,} of {total:,} {unit}")
    say(f"{task}: {done:,} {unit} in {time.monotonic() - started:.1f} s")


def say(line: str) -> None:
    """Print one line for the person who watches, at once, also into a log."""
    print(line, file=sys.stderr, flush=True)
