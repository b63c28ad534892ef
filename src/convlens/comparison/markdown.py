"""A comparison as Markdown, for a comment on a pull request."""

from collections.abc import Iterable, Sequence

from convlens.comparison.describe import Section

SPECIAL = "\\*_{}[]<>#|~"


def render_markdown(sections: Iterable[Section]) -> str:
    """Headings of the third level, tables, paragraphs."""
    return "\n\n".join(block for section in sections for block in _render(section))


def _render(section: Section) -> list[str]:
    table = [_table(section.head, section.rows)] if section.head else []
    return [f"### {_escape(section.title)}", *table, *(_escape(sentence) for sentence in section.sentences)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["--:"] * (len(head) - 1)]
    lines = [[_escape(cell) for cell in row] for row in (head, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def _escape(text: str) -> str:
    """Text without meaning in Markdown or HTML, but for `code`, which stays as it is."""
    parts = text.split("`")
    return "`".join(part if index % 2 else _escape_words(part) for index, part in enumerate(parts))


def _escape_words(text: str) -> str:
    return "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in text)
