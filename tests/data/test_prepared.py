from pathlib import Path

import numpy as np
import pytest

from convlens.data.prepared import Prepared, ShardedImages
from convlens.errors import ConvLensError

WHOLE = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)


@pytest.fixture
def images() -> ShardedImages:
    return ShardedImages([WHOLE[:4], WHOLE[4:8], WHOLE[8:]])


def test_shards_read_as_one(images: ShardedImages) -> None:
    assert len(images) == 10
    np.testing.assert_array_equal(np.stack(list(images)), WHOLE)


@pytest.mark.parametrize("row", [0, 3, 4, 7, 8, 9, -1, -2, -10, np.int64(5), np.int32(-3)])
def test_one_row(images: ShardedImages, row: int) -> None:
    np.testing.assert_array_equal(images[row], WHOLE[row])


@pytest.mark.parametrize(
    "rows",
    [
        slice(None),
        slice(2, 9),
        slice(None, None, 3),
        slice(None, None, -1),
        slice(-3, None),
        slice(5, 5),
        slice(8, 100),
        [0, 9, 4, 4, -1],
        np.array([7, 0, 3]),
        np.array([7, 0, 3], np.int32),
        np.arange(10) % 2 == 0,
        np.zeros(10, bool),
        np.array([], np.int64),
    ],
    ids=str,
)
def test_several_rows(images: ShardedImages, rows: object) -> None:
    found = images[rows]
    np.testing.assert_array_equal(found, WHOLE[rows])
    assert found.dtype == np.uint8


def test_no_rows(images: ShardedImages) -> None:
    assert images[[]].shape == (0, 4, 4, 3)


@pytest.mark.parametrize("rows", [10, -11, [0, 10], [-11], np.array([3, 99])])
def test_rows_that_are_not_there(images: ShardedImages, rows: object) -> None:
    with pytest.raises(IndexError, match=r"Expected a row below 10. Received: -?[0-9]+"):
        images[rows]


def test_booleans_of_another_length(images: ShardedImages) -> None:
    with pytest.raises(IndexError, match="Expected 10 booleans"):
        images[np.ones(9, bool)]


@pytest.mark.parametrize("rows", ["a", 1.5, [1.5], None])
def test_rows_that_are_no_numbers(images: ShardedImages, rows: object) -> None:
    with pytest.raises(TypeError):
        images[rows]


def test_what_is_read_is_a_copy(tmp_path: Path) -> None:
    np.save(tmp_path / "shard.npy", WHOLE)
    images = ShardedImages([np.load(tmp_path / "shard.npy", mmap_mode="r")])
    for rows in (3, [3], slice(3, 5)):
        copy = images[rows]
        copy[...] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "shard.npy"), WHOLE)


def test_what_is_not_prepared_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConvLensError, match=r"Expected prepared photos in .*\. Received: no card.json .*dvc repro"):
        Prepared.load(tmp_path)
    with pytest.raises(ConvLensError, match="Expected prepared photos"):
        Prepared.load(tmp_path / "missing")
