"""Split photos and decode them once into the arrays that `Prepared` opens."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.format import write_array_header_1_0

from convlens.data.cache import Codec, Photo, cache_folder, map_cached
from convlens.data.duplicates import describe_groups, group_duplicates
from convlens.data.loader import LoaderSettings, load_with_digest
from convlens.data.prepared import CARD_FILE, DUPLICATES_FILE, SPLIT_COLUMNS, SPLITS_FILE, Prepared
from convlens.data.split import LEFT_OUT, SPLITS, split_photos
from convlens.data.workers import map_in_processes, map_in_threads
from convlens.environment import cluster_address
from convlens.errors import ConvLensError
from convlens.files import write_csv, write_json
from convlens.params import DataParams, PreprocessParams
from convlens.progress import track


def assign_splits(manifest: pd.DataFrame, params: PreprocessParams) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Split the usable photos, near-duplicates together.

    Returns:
        The photos that are used, with `split` and `row`; and what is known of near-duplicates, see `describe_groups`.

    Raises:
        ConvLensError: a class is left without photos in a split.
    """
    table = manifest[manifest["usable"]].reset_index(drop=True)
    groups = group_duplicates(table, params)
    splits = split_photos(table, params, groups=groups)
    duplicates = describe_groups(table, groups, splits)
    if duplicates["groups_across_splits"]:
        raise ConvLensError(
            "Expected copies of a photo in one split. Received: groups of near-duplicates in two splits, "
            f"{duplicates['groups_across_splits']:,} of {duplicates['num_groups']:,}. This is a fault of ConvLens; "
            "report it."
        )
    table = table.assign(split=splits)[splits != LEFT_OUT].reset_index(drop=True)
    table["row"] = table.groupby("split").cumcount()
    return table, duplicates


def write_prepared(
    folder: Path, photos: pd.DataFrame, duplicates: dict[str, Any], data: DataParams, params: PreprocessParams
) -> Prepared:
    """Decode photos into arrays, but for those that an earlier run has decoded with the same settings.

    Args:
        folder: empty, to write into.
        photos: as `assign_splits` gives them.
        duplicates: the same.
        data: the group `data`; its source is noted in the card.
        params: the group `preprocess`.

    Raises:
        ConvLensError: a photo cannot be read (any more).
    """
    classes = sorted(photos["label"].unique())
    labels = np.searchsorted(np.array(classes), photos["label"].to_numpy(str)).astype(np.int64)
    parts = {split: np.flatnonzero(photos["split"] == split) for split in SPLITS}
    order = np.concatenate(list(parts.values()))
    digests = photos["sha256"].to_numpy(object)
    decoded = _decode_kept(photos.iloc[order], params)
    for split, rows in parts.items():
        (folder / split).mkdir()
        pixels = track(islice(decoded, len(rows)), total=len(rows), task=f"preprocess {split}")
        digests[rows] = _write_images(folder / split, pixels, len(rows), params)
        np.save(folder / split / "labels.npy", labels[rows])
    next(decoded, None)  # lets it come to its end

    photos = photos.assign(sha256=digests)  # of what was decoded, should a photo have been replaced meanwhile
    content = photos[["sha256", "label", "split", "row"]].to_csv(index=False, lineterminator="\n")
    counts = {
        split: {name: int((labels[rows] == i).sum()) for i, name in enumerate(classes)} for split, rows in parts.items()
    }
    card = {
        "classes": classes,
        "image_size": params.image_size,
        "keep_aspect": params.keep_aspect,
        "resampling": params.resampling,
        "counts": counts,
        "digest": hashlib.sha256(content.encode()).hexdigest(),
        "source": data.source,
    }
    write_csv(folder / SPLITS_FILE, photos[SPLIT_COLUMNS])
    write_json(folder / CARD_FILE, card)
    write_json(folder / DUPLICATES_FILE, duplicates)
    return Prepared(folder, card, photos[SPLIT_COLUMNS])


def _decode_kept(photos: pd.DataFrame, params: PreprocessParams) -> Iterator[tuple[np.ndarray, str]]:
    """The pixels of photos and the sha256 of the bytes they were made of; kept from run to run."""
    settings = LoaderSettings(params.image_size, params.keep_aspect, params.resampling)
    shape = (params.image_size, params.image_size, 3)
    return map_cached(
        [Photo(path, sha256) for path, sha256 in zip(photos["path"], photos["sha256"], strict=True)],
        photos["path"].tolist(),
        partial(decode_photos, settings=settings, num_workers=params.num_workers),
        folder=cache_folder(),
        name="pixels",
        codec=Codec(np.ndarray.tobytes, lambda content: np.frombuffer(content, np.uint8).reshape(shape)),
        depends_on=settings,
    )


def decode_photos(
    paths: Sequence[str], settings: LoaderSettings, *, num_workers: int = 0
) -> Iterator[tuple[np.ndarray, str]]:
    """Yield every photo as uint8 (image_size, image_size, 3) and the sha256 of its bytes, a bounded number at a time.

    In threads, which decode half as fast again as processes do: Pillow lets others run while it decodes and resizes,
    and nothing has to be sent. These photos have been decoded before, by processes that might have crashed over them.
    Where a cluster is named, it does the work.

    Raises:
        PhotoError: a photo cannot be read (any more).
    """
    map_photos = map_in_processes if cluster_address() else map_in_threads
    return map_photos(partial(load_with_digest, settings=settings), paths, num_workers=num_workers)


def _write_images(
    folder: Path, photos: Iterator[tuple[np.ndarray, str]], num_photos: int, params: PreprocessParams
) -> list[str]:
    """Write shards, photo after photo: a full disk is an error here, where a memory map would kill the process."""
    digests = []
    for shard, start in enumerate(range(0, num_photos, params.photos_per_shard)):
        count = min(params.photos_per_shard, num_photos - start)
        shape = (count, params.image_size, params.image_size, 3)
        with open(folder / f"images-{shard:05d}.npy", "wb") as file:
            write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for pixels, sha256 in islice(photos, count):
                file.write(pixels.tobytes())
                digests.append(sha256)
    next(photos, None)  # lets the progress come to its end
    return digests
