"""Sections of text and tables, as Markdown or for the terminal."""

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from convlens.compare.runs import Snapshot
from convlens.errors import printable
from convlens.metrics.intervals import Interval

# --- words and tables without a form: what the terminal, Markdown and the page all show ---

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


# --- Markdown, for a comment on a pull request: the verdict in the first line, the rest folded away ---

MARKER = "<!-- convlens compare -->"  # by which a workflow finds the comment that it updates
MAX_BYTES = 60_000  # GitHub takes 65,536 characters
SPECIAL = "\\*_{}[]<>|~&"
NO_LINK = re.compile(r"([@#])(?=\w)")  # nobody is called by a photo named @somebody, and no issue linked by #1
CUT = "The rest was left out: it would not fit into a comment. `convlens compare --html FILE` shows all of it."


def render_markdown(sections: Iterable[Section]) -> str:
    """The first section's title as a heading, the marker, and every section that fits into a comment."""
    first, *others = sections
    blocks = [f"### {_escape(first.heading)}\n{MARKER}", *_body(first)]
    for number, section in enumerate(others):
        text = _render(section)
        if len("\n\n".join([*blocks, text]).encode()) > MAX_BYTES:
            small = (text for text in map(_render, others[number + 1 :]) if len(text) < 500)
            return "\n\n".join([*blocks, CUT, *small])
        blocks.append(text)
    return "\n\n".join(blocks)


def _render(section: Section) -> str:
    body = _body(section)
    if not body:
        return f"**{_escape(section.title)}**: {_escape(section.gist)}"
    if not section.folded:
        return "\n\n".join([f"#### {_escape(section.heading)}", *body])
    summary = f"<b>{_escape_html(section.title)}</b>" + (f": {_escape_html(section.gist)}" if section.gist else "")
    return "\n\n".join([f"<details><summary>{summary}</summary>", *body, "</details>"])


def _body(section: Section) -> list[str]:
    sentences = [_escape(sentence) for sentence in section.sentences]
    if not section.head:
        return sentences
    rule = ["---", *["--:" if section.numbers else "---"] * (len(section.head) - 1)]
    head, *rows = ([_escape(cell) for cell in row] for row in (section.head, *section.rows))
    return ["\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows)), *sentences]


def _escape(text: str) -> str:
    """Text without meaning in Markdown or HTML, but for `code`, which stays as it is."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        words = "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in parts[index])
        parts[index] = NO_LINK.sub(r"\1<!-- -->", words)
    return "`".join(parts)


def _escape_html(text: str) -> str:
    """The same inside of HTML, where Markdown's escapes mean nothing."""
    words = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return NO_LINK.sub(r"\1<!-- -->", words)


# --- plain text in columns, for the terminal ---

WIDTH = 100


def render_text(sections: Iterable[Section]) -> str:
    """Headings, tables in columns, sentences folded to 100 characters."""
    return "\n\n".join(_render_text(section) for section in sections)


def _render_text(section: Section) -> str:
    lines = [section.heading]
    if section.head:
        table = [section.head, *section.rows]
        widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
        lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    folder = textwrap.TextWrapper(
        WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    for sentence in section.sentences:
        lines += folder.wrap(sentence)
    return "\n".join(lines)
