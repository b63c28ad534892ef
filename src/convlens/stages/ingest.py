"""Stage `ingest`: list the photos of `data.source`; paint, download or unpack them first if they must be."""

from functools import partial
from pathlib import Path

import pandas as pd

from convlens.environment import repository_root
from convlens.errors import ConvLensError
from convlens.params import DataParams
from convlens.photos.archives import is_archive, unpack_archive
from convlens.photos.cards import PaintedCard, UrlCard, read_card
from convlens.photos.download import download_archive
from convlens.photos.listing import REGION_COLUMNS, REGIONS_FILE, describe_photos, list_folder, read_regions
from convlens.photos.painted_files import paint_file
from convlens.photos.painting import PaintingRecipe, list_photos
from convlens.photos.workers import map_in_processes
from convlens.progress import say, track
from convlens.stages.outputs import new_folder, write_bytes, write_csv, write_parquet


def ingest(*, source: Path, photos: Path, raw: Path, data: DataParams) -> None:
    """Write the list of photos.

    Args:
        source: a folder of class folders, an archive, or a card.
        photos: the list to write (parquet): path, label, bytes, sha256, split, regions.
        raw: folder for what had to be painted, downloaded or unpacked; stays empty for a folder source.
        data: the group `data`.

    Raises:
        ConvLensError: the source is missing, its checksum differs, or it has fewer than two classes.
    """
    folder = _obtain(source, raw)
    table = describe_photos(list_folder(folder), read_regions(folder))
    write_parquet(photos, table)
    counts = ", ".join(f"{count:,} {label}" for label, count in table["label"].value_counts().sort_index().items())
    say(f"ingest: {len(table):,} photos in {data.source}: {counts}.")


def _obtain(source: Path, raw: Path) -> Path:
    """The folder to list; everything that is not a folder yet appears in `raw`."""
    if not source.exists():
        raise ConvLensError(
            f"Expected data.source to be a folder of class folders, a zip or tar archive, or a card. "
            f"Received: {source}, which does not exist. Correct data.source in params.yaml."
        )
    with new_folder(raw) as empty:
        if not source.is_dir():
            _fill(source, empty)
    return source if source.is_dir() else raw


def _fill(source: Path, folder: Path) -> None:
    if is_archive(source):
        unpack_archive(source, folder)
        return
    if source.suffix not in (".yaml", ".yml"):
        raise ConvLensError(
            f"Expected data.source to be a folder, a zip or tar archive, or a card (.yaml). Received: {source}."
        )
    card = read_card(source)
    if isinstance(card, PaintedCard):
        _paint(card.recipe, folder)
    else:
        unpack_archive(_download(card), folder)


def _download(card: UrlCard) -> Path:
    target = Path(repository_root(), ".convlens", "downloads", f"{card.name}{''.join(Path(card.url).suffixes[-2:])}")
    return download_archive(card.url, target, sha256=card.sha256, size=card.bytes)


def _paint(recipe: PaintingRecipe, folder: Path) -> None:
    which = list_photos(recipe)
    files = track(map_in_processes(partial(paint_file, recipe), which), total=len(which), task="paint")
    rows = []
    for file in files:
        write_bytes(folder / file.name, file.content)
        rows += [(file.name, name, box.left, box.top, box.right, box.bottom) for name, box in file.regions.items()]
    write_csv(folder / REGIONS_FILE, pd.DataFrame(rows, columns=REGION_COLUMNS))
