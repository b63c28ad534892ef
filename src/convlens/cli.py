"""The command `convlens`: ask a model about photos, bring a model home.

Everything heavy is imported by the command that needs it, so `convlens --help` answers at once.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convlens import __version__
from convlens.environment import hold_stderr, prepare_environment
from convlens.errors import ConvLensError

if TYPE_CHECKING:
    import pandas as pd

CHAMPION = "models:/convlens@champion"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="convlens")
def commands() -> None:
    """Use the networks that ConvLens has trained. To train one: `make repro`, or `dvc repro`."""


@commands.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@click.option(
    "--model",
    default=CHAMPION,
    show_default=True,
    metavar="MODEL",
    help="models:/NAME@ALIAS, models:/NAME/VERSION, a pulled folder, or data/model.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object per photo, with full digits.")
def predict(photos: Sequence[str], model: str, as_json: bool) -> None:
    """Say what is on each PHOTO, and how sure the network is.

    A photo that cannot be read is told in its line, the others are answered, and the exit code is 1.
    """
    with hold_stderr(replay=False):
        answers = _open_model(model).predict([Path(photo) for photo in photos])
    rows = _rows(photos, answers)
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else _table(rows))
    if any(row["error"] for row in rows):
        sys.exit(1)


@commands.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--alias", default="champion", show_default=True, help="Which version: the one with this alias.")
@click.option("--name", default="convlens", show_default=True, help="Name of the registered model.")
def pull(folder: Path, alias: str, name: str) -> None:
    """Download a registered model into FOLDER, new or empty, with all it needs to answer elsewhere."""
    from convlens.tracking.access import pull_model

    version = pull_model(name, alias, folder)
    click.echo(f"{name} version {version} ({alias}) is in {folder}. Ask it: convlens predict --model {folder} PHOTO")


def _open_model(model: str) -> Any:
    """Something whose `predict` takes paths and gives a data frame."""
    folder = Path(model)
    if (folder / "model.keras").is_file():
        from convlens.classifier import open_classifier

        return open_classifier(card=folder / "card.json", network=folder / "model.keras")
    if not model.startswith(("models:/", "runs:/")) and not (folder / "MLmodel").is_file():
        raise ConvLensError(
            "Expected a model: models:/NAME@ALIAS, models:/NAME/VERSION, a pulled folder, or data/model. "
            f"Received: '{model}', which is none of these."
        )
    from convlens.tracking.access import load_model

    return load_model(model)


def _rows(photos: Sequence[str], answers: "pd.DataFrame") -> list[dict[str, Any]]:
    prefix = "probability_"
    names = [name for name in answers.columns if name.startswith(prefix)]
    rows = []
    for photo, answer in zip(photos, answers.to_dict(orient="records"), strict=True):
        chances = {name.removeprefix(prefix): answer[name] for name in names}
        shown = os.fsencode(photo).decode("utf-8", "replace")  # a name that is no text must not stop the others
        error = answer["error"]
        rows.append(
            {
                "photo": shown,
                "label": None if error else answer["label"],
                "probabilities": None if error else chances,
                "error": error or None,
            }
        )
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    """Columns for photo, label and one per class; a photo without an answer has its reason instead."""
    classes = next((list(row["probabilities"]) for row in rows if not row["error"]), [])
    head = ["photo", "label", *classes]
    cells = [
        [row["photo"], row["label"], *(f"{chance:.1%}" for chance in row["probabilities"].values())]
        for row in rows
        if not row["error"]
    ]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(head))]
    widths[0] = max([widths[0], *(len(row["photo"]) for row in rows)])
    answered = iter(cells)
    lines = [_failure(row, widths[0]) if row["error"] else _line(next(answered), widths) for row in rows]
    return "\n".join([_line(head, widths), *lines] if cells else lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Texts to the left, numbers to the right."""
    texts = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join([*texts, *numbers]).rstrip()


def _failure(row: dict[str, Any], width: int) -> str:
    return f"{row['photo'].ljust(width)}  {row['error']}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors meant for users come as one line, without traceback."""
    prepare_environment()
    try:
        commands(args=None if arguments is None else list(arguments))
    except ConvLensError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
