"""The command `convlens explain`: a page of feature maps for photos, by any model. Light to import, as `--help` is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convlens.environment import hold_stderr
from convlens.errors import ConvLensError
from convlens.outside.commands import model_option

if TYPE_CHECKING:
    from convlens.stages.report_maps import MapResults
    from convlens.stages.report_photos import Choice, Unreadable

MAX_FILTERS = 256


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...", type=click.Path(path_type=Path))
@model_option
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
def explain(photos: Sequence[Path], model: str, out: Path, max_filters: int) -> None:
    """Show what a network sees in each PHOTO: its answer, where that comes from, and every feature map.

    Named boxes in a regions.csv beside a photo (path, region, left, top, right, bottom) are measured too. A photo that
    cannot be read is told on the page, the others are shown.
    """
    from convlens.stages.outputs import write_text

    if not out.absolute().parent.is_dir():
        raise ConvLensError(f"Expected a folder for --out. Received: {out}, whose folder is not there.")
    with hold_stderr():
        made = explain_photos(photos, model, max_filters=max_filters)
    write_text(out, made.page)
    click.echo(f"{made.num_photos} of {len(photos)} photos are in {out}. Open it in a browser.")


def explain_photos(photos: Sequence[Path], model: str, *, max_filters: int = MAX_FILTERS) -> "MapResults":
    """Make the page of feature maps for photos.

    Args:
        photos: paths.
        model: address, as for `convlens predict`.
        max_filters: filters shown per layer.

    Raises:
        ConvLensError: no such model, a model without its network's file, or no photo that can be read.
    """
    from convlens.lens.lens import open_lens
    from convlens.network.inference import answer_settings
    from convlens.network.model_files import load_trained_model
    from convlens.outside.model import open_with_profile
    from convlens.stages.report_maps import Material, make_maps

    opened = open_with_profile(model)
    if opened.folder is None:
        raise ConvLensError(
            f"Expected a model with its network's file. Received: '{model}', packed without. Register it anew."
        )
    card = opened.classifier.card
    choices, unreadable = _read_photos(photos, card)
    return make_maps(
        open_lens(load_trained_model(opened.folder)),
        choices,
        Material(),
        classes=tuple(card["classes"]),
        max_filters=max_filters,
        unreadable=unreadable,
        report_link=False,
        **answer_settings(card),
    )


def _read_photos(photos: Sequence[Path], card: dict[str, object]) -> "tuple[list[Choice], list[Unreadable]]":
    from convlens.classifier import load_by_card
    from convlens.photos.loader import PhotoError
    from convlens.stages.report_photos import Choice, Unreadable

    read: list[Choice] = []
    failed: list[Unreadable] = []
    for photo in photos:
        try:
            read.append(Choice(photo.name, "own", None, load_by_card(photo, card), _regions(photo, card)))
        except PhotoError as error:
            failed.append(Unreadable(photo.name, str(error)))
    if not read:
        raise ConvLensError(failed[0].reason)
    return read, failed


def _regions(photo: Path, card: dict[str, object]) -> "dict[str, tuple[float, float, float, float]]":
    """Boxes of a photo from regions.csv beside it."""
    from convlens.photos.loader import LoaderSettings
    from convlens.stages.report_regions import find_own_regions

    settings = LoaderSettings(int(str(card["image_size"])), bool(card["keep_aspect"]), str(card["resampling"]))
    return find_own_regions(photo.parent, settings).get(photo.name, {})
