"""Prepared photos: memory-mapped uint8 arrays in shards, one folder per split."""

import json
import operator
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd

from convlens.errors import ConvLensError
from convlens.photos.loader import LoaderSettings


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
