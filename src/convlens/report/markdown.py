"""Pieces of Markdown: tables, and text that means nothing but itself."""

from collections.abc import Iterable, Sequence

SPECIAL = "\\`*_{}[]<>#|~"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column stands left and the others right; cells are Markdown."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])


def escape_markdown(text: str) -> str:
    """Text without meaning in Markdown or HTML, on one line."""
    return "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in " ".join(text.split()))
