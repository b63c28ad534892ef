"""Options that several commands share: which model, how loud, and photos in files and folders. Light to import."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convlens import progress
from convlens.environment import hold_stderr
from convlens.errors import ConvLensError
from convlens.params import read_model_name

if TYPE_CHECKING:
    from convlens.metrics.drift import OpenedModel
    from convlens.tracking.access import FoundModel

PARAMS = Path("params.yaml")
FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, a pulled folder, data/model"

# --- which model ---


def model_option(help_text: str = f"{FORMS}, or a .keras file.") -> Callable[[Any], Any]:
    """The option of every command that takes a model."""
    return click.option("--model", metavar="MODEL", help=f"{help_text}  [default: the champion of params.yaml]")


def keras_options(command: Any) -> Any:
    """What a file of Keras does not say of itself."""
    command = click.option(
        "--divide-by",
        default=1.0,
        type=click.FloatRange(min=0, min_open=True),
        metavar="NUMBER",
        help="Of a Keras file: what its photos were divided by outside of the model, such as 255.",
    )(command)
    return click.option(
        "--classes",
        metavar="NAMES",
        callback=lambda _context, _option, value: [name.strip() for name in value.split(",")] if value else None,
        help="Of a Keras file: its classes in the order of its outputs, as in cats,dogs.",
    )(command)


def default_address() -> str:
    """The champion of the model that params.yaml names.

    Raises:
        ConvLensError: there is no params.yaml here.
    """
    if not PARAMS.is_file():
        raise ConvLensError(
            f"Expected --model MODEL: {FORMS}, or a .keras file. "
            "Received: none, and no params.yaml here that names one."
        )
    return f"models:/{read_model_name(PARAMS)}@champion"


def find_chosen(model: str | None, classes: Sequence[str] | None = None, divide_by: float = 1.0) -> "FoundModel":
    """Find the model that the options name and say which it is; no network is loaded yet.

    Raises:
        ConvLensError: there is no such model, or a file of Keras is described that is none.
    """
    address = model or default_address()
    with hold_stderr(replay=False):
        from convlens.tracking.access import find_model

        found = find_model(address, classes)
    if (classes or divide_by != 1) and not found.place.is_file():
        raise ConvLensError(f"Expected --classes and --divide-by with a Keras file only. Received: --model {address}.")
    progress.say(found.describe())
    return found


def open_chosen(found: "FoundModel", divide_by: float = 1.0) -> "OpenedModel":
    """Open what `find_chosen` found, with its operating point and its reference statistics.

    Raises:
        ConvLensError: it cannot be loaded, or is a file with another number of classes than were named.
    """
    with hold_stderr(replay=False):
        if not found.place.is_file():
            from convlens.tracking.access import open_model

            return open_model(found)
        return _open_keras_file(found, divide_by)


def _open_keras_file(found: "FoundModel", divide_by: float) -> "OpenedModel":
    from convlens.lens.forward import Scorer, name_logits, open_keras_file
    from convlens.lens.lens import open_lens
    from convlens.metrics.drift import OpenedModel
    from convlens.models.classifier import PhotoClassifier, load_by_card
    from convlens.models.inference import LOGITS, OperatingPoint, Predictor

    network, card = open_keras_file(found.place, found.classes or None, divide_by=divide_by)
    card, point = {**card, "architecture": network.name}, OperatingPoint()
    predict = Predictor(name_logits(Scorer(open_lens(network)), LOGITS), point)
    classifier = PhotoClassifier(card, point, predict, load_by_card)
    note = "A model of a Keras file has no reference statistics of its training photos."
    return OpenedModel(found.address, classifier, point, None, None, note, network)


# --- how loud ---


def quiet_option(command: Any) -> Any:
    """Nothing on stderr but errors."""
    return click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, is_eager=True, callback=_be_quiet,
        help="Say nothing on stderr but errors.",
    )(command)  # fmt: skip


def _be_quiet(context: click.Context, _option: click.Parameter, quiet: bool) -> None:
    if quiet:
        context.with_resource(progress.silence())


# --- photos ---


def list_files(photos: Sequence[Path]) -> list[tuple[str, Path]]:
    """Name the photos: files as they are given, and those in a folder by their path in it.

    Raises:
        ConvLensError: a folder without photos.
    """
    if not any(photo.is_dir() for photo in photos):
        return [(photo.as_posix(), photo) for photo in photos]
    from convlens.metrics.external import find_photos

    named: list[tuple[str, Path]] = []
    for photo in photos:
        found = find_photos(photo, (), renamed={}, unlabeled=True) if photo.is_dir() else []
        named += [((photo / each.name).as_posix(), each.path) for each in found] or [(photo.as_posix(), photo)]
    return named
