"""The one Jinja environment of all pages, and Markdown tables."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from matplotlib.figure import Figure

from convlens.plots.style import to_svg
from convlens.wording import show_count, show_number, show_range, show_share

# --- Pieces of Markdown: tables, and text that means nothing but itself ---

MAX_CLASSES = 12  # of a table or a list; a page of more classes says less of each

SPECIAL = "\\`*_{}[]<>#|~"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column stands left and the others right; cells are Markdown."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])


def escape_markdown(text: str) -> str:
    """Text without meaning in Markdown or HTML, on one line."""
    return "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in " ".join(text.split()))


# --- From values to one HTML file that needs nothing else: templates, style and pictures are inside it ---


@dataclass(frozen=True)
class Drawing:
    """A figure inside the page: its SVG and its caption, which may be empty."""

    svg: Markup
    caption: str


def fill_template(name: str, values: Mapping[str, Any]) -> str:
    """A template of `pages/templates` with values; text is escaped, undefined names are errors."""
    return _environment().get_template(name).render(values)


def draw(figure: Figure, kind: str, caption: str, *, alone: bool = True) -> Drawing:
    """A figure for the page; its text alternative is the kind of figure and the caption.

    Args:
        figure: a figure drawn in the house's style.
        kind: what it is, `Histogram` say.
        caption: what it shows, in a sentence.
        alone: false leaves the caption to the text alternative, because the page says the same beside the figure.
    """
    svg = Markup(to_svg(figure, f"{kind}. {caption}"))  # noqa: S704 - matplotlib and to_svg escape all names
    return Drawing(svg, caption if alone else "")


def picture_source(content: bytes | None) -> str:
    """JPEG or PNG bytes as the address of a picture; empty if there are none."""
    if not content:
        return ""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("convlens.pages"),
        autoescape=select_autoescape(disabled_extensions=("md",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        share=show_share,
        number=show_number,
        thousands=lambda number: f"{number:,}",
        shape=lambda shape: "×".join(f"{size:,}" for size in shape),
        markdown=escape_markdown,
    )
    environment.globals.update(count=show_count, range_of=show_range)
    return environment
