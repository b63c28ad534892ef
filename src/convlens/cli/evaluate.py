"""The command `convlens evaluate`. Light to import: what it needs is loaded when it is called."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convlens.cli.options import find_chosen, keras_options, model_option, open_chosen, quiet_option
from convlens.environment import hold_stderr
from convlens.errors import ConvLensError

if TYPE_CHECKING:
    from convlens.metrics.drift import ReferenceStatistics
    from convlens.metrics.external import ExternalEvaluation
    from convlens.params import EvaluateParams

WRITTEN = frozenset({"metrics.json", "predictions.csv", "drift.csv", "report.html"})
LINE_WIDTH = 100
MAX_FAILURES_PRINTED = 20


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@model_option()
@keras_options
@quiet_option
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
@click.option("--unlabeled", is_flag=True, help="Folders mean nothing: predictions and drift only.")
def evaluate(
    folder: Path,
    model: str | None,
    classes: Sequence[str] | None,
    divide_by: float,
    out: Path | None,
    force: bool,
    pairs: Sequence[str],
    unlabeled: bool,
) -> None:
    """Evaluate a model on a folder of photos.

    FOLDER has a folder for each class, or just photos. Says how good the predictions are, how far that is from the
    test split, and whether the photos are like those of the training. A photo that cannot be read is told, and the
    others count.
    """
    if out is not None:
        check_target(out, force=force)
    with hold_stderr(replay=False):
        from convlens.metrics.external import ExternalEvaluation, find_photos, parse_renamed, predict_folder

    renamed = parse_renamed(pairs)
    found = find_chosen(model, classes, divide_by)
    if found.classes:  # what is wrong with the folder is told before the network is loaded
        photos = find_photos(folder, found.classes, renamed=renamed, unlabeled=unlabeled)
    opened = open_chosen(found, divide_by)
    photos = find_photos(folder, opened.classifier.classes, renamed=renamed, unlabeled=unlabeled)
    predicted = predict_folder(photos, opened)
    result = ExternalEvaluation.measure(predicted, opened, _choose_settings(opened.reference))
    if out is not None:
        from convlens.pages.external import choose_photos_shown, render_external

        paths = {photo.name: photo.path for photo in predicted.photos}
        pictures = {name: _make_picture(paths[name], result) for name in choose_photos_shown(result)}
        result.save(out, render_external(result, pictures))
    click.echo(_render_text(result))
    if out is not None:
        click.echo(f"\n{out / 'report.html'} has the rest.")


def check_target(folder: Path, *, force: bool) -> None:
    """Check before the work that a folder is new or empty, or, with force, made by this command.

    Raises:
        ConvLensError: it holds something.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if folder.is_dir() and (not names or (force and names <= WRITTEN)):
        return
    hint = "Name another one, or say --force to replace it." if names <= WRITTEN else "Name another one."
    raise ConvLensError(f"Expected a new or empty folder after --out. Received: {folder}, which is in use. {hint}")


def _choose_settings(reference: "ReferenceStatistics | None") -> "EvaluateParams":
    """As the test split was measured; what the reference statistics do not say, params.yaml of this folder does."""
    from convlens.params import EvaluateParams, load_params, parse_group

    known = {} if reference is None else dict(reference.settings)
    known = {name: value for name, value in known.items() if name in EvaluateParams.model_fields}
    if set(known) != set(EvaluateParams.model_fields):
        known = load_params().evaluate.model_dump(mode="json") | known
    return parse_group(EvaluateParams, known, where="the model's reference statistics")


def _make_picture(path: Path, result: "ExternalEvaluation") -> bytes:
    """The very pixels that the network got, as PNG."""
    from convlens.files import encode_png
    from convlens.models.classifier import load_by_card

    return encode_png(load_by_card(path, result.card), optimize=True)


# --- what is printed: tables in columns, a sentence about each thing that matters ---


def _render_text(result: "ExternalEvaluation") -> str:
    from convlens.wording import show_count

    unread = len(result.failures)
    read = f"{show_count(result.metrics['num_photos'], 'photo')} classified"
    head = f"{result.model}: {read}" + (f", {unread:,} could not be read" if unread else "")
    blocks = [
        head,
        _render_numbers(result),
        _render_drift(result),
        _render_failures(result),
        fold_sentence(result.note),
    ]
    return "\n\n".join(block for block in blocks if block)


def _render_numbers(result: "ExternalEvaluation") -> str:
    from convlens.pages.external import count_predicted, list_rows, say_verdict

    if not result.labeled:
        return align_columns([("prediction", "photos", "share"), *count_predicted(result)])
    test = result.test_metrics
    rows = [("", "these photos", "test split", "difference"), *list_rows(result.metrics, test)]
    table = align_columns([row if test else row[:2] for row in rows])
    return f"{table}\n\n{fold_sentence(say_verdict(result.metrics, test)[1])}" if test else table


def _render_drift(result: "ExternalEvaluation") -> str:
    from convlens.pages.external import describe_statistic, say_drift
    from convlens.wording import interval_of, show_count, show_share

    if result.drift.empty:
        return ""
    rows = [describe_statistic(row) for row in result.drift.to_dict("records")]
    names = ("name", "reference", "observed", "effect", "p_value", "word")
    head = ("photos", "in training", "here", "effect", "p", "")
    share, low, high = map(show_share, interval_of(result.metrics, "share_unlike"))
    unlike = (
        f"{show_count(result.metrics['num_unlike'], 'photo')} of {result.metrics['num_photos']:,} unlike any of the "
        f"training: {share} ({low} to {high}), where 1 % would be nothing special."
    )
    table = align_columns([head, *(tuple(row[name] for name in names) for row in rows)])
    return "\n\n".join([table, fold_sentence(say_drift(result.drift)), fold_sentence(unlike)])


def _render_failures(result: "ExternalEvaluation") -> str:
    if result.failures.empty:
        return ""
    shown = result.failures.head(MAX_FAILURES_PRINTED)
    lines = [f"  {path}: {reason}" for path, reason in zip(shown["path"], shown["error"], strict=True)]
    more = len(result.failures) - len(lines)
    return "\n".join(["Could not be read:", *lines, *([f"  and {more:,} more"] if more else [])])


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def fold_sentence(sentence: str) -> str:
    """Break a sentence into lines of at most 100 characters."""
    return textwrap.fill(sentence, LINE_WIDTH, break_long_words=False, break_on_hyphens=False)
