"""A comparison for the terminal: plain text in columns."""

import textwrap
from collections.abc import Iterable, Sequence

from convlens.comparison.sections import Section

WIDTH = 100


def render_text(sections: Iterable[Section]) -> str:
    """Headings, tables in columns, sentences folded to 100 characters."""
    return "\n\n".join(_render(section) for section in sections)


def _render(section: Section) -> str:
    lines = [section.heading, *_align([section.head, *section.rows])]
    for sentence in section.sentences:
        lines += textwrap.wrap(
            sentence,
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows[0]:
        return []
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [f"  {line}".rstrip() for line in lines]
