"""Prepared photos: memory-mapped uint8 arrays per split, and batches of them."""

import json
import operator
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any
from typing import overload
import numpy as np
import pandas as pd
from convlens.errors import ConvLensError
from convlens.data.loader import Images as Images
from convlens.data.loader import LoaderSettings
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol
from typing import TypeVar
from collections.abc import Sequence
from functools import partial
from convlens.environment import cluster_address
from convlens.data.cache import Codec
from convlens.data.cache import ResultCache
from convlens.data.loader import PhotoError
from convlens.data.loader import load_photo
from convlens.data.loader import read_photo
from convlens.data.workers import map_in_processes
from convlens.data.workers import map_in_threads

# --- Prepared photos: memory-mapped uint8 arrays in shards, one folder per split ---

class ShardedImages:
    """Arrays on disk that read as one: shape (num_photos, size, size, 3), uint8, never loaded whole by itself."""

    def __init__(self, shards: list[np.ndarray]) -> None:
        self._shards = shards
        self._ends = list(accumulate(len(shard) for shard in shards))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, rows: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, rows: slice | np.ndarray | list[int]) -> np.ndarray: ...
    def __getitem__(self, rows: int | slice | np.ndarray | list[int]) -> np.ndarray:
        """One photo (size, size, 3), or a copy of several (n, size, size, 3), in the order asked for.

        Negative rows count from the end, and a boolean array picks rows, as with NumPy.

        Raises:
            IndexError: a row that is not there, or a boolean array of another length.
            TypeError: rows that are no whole numbers.
        """
        if isinstance(rows, int | np.integer):
            return np.array(self._row(rows))
        wanted = range(len(self))[rows] if isinstance(rows, slice) else self._positions(rows)
        photos = np.empty((len(wanted), *self._shards[0].shape[1:]), np.uint8)
        for place, row in enumerate(wanted):
            photos[place] = self._row(row)
        return photos

    def _positions(self, rows: np.ndarray | list[int]) -> np.ndarray:
        array = np.asarray(rows)
        if array.dtype != bool:
            return array
        if array.shape != (len(self),):
            raise IndexError(f"Expected {len(self)} booleans. Received: shape {array.shape}.")
        return np.flatnonzero(array)

    def _row(self, row: int | np.integer) -> np.ndarray:
        """One photo where it lies, not copied."""
        index = operator.index(row)
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"Expected a row below {len(self):,}. Received: {index:,}.")
        shard = bisect_right(self._ends, place)
        photo: np.ndarray = self._shards[shard][place - (self._ends[shard - 1] if shard else 0)]
        return photo


@dataclass(frozen=True)
class Prepared:
    """What `preprocess` wrote.

    Attributes:
        folder: where it is.
        card: classes, image_size, keep_aspect, resampling, counts per split and class, digest, source.
        splits: one row per photo: path, label, split, row in its split's arrays, width, height, sha256.
    """

    folder: Path
    card: dict[str, Any]
    splits: pd.DataFrame

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; a label is an index into them."""
        return tuple(self.card["classes"])

    @cached_property
    def loader(self) -> LoaderSettings:
        """How the photos were brought to size."""
        return LoaderSettings(self.card["image_size"], self.card["keep_aspect"], self.card["resampling"])

    def images(self, split: str) -> ShardedImages:
        """The photos of a split, uint8 (num_photos, image_size, image_size, 3).

        Raises:
            ConvLensError: there is no such split.
        """
        paths = sorted((self.folder / split).glob("images-*.npy"))
        if not paths:
            raise ConvLensError(
                f"Expected photos of a split in {self.folder / split}. Received: none. Run `dvc repro`."
            )
        return ShardedImages([np.load(path, mmap_mode="r") for path in paths])

    def labels(self, split: str) -> np.ndarray:
        """The labels of a split, int64 (num_photos,)."""
        labels: np.ndarray = np.load(self.folder / split / "labels.npy")
        return labels

    def photos(self, split: str) -> pd.DataFrame:
        """The rows of `splits` of one split, in the order of its arrays."""
        return self.splits[self.splits["split"] == split].sort_values("row").reset_index(drop=True)


def open_prepared(folder: Path) -> Prepared:
    """Open what `preprocess` wrote; pixels are read when asked for.

    Raises:
        ConvLensError: the folder holds no prepared photos.
    """
    card = folder / "card.json"
    if not card.is_file():
        raise ConvLensError(f"Expected prepared photos in {folder}. Received: no card.json there. Run `dvc repro`.")
    splits = pd.read_csv(folder / "splits.csv", dtype={"path": str, "label": str, "sha256": str}, keep_default_na=False)
    return Prepared(folder, json.loads(card.read_text(encoding="utf-8")), splits)


# --- Batches of training photos in an order that seed and epoch decide ---

Ready = TypeVar("Ready")


def order_photos(num_photos: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch (counted from 0): a permutation that depends on seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(num_photos)


def count_steps(num_photos: int, batch_size: int) -> int:
    """Full batches in an epoch; what is left over takes its turn in another epoch."""
    return max(1, num_photos // batch_size)


def iterate_batches(
    images: Images,
    labels: np.ndarray,
    *,
    batch_size: int,
    order: np.ndarray,
    prepare: Callable[[int, np.ndarray, np.ndarray], Ready],
) -> Iterator[Ready]:
    """Yield the batches of one epoch; the next one is read and prepared while the last is worked on.

    Args:
        images: photos.
        labels: int64 (num_photos,).
        batch_size: photos per batch; every batch is full unless there are fewer photos than that.
        order: rows in the order of the epoch.
        prepare: makes of number (from 0), photos and labels what is yielded; runs in a thread.
    """
    rows = [order[step * batch_size : (step + 1) * batch_size] for step in range(count_steps(len(order), batch_size))]

    def make(number: int) -> Ready:
        return prepare(number, images[rows[number]], labels[rows[number]])

    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(make, 0)
        for number in range(1, len(rows) + 1):
            batch = upcoming.result()
            if number < len(rows):
                upcoming = reader.submit(make, number)
            yield batch


# --- decoding ---
# Decoding many photos through the one loader, several at a time. Light to import: workers of a cluster load it.

def decode_photos(paths: Sequence[str], settings: LoaderSettings, *, num_workers: int = 0) -> Iterator[np.ndarray]:
    """Yield every photo as uint8 (image_size, image_size, 3), in order, a bounded number at a time.

    In threads, which decode half as fast again as processes do: Pillow lets others run while it decodes and resizes,
    and nothing has to be sent. These photos have been decoded before, by processes that might have crashed over them.
    Where a cluster is named, it does the work.

    Raises:
        PhotoError: a photo cannot be read (any more).
    """
    map_photos = map_in_processes if cluster_address() else map_in_threads
    return map_photos(partial(_decode_one, settings=settings), paths, num_workers=num_workers)


def open_pixels(folder: Path | None, settings: LoaderSettings, digests: Sequence[str]) -> ResultCache[str, np.ndarray]:
    """The pixels that earlier runs decoded with the same settings, by the digest of the photo's file.

    Args:
        folder: of the cache; None keeps nothing.
        settings: of the loader.
        digests: of all photos of this run.
    """
    shape = (settings.image_size, settings.image_size, 3)
    codec = Codec(np.ndarray.tobytes, lambda content: np.frombuffer(content, np.uint8).reshape(shape))
    return ResultCache(folder, "pixels", codec=codec, depends_on=settings, keys=digests)


def _decode_one(path: str, *, settings: LoaderSettings) -> np.ndarray:
    try:
        return load_photo(read_photo(path), settings)
    except PhotoError as error:  # of an object the loader saw nothing but the bytes
        raise PhotoError(str(error).replace("Received: the photo", f"Received: {path}"), error.reason) from error
