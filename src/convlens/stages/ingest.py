"""Stage `ingest`: list the photos of `data.source`; paint, download or unpack them first if they must be."""

import os
from functools import partial
from pathlib import Path

import pandas as pd

from convlens.data.cards import StoreCard, SyntheticCard, find_address, read_card
from convlens.data.download import download_archive, is_archive, unpack_archive
from convlens.data.sources import (
    LABELS_FILE,
    REGION_COLUMNS,
    REGIONS_FILE,
    describe_notes,
    describe_photos,
    list_folder,
    list_store,
    read_labels,
    read_regions,
    require_source,
    save_photos,
)
from convlens.data.synthetic.faults import paint_file, plan_files
from convlens.data.synthetic.recipe import SyntheticRecipe
from convlens.data.workers import map_in_processes
from convlens.environment import repository_root
from convlens.errors import ConvLensError, printable
from convlens.files import new_folder, write_bytes, write_csv, write_text
from convlens.params import DataParams
from convlens.progress import say, track

MAX_FILES_TOLD = 3
FAULTS_FILE = "faults.csv"  # of a painted data set: what is wrong on purpose, beside the photos


def ingest(*, photos: Path, raw: Path, data: DataParams) -> None:
    """Write the list of photos.

    Args:
        photos: the list to write (parquet): path, label, bytes, sha256, split, regions; and the columns of `labels.csv`
            beside the photos, if there is one.
        raw: folder for what had to be painted, downloaded or unpacked; a folder source leaves only a note in it.
        data: the group `data`; its source is a folder of class folders, an archive, a card, or an address in an object
            store.

    Raises:
        ConvLensError: the source is missing, overlaps with `raw`, is no archive, card or folder of class folders, its
            checksum differs, or it has fewer than two classes. What `raw` and `photos` held before is still there.
    """
    source, address = Path(data.source), find_address(data.source)
    if not address:
        _check_source(source, raw)
    with new_folder(raw) as fresh:
        if address or source.is_dir():
            write_text(fresh / "README.txt", f"The photos stay where they are: {address or source.as_posix()}\n")
        else:
            _fill(source, fresh)
        if address:
            table = describe_photos(list_store(address), {})
        else:
            table = _list_photos(source if source.is_dir() else fresh, source)
        table["path"] = [  # where a photo is once `fresh` has become `raw`
            raw.joinpath(Path(path).relative_to(fresh)).as_posix() if Path(path).is_relative_to(fresh) else path
            for path in table["path"]
        ]
        save_photos(photos, table)
    if broken := table.loc[table["sha256"] == "", "path"].tolist():
        names = ", ".join(printable(path) for path in broken[:MAX_FILES_TOLD])
        say(f"ingest: warning: {len(broken):,} of {len(table):,} photos cannot be read (no file, no permission, a dead "
            f"link, a pipe), for example {names}.")  # fmt: skip
    if not address and (notes := describe_notes(source)):
        say(f"ingest: {notes}")
    counts = ", ".join(
        f"{count:,} {printable(str(label))}" for label, count in table["label"].value_counts().sort_index().items()
    )
    say(f"ingest: {len(table):,} photos in {data.source}: {counts}.")


def _check_source(source: Path, raw: Path) -> None:
    require_source(source)
    here, there = source.resolve(), raw.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise ConvLensError(
            f"Expected data.source outside {raw}, which this stage empties and fills. Received: {source}. "
            "Move the photos to a folder of their own and name that."
        )


def _list_photos(folder: Path, source: Path) -> pd.DataFrame:
    try:
        listed, regions = list_folder(folder), read_regions(folder)
        paths = [photo.path for photo in listed]
        labels, unknown = read_labels(folder, paths)
    except ConvLensError as error:  # the user knows the source, not the temporary folder
        raise ConvLensError(printable(str(error).replace(str(folder), str(source)))) from error
    strangers = {f"{REGIONS_FILE} has boxes of": sorted(set(regions) - set(paths)), f"{LABELS_FILE} names": unknown}
    for what, missing in strangers.items():
        if missing:
            say(
                f"ingest: warning: {what} {len(missing):,} photos that are not there, for example "
                f"{printable(os.path.relpath(missing[0], folder))}."
            )
    return describe_photos(listed, regions).join(labels)


def _fill(source: Path, folder: Path) -> None:
    """Unpack an archive into a folder, or obtain what a card names."""
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
    elif not isinstance(card, StoreCard):
        target = Path(repository_root(), ".convlens", "downloads", f"{card.name}.archive")
        unpack_archive(download_archive(card.url, target, sha256=card.sha256, size=card.bytes), folder)


def _paint(recipe: SyntheticRecipe, folder: Path) -> None:
    plans = plan_files(recipe)
    regions, labels, faults = [], [], []
    for file in track(map_in_processes(partial(paint_file, recipe), plans), total=len(plans), task="paint"):
        plan = file.plan
        write_bytes(folder / plan.name, file.content)
        regions += [(plan.name, name, box.left, box.top, box.right, box.bottom) for name, box in file.regions.items()]
        labels.append((plan.name, "in between" if file.is_between else "typical"))
        faults += [(plan.name, plan.fault, plan.original)] if plan.fault else []
    write_csv(folder / REGIONS_FILE, pd.DataFrame(regions, columns=REGION_COLUMNS))
    write_csv(folder / LABELS_FILE, pd.DataFrame(labels, columns=["path", "breed"]))
    write_csv(folder / FAULTS_FILE, pd.DataFrame(faults, columns=["path", "fault", "original"]))
