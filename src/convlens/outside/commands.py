"""The command `convlens evaluate`. Light to import: what it needs is loaded when it is called."""

from collections.abc import Sequence
from pathlib import Path

import click

from convlens.environment import hold_stderr

CHAMPION = "models:/convlens@champion"

model_option = click.option(  # of every command that asks a model
    "--model",
    default=CHAMPION,
    show_default=True,
    metavar="MODEL",
    help="models:/NAME@ALIAS, models:/NAME/VERSION, a pulled folder, or data/model.",
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@model_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write metrics.json, predictions.csv, drift.csv and report.html there; new or empty.",
)
@click.option("--force", is_flag=True, help="Let --out replace what an earlier evaluation wrote there.")
@click.option(
    "--map",
    "pairs",
    multiple=True,
    metavar="NAME=CLASS",
    help="The class of a folder of another name; can be given several times. NAME= leaves the folder out.",
)
@click.option("--unlabelled", is_flag=True, help="Folders mean nothing: answers and drift only.")
def evaluate(folder: Path, model: str, out: Path | None, force: bool, pairs: Sequence[str], unlabelled: bool) -> None:
    """Evaluate a model on the photos of FOLDER, which has a folder for each class, or just photos.

    Says how good the answers are, how far that is from the test split, and whether the photos are like those of the
    training. A photo that cannot be read is told, and the others count.
    """
    from convlens.outside.folder import find_photos, parse_renamed
    from convlens.outside.target import check_target

    renamed = parse_renamed(pairs)
    if out is not None:
        check_target(out, force=force)
    with hold_stderr(replay=False):
        from convlens.outside.answers import answer_photos
        from convlens.outside.model import open_with_profile
        from convlens.outside.outcome import judge_answers
        from convlens.outside.text import render_outcome
        from convlens.outside.write import write_outcome

        opened = open_with_profile(model)
    photos = find_photos(folder, opened.classifier.classes, renamed=renamed, unlabelled=unlabelled)
    answered = answer_photos(photos, opened)
    outcome = judge_answers(answered, opened)
    if out is not None:
        write_outcome(out, outcome, answered)
    click.echo(render_outcome(outcome))
    if out is not None:
        click.echo(f"\n{out / 'report.html'} has the rest.")
