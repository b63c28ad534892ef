"""Pairs of 64-bit hashes that differ in few bits, found without comparing all with all.

Hashes that differ in r bits agree in at least t of r + t blocks of bits, so every close pair meets in at least one of
the tables that are sorted by the content of t blocks (Manku, Jain and Das Sarma, "Detecting near-duplicates for web
crawling", WWW 2007). How many blocks serve best follows from the number of hashes.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise
from math import comb

import numpy as np

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
