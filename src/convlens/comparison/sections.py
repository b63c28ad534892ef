"""A comparison in words and tables, without a form yet: what the terminal, Markdown and the page all show."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from convlens.comparison.snapshot import Snapshot
from convlens.errors import printable
from convlens.metrics.intervals import Interval

UNKNOWN = "unknown"
SHOWN_COMMIT = 7
MAX_TEXT = 120
COMMIT = re.compile(r"[0-9a-f]{40}")
ABSOLUTE = re.compile(r"(file:|~|/|\\\\|[A-Za-z]:[\\/])")


@dataclass(frozen=True)
class Section:
    """A heading with a table, sentences, or both.

    Attributes:
        key: what it is about; names it in the page.
        title: heading.
        gist: what it comes to, in a few words; empty if the title says it.
        head: what the columns are; empty if there is no table.
        rows: cells as text, each row as long as the head.
        sentences: paragraphs below the table; words between backticks are code.
        folded: whether Markdown shows the heading alone until it is clicked.
        numbers: whether the cells are numbers, which stand to the right.
    """

    key: str
    title: str
    gist: str = ""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    sentences: tuple[str, ...] = ()
    folded: bool = True
    numbers: bool = True

    @property
    def heading(self) -> str:
        """Title and gist."""
        return f"{self.title}: {self.gist}" if self.gist else self.title


def plain(text: str, length: int = MAX_TEXT) -> str:
    """A name or value of the user's on one line, of bounded length, without backticks, which would start code."""
    harmless = printable(" ".join(text.split())).replace("`", "'")
    return harmless if len(harmless) <= length else f"{harmless[: length // 2 - 1]}…{harmless[-length // 2 :]}"


def show_value(text: str) -> str:
    """A parameter's value; of an absolute path only the end, for reports leave the machine."""
    if not ABSOLUTE.match(text):
        return plain(text)
    parts = [part for part in re.split(r"[\\/]+", text) if part]
    return plain("/".join(["…", *parts[-2:]]))


def name_run(run: Snapshot) -> str:
    """The name of a run as the user wrote it; of a whole commit, which CI names, the first digits."""
    return plain(run.name[:SHOWN_COMMIT] if COMMIT.fullmatch(run.name) else run.name)


def name_commit(run: Snapshot) -> str:
    """The name of a run with its commit."""
    commit = run.commit[:SHOWN_COMMIT]
    return f"{name_run(run)} ({commit})" if commit and not run.commit.startswith(run.name) else name_run(run)


def name_photo(path: str) -> str:
    """The end of a photo's path, by which a person knows it."""
    return plain("/".join(PurePosixPath(path).parts[-2:]), 60)


def show_chance(value: float) -> str:
    """A p-value as an end of `p …`."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def show_points(difference: Interval, note: str = "") -> str:
    """A difference of shares with its interval."""
    value, low, high = (None if x is None else 100 * x for x in (difference.value, difference.low, difference.high))
    if value is None or low is None or high is None:
        return UNKNOWN
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f}{note})"


def show_change(difference: Interval) -> str:
    """A difference of scores with its interval; empty if there is none."""
    value, low, high = difference.value, difference.low, difference.high
    return "" if value is None or low is None or high is None else f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
