"""The command `convlens predict`: what is on a photo. Light to import: what it needs is loaded when it is called."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convlens.cli.options import find_chosen, keras_options, list_files, model_option, open_chosen, quiet_option
from convlens.environment import hold_stderr
from convlens.errors import ConvLensError
from convlens.progress import track

if TYPE_CHECKING:
    import pandas as pd

    from convlens.metrics.drift import OpenedModel

PREFIX = "probability_"
PHOTOS_PER_BATCH = 64
MAX_NAMED = 3  # photos unlike the training photos that have a sentence each


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...", type=click.Path(path_type=Path))
@model_option()
@keras_options
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Of two classes, predict the second above this probability. Default: the model's own.",
)
@click.option("--top-k", type=click.IntRange(min=1), metavar="NUMBER", help="Show only the most probable classes.")
@click.option("--json", "form", flag_value="json", help="Print JSON: one object per photo, with full digits.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV: one row per photo, with full digits.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PAGE",
    help="Write a page, too: each photo, its prediction, and whether to rely on it.",
)
@quiet_option
def predict(
    photos: Sequence[Path],
    model: str | None,
    classes: Sequence[str] | None,
    divide_by: float,
    threshold: float | None,
    top_k: int | None,
    form: str | None,
    page: Path | None,
) -> None:
    """Classify photos.

    For each PHOTO, a file or a folder of them: its label, how probable it is, whether that is too unsure to go by, and
    whether the photo is unlike those that the model was trained on. A photo that cannot be read is told in its line,
    the others are classified, and the exit code is 1.
    """
    if page is not None and not page.absolute().parent.is_dir():
        raise ConvLensError(f"Expected a folder for --html. Received: {page}, whose folder is not there.")
    files = list_files(photos)
    found = find_chosen(model, classes, divide_by)
    if found.classes:
        from convlens.models.inference import check_choices

        check_choices(len(found.classes), threshold=threshold, top_k=top_k)
    opened = open_chosen(found, divide_by)
    choices = {name: value for name, value in (("threshold", threshold), ("top_k", top_k)) if value is not None}
    predicted, warnings = _predict(files, opened, choices)
    if page is not None:
        _write_page(page, files, opened, found.describe())
    if form == "csv":
        click.echo(predicted.to_csv(index=False), nl=False)
    else:
        rows = _rows(predicted, top_k or 0)
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False) if form else "\n".join([_table(rows), *warnings]))
    if predicted["error"].astype(bool).any():
        sys.exit(1)


def _predict(
    files: Sequence[tuple[str, Path]], opened: "OpenedModel", choices: Mapping[str, Any]
) -> "tuple[pd.DataFrame, list[str]]":
    """Predict a batch at a time, and say which photos are unlike the training photos."""
    with hold_stderr(replay=False):
        import pandas as pd

        from convlens.metrics.external import open_distances
        from convlens.pages.user_photos import say_unlike
        from convlens.tracking.access import predict_photos

        measure, reference = open_distances(opened), opened.reference
    batches = [files[start : start + PHOTOS_PER_BATCH] for start in range(0, len(files), PHOTOS_PER_BATCH)]
    watched = track(batches, total=len(files), task="predict", weigh=len) if len(batches) > 1 else batches
    parts, sentences = [], []
    for batch in watched:
        part = predict_photos(opened, [path for _, path in batch], choices)
        distances = measure([path for _, path in batch])
        unlike = [None if reference is None or d != d else bool(d > reference.unlike_above) for d in distances]
        part.insert(0, "photo", [_printable(name) for name, _ in batch])  # a name that is no text must not stop others
        part.insert(list(part.columns).index("error"), "unlike", pd.Series(unlike, part.index, dtype="boolean"))
        parts.append(part)
        if reference is not None:
            told = [
                (name, say_unlike(distance, reference)) for name, distance in zip(part["photo"], distances, strict=True)
            ]
            sentences += [f"{name}: do not rely on it, {said}." for name, said in told if said]
    table = pd.concat(parts, ignore_index=True)
    if len(sentences) > MAX_NAMED:
        sentences = [
            f"Do not rely on {len(sentences):,} of {len(table):,} photos: they are unlike the training photos."
        ]
    return table, ["", *sentences] if sentences else []


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


def _write_page(page: Path, files: Sequence[tuple[str, Path]], opened: "OpenedModel", described: str) -> None:
    """Write what is predicted for each photo, and whether to rely on it.

    Raises:
        ConvLensError: the model has no reference statistics, or no photo can be read.
    """
    if opened.reference is None:
        raise ConvLensError(
            f"Expected a model with reference statistics for --html. Received: one without. {opened.note}"
        )
    with hold_stderr(replay=False):
        from convlens.files import write_text
        from convlens.models.classifier import read_settings
        from convlens.pages.photos import read_user_photos
        from convlens.pages.user_photos import predict_user_photos, render_user_photos
        from convlens.tracking.access import load_network

        named = [(_printable(name), path) for name, path in files]
        network, classifier = load_network(opened), opened.classifier
    chosen, unreadable = read_user_photos(named, read_settings(classifier.card), classifier.classes)
    done = predict_user_photos(
        chosen, unreadable, model=network, predict=classifier.predict_arrays, reference=opened.reference
    )
    write_text(page, render_user_photos(done, described))


def _rows(predicted: "pd.DataFrame", num_top: int) -> list[dict[str, Any]]:
    """One object per photo as JSON shows it; `unsure` and `unlike` are None for models that cannot say."""
    names = [name for name in predicted.columns if name.startswith(PREFIX)]
    rows = []
    for answer in predicted.astype(object).where(predicted.notna(), None).to_dict(orient="records"):
        unknown = dict.fromkeys(("label", "probabilities", "unsure", "unlike"))
        row = {"photo": answer["photo"], **unknown, "error": answer["error"] or None}
        top = None
        if not answer["error"]:
            chances = {name.removeprefix(PREFIX): answer[name] for name in names}
            flags = {name: answer.get(name) for name in ("unsure", "unlike")}
            row |= {"label": answer["label"], "probabilities": chances, **flags}
            places = [f"top_{place}" for place in range(1, num_top + 1)]
            top = [{"label": answer[f"{at}_label"], "probability": answer[f"{at}_probability"]} for at in places]
        rows.append({**row, "top": top} if num_top else row)
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    """Columns for photo, label, probabilities, what speaks against it; or why a photo was not read."""
    read = [row for row in rows if not row["error"]]
    head = ["photo", "label", *(_heads(read[0]) if read else []), ""]
    cells = [[row["photo"], row["label"], *_chances(row), _flags(row)] for row in read]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(head))]
    widths[0] = max([widths[0], *(len(row["photo"]) for row in rows)])

    def line(texts: Sequence[str]) -> str:  # texts to the left, numbers to the right
        padded = [str.ljust(text, width) for text, width in zip(texts[:2], widths[:2], strict=True)]
        padded += [str.rjust(text, width) for text, width in zip(texts[2:], widths[2:], strict=True)]
        return "  ".join(padded).rstrip()

    lines = iter(cells)
    told = [f"{row['photo'].ljust(widths[0])}  {row['error']}" if row["error"] else line(next(lines)) for row in rows]
    return "\n".join([line(head), *told] if cells else told)


def _flags(row: dict[str, Any]) -> str:
    return ", ".join(name for name in ("unsure", "unlike") if row[name])


def _heads(row: dict[str, Any]) -> list[str]:
    return [f"top {place}" for place in range(1, len(row["top"]) + 1)] if "top" in row else list(row["probabilities"])


def _chances(row: dict[str, Any]) -> list[str]:
    if "top" in row:
        return [f"{top['label']} {top['probability']:.1%}" for top in row["top"]]
    return [f"{chance:.1%}" for chance in row["probabilities"].values()]
