"""What the commands about champions print."""

from collections.abc import Sequence
from typing import Any

from convlens.tracking.champions import HOW
from convlens.tracking.gate_table import markdown_table, text_table
from convlens.tracking.people import show_moment
from convlens.tracking.promotion import Promotion

HEAD = ("version", "champion from", "until", "by", "how", "why")


def text_promotion(done: Promotion) -> str:
    """The gate's table and the outcome, for a terminal."""
    table = [*text_table(done.criteria), ""] if done.criteria else []
    return "\n".join([*table, done.outcome])


def markdown_promotion(done: Promotion) -> str:
    """The same in Markdown, headed by the version."""
    title = f"### {done.name} version {done.version}: {'champion' if done.is_champion else 'not promoted'}"
    parts = [title, done.outcome, markdown_table(done.criteria) if done.criteria else ""]
    return "\n\n".join(part for part in parts if part)


def text_history(rows: Sequence[dict[str, Any]], name: str) -> str:
    """A line per change of champion."""
    if not rows:
        return f"No version of '{name}' has been champion yet."
    cells = [HEAD, *(_cells(row, is_present=row is rows[0]) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _cells(row: dict[str, Any], *, is_present: bool) -> tuple[str, ...]:
    until = "now" if is_present else _moment(row["until"])
    return (row["version"], _moment(row["since"]), until, row["by"] or "–", HOW.get(row["how"], row["how"]), row["why"])


def _moment(text: str | None) -> str:
    return show_moment(text) if text else "–"
