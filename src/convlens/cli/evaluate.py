"""`convlens evaluate`."""

import io
import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pandas as pd
from PIL import Image

from convlens.environment import hold_stderr
from convlens.errors import ConvLensError
from convlens.files import new_folder, write_csv, write_json, write_text
from convlens.metrics.external import Answered, FoundPhoto, Outcome, load_pixels
from convlens.pages.external import (
    OutsideInputs,
    describe_statistic,
    list_rows,
    photos_shown,
    render_outside,
    say_drift,
    say_verdict,
)
from convlens.wording import show_count, show_share

# --- The folder that `convlens evaluate --out` writes to. Light to import: it is looked at before the work ---

METRICS, PREDICTIONS, DRIFT, PAGE = "metrics.json", "predictions.csv", "drift.csv", "report.html"
FILES = frozenset({METRICS, PREDICTIONS, DRIFT, PAGE})


def check_target(folder: Path, *, force: bool) -> None:
    """Before the work, not after it: the folder must be new or empty, or, with force, made by this command.

    Raises:
        ConvLensError: it holds something.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if folder.is_dir() and (not names or (force and names <= FILES)):
        return
    hint = "Name another one, or say --force to replace it." if names <= FILES else "Name another one."
    raise ConvLensError(f"Expected a new or empty folder after --out. Received: {folder}, which is in use. {hint}")


# --- An outcome for the terminal: tables in columns, a sentence about each thing that matters ---

WIDTH = 100
MAX_FAILURES = 20


def render_outcome(outcome: Outcome) -> str:
    """What `convlens evaluate` prints."""
    metrics = list_metrics(outcome)
    blocks = [_head(outcome), _numbers(outcome, metrics), _drift(outcome), _failures(outcome)]
    if outcome.model.note:
        blocks.append(_fold(outcome.model.note))
    return "\n\n".join(block for block in blocks if block)


def _head(outcome: Outcome) -> str:
    unread = len(outcome.failures)
    answered = f"{show_count(outcome.num_answered, 'photo')} answered"
    return f"{outcome.model.address}: {answered}" + (f", {unread:,} could not be read" if unread else "")


def _numbers(outcome: Outcome, metrics: dict[str, Any]) -> str:
    if outcome.evaluation is None:
        counts = outcome.photos.loc[outcome.photos["error"] == "", "predicted"].value_counts()
        answers = [
            (name, f"{counts.get(name, 0):,}", show_share(counts.get(name, 0) / outcome.num_answered))
            for name in outcome.classes
        ]
        return _align([("answer", "photos", "share"), *answers])
    reference = outcome.model.reference
    test = {} if reference is None else reference.metrics
    rows = list_rows(metrics, test)
    head = ("", "these photos", "test split", "difference")
    table = _align([row if test else row[:2] for row in (head, *rows)])
    return f"{table}\n\n{_fold(say_verdict(metrics, test)[1])}" if test else table


def _drift(outcome: Outcome) -> str:
    if outcome.drift is None:
        return ""
    table = list_drift(outcome)
    rows = [describe_statistic(row) for row in table.to_dict("records")]
    names = ("name", "reference", "observed", "effect", "p_value", "word")
    head = ("photos", "in training", "here", "effect", "p", "")
    share, low, high = outcome.drift.share_unlike
    unlike = (
        f"{show_count(outcome.drift.num_unlike, 'photo')} of {outcome.num_answered:,} unlike any of the training: "
        f"{show_share(share)} ({show_share(low)} to {show_share(high)}), where 1 % would be nothing special."
    )
    lines = [_align([head, *(tuple(row[name] for name in names) for row in rows)]), _fold(say_drift(table))]
    return "\n\n".join([*lines, _fold(unlike)])


def _failures(outcome: Outcome) -> str:
    if not outcome.failures:
        return ""
    lines = [f"  {photo.name}: {reason}" for photo, reason in outcome.failures[:MAX_FAILURES]]
    more = len(outcome.failures) - len(lines)
    return "\n".join(["Could not be read:", *lines, *([f"  and {more:,} more"] if more else [])])


def _align(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _fold(sentence: str) -> str:
    return textwrap.fill(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)


# --- The folder that `convlens evaluate --out` leaves: numbers, every answer, drift, and a page ---

DIGITS = 7


def write_outcome(folder: Path, outcome: Outcome, answered: Answered) -> None:
    """Write everything, whole or not at all."""
    needed = set(photos_shown(outcome.photos))
    found = {photo.name: photo for photo in answered.photos if photo.name in needed}
    pictures = {name: picture(photo, outcome.model.classifier.card) for name, photo in found.items()}
    metrics = list_metrics(outcome)
    page = render_outside(describe_inputs(outcome, answered, metrics, pictures))
    with new_folder(folder) as fresh:
        write_json(fresh / METRICS, metrics)
        write_csv(fresh / PREDICTIONS, outcome.photos)
        if outcome.drift is not None:
            write_csv(fresh / DRIFT, list_drift(outcome))
        write_text(fresh / PAGE, page)


def list_metrics(outcome: Outcome) -> dict[str, Any]:
    """All numbers on one level, as `reports/evaluation/metrics.json` has them."""
    values: dict[str, Any] = {
        "model": _printable(outcome.model.address),
        "key": str(outcome.model.classifier.card.get("key", "")),
        "num_photos": outcome.num_answered,
        "num_unreadable": len(outcome.failures),
    }
    if outcome.evaluation is not None:
        values |= {name: value for name, value in outcome.evaluation.metrics.items() if name != "num_photos"}
    if outcome.compared is not None:
        values |= {"against_test_split": outcome.compared.word, "against_test_split_p_value": outcome.compared.p_value}
        for name, change in outcome.compared.differences.items():
            ends = {"": change.value, "_low": change.low, "_high": change.high}
            values |= {f"difference_{name}{end}": value for end, value in ends.items()}
    if outcome.drift is not None:
        share, low, high = outcome.drift.share_unlike
        values |= {"drift": ", ".join(outcome.drift.found), "num_unlike": outcome.drift.num_unlike}
        values |= {"share_unlike": share, "share_unlike_low": low, "share_unlike_high": high}
    return {name: _round(value) for name, value in values.items()}


def list_drift(outcome: Outcome) -> pd.DataFrame:
    """One row per statistic, and one for what the network makes of the photos."""
    drift = outcome.drift
    if drift is None:
        return pd.DataFrame()
    rows: list[dict[str, Any]] = [
        {
            "statistic": item.name,
            "test": "Kolmogorov-Smirnov, Holm",
            "reference_median": _round(item.reference_median),
            "median": _round(item.observed_median),
            "effect": _round(item.gap),
            "p_value": _round(item.p_value),
            "differs": drift.differs(item.p_value),
        }
        for item in drift.statistics
    ]
    found = drift.features
    last = {"statistic": "features", "test": "energy distance, permutations", "effect": _round(found.share)}
    return pd.DataFrame([*rows, {**last, "p_value": _round(found.p_value), "differs": drift.differs(found.p_value)}])


def describe_inputs(
    outcome: Outcome, answered: Answered, metrics: Mapping[str, Any], pictures: Mapping[str, bytes]
) -> OutsideInputs:
    """What the page shows, as plain values."""
    reference, evaluation = outcome.model.reference, outcome.evaluation
    known = {} if reference is None else reference.statistics
    return OutsideInputs(
        model=_printable(outcome.model.address),
        card=outcome.model.classifier.card,
        classes=outcome.classes,
        metrics=metrics,
        test_metrics={} if reference is None else reference.metrics,
        predictions=outcome.photos,
        class_scores=None if evaluation is None else evaluation.class_scores,
        roc=None if evaluation is None else evaluation.roc,
        reliability=None if evaluation is None else evaluation.reliability,
        drift=list_drift(outcome),
        statistics={name: (known[name], answered.statistics[name]) for name in known},
        confidence=outcome.settings.confidence,
        note=outcome.model.note,
        pictures=pictures,
    )


def picture(photo: FoundPhoto, card: Mapping[str, Any]) -> bytes:
    """The very pixels that the network got, as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(load_pixels(photo.path, card)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _round(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _printable(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "replace")


# --- The command `convlens evaluate`. Light to import: what it needs is loaded when it is called ---

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
@click.option("--unlabeled", is_flag=True, help="Folders mean nothing: answers and drift only.")
def evaluate(folder: Path, model: str, out: Path | None, force: bool, pairs: Sequence[str], unlabeled: bool) -> None:
    """Evaluate a model on the photos of FOLDER, which has a folder for each class, or just photos.

    Says how good the answers are, how far that is from the test split, and whether the photos are like those of the
    training. A photo that cannot be read is told, and the others count.
    """
    from convlens.metrics.external import find_photos, parse_renamed

    renamed = parse_renamed(pairs)
    if out is not None:
        check_target(out, force=force)
    with hold_stderr(replay=False):
        from convlens.metrics.external import answer_photos, judge_answers
        from convlens.tracking.access import open_with_reference

        opened = open_with_reference(model)
    photos = find_photos(folder, opened.classifier.classes, renamed=renamed, unlabeled=unlabeled)
    answered = answer_photos(photos, opened)
    outcome = judge_answers(answered, opened)
    if out is not None:
        write_outcome(out, outcome, answered)
    click.echo(render_outcome(outcome))
    if out is not None:
        click.echo(f"\n{out / 'report.html'} has the rest.")
