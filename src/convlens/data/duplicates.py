"""Find copies and near-duplicates among photos by perceptual hashes."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from convlens.data.facts import COSINE_STEPS, HASH_DIGITS, HASH_SIDE, HASHED_SIDE, pack_frequencies
from convlens.data.split import LEFT_OUT
from convlens.errors import ConvLensError
from convlens.params import PreprocessParams

# --- thumbnails ---


def read_thumbnails(signatures: Sequence[str]) -> np.ndarray:
    """The gray thumbnails inside `perceptual_hash`, uint8 (num_photos, 32, 32).

    Raises:
        ConvLensError: a signature is missing, or was made by another version.
    """
    digits = HASH_DIGITS + 2 * HASHED_SIDE**2
    other = next((text for text in signatures if len(text) != digits), None)
    if other is not None:
        raise ConvLensError(
            f"Expected perceptual hashes of {digits} digits in the manifest. Received: {len(other)} digits. "
            "Run `dvc repro --force validate`."
        )
    content = np.frombuffer(b"".join(map(bytes.fromhex, signatures)), np.uint8).reshape(len(signatures), digits // 2)
    return content[:, HASH_DIGITS // 2 :].reshape(-1, HASHED_SIDE, HASHED_SIDE)


# --- Pairs of 64-bit hashes that differ in few bits, found without comparing all with all ---
#
# Hashes that differ in r bits agree in at least t of r + t blocks of bits, so every close pair meets in at least one of
# the tables that are sorted by the content of t blocks (Manku, Jain and Das Sarma, "Detecting near-duplicates for web
# crawling", WWW 2007). How many blocks serve best follows from the number of hashes.

HASH_BITS = 64
MAX_BUCKET = 128  # hashes of one bucket that a query is compared with
MAX_PAIRS = 1 << 20  # pairs compared at a time
ROW_BITS = np.uint64(32)
SORTING_COST = 8.0  # handling a hash in a table, in comparisons of a pair

Pairs = tuple[np.ndarray, np.ndarray]


def find_close(queries: np.ndarray, database: np.ndarray, *, radius: int) -> Iterator[Pairs]:
    """Yield the rows of `queries` and of `database` that differ in at most `radius` bits.

    Exact while no bucket holds more than `MAX_BUCKET` hashes of the database; in a fuller one, which pictures made
    after one pattern lead to, a query meets those that follow and precede it in order, equal ones first. So the work
    grows with the number of hashes whatever they are.

    Args:
        queries: uint64 (num_queries,).
        database: uint64 (num_hashes,).
        radius: bits, 0..16.

    Yields:
        Two arrays of rows, a bounded number at a time; a pair may come several times.
    """
    for blocks in plan_tables(len(queries), len(database), radius):
        yield from _search_table(queries, database, blocks, radius)


def plan_tables(num_queries: int, num_hashes: int, radius: int) -> list[tuple[tuple[int, int], ...]]:
    """The cheapest tables that miss no pair: for each, the bits (from, to) of the blocks it is sorted by."""
    radius = max(radius, 1)

    def cost(num_blocks: int) -> float:
        bits = HASH_BITS * num_blocks / (radius + num_blocks)
        pairs = num_queries * num_hashes / 2**bits
        return comb(radius + num_blocks, num_blocks) * (pairs + SORTING_COST * (num_queries + num_hashes))

    chosen = min(range(1, min(radius, 5) + 1), key=cost)  # at most half of the blocks: 32 bits, rows need the others
    edges = np.linspace(0, HASH_BITS, radius + chosen + 1).round().astype(int).tolist()
    return list(combinations(pairwise(edges), chosen))


def count_bits(values: np.ndarray) -> np.ndarray:
    """The number of ones in each uint64; uint8."""
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(values))
    bits = np.unpackbits(values[..., None].view(np.uint8), axis=-1)  # NumPy 1, which Macs with Intel processors have
    return np.asarray(bits.sum(axis=-1, dtype=np.uint8))


def _search_table(
    queries: np.ndarray, database: np.ndarray, blocks: tuple[tuple[int, int], ...], radius: int
) -> Iterator[Pairs]:
    """Compare each query with the bucket of the database that agrees with it in these blocks."""
    (keys, order), (asked, asking) = (_sort_by(hashes, blocks) for hashes in (database, queries))
    starts, ends = np.searchsorted(keys, asked), np.searchsorted(keys, asked, side="right")
    asked_hashes = queries[asking]
    starts, ends = _bound(starts, ends, database, order, asked_hashes)
    hashes = database[order]
    for first, last in _chunks(ends - starts):
        rows, places = _expand(starts[first:last], ends[first:last])
        close = count_bits(asked_hashes[first + rows] ^ hashes[places]) <= radius
        yield asking[first + rows[close]], order[places[close]]


def _sort_by(hashes: np.ndarray, blocks: tuple[tuple[int, int], ...]) -> Pairs:
    """The content of some blocks of bits side by side, in order, and whose it is; rows of the same content in order.

    Content and row are sorted as one number, which is quicker than sorting rows by their content.
    """
    keys = np.zeros(len(hashes), np.uint64)
    for start, end in blocks:
        keys = (keys << np.uint64(end - start)) | (hashes >> np.uint64(start)) & np.uint64((1 << (end - start)) - 1)
    both = np.sort((keys << ROW_BITS) | np.arange(len(hashes), dtype=np.uint64))
    return both >> ROW_BITS, (both & ((np.uint64(1) << ROW_BITS) - np.uint64(1))).astype(np.int64)


def _bound(starts: np.ndarray, ends: np.ndarray, database: np.ndarray, order: np.ndarray, asked: np.ndarray) -> Pairs:
    """Put full buckets into the order of their hashes, in `order` itself, and keep what is around the query."""
    full = np.flatnonzero(ends - starts > MAX_BUCKET)
    borders = np.flatnonzero(np.diff(starts[full], prepend=-1))
    for rows in np.split(full, borders[1:]) if len(full) else ():
        start, end = starts[rows[0]], ends[rows[0]]
        members = order[start:end]
        order[start:end] = members[np.lexsort((members, database[members]))]
        middle = start + np.searchsorted(database[order[start:end]], asked[rows])
        starts[rows] = np.clip(middle - MAX_BUCKET // 2, start, end - MAX_BUCKET)
        ends[rows] = starts[rows] + MAX_BUCKET
    return starts, ends


def _chunks(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Cut the queries so that no chunk has many more pairs than `MAX_PAIRS`."""
    totals = np.cumsum(counts)
    if len(totals) and totals[-1]:
        cuts = np.searchsorted(totals, np.arange(MAX_PAIRS, totals[-1], MAX_PAIRS)).tolist()
        edges = sorted({0, *cuts, len(counts)})
        yield from pairwise(edges)


def _expand(starts: np.ndarray, ends: np.ndarray) -> Pairs:
    """Every (row, place) with starts[row] <= place < ends[row]."""
    counts = ends - starts
    rows = np.repeat(np.arange(len(starts)), counts)
    firsts = np.cumsum(counts) - counts
    return rows, np.arange(len(rows)) - np.repeat(firsts - starts, counts)


# --- windows ---
# Hashes that survive a slight crop: of several windows of each photo, so that some pair shows the same content.
#
# A crop takes something off each of the four sides. One photo is looked at through windows that leave out something at
# the left and at the top (`INNER`), the other through windows that leave out something at the right and at the bottom
# (`OUTER`): one pair of 9 and 9 windows fits any crop of up to 10 % a side to within 2.5 %, which pHash bears. Hashing
# every possible crop of one photo instead would take 81 windows.

INNER = ((0.0, 0.9), (0.05, 0.9), (0.1, 0.9))  # from and to, in shares of the side
# What 0 to 0.9 of a photo becomes when the right side loses nothing, 5 % or 10 %.
OUTER = ((0.0, 0.895), (0.0, 0.945), (0.0, 1.0))
NUM_WINDOWS = len(INNER) * len(OUTER)
PATCH_SIDE = 16
# Measured with 14 kinds of copies of 2,000 real and 1,200 synthetic photos: 99.8 % of the copies of every kind have
# more than 0.9 and 0.75. Of the pairs of different photos whose hashes are close, among 8,200 synthetic ones, the most
# alike have 0.93 and 0.71, among 2,000 real ones 0.82 and 0.37.
MIN_WHOLE = 0.9
MIN_DETAIL = 0.75
CHUNK = 2048  # photos at a time

Windows = tuple[tuple[float, float], ...]


def hash_windows(thumbnails: np.ndarray, windows: Windows) -> np.ndarray:
    """The pHash of every window across and down.

    Args:
        thumbnails: uint8 (num_photos, 32, 32).
        windows: `INNER` or `OUTER`.

    Returns:
        uint64 (num_photos, 9).
    """
    cosines = np.concatenate([_cosines(*window) for window in windows])
    chunks = [thumbnails[start : start + CHUNK] for start in range(0, len(thumbnails), CHUNK)]
    hashes = [pack_frequencies(_blocks(chunk, cosines, len(windows))) for chunk in chunks]
    return np.concatenate([np.empty((0, len(windows) ** 2), np.uint64), *hashes])


def are_alike(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Whether pairs of photos are near-duplicates, cropped or not: their gray values and their details correlate.

    Every pair of windows is compared, the one with the best correlation counts. Details are what pixels have beyond
    their neighbors; they tell apart what is only lit or laid out alike.

    Args:
        outer: thumbnails of the first photos, uint8 (num_pairs, 32, 32), looked at through `OUTER`.
        inner: thumbnails of the second photos, looked at through `INNER`.

    Returns:
        bool (num_pairs,).
    """
    first, second = _patches(outer, OUTER), _patches(inner, INNER)
    whole = _correlate(first, second)
    best = whole.argmax(axis=1)
    alike = np.flatnonzero(whole.max(axis=1) >= MIN_WHOLE)
    rows, columns = np.divmod(best[alike], NUM_WINDOWS)
    detail = _correlate(_sharpen(first[alike, rows, None]), _sharpen(second[alike, columns, None]))
    result = np.zeros(len(outer), bool)
    result[alike] = detail[:, 0] >= MIN_DETAIL
    return result


def _blocks(thumbnails: np.ndarray, rows: np.ndarray, num_windows: int) -> np.ndarray:
    """Transform down and across at once: (num_photos, num_windows ** 2, side, side)."""
    side = len(rows) // num_windows
    values = rows @ thumbnails.astype(np.float64) @ rows.T
    cut = values.reshape(-1, num_windows, side, num_windows, side).swapaxes(2, 3)
    return np.asarray(cut.reshape(-1, num_windows**2, side, side))


def _cosines(start: float, end: float) -> np.ndarray:
    """What each thumbnail pixel adds to the lowest cosines of a window, in whole numbers; float64 (8, 32)."""
    place = np.clip((np.arange(HASHED_SIDE + 1) / HASHED_SIDE - start) / (end - start), 0, 1)
    waves = np.pi * np.arange(1, HASH_SIDE)[:, None]
    integral = np.concatenate([place[None], np.sin(waves * place) / waves])
    return np.asarray(np.round(np.diff(integral, axis=1) * HASHED_SIDE * COSINE_STEPS))


def _patches(thumbnails: np.ndarray, windows: Windows) -> np.ndarray:
    """Every window at 16x16: (num_photos, 9, 16, 16)."""
    return _blocks(thumbnails, np.concatenate([_areas(*window) for window in windows]), len(windows))


def _areas(start: float, end: float) -> np.ndarray:
    """How much of each thumbnail pixel lies in each pixel of a window's patch; float64 (16, 32)."""
    place = (np.arange(HASHED_SIDE + 1) / HASHED_SIDE - start) / (end - start) * PATCH_SIDE
    return np.asarray(np.diff(np.clip(place[None] - np.arange(PATCH_SIDE)[:, None], 0, 1), axis=1))


def _sharpen(patches: np.ndarray) -> np.ndarray:
    """What each pixel has beyond the mean of its 3x3 neighborhood."""
    padded = np.pad(patches, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="edge")
    side = patches.shape[-1]
    total = sum(padded[..., row : row + side, column : column + side] for row in range(3) for column in range(3))
    return np.asarray(patches - total / 9)


def _correlate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of every patch with every patch, (num_pairs, num_first * num_second)."""
    values = _normalize(first) @ _normalize(second).swapaxes(1, 2)
    return np.asarray(values.reshape(len(first), first.shape[1] * second.shape[1]))


def _normalize(patches: np.ndarray) -> np.ndarray:
    flat = patches.reshape(*patches.shape[:2], PATCH_SIDE**2)
    centered = flat - flat.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centered, axis=-1, keepdims=True)
    return np.asarray(centered / np.maximum(length, 1e-6))


# --- groups of near-duplicates: resized, recompressed, made brighter or slightly cropped ---

# Gray levels; blank pictures are below 1, and of 3,200 photos the flattest has 11. What is flatter has no features
# to be recognized by: such photos are copies of each other only if their files are.
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
    """The standard deviation of each thumbnail in gray levels, float64 (num_photos,)."""
    chunks = [thumbnails[start : start + CHUNK].std(axis=(1, 2)) for start in range(0, len(thumbnails), CHUNK)]
    return np.concatenate([np.empty(0), *chunks])


def join_alike(groups: Groups, thumbnails: np.ndarray, rows: np.ndarray, params: PreprocessParams) -> None:
    """Join near-duplicates into groups.

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


# --- What a split did with the groups of near-duplicates: which there are, and that none is in two splits ---

MIN_LARGE = 20  # photos
LARGE_SHARE = 0.01


def describe_groups(photos: pd.DataFrame, groups: pd.Series, splits: pd.Series) -> dict[str, Any]:
    """Tell of the groups with more than one photo.

    Args:
        photos: `path`, `label`, and `split`: the source's own, empty if it has none.
        groups: the number of each photo's group.
        splits: what `split_photos` assigned.

    Returns:
        Plain values: `num_photos`, `num_groups`, `num_grouped_photos`, `largest_group` (photos), `groups_of_two_labels`
        (one of the labels must be wrong), `groups_across_source_splits` (found in several of the source's own splits),
        `groups_across_splits` (after the split; must be 0), `left_out` (paths), `groups` (lists of paths, both sorted).
    """
    table = photos[["path", "label", "split"]].assign(group=groups, assigned=splits)
    sizes = table.groupby("group")["path"].transform("size")
    copies = table[sizes > 1]
    kept = copies[copies["assigned"] != LEFT_OUT]
    return {
        "num_photos": len(table),
        "num_groups": int(copies["group"].nunique()),
        "num_grouped_photos": len(copies),
        "largest_group": int(sizes.max()) if len(copies) else 0,
        "groups_of_two_labels": _count_mixed(copies, "label"),
        "groups_across_source_splits": _count_mixed(copies[copies["split"] != ""], "split"),
        "groups_across_splits": _count_mixed(kept, "assigned"),
        "left_out": sorted(table.loc[table["assigned"] == LEFT_OUT, "path"]),
        "groups": sorted(sorted(paths) for _, paths in copies.groupby("group")["path"]),
    }


def is_large(num_grouped: int, num_photos: int) -> bool:
    """Whether a group is so large that it may have come about by likeness of different photos."""
    return num_grouped >= max(MIN_LARGE, LARGE_SHARE * num_photos)


def _count_mixed(table: pd.DataFrame, column: str) -> int:
    return int((table.groupby("group")[column].nunique() > 1).sum())
