import io

import numpy as np
import pytest
from PIL import Image

from convlens.pages.feature_maps.encode import (
    PAGE_MARGIN,
    TILE_GAP,
    TILES_PER_ROW,
    Sprite,
    color_index,
    color_table,
    draw_tiles,
    encode_png,
    make_sprite,
)


def _read(sprite: Sprite, shape: tuple[int, int, int]) -> np.ndarray:
    """The values a reader of the sprite gets."""
    gray = np.asarray(Image.open(io.BytesIO(sprite.png)))
    height, width, count = shape
    tiles = []
    for k in range(count):
        top, left = k // TILES_PER_ROW * height, k % TILES_PER_ROW * width
        tiles.append(sprite.offset[k] + sprite.step[k] * gray[top : top + height, left : left + width])
    return np.stack(tiles, axis=-1)


def _maps() -> np.ndarray:
    maps = np.random.default_rng(0).normal(size=(5, 7, 21)).astype(np.float32)
    maps[:, :, 1] = 0  # silent
    maps[:, :, 2] = 3.25  # one value
    maps[:, :, 3] = np.maximum(maps[:, :, 3], 0)  # after ReLU
    maps[:, :, 4] += 1000  # far from zero
    maps[:, :, 5] -= 1000
    maps[:, :, 6] *= 1e-6  # faint
    return maps


def test_values_come_back_within_half_a_step() -> None:
    maps = _maps()
    sprite = make_sprite(maps)
    error = np.abs(_read(sprite, maps.shape) - maps).max(axis=(0, 1))
    assert np.all(error <= sprite.step * 0.5 + 1e-4 * np.abs(maps).max(axis=(0, 1)) * 1e-2)
    extent = maps.max(axis=(0, 1)) - maps.min(axis=(0, 1))
    assert np.all(sprite.step <= extent / 254 * 1.001)


def test_zero_and_signs_are_exact() -> None:
    maps = _maps()
    again = _read(make_sprite(maps), maps.shape)
    assert np.all(again[:, :, 3][maps[:, :, 3] == 0] == 0)
    sure = np.abs(maps) > np.abs(maps).max(axis=(0, 1)) / 100
    assert np.array_equal(np.sign(again[sure]), np.sign(maps[sure]))
    assert np.all(again[:, :, 1] == 0)
    assert np.all(again[:, :, 2] == 3.25)


def test_values_that_are_not_finite_count_as_zero() -> None:
    maps = np.array([[[np.nan]], [[np.inf]], [[2.0]]], np.float32)
    assert _read(make_sprite(maps), maps.shape)[:, 0, 0].tolist() == [0, 0, 2]


def test_making_a_sprite_leaves_the_maps_alone() -> None:
    maps = _maps()
    before = maps.copy()
    make_sprite(maps)
    assert np.array_equal(maps, before)


def test_photos_are_lossless() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)


def test_zero_is_white_when_signed_and_the_dark_end_otherwise() -> None:
    zero = color_index(np.zeros(1), 5.0, signed=True)[0]
    assert color_table("PuOr_r")[zero].min() > 235
    assert color_index(np.array([0.0, 1.25, 5.0, 9.0]), 5.0, signed=False).tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (8, 1), (16, 1), (17, 2)])
def test_lecture_picture_has_sixteen_tiles_a_row_for_any_count(count: int, rows: int) -> None:
    maps = np.random.default_rng(0).random((8, 8, count), np.float32)
    image = draw_tiles(maps, title="conv_1", subtitle="cat.jpg", rectified=True)
    assert image.width == 2 * PAGE_MARGIN + 16 * (64 + TILE_GAP) - TILE_GAP
    assert image.height == 2 * PAGE_MARGIN + 52 + rows * (64 + TILE_GAP)


def test_lecture_picture_shares_one_scale() -> None:
    maps = np.zeros((1, 1, 2), np.float32)
    maps[0, 0] = [1.0, 0.25]
    image = np.asarray(draw_tiles(maps, title="", subtitle="", rectified=True))
    table, top = color_table("viridis"), PAGE_MARGIN + 52
    assert image[top, PAGE_MARGIN].tolist() == table[255].tolist()
    assert image[top, PAGE_MARGIN + 64 + TILE_GAP].tolist() == table[128].tolist()


def test_lecture_picture_of_a_silent_layer_is_dark_not_broken() -> None:
    image = np.asarray(draw_tiles(np.zeros((2, 2, 3), np.float32), title="", subtitle="", rectified=True))
    assert image[PAGE_MARGIN + 52, PAGE_MARGIN].tolist() == color_table("viridis")[0].tolist()
