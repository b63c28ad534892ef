"""Progress of long work: a bar in a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from convlens.errors import printable

T = TypeVar("T")

LOG_INTERVAL_SECONDS = 10.0


_silenced: list[bool] = []  # one item for each `silence` that has not ended


@contextmanager
def silence() -> Iterator[None]:
    """Say nothing and show no progress for a while: someone asked for quiet."""
    _silenced.append(True)
    try:
        yield
    finally:
        _silenced.pop()


def count_one(_: object) -> int:
    """Every item is one unit of work."""
    return 1


def track(
    items: Iterable[T], *, total: int, task: str, unit: str = "photos", weigh: Callable[[T], int] = count_one
) -> Iterator[T]:
    """Yield `items` unchanged while showing how far the work has come.

    A terminal gets a bar; anything else gets a line at most every ten seconds, and one at the end.

    Args:
        items: what is worked on.
        total: units of work in all, 0 if unknown.
        task: what is done.
        unit: what is counted.
        weigh: units of work in an item.
    """
    show = _show_bar if sys.stderr.isatty() and not _silenced else _log_progress
    yield from show(items, total=total, task=task, unit=unit, weigh=weigh)


def _show_bar(items: Iterable[T], *, total: int, task: str, unit: str, weigh: Callable[[T], int]) -> Iterator[T]:
    from tqdm import tqdm

    with tqdm(total=total or None, desc=task, unit=f" {unit}") as bar:
        for item in items:
            yield item
            bar.update(weigh(item))


def _log_progress(items: Iterable[T], *, total: int, task: str, unit: str, weigh: Callable[[T], int]) -> Iterator[T]:
    started = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += weigh(item)
        now = time.monotonic()
        if now - last >= LOG_INTERVAL_SECONDS and done < total:
            last = now
            say(f"{task}: {done:,} of {total:,} {unit}")
    say(f"{task}: {done:,} {unit} in {time.monotonic() - started:.1f} s")


def say(line: str) -> None:
    """Print one line for the person who watches, at once, also into a log."""
    if not _silenced:
        print(printable(line, keep="\n"), file=sys.stderr, flush=True)
