import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from convlens.data.download import TooSlowError, read_steadily


def read(start: Any, **limits: Any) -> Iterator[bytes]:
    usual = {"weigh": len, "min_rate": 100.0, "window_seconds": 0.2, "max_seconds": 60.0}
    return read_steadily(start, **{**usual, **limits})


def test_what_comes_is_passed_on_in_order() -> None:
    items = [bytes([index]) * index for index in range(1, 200)]
    assert list(read(lambda: items, min_rate=0.0)) == items
    assert list(read(list)) == []


def test_errors_of_the_source_come_through() -> None:
    def fail() -> Iterator[bytes]:
        yield b"some"
        raise OSError("gone")

    found = read(fail)
    assert next(found) == b"some"
    with pytest.raises(OSError, match="gone"):
        next(found)


def test_a_slow_taker_is_not_a_slow_source() -> None:
    found = []
    for item in read(lambda: [b"a"] * 4, window_seconds=0.05, min_rate=1000.0):
        time.sleep(0.06)
        found.append(item)
    assert found == [b"a"] * 4


def test_a_source_that_gives_nothing_or_too_little_is_left() -> None:
    released = threading.Event()

    def stall() -> Iterator[bytes]:
        yield b"a"
        released.wait(20)

    def trickle() -> Iterator[bytes]:
        while not released.wait(0.01):
            yield b"a"

    for source in (stall, trickle):
        with pytest.raises(TooSlowError):
            list(read(source, min_rate=1e6, window_seconds=0.1))
    with pytest.raises(TooSlowError):
        list(read(trickle, min_rate=0.0, max_seconds=0.1))
    released.set()


def test_a_source_nobody_reads_from_any_more_ends() -> None:
    ended = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"a"
        finally:
            ended.set()

    found = read(endless)
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert ended.wait(10)
