from itertools import combinations

import numpy as np
import pytest

from convlens.data import duplicates as hamming
from convlens.data.duplicates import count_bits, find_close, plan_tables


def random_hashes(count: int, seed: int, radius: int = 4) -> np.ndarray:
    """Hashes of which about half differ from another one in few bits: up to two more than `radius`."""
    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 2**64, count, dtype=np.uint64)
    for row in range(count // 2, count):
        flips = generator.choice(64, generator.integers(0, radius + 3), replace=False)
        change = sum(1 << int(bit) for bit in flips)
        hashes[row] = hashes[generator.integers(0, row)] ^ np.uint64(change)
    return hashes


def found(queries: np.ndarray, database: np.ndarray, radius: int) -> set[tuple[int, int]]:
    return {
        (int(row), int(place))
        for rows, places in find_close(queries, database, radius=radius)
        for row, place in zip(rows, places, strict=True)
    }


def brute_force(queries: np.ndarray, database: np.ndarray, radius: int) -> set[tuple[int, int]]:
    distances = [[(int(query) ^ int(each)).bit_count() for each in database] for query in queries]
    return {(int(row), int(place)) for row, place in np.argwhere(np.array(distances) <= radius)}


@pytest.mark.parametrize("radius", [0, 1, 2, 4, 6, 10])
@pytest.mark.parametrize("seed", range(3))
def test_the_tables_find_what_comparing_all_with_all_finds(radius: int, seed: int) -> None:
    hashes = random_hashes(120, seed, radius)
    queries = np.concatenate([hashes[::3], random_hashes(20, seed + 50)])
    expected = brute_force(queries, hashes, radius)
    assert len(expected) >= 40  # each query from the database finds at least itself
    assert found(queries, hashes, radius) == expected


@pytest.mark.parametrize("num_hashes", [10, 10**4, 10**6, 10**8])
@pytest.mark.parametrize("radius", [0, 1, 3, 6, 10])
def test_any_close_pair_agrees_in_the_blocks_of_a_table(num_hashes: int, radius: int) -> None:
    """The promise of the pigeonhole principle, for the worst places of the bits that differ: one in each block."""
    tables = plan_tables(num_hashes, num_hashes, radius)
    blocks = sorted({block for table in tables for block in table})
    assert [edge for block in blocks for edge in block][1:-1:2] == [start for start, _ in blocks[1:]]
    assert (blocks[0][0], blocks[-1][1]) == (0, 64)
    spoiled_sets = list(combinations(range(len(blocks)), min(radius, len(blocks))))[:500]
    for spoiled in spoiled_sets:
        intact = {block for place, block in enumerate(blocks) if place not in spoiled}
        assert any(set(table) <= intact for table in tables)


def test_more_hashes_take_longer_keys() -> None:
    """So that buckets do not grow with the number of hashes."""
    keys = [len(plan_tables(count, count, 6)[0]) for count in (100, 10**5, 10**7)]
    assert keys == sorted(keys)
    assert keys[0] < keys[-1]


def test_small_chunks_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = random_hashes(150, seed=9)
    whole = found(hashes, hashes, 4)
    monkeypatch.setattr(hamming, "MAX_PAIRS", 7)
    assert found(hashes, hashes, 4) == whole


def test_the_work_on_equal_hashes_is_bounded_and_connects_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "MAX_BUCKET", 8)
    hashes = np.full(200, 0xABCDEF, np.uint64)
    pairs = [len(rows) for rows, _ in find_close(hashes, hashes, radius=2)]
    assert sum(pairs) <= 200 * 8 * len(plan_tables(200, 200, 2))
    partners = {place for _, place in found(hashes, hashes, 2)}
    assert {(row, min(partners)) for row in range(200)} <= found(hashes, hashes, 2)  # a star: one group


def test_a_full_bucket_still_gives_the_nearest_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "MAX_BUCKET", 4)
    rng = np.random.default_rng(0)
    hashes = rng.permutation(np.arange(40, dtype=np.uint64) << np.uint64(58))  # differ in the topmost bits only
    close = found(hashes, hashes, 3)
    assert {(row, row) for row in range(40)} <= close


def test_no_hashes() -> None:
    none = np.empty(0, np.uint64)
    assert found(none, none, 4) == set()
    assert found(random_hashes(3, 0), none, 4) == set()


@pytest.mark.parametrize("own", [True, False])
def test_bits_are_counted_with_and_without_numpy_2(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not own:
        monkeypatch.delattr(np, "bitwise_count", raising=False)
    values = np.array([0, 1, 2**64 - 1, 0xF0F0], np.uint64)
    np.testing.assert_array_equal(count_bits(values), [0, 1, 64, 8])
    assert count_bits(values).dtype == np.uint8
