"""Stage `preprocess`: split the usable photos, copies together, and decode them once into memory-mapped arrays."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.format import write_array_header_1_0

from convlens.data.cache import cache_folder
from convlens.data.duplicates import describe_groups, group_duplicates, is_large
from convlens.data.loader import LoaderSettings
from convlens.data.prepared import decode_photos, open_pixels
from convlens.data.split import LEFT_OUT, SPLITS, split_photos
from convlens.errors import ConvLensError
from convlens.files import new_folder, read_parquet, write_csv, write_json
from convlens.params import DataParams, PreprocessParams
from convlens.progress import say, track

SPLIT_COLUMNS = ["path", "label", "split", "row", "width", "height", "sha256"]


def preprocess(*, manifest: Path, prepared: Path, leaks: Path, data: DataParams, preprocess: PreprocessParams) -> None:
    """Write arrays, labels, the table of splits, and which photos are copies of each other.

    Args:
        manifest: table that `validate` wrote.
        prepared: folder to write.
        leaks: groups of near-duplicates and what became of them, to write (JSON).
        data: the group `data`; its source is noted in the card.
        preprocess: the group `preprocess`.

    Raises:
        ConvLensError: a class is left without photos in a split, or a photo cannot be read any more.
    """
    table, copies = _split(read_parquet(manifest), preprocess)
    settings = LoaderSettings(preprocess.image_size, preprocess.keep_aspect, preprocess.resampling)
    with new_folder(prepared) as folder:
        _write_arrays(folder, table, settings, preprocess)
        for split in SPLITS:
            np.save(folder / split / "labels.npy", _encode_labels(table)[table["split"] == split])
        write_csv(folder / "splits.csv", table[SPLIT_COLUMNS])
        write_json(folder / "card.json", _describe(table, data, preprocess))
        write_json(leaks, copies)
    _tell(copies, leaks)
    counts = ", ".join(f"{(table['split'] == split).sum():,} {split}" for split in SPLITS)
    say(f"preprocess: {counts} photos at {preprocess.image_size}x{preprocess.image_size}.")


def _split(manifest: pd.DataFrame, params: PreprocessParams) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The photos that are used, with their split and row, and what is known of copies."""
    table = manifest[manifest["usable"]].reset_index(drop=True)
    groups = group_duplicates(table, params)
    splits = split_photos(table, params, groups=groups)
    copies = describe_groups(table, groups, splits)
    if copies["groups_across_splits"]:
        raise ConvLensError(
            "Expected copies of a photo in one split. Received: groups of near-duplicates in two splits, "
            f"{copies['groups_across_splits']:,} of {copies['num_groups']:,}. This is a fault of ConvLens; report it."
        )
    table = table.assign(split=splits)[splits != LEFT_OUT].reset_index(drop=True)
    table["row"] = table.groupby("split").cumcount()
    return table, copies


def _tell(copies: dict[str, Any], leaks: Path) -> None:
    grouped, groups = copies["num_grouped_photos"], copies["num_groups"]
    if groups:
        say(f"preprocess: {grouped:,} photos are in {groups:,} groups of copies, each in one split; see {leaks}.")
    if copies["left_out"]:
        say(f"preprocess: {len(copies['left_out']):,} photos are left out: copies of photos that the source holds out.")
    if copies["groups_of_two_labels"]:
        say(f"preprocess: warning: {copies['groups_of_two_labels']:,} groups of copies have more than one label.")
    if is_large(copies["largest_group"], copies["num_photos"]):
        say(
            f"preprocess: warning: {copies['largest_group']:,} photos count as copies of one another. If they are not, "
            "lower preprocess.duplicate_distance, or set preprocess.near_duplicates to false."
        )


def _write_arrays(folder: Path, table: pd.DataFrame, settings: LoaderSettings, params: PreprocessParams) -> None:
    """Decode the photos of every split, but for those that an earlier run has decoded with the same settings."""
    decode = partial(decode_photos, settings=settings, num_workers=params.num_workers)
    with open_pixels(cache_folder(), settings, table["sha256"].tolist()) as pixels:
        for split in SPLITS:
            part = table[table["split"] == split]
            (folder / split).mkdir()
            photos = pixels.map(part["sha256"].tolist(), part["path"].tolist(), decode)
            tracked = track(photos, total=len(part), task=f"preprocess {split}")
            _write_images(folder / split, tracked, len(part), params)


def _write_images(folder: Path, photos: Iterator[np.ndarray], num_photos: int, params: PreprocessParams) -> None:
    for shard, start in enumerate(range(0, num_photos, params.photos_per_shard)):
        count = min(params.photos_per_shard, num_photos - start)
        shape = (count, params.image_size, params.image_size, 3)
        _write_shard(folder / f"images-{shard:05d}.npy", shape, islice(photos, count))
    next(photos, None)  # lets the progress come to its end


def _write_shard(path: Path, shape: tuple[int, ...], photos: Iterable[np.ndarray]) -> None:
    """Write photo after photo: a full disk is an error here, where a memory map would kill the process."""
    with open(path, "wb") as file:
        write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for photo in photos:
            file.write(photo.tobytes())


def _classes(table: pd.DataFrame) -> list[str]:
    return sorted(table["label"].unique())


def _encode_labels(table: pd.DataFrame) -> np.ndarray:
    """Index of each photo's class, int64 (num_photos,)."""
    return np.searchsorted(np.array(_classes(table)), table["label"].to_numpy(str)).astype(np.int64)


def _describe(table: pd.DataFrame, data: DataParams, params: PreprocessParams) -> dict[str, Any]:
    counts = {
        split: {name: int(((table["split"] == split) & (table["label"] == name)).sum()) for name in _classes(table)}
        for split in SPLITS
    }
    content = table[["sha256", "label", "split", "row"]].to_csv(index=False, lineterminator="\n")
    return {
        "classes": _classes(table),
        "image_size": params.image_size,
        "keep_aspect": params.keep_aspect,
        "resampling": params.resampling,
        "counts": counts,
        "digest": hashlib.sha256(content.encode()).hexdigest(),
        "source": data.source,
    }
