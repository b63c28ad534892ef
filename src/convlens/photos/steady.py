"""What comes from a server, taken no longer than it is worth: too slow is an error, however it is slow.

Time limits of sockets count the wait for one byte: a server that sends a byte now and then is never late, in the middle
of a name look-up, a header or a block. So the connection is read in a thread of its own, and left behind if need be.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")


class TooSlowError(Exception):
    """Less came than was asked for in the time there was."""


def read_steadily(
    start: Callable[[], Iterable[T]],
    *,
    weigh: Callable[[T], int],
    min_rate: float,
    window_seconds: float,
    max_seconds: float,
) -> Generator[T, None, None]:
    """Yield what `start()` yields while it comes fast enough.

    Args:
        start: opens the source; runs in a thread that is left behind when the source is too slow.
        weigh: how much an item counts.
        min_rate: weight per second that must come on average within every window.
        window_seconds: how long less than that may come.
        max_seconds: how long it may take in all.

    Raises:
        TooSlowError: it is slower than `min_rate` or takes longer than `max_seconds`.
        Exception: what the source raises.
    """
    queue: Queue[tuple[T | None, BaseException | None]] = Queue(maxsize=4)
    stopped = threading.Event()
    threading.Thread(target=_pump, args=(start, queue, stopped), daemon=True).start()
    deadline = time.monotonic() + max_seconds
    try:
        yield from _take(queue, weigh, min_rate=min_rate, window_seconds=window_seconds, deadline=deadline)
    finally:
        stopped.set()


def _take(
    queue: "Queue[tuple[T | None, BaseException | None]]",
    weigh: Callable[[T], int],
    *,
    min_rate: float,
    window_seconds: float,
    deadline: float,
) -> Iterator[T]:
    weight, waited = 0.0, 0.0  # in this window; the time that the taker takes is not the source's
    while True:
        started = time.monotonic()
        item, error = _next(queue, min(window_seconds - waited, deadline - started), weight)
        waited += time.monotonic() - started
        if error is not None:
            raise error
        if item is None:
            return
        yield item
        weight += weigh(item)
        if weight >= min_rate * window_seconds:
            weight, waited = 0.0, 0.0
        elif waited >= window_seconds:
            raise TooSlowError(f"{weight:,.0f} bytes in {waited:.0f} s are too few")
        if time.monotonic() > deadline:
            raise TooSlowError("it took longer than a download may take")


def _next(
    queue: "Queue[tuple[T | None, BaseException | None]]", seconds: float, weight: float
) -> tuple[T | None, BaseException | None]:
    try:
        return queue.get(timeout=max(seconds, 0.001))
    except Empty:
        raise TooSlowError(f"{weight:,.0f} bytes, then nothing in time") from None


def _pump(
    start: Callable[[], Iterable[T]],
    queue: "Queue[tuple[T | None, BaseException | None]]",
    stopped: threading.Event,
) -> None:
    """Carry everything into the queue, at last `None` or the error; end when nobody takes it any more."""
    last: tuple[T | None, BaseException | None] = (None, None)
    try:
        for item in start():
            if not _put(queue, (item, None), stopped):
                return
    except BaseException as error:
        last = (None, error)
    _put(queue, last, stopped)


def _put(
    queue: "Queue[tuple[T | None, BaseException | None]]",
    item: tuple[T | None, BaseException | None],
    stopped: threading.Event,
) -> bool:
    while not stopped.is_set():
        with suppress(Full):
            queue.put(item, timeout=0.1)
            return True
    return False
