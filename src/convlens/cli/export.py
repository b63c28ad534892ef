"""The command `convlens export`: a model for machines without Python or Keras. Light to import, as `--help` is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convlens.cli.evaluate import CHAMPION, model_option
from convlens.environment import hold_stderr
from convlens.errors import ConvLensError

if TYPE_CHECKING:
    import numpy as np

    from convlens.tracking.access import OpenedModel

FORMATS = ("onnx", "tflite", "savedmodel")
TOLERANCE = 1e-5  # of a probability, for pictures of the network's size: other kernels add up in other orders
RESIZED_TOLERANCE = 1e-3  # for others: of thousands of pixels a handful may come out one step of 255 away
SIDES = ((1.0, 1.0), (2.3, 1.7), (0.6, 0.8))  # heights and widths of the pictures to check with, in sides of the input
NUM_PICTURES = 4  # of each size


@dataclass(frozen=True)
class Exported:
    """What was written, and how near it is.

    Attributes:
        path: the file, or the folder of a SavedModel.
        num_pictures: it was checked with.
        difference: largest one of a probability to the pipeline's, on pictures of the network's size.
        resized_difference: on those of other sizes.
        label: the last class.
        low: its smallest probability on these pictures.
        high: largest one.
    """

    path: Path
    num_pictures: int
    difference: float
    resized_difference: float
    label: str
    low: float
    high: float


@click.command()
@click.argument("photos", nargs=-1, metavar="[PHOTO]...", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="Which form to write.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="New or empty.")
@model_option
@click.option("--alias", help="Short for --model models:/convlens@ALIAS.")
def export(photos: Sequence[Path], form: str, out: Path, model: str, alias: str | None) -> None:
    """Write a model for ONNX Runtime, TensorFlow Lite or TensorFlow Serving into FOLDER.

    It takes upright RGB photos of any size as uint8 and gives calibrated probabilities; resizing, the mean
    over its views and the temperature are inside, labels and settings go along. Before anything stays in FOLDER it is
    asked about synthetic pictures, and about each PHOTO if you name some, and must answer as the model itself does.
    """
    address = f"{CHAMPION.partition('@')[0]}@{alias}" if alias else model
    with hold_stderr(replay=False):
        done = export_model(address, form, out, photos=photos)
    click.echo(
        f"{done.path} answers {done.num_pictures} pictures as the model does: '{done.label}' with {done.low:.1%} to "
        f"{done.high:.1%}. Largest difference of a probability: {done.difference:.0e} (at most {TOLERANCE:.0e}) for "
        f"pictures of the network's size, {done.resized_difference:.0e} (at most {RESIZED_TOLERANCE:.0e}) for others."
    )


def export_model(address: str, form: str, out: Path, *, photos: Sequence[Path] = ()) -> Exported:
    """Export a model and check it.

    Args:
        address: of the model, as for `convlens predict`.
        form: one of `FORMATS`.
        out: new or empty folder; written whole or not at all.
        photos: to check with, beside synthetic pictures.

    Raises:
        ConvLensError: no such model or photo, a folder in use, a package that is missing, or answers that differ.
    """
    import numpy as np

    from convlens.cli.evaluate import check_target
    from convlens.files import new_folder
    from convlens.models.export import FORMATS as KNOWN
    from convlens.models.export import ExportGraph, describe_export
    from convlens.models.files import load_trained_model
    from convlens.tracking.access import open_with_reference

    check_target(out, force=False)
    opened = open_with_reference(address)
    if opened.folder is None:
        raise ConvLensError(f"Expected a model with its network's file. Received: '{address}'. Register it anew.")
    card = opened.classifier.card
    pictures = [*_paint(card["image_size"]), *_read(photos)]
    write, run = KNOWN[form]
    with new_folder(out) as part:
        graph = ExportGraph(load_trained_model(opened.folder), card, opened.operating_point)
        made = write(graph, describe_export(card, opened.operating_point), part)
        expected = _ask(opened, pictures)
        differences = abs(_answer(run(made), pictures) - expected).max(axis=1)
        resized = np.array([picture.shape[:2] != (card["image_size"],) * 2 for picture in pictures])
        own, others = float(differences[~resized].max()), float(differences[resized].max())
        _check(form, own, TOLERANCE)
        _check(form, others, RESIZED_TOLERANCE)
    low, high = float(expected[:, -1].min()), float(expected[:, -1].max())
    return Exported(out / made.relative_to(part), len(pictures), own, others, card["classes"][-1], low, high)


def _check(form: str, difference: float, most: float) -> None:
    if not difference <= most:  # also if it is no number
        raise ConvLensError(
            f"Expected the {form} form to answer as the model, within {most:.0e} of each probability. "
            f"Received: a difference of {difference:.1e}. Nothing was written; take another format."
        )


def _paint(image_size: int) -> "list[np.ndarray]":
    """Pictures uint8 (height, width, 3) of several sizes: from flat ones to noise, each by a fixed seed."""
    import numpy as np
    from PIL import Image

    painted = []
    for number, (high, wide) in enumerate(side for side in SIDES for _ in range(NUM_PICTURES)):
        random = np.random.default_rng(number)
        side = 2 + 3 * (number % NUM_PICTURES) ** 2
        blots = Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8))
        size = max(1, round(wide * image_size)), max(1, round(high * image_size))
        painted.append(np.asarray(blots.resize(size, Image.Resampling.BILINEAR)))
    return painted


def _read(photos: Sequence[Path]) -> "list[np.ndarray]":
    """Decoded in full and upright, as whoever uses the exported form has them."""
    import numpy as np

    from convlens.data.loader import decode_photo, open_photo

    arrays = []
    for photo in photos:
        with open_photo(photo) as image:
            arrays.append(np.asarray(decode_photo(image)))
    return arrays


def _answer(run: Any, pictures: "list[np.ndarray]") -> "np.ndarray":
    """One at a time, and those of the first size together as well."""
    import numpy as np

    single = np.concatenate([run(picture[None]) for picture in pictures])
    together = run(np.stack(pictures[:NUM_PICTURES]))
    return np.where(abs(together - single[:NUM_PICTURES]).max() <= TOLERANCE, single, np.nan)


def _ask(opened: "OpenedModel", pictures: "list[np.ndarray]") -> "np.ndarray":
    import numpy as np

    from convlens.models.classifier import load_by_card

    card = opened.classifier.card
    answers: np.ndarray = opened.classifier.predict_arrays(np.stack([load_by_card(item, card) for item in pictures]))
    return answers
