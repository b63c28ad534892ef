"""Groups of photos that show the same: copies, also resized, recompressed, made brighter or slightly cropped."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from convlens.params import PreprocessParams
from convlens.photos.hamming import Pairs, find_close
from convlens.photos.hashing import read_thumbnails
from convlens.photos.windows import CHUNK, INNER, NUM_WINDOWS, OUTER, are_alike, hash_windows

# Grey levels; blank pictures are below 1, and of 3,200 photos the flattest has 11. What is flatter has no features
# to be recognised by: such photos are copies of each other only if their files are.
MIN_CONTRAST = 3.0
# Of 25,000 photos of the same kind one in ten meets another one whose hash is close though it is not alike. Where all
# photos follow one pattern (a document, an X-ray) all meet all; then a photo is compared with so many in vain.
MAX_FAILURES = 50
COMPARED_AT_ONCE = 512


class Groups:
    """Photos joined pair by pair; what is joined with the same photo is one group."""

    def __init__(self, num_photos: int) -> None:
        self.labels = np.arange(num_photos)

    def join(self, first: np.ndarray, second: np.ndarray) -> None:
        """Make one group of each pair of rows and all that is joined with them."""
        if len(first):
            size, ends = len(self.labels), (self.labels[first], self.labels[second])
            graph = coo_array((np.ones(len(first), bool), ends), shape=(size, size))
            self.labels = connected_components(graph, directed=False)[1][self.labels]

    def are_apart(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether the pairs of rows are in different groups; bool (num_pairs,)."""
        return np.asarray(self.labels[first] != self.labels[second])


def group_duplicates(photos: pd.DataFrame, params: PreprocessParams) -> pd.Series:
    """Find the photos that must not be parted by a split.

    Files of the same content always are one group. With `params.near_duplicates` so are photos whose hashes are close
    and whose thumbnails correlate, and what they are connected with by others.

    Args:
        photos: the columns `sha256` and `perceptual_hash` of the manifest.
        params: the group `preprocess`.

    Returns:
        The number of each photo's group, 0 for the first group in the order of `photos`, with the index of `photos`.

    Raises:
        ConvLensError: the manifest was made by another version.
    """
    groups = Groups(len(photos))
    _join_equal(groups, photos["sha256"], np.arange(len(photos)))
    if params.near_duplicates and len(photos):
        signatures = photos["perceptual_hash"]
        thumbnails = read_thumbnails(signatures.tolist())
        rows = np.flatnonzero(measure_contrast(thumbnails) >= MIN_CONTRAST)
        _join_equal(groups, signatures.iloc[rows], rows)
        join_alike(groups, thumbnails, rows, params)
    return pd.Series(pd.factorize(groups.labels)[0], index=photos.index)


def measure_contrast(thumbnails: np.ndarray) -> np.ndarray:
    """The standard deviation of each thumbnail in grey levels, float64 (num_photos,)."""
    chunks = [thumbnails[start : start + CHUNK].std(axis=(1, 2)) for start in range(0, len(thumbnails), CHUNK)]
    return np.concatenate([np.empty(0), *chunks])


def join_alike(groups: Groups, thumbnails: np.ndarray, rows: np.ndarray, params: PreprocessParams) -> None:
    """Join the photos that show the same.

    Args:
        groups: changed in place.
        thumbnails: uint8 (num_photos, 32, 32), as `read_thumbnails` gives them.
        rows: of the photos to look at; one of each group stands for it.
        params: the group `preprocess`.
    """
    rows = rows[np.unique(groups.labels[rows], return_index=True)[1]]
    inner = hash_windows(thumbnails[rows], INNER)
    for flip in (1, -1) if params.match_mirrored else (1,):
        views = thumbnails[:, :, ::flip]
        outer = hash_windows(views[rows], OUTER)
        comparison = _Comparison(groups, views, thumbnails)
        for query, place in find_close(outer.ravel(), inner.ravel(), radius=params.duplicate_distance):
            comparison.join(rows[query // NUM_WINDOWS], rows[place // NUM_WINDOWS])


class _Comparison:
    """Looks at pairs of photos whose hashes are close, and joins those that are alike."""

    def __init__(self, groups: Groups, views: np.ndarray, thumbnails: np.ndarray) -> None:
        self._groups = groups
        self._views = views
        self._thumbnails = thumbnails
        self._num_failures = np.zeros(len(thumbnails), np.int64)

    def join(self, first: np.ndarray, second: np.ndarray) -> None:
        """Compare each photo with one other at a time: pairs that others have joined meanwhile cost nothing."""
        first, second = self._select(first, second)
        codes = np.unique(first * len(self._thumbnails) + second)
        first, second = np.divmod(codes, len(self._thumbnails))
        while len(first):
            now = np.unique(first, return_index=True)[1]
            self._compare(first[now], second[now])
            first, second = self._select(np.delete(first, now), np.delete(second, now))

    def _select(self, first: np.ndarray, second: np.ndarray) -> Pairs:
        """The pairs that are still open."""
        chosen = self._groups.are_apart(first, second) & (self._num_failures[first] < MAX_FAILURES)
        return first[chosen], second[chosen]

    def _compare(self, first: np.ndarray, second: np.ndarray) -> None:
        for start in range(0, len(first), COMPARED_AT_ONCE):
            end = start + COMPARED_AT_ONCE
            ones, others = self._select(first[start:end], second[start:end])
            alike = are_alike(self._views[ones], self._thumbnails[others])
            self._groups.join(ones[alike], others[alike])
            self._num_failures[ones[~alike]] += 1


def _join_equal(groups: Groups, values: pd.Series, rows: np.ndarray) -> None:
    """Join the rows with the same value."""
    codes, distinct = pd.factorize(values)
    firsts = np.empty(len(distinct), np.int64)
    firsts[codes[::-1]] = rows[::-1]
    groups.join(rows, firsts[codes])
