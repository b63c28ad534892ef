"""Stage `ingest`: list the photos of `data.source`; paint, download or unpack them first if they must be."""

import os
from functools import partial
from pathlib import Path

import pandas as pd

from convlens.data.download import download_archive, is_archive, unpack_archive
from convlens.data.sources import (
    LABELS_FILE,
    REGION_COLUMNS,
    REGIONS_FILE,
    SyntheticCard,
    UrlCard,
    describe_photos,
    find_address,
    label_folders,
    list_folder,
    list_store,
    read_card,
    read_labels,
    read_regions,
)
from convlens.data.synthetic.recipe import SyntheticRecipe, list_photos, paint_file
from convlens.data.workers import map_in_processes
from convlens.environment import repository_root
from convlens.errors import ConvLensError, printable
from convlens.files import new_folder, write_bytes, write_csv, write_parquet, write_text
from convlens.params import DataParams
from convlens.progress import say, track


def ingest(*, source: Path, photos: Path, raw: Path, data: DataParams) -> None:
    """Write the list of photos.

    Args:
        source: a folder of class folders, an archive, or a card; or an address in an object store (which no `Path`
            can hold: it is read from `data`).
        photos: the list to write (parquet): path, label, bytes, sha256, split, regions; and the columns of `labels.csv`
            beside the photos, if there is one.
        raw: folder for what had to be painted, downloaded or unpacked; a folder source leaves only a note in it.
        data: the group `data`.

    Raises:
        ConvLensError: the source is missing, overlaps with `raw`, is no archive, card or folder of class folders, its
            checksum differs, or it has fewer than two classes. What `raw` and `photos` held before is still there.
    """
    address = find_address(data.source)
    if not address:
        _check_source(source, raw)
    with new_folder(raw) as fresh:
        table = _list_store(address, fresh) if address else _list_photos(_obtain(source, fresh), source)
        table["path"] = [_settle(path, fresh, raw) for path in table["path"]]
        write_parquet(photos, table)
    counts = ", ".join(
        f"{count:,} {printable(str(label))}" for label, count in table["label"].value_counts().sort_index().items()
    )
    say(f"ingest: {len(table):,} photos in {data.source}: {counts}.")


def _check_source(source: Path, raw: Path) -> None:
    if not source.exists():
        raise ConvLensError(
            f"Expected data.source to be a folder of class folders, a zip or tar archive, or a card. "
            f"Received: {source}, which does not exist. Correct data.source in params.yaml."
        )
    here, there = source.resolve(), raw.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise ConvLensError(
            f"Expected data.source outside {raw}, which this stage empties and fills. Received: {source}. "
            "Move the photos to a folder of their own and name that."
        )


def _obtain(source: Path, fresh: Path) -> Path:
    """The folder to list: the source itself, or `fresh` with what had to be made from it."""
    if source.is_dir():
        write_text(fresh / "README.txt", f"The photos stay where they are: {source.as_posix()}\n")
        return source
    _fill(source, fresh)
    return fresh


def _list_store(address: str, fresh: Path) -> pd.DataFrame:
    write_text(fresh / "README.txt", f"The photos stay where they are: {address}\n")
    return describe_photos(list_store(address), {})


def _list_photos(folder: Path, source: Path) -> pd.DataFrame:
    try:
        listed, regions = list_folder(folder), read_regions(folder)
        labels, unknown = read_labels(label_folders(folder), [photo.path for photo in listed])
    except ConvLensError as error:  # the user knows the source, not the temporary folder
        raise ConvLensError(printable(str(error).replace(str(folder), str(source)))) from error
    strangers = sorted(set(regions) - {photo.path for photo in listed})
    if strangers:
        say(
            f"ingest: warning: {REGIONS_FILE} has boxes of {len(strangers):,} photos that are not there, for example "
            f"{printable(os.path.relpath(strangers[0], folder))}."
        )
    if unknown:
        say(
            f"ingest: warning: {LABELS_FILE} names {len(unknown):,} photos that are not there, for example "
            f"{os.path.relpath(unknown[0], folder)}."
        )
    return describe_photos(listed, regions).join(labels)


def _settle(path: str, fresh: Path, raw: Path) -> str:
    """Where a photo is once `fresh` has become `raw`."""
    return raw.joinpath(Path(path).relative_to(fresh)).as_posix() if Path(path).is_relative_to(fresh) else path


def _fill(source: Path, folder: Path) -> None:
    if is_archive(source):
        unpack_archive(source, folder)
        return
    if source.suffix not in (".yaml", ".yml"):
        raise ConvLensError(
            f"Expected data.source to be a folder, a zip or tar archive, or a card (.yaml). Received: {source}, which "
            "is none of these, or a damaged archive."
        )
    card = read_card(source)
    if isinstance(card, SyntheticCard):
        _paint(card.recipe, folder)
    elif isinstance(card, UrlCard):
        unpack_archive(_download(card), folder)


def _download(card: UrlCard) -> Path:
    target = Path(repository_root(), ".convlens", "downloads", f"{card.name}.archive")
    return download_archive(card.url, target, sha256=card.sha256, size=card.bytes)


def _paint(recipe: SyntheticRecipe, folder: Path) -> None:
    which = list_photos(recipe)
    files = track(map_in_processes(partial(paint_file, recipe), which), total=len(which), task="paint")
    rows = []
    for file in files:
        write_bytes(folder / file.name, file.content)
        rows += [(file.name, name, box.left, box.top, box.right, box.bottom) for name, box in file.regions.items()]
    write_csv(folder / REGIONS_FILE, pd.DataFrame(rows, columns=REGION_COLUMNS))
