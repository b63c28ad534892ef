"""Stage `preprocess`: split the usable photos and decode them once into memory-mapped arrays."""

import hashlib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.format import write_array_header_1_0

from convlens.params import DataParams, PreprocessParams
from convlens.photos.decoding import decode_photos
from convlens.photos.loader import LoaderSettings
from convlens.photos.split import SPLITS, split_photos
from convlens.progress import say, track
from convlens.stages.outputs import new_folder, read_parquet, write_csv, write_json

SPLIT_COLUMNS = ["path", "label", "split", "row", "width", "height", "sha256"]


def preprocess(*, manifest: Path, prepared: Path, data: DataParams, preprocess: PreprocessParams) -> None:
    """Write arrays, labels and the table of splits.

    Args:
        manifest: table that `validate` wrote.
        prepared: folder to write.
        data: the group `data`; its source is noted in the card.
        preprocess: the group `preprocess`.

    Raises:
        ConvLensError: a class is left without photos in a split, or a photo cannot be read any more.
    """
    table = _assign_rows(read_parquet(manifest), preprocess)
    settings = LoaderSettings(preprocess.image_size, preprocess.keep_aspect, preprocess.resampling)
    with new_folder(prepared) as folder:
        for split in SPLITS:
            _write_images(folder / split, table.loc[table["split"] == split, "path"], settings, preprocess)
            np.save(folder / split / "labels.npy", _encode_labels(table)[table["split"] == split])
        write_csv(folder / "splits.csv", table[SPLIT_COLUMNS])
        write_json(folder / "card.json", _describe(table, data, preprocess))
    counts = ", ".join(f"{(table['split'] == split).sum():,} {split}" for split in SPLITS)
    say(f"preprocess: {counts} photos at {preprocess.image_size}x{preprocess.image_size}.")


def _assign_rows(manifest: pd.DataFrame, params: PreprocessParams) -> pd.DataFrame:
    table = manifest[manifest["usable"]].reset_index(drop=True)
    table["split"] = split_photos(table, params)
    table["row"] = table.groupby("split").cumcount()
    return table


def _write_images(folder: Path, paths: pd.Series, settings: LoaderSettings, params: PreprocessParams) -> None:
    folder.mkdir()
    decoded = decode_photos(paths.tolist(), settings, num_workers=params.num_workers)
    photos = track(decoded, total=len(paths), task=f"preprocess {folder.name}")
    for shard, start in enumerate(range(0, len(paths), params.photos_per_shard)):
        count = min(params.photos_per_shard, len(paths) - start)
        shape = (count, settings.image_size, settings.image_size, 3)
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
