"""The command `convlens`: ask a model about photos, evaluate it on others, bring a model home.

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
from convlens.bench.commands import bench
from convlens.environment import hold_stderr, prepare_environment
from convlens.errors import ConvLensError, printable
from convlens.explain import explain
from convlens.outside.commands import CHAMPION, evaluate

if TYPE_CHECKING:
    import pandas as pd

    from convlens.comparison.parameters import ParameterRow


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


@commands.command()
@click.argument("name", required=False)
@click.option("--write", is_flag=True, help="Change params.yaml in place instead.")
def preset(name: str | None, write: bool) -> None:
    """List the presets, or print NAME as arguments: dvc exp run $(convlens preset NAME)."""
    from convlens import presets

    if name is None:
        known = presets.list_presets()
        width = max(map(len, known), default=0)
        click.echo("\n".join(f"{name.ljust(width)}  {purpose}".rstrip() for name, purpose in known.items()))
        return
    try:
        found = presets.load_preset(name)
        click.echo(_tell_changes(presets.write_preset(found)) if write else presets.to_arguments(found.values))
    except ConvLensError:
        if not (write or sys.stdout.isatty()):
            click.echo("--no-preset")  # a shell goes on without what $(...) failed to give; DVC refuses this option
        raise


@commands.command()
@click.argument("revisions", nargs=-1, metavar="[BASE] [HEAD]...")
@click.option("--markdown", is_flag=True, help="Print Markdown, for a comment on a pull request.")
def compare(revisions: Sequence[str], markdown: bool) -> None:
    """Compare runs: parameters, metrics with intervals, and answers photo by photo.

    BASE is the last commit unless given, HEAD the workspace; each may be any Git revision, a DVC experiment, or
    `workspace`. Every further HEAD is compared with BASE too. Exit code 1: one of them is a regression, as `compare`
    in params.yaml defines it.
    """
    from convlens.comparison.revisions import WORKSPACE
    from convlens.comparison.run import compare_revisions, render

    base, *heads = revisions or ("HEAD",)
    compared = compare_revisions([base, *(heads or [WORKSPACE])])
    click.echo(render(compared, markdown=markdown))
    if compared.has_regression:
        sys.exit(1)


@commands.command()
@click.option(
    "--prepared",
    type=click.Path(path_type=Path),
    default=Path("data/prepared"),
    show_default=True,
    help="The arrays that `dvc repro preprocess` writes.",
)
@click.option(
    "--wait-minutes", type=click.FloatRange(min=0), default=60, show_default=True, help="Time for the chief to come."
)
def worker(prepared: Path, wait_minutes: float) -> None:
    """Train together with the chief of TF_CONFIG, which runs `dvc repro`. Nothing is written here.

    For training on several machines: set TF_CONFIG on each, run `dvc repro` on the first one and this on the others,
    from the same commit, with the same params.yaml and prepared photos.
    """
    from convlens.params import load_params

    params = load_params()
    with hold_stderr():
        from convlens.stages.worker import work
    work(prepared, params, wait_seconds=60 * wait_minutes)


commands.add_command(bench)
commands.add_command(evaluate)
commands.add_command(explain)


def _tell_changes(changes: "Sequence[ParameterRow]") -> str:
    lines = [f"{row.name}: {' -> '.join(row.values)}" for row in changes]
    return "\n".join(lines) or "Nothing to change: params.yaml has these values already."


def _open_model(model: str) -> Any:
    """Something whose `predict` takes paths and gives a data frame."""
    from convlens.outside.model import open_model

    return open_model(model)


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
        click.echo(printable(str(error), keep="\n"), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
