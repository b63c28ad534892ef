"""The command `convlens explain`: a page of feature maps for photos, by any model. Light to import, as `--help` is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convlens.cli.evaluate import model_option
from convlens.environment import hold_stderr
from convlens.errors import ConvLensError

if TYPE_CHECKING:
    from keras import Model

    from convlens.models.inference import OperatingPoint
    from convlens.pages.feature_maps.maps import FeatureMaps
    from convlens.pages.photos import Choice, Unreadable

MAX_FILTERS = 256
KERAS_FILES = (".keras", ".h5", ".hdf5")
CARD = "card.json"


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...", type=click.Path(path_type=Path))
@model_option
@click.option(
    "--classes", metavar="NAMES", help="Of a Keras file: its classes in the order of its answers, as in cats,dogs."
)
@click.option(
    "--divide-by",
    default=1.0,
    type=click.FloatRange(min=0, min_open=True),
    metavar="NUMBER",
    help="Of a Keras file: what its photos were divided by outside of the model, such as 255.",
)
@click.option(
    "--out",
    default=Path("explanation.html"),
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PAGE",
    help="The page to write, one file that opens from disk.",
)
@click.option("--max-filters", default=MAX_FILTERS, show_default=True, type=click.IntRange(min=1), metavar="NUMBER",
              help="Filters shown per layer.")  # fmt: skip
def explain(
    photos: Sequence[Path], model: str, classes: str | None, divide_by: float, out: Path, max_filters: int
) -> None:
    """Show what a network sees in each PHOTO: its answer, where that comes from, and every feature map.

    Named boxes in a regions.csv beside a photo (path, region, left, top, right, bottom) are measured too. A photo that
    cannot be read is told on the page, the others are shown. MODEL may also be any Keras model: a .keras or .h5 file.
    """
    from convlens.files import write_text

    if not out.absolute().parent.is_dir():
        raise ConvLensError(f"Expected a folder for --out. Received: {out}, whose folder is not there.")
    with hold_stderr():
        network, card, point = _open(model, classes.split(",") if classes else None, divide_by)
        made = explain_photos(photos, network, card, point, max_filters=max_filters)
    write_text(out, made.page)
    click.echo(f"{made.num_photos} of {len(photos)} photos are in {out}. Open it in a browser.")


def explain_photos(
    photos: Sequence[Path],
    network: "Model",
    card: Mapping[str, Any],
    point: "OperatingPoint",
    *,
    max_filters: int = MAX_FILTERS,
) -> "FeatureMaps":
    """Make the page of feature maps for photos.

    Args:
        photos: paths.
        network: the model.
        card: its classes, and how it takes photos, as `train` writes it.
        point: its operating point.
        max_filters: filters shown per layer.

    Raises:
        ConvLensError: no photo that can be read, or a model that cannot be opened.
    """
    from convlens.lens.lens import open_lens
    from convlens.pages.feature_maps.maps import PageSettings, make_feature_maps

    choices, unreadable = _read_photos(photos, card)
    settings = PageSettings(
        classes=tuple(card["classes"]),
        max_filters=max_filters,
        point=point,
        unreadable=unreadable,
        report_link=False,
    )
    return make_feature_maps(open_lens(network), choices, None, settings)


def _open(
    model: str, classes: Sequence[str] | None, divide_by: float
) -> "tuple[Model, Mapping[str, Any], OperatingPoint]":
    """A network, its card and its operating point, by the address of a model or from a file of Keras."""
    path = Path(model)
    if path.with_name(CARD).is_file() and path.suffix in KERAS_FILES:  # the file of a model of ConvLens
        model = str(path.parent)
    elif path.suffix in KERAS_FILES:
        from convlens.lens.forward import open_keras_file
        from convlens.models.inference import OperatingPoint

        return *open_keras_file(path, classes, divide_by=divide_by), OperatingPoint()
    if classes or divide_by != 1:
        raise ConvLensError(f"Expected --classes and --divide-by with a Keras file only. Received: --model {model}.")
    return _open_registered(model)


def _open_registered(model: str) -> "tuple[Model, Mapping[str, Any], OperatingPoint]":
    from convlens.models.files import load_trained_model
    from convlens.tracking.access import open_with_reference

    opened = open_with_reference(model)
    if opened.folder is None:
        raise ConvLensError(
            f"Expected a model with its network's file. Received: '{model}', packed without. Register it anew."
        )
    return load_trained_model(opened.folder), opened.classifier.card, opened.operating_point


def _read_photos(photos: Sequence[Path], card: Mapping[str, Any]) -> "tuple[list[Choice], list[Unreadable]]":
    from convlens.data.loader import PhotoError
    from convlens.models.classifier import load_by_card
    from convlens.pages.photos import Choice, Unreadable

    read: list[Choice] = []
    failed: list[Unreadable] = []
    for photo in photos:
        try:
            read.append(Choice(photo.name, "user", None, load_by_card(photo, card), _regions(photo, card)))
        except PhotoError as error:
            failed.append(Unreadable(photo.name, str(error)))
    if not read:
        raise ConvLensError(failed[0].reason)
    return read, failed


def _regions(photo: Path, card: Mapping[str, Any]) -> "dict[str, tuple[float, float, float, float]]":
    """Boxes of a photo from regions.csv beside it."""
    from convlens.data.loader import LoaderSettings
    from convlens.pages.photos import find_user_regions

    settings = LoaderSettings(int(str(card["image_size"])), bool(card["keep_aspect"]), str(card["resampling"]))
    return find_user_regions(photo.parent, settings).get(photo.name, {})
