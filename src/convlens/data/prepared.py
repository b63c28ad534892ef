"""Prepared photos: memory-mapped uint8 arrays in shards, one folder per split, and batches of them."""

import operator
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import pandas as pd

from convlens.data.loader import Images as Images
from convlens.data.loader import LoaderSettings
from convlens.errors import ConvLensError
from convlens.files import read_csv, read_json

SPLIT_COLUMNS = ["path", "label", "split", "row", "width", "height", "sha256"]
TEXTS = ["path", "label", "split", "sha256"]
CARD_FILE = "card.json"
SPLITS_FILE = "splits.csv"
DUPLICATES_FILE = "duplicates.json"


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
        wanted: range | np.ndarray = range(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        if isinstance(wanted, np.ndarray) and wanted.dtype == bool:
            if wanted.shape != (len(self),):
                raise IndexError(f"Expected {len(self)} booleans. Received: shape {wanted.shape}.")
            wanted = np.flatnonzero(wanted)
        photos = np.empty((len(wanted), *self._shards[0].shape[1:]), np.uint8)
        for place, row in enumerate(wanted):
            photos[place] = self._row(row)
        return photos

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
    """What stage `preprocess` wrote; pixels are read when asked for.

    Attributes:
        folder: where it is.
        card: classes, image_size, keep_aspect, resampling, counts per split and class, digest, source.
        splits: one row per photo: path, label, split, row in its split's arrays, width, height, sha256.
    """

    folder: Path
    card: dict[str, Any]
    splits: pd.DataFrame

    @classmethod
    def load(cls, folder: Path) -> "Prepared":
        """Open a folder of prepared photos.

        Raises:
            ConvLensError: the folder holds none.
        """
        if not (folder / CARD_FILE).is_file():
            raise ConvLensError(
                f"Expected prepared photos in {folder}. Received: no {CARD_FILE} there. Run `dvc repro`."
            )
        return cls(folder, read_json(folder / CARD_FILE), read_csv(folder / SPLITS_FILE, TEXTS))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; a label is an index into them."""
        return tuple(self.card["classes"])

    @cached_property
    def loader(self) -> LoaderSettings:
        """How the photos were brought to size."""
        return LoaderSettings(self.card["image_size"], self.card["keep_aspect"], self.card["resampling"])

    @cached_property
    def duplicates(self) -> dict[str, Any]:
        """Groups of near-duplicates and what the split did with them, see `describe_groups`; empty if nobody looked."""
        path = self.folder / DUPLICATES_FILE
        return dict(read_json(path)) if path.is_file() else {}

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


# --- batches of training photos, in an order that seed and epoch decide ---

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
