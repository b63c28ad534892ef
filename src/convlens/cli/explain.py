"""The command `convlens explain`: a page of feature maps for photos, by any model. Light to import, as `--help` is."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convlens.cli.options import find_chosen, keras_options, list_files, model_option, open_chosen, quiet_option
from convlens.environment import hold_stderr
from convlens.errors import ConvLensError
from convlens.progress import say

if TYPE_CHECKING:
    from convlens.metrics.drift import OpenedModel
    from convlens.pages.feature_maps.maps import FeatureMaps

MAX_FILTERS = 256


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...", type=click.Path(path_type=Path))
@model_option()
@keras_options
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
@quiet_option
def explain(
    photos: Sequence[Path],
    model: str | None,
    classes: Sequence[str] | None,
    divide_by: float,
    out: Path,
    max_filters: int,
) -> None:
    """Show what a network sees in photos, as a page.

    For each PHOTO, a file or a folder of them: the prediction, where it comes from, whether to rely on it, and every
    feature map. Named boxes in a regions.csv beside a photo (path, region, left, top, right, bottom) are measured too.
    A photo that cannot be read is told on the page, the others are shown.
    """
    from convlens.files import write_text

    if not out.absolute().parent.is_dir():
        raise ConvLensError(f"Expected a folder for --out. Received: {out}, whose folder is not there.")
    files = list_files(photos)
    found = find_chosen(model, classes, divide_by)
    opened = open_chosen(found, divide_by)
    with hold_stderr():
        made, notes = explain_photos(files, opened, max_filters=max_filters)
    write_text(out, made.page)
    for note in notes:
        say(note)
    click.echo(f"{made.num_photos} of {len(files)} photos are in {out}. Open it in a browser.")


def explain_photos(
    files: Sequence[tuple[str, Path]], opened: "OpenedModel", *, max_filters: int = MAX_FILTERS
) -> "tuple[FeatureMaps, list[str]]":
    """Make the page of feature maps for photos.

    Args:
        files: names and paths.
        opened: the model.
        max_filters: filters shown per layer.

    Returns:
        The page, and for each photo on whose prediction one should not rely, why.

    Raises:
        ConvLensError: no photo that can be read, or a model that cannot be opened.
    """
    from convlens.lens.lens import open_lens
    from convlens.models.classifier import read_settings
    from convlens.pages.feature_maps.maps import PageSettings, make_feature_maps
    from convlens.pages.photos import read_user_photos
    from convlens.pages.user_photos import predict_user_photos
    from convlens.tracking.access import load_network

    network, classifier = load_network(opened), opened.classifier
    counts = Counter(path.name for _, path in files)
    named = [(path.name if counts[path.name] == 1 else name, path) for name, path in files]
    choices, unreadable = read_user_photos(named, read_settings(classifier.card), classifier.classes)
    notes: list[str] = []
    if opened.reference is not None:
        predict = classifier.predict_arrays
        table = predict_user_photos(choices, (), model=network, predict=predict, reference=opened.reference).table
        notes = [f"{row['path']}: {row['why']}" for row in table.to_dict("records") if not row["believe"]]
    settings = PageSettings(
        classes=classifier.classes,
        max_filters=max_filters,
        point=opened.operating_point,
        unreadable=unreadable,
        notes=notes,
        report_link=False,
    )
    return make_feature_maps(open_lens(network), choices, None, settings), notes
