"""A comparison as Markdown, for a comment on a pull request: the verdict in the first line, the rest folded away."""

import re
from collections.abc import Iterable

from convlens.comparison.sections import Section

MARKER = "<!-- convlens compare -->"  # by which a workflow finds the comment that it updates
MAX_BYTES = 60_000  # GitHub takes 65,536 characters
SPECIAL = "\\*_{}[]<>|~&"
CUT = "The rest was left out: it would not fit into a comment. `convlens compare --html FILE` shows all of it."


def render_markdown(sections: Iterable[Section]) -> str:
    """The first section's title as a heading, the marker, and every section that fits into a comment."""
    first, *others = sections
    blocks = [f"### {_escape(first.heading)}\n{MARKER}", *_body(first)]
    for number, section in enumerate(others):
        text = _render(section)
        if len("\n\n".join([*blocks, text]).encode()) > MAX_BYTES:
            return "\n\n".join([*blocks, CUT, *(_render(small) for small in others[number + 1 :] if _is_small(small))])
        blocks.append(text)
    return "\n\n".join(blocks)


def _is_small(section: Section) -> bool:
    return len(_render(section)) < 500


def _render(section: Section) -> str:
    body = _body(section)
    if not body:
        return f"**{_escape(section.title)}**: {_escape(section.gist)}"
    if not section.folded:
        return "\n\n".join([f"#### {_escape(section.heading)}", *body])
    summary = f"<b>{_escape_html(section.title)}</b>" + (f": {_escape_html(section.gist)}" if section.gist else "")
    return "\n\n".join([f"<details><summary>{summary}</summary>", *body, "</details>"])


def _body(section: Section) -> list[str]:
    table = [_table(section)] if section.head else []
    return [*table, *(_escape(sentence) for sentence in section.sentences)]


def _table(section: Section) -> str:
    rule = ["---", *["--:" if section.numbers else "---"] * (len(section.head) - 1)]
    lines = [[_escape(cell) for cell in row] for row in (section.head, *section.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def _escape(text: str) -> str:
    """Text without meaning in Markdown or HTML, but for `code`, which stays as it is."""
    parts = text.split("`")
    return "`".join(part if index % 2 else _escape_words(part) for index, part in enumerate(parts))


def _escape_words(text: str) -> str:
    """Nobody is called by a photo named @somebody, and no issue linked by #1: a comment in between stops that."""
    plain = "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in text)
    return re.sub(r"([@#])(?=\w)", r"\1<!-- -->", plain)


def _escape_html(text: str) -> str:
    """The same inside of HTML, where Markdown's escapes mean nothing."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([@#])(?=\w)", r"\1<!-- -->", plain)
