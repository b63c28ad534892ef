import io
import sys
from collections.abc import Iterator

import pytest

from convlens import progress
from convlens.progress import say, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_one_line_at_the_end(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    assert list(track("abc", total=3, task="count")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "count: 3 photos in 0.0 s\n")


def test_long_work_gets_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    for _ in track(range(120), total=120, task="count", unit="things"):
        clock[0] += 0.25
    assert capsys.readouterr().err.splitlines() == [
        "count: 40 of 120 things",
        "count: 80 of 120 things",
        "count: 120 things in 30.0 s",
    ]


def test_items_can_be_weighed(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    blocks = [b"xxxx", b"xx"]
    assert list(track(blocks, total=6, task="download", unit="bytes", weigh=len)) == blocks
    assert capsys.readouterr().err == "download: 6 bytes in 0.0 s\n"


def test_work_is_not_done_ahead(clock: list[float]) -> None:
    done: list[int] = []

    def work() -> Iterator[int]:
        for item in range(3):
            done.append(item)
            yield item

    tracked = track(work(), total=3, task="count")
    next(tracked)
    assert done == [0]


def test_errors_pass_through(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(track(work(), total=2, task="count"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("total", [3, 0])
def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, total: int) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(track("abc", total=total, task="count")) == ["a", "b", "c"]
    assert "count" in terminal.getvalue()
    assert "\r" in terminal.getvalue()
    assert "3/3" in terminal.getvalue() if total else "3 photos" in terminal.getvalue()


def test_nothing_to_do(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    assert list(track([], total=0, task="count")) == []
    assert capsys.readouterr().err == "count: 0 photos in 0.0 s\n"


def test_a_line_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("hello")
    assert capsys.readouterr() == ("", "hello\n")
