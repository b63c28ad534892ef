"""The command `convlens predict`: what is on a photo. Light to import: what it needs is loaded when it is called."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convlens.cli.evaluate import model_option
from convlens.environment import hold_stderr

if TYPE_CHECKING:
    import pandas as pd

PREFIX = "probability_"


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@model_option
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Of two classes, answer the second above this probability. Default: the model's own.",
)
@click.option("--top-k", type=click.IntRange(min=1), metavar="NUMBER", help="Show only the most probable classes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object per photo, with full digits.")
def predict(photos: Sequence[str], model: str, threshold: float | None, top_k: int | None, as_json: bool) -> None:
    """Classify each PHOTO: its label, how probable it is, and whether that is too unsure to go by.

    A photo that cannot be read is told in its line, the others are classified, and the exit code is 1.
    """
    params = {name: value for name, value in (("threshold", threshold), ("top_k", top_k)) if value is not None}
    with hold_stderr(replay=False):
        from convlens.tracking.access import open_model, predict_photos

        predicted = predict_photos(open_model(model), [Path(photo) for photo in photos], params)
    rows = _rows(photos, predicted, top_k or 0)
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else _table(rows))
    if any(row["error"] for row in rows):
        sys.exit(1)


def _rows(photos: Sequence[str], predicted: "pd.DataFrame", num_top: int) -> list[dict[str, Any]]:
    """One object per photo as JSON shows it; `unsure` is None for models packed before they said so."""
    names = [name for name in predicted.columns if name.startswith(PREFIX)]
    rows = []
    for photo, answer in zip(photos, predicted.to_dict(orient="records"), strict=True):
        shown = os.fsencode(photo).decode("utf-8", "replace")  # a name that is no text must not stop the others
        row = {"photo": shown, "label": None, "probabilities": None, "unsure": None, "error": answer["error"] or None}
        top = None
        if not answer["error"]:
            chances = {name.removeprefix(PREFIX): answer[name] for name in names}
            row |= {"label": answer["label"], "probabilities": chances, "unsure": answer.get("unsure")}
            places = [f"top_{place}" for place in range(1, num_top + 1)]
            top = [{"label": answer[f"{at}_label"], "probability": answer[f"{at}_probability"]} for at in places]
        rows.append({**row, "top": top} if num_top else row)
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    """Columns for photo, label, probabilities, unsure or not; a photo that was not read has its reason instead."""
    read = [row for row in rows if not row["error"]]
    head = ["photo", "label", *(_heads(read[0]) if read else []), ""]
    cells = [[row["photo"], row["label"], *_chances(row), "unsure" if row["unsure"] else ""] for row in read]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(head))]
    widths[0] = max([widths[0], *(len(row["photo"]) for row in rows)])

    def line(texts: Sequence[str]) -> str:  # texts to the left, numbers to the right
        padded = [str.ljust(text, width) for text, width in zip(texts[:2], widths[:2], strict=True)]
        padded += [str.rjust(text, width) for text, width in zip(texts[2:], widths[2:], strict=True)]
        return "  ".join(padded).rstrip()

    lines = iter(cells)
    told = [f"{row['photo'].ljust(widths[0])}  {row['error']}" if row["error"] else line(next(lines)) for row in rows]
    return "\n".join([line(head), *told] if cells else told)


def _heads(row: dict[str, Any]) -> list[str]:
    return [f"top {place}" for place in range(1, len(row["top"]) + 1)] if "top" in row else list(row["probabilities"])


def _chances(row: dict[str, Any]) -> list[str]:
    if "top" in row:
        return [f"{top['label']} {top['probability']:.1%}" for top in row["top"]]
    return [f"{chance:.1%}" for chance in row["probabilities"].values()]
