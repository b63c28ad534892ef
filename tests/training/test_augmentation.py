import cv2
import numpy as np
import pytest

from convlens.params import NO_AUGMENTATION
from convlens.training.augmentation import augment, cut_and_mix

SEED = (3, 4)


def photos(count=8, side=32):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def changed(**changes):
    return NO_AUGMENTATION.model_copy(update=changes)


def test_no_change_leaves_photos_alone():
    given = photos()
    found = augment(given, seed=SEED, size=32, params=NO_AUGMENTATION)
    assert (found == given).all()
    assert not np.shares_memory(found, given)


def test_a_smooth_picture_keeps_its_place_when_resized():
    ramp = np.broadcast_to(np.linspace(0, 255, 64)[None, :, None, None], (64, 64, 1, 3))
    given = np.moveaxis(ramp, 2, 0).astype(np.uint8)
    small = augment(given, seed=SEED, size=32, params=NO_AUGMENTATION)
    expected = given[:, ::2, ::2] / 2 + given[:, 1::2, 1::2] / 2
    assert np.abs(small - expected).max() <= 0.5


@pytest.mark.parametrize(("size", "contrast"), [(16, 0), (24, 0), (32, 85), (60, 205)])
def test_shrinking_averages_what_lies_between(size, contrast):
    """Stripes of a pixel become gray, or nearly; four pixels taken here and there would show stripes of their own."""
    given = np.zeros((1, 96, 96, 3), np.uint8)
    given[:, ::2] = 255
    found = augment(given, seed=SEED, size=size, params=NO_AUGMENTATION)
    assert int(np.ptp(found)) == pytest.approx(contrast, abs=20)


@pytest.mark.parametrize("size", [16, 20, 32, 64])
def test_what_is_averaged_before_stays_in_its_place(size):
    rows, columns = np.mgrid[:96, :96]
    given = np.stack([rows * 2, columns * 2, (rows + columns)], axis=2).astype(np.uint8)[None]
    found = augment(given, seed=SEED, size=size, params=NO_AUGMENTATION)[0].astype(float)
    middles = (np.arange(size) + 0.5) * 96 / size - 0.5
    expected = np.stack(np.broadcast_arrays(2 * middles[:, None], 2 * middles, middles[:, None] + middles), axis=2)
    assert np.abs(found - expected)[1:-1, 1:-1].max() < 1


def test_it_agrees_with_plain_numpy():
    """Crop, stretch, rotation and colors of one photo, worked out pixel by pixel from the numbers that were drawn."""
    params = changed(
        min_crop_area=0.5, max_crop_aspect=1.5, rotation=20.0, brightness=0.1, contrast=0.2, saturation=0.4
    )
    smooth = cv2.GaussianBlur(photos(1, 40)[0], (0, 0), 3)
    found = augment(smooth[None], seed=SEED, size=30, params=params)[0].astype(float)
    area, aspect, x, y, turn, _ = np.random.default_rng([*SEED, 0]).random((6, 1))[:, 0]
    area, stretch = 0.5 + 0.5 * area, 1.5 ** (aspect - 0.5)
    width, height = np.sqrt(area) * stretch * 40, np.sqrt(area) / stretch * 40
    angle = np.radians(20 * (2 * turn - 1))
    down, right = (np.mgrid[:30, :30] - 14.5) / 30
    right, down = right * width, down * height
    column = width / 2 + x * (40 - width) - 0.5 + np.cos(angle) * right - np.sin(angle) * down
    row = height / 2 + y * (40 - height) - 0.5 + np.sin(angle) * right + np.cos(angle) * down
    inside = (row >= 0) & (row <= 39) & (column >= 0) & (column <= 39)
    expected = bilinear(smooth.astype(float), np.clip(row, 0, 38.999), np.clip(column, 0, 38.999))
    found_mean = expected.mean()
    s, c, b = np.random.default_rng([*SEED, 1]).random((3, 1))[:, 0] * 2 - 1
    gray = expected.mean(axis=2, keepdims=True)
    expected = gray + (1 + 0.4 * s) * (expected - gray)
    expected = found_mean + (1 + 0.2 * c) * (expected - found_mean) + 25.5 * b
    assert inside.mean() > 0.7
    assert np.abs(found - expected)[inside].max() < 3


def bilinear(photo, row, column):
    top, left = row.astype(int), column.astype(int)
    v, u = (row - top)[..., None], (column - left)[..., None]
    upper = (1 - u) * photo[top, left] + u * photo[top, left + 1]
    lower = (1 - u) * photo[top + 1, left] + u * photo[top + 1, left + 1]
    return (1 - v) * upper + v * lower


def test_flip_mirrors_some_photos_exactly():
    given = photos(64)
    found = augment(given, seed=SEED, size=32, params=changed(flip=True))
    same = np.array([(a == b).all() for a, b in zip(found, given, strict=True)])
    mirrored = np.array([(a == b[:, ::-1]).all() for a, b in zip(found, given, strict=True)])
    assert (same ^ mirrored).all()
    assert 16 <= mirrored.sum() <= 48


def test_brightness_shifts_within_its_bounds():
    given = np.full((64, 16, 16, 3), 128, np.uint8)
    shift = augment(given, seed=SEED, size=16, params=changed(brightness=0.1)) - 128.0
    assert np.ptp(shift, axis=(1, 2, 3)).max() < 1e-3
    assert 20 < np.abs(shift).max() <= 26


def test_saturation_leaves_gray_alone_and_keeps_the_mean():
    gray = np.full((4, 16, 16, 3), 90, np.uint8)
    assert (augment(gray, seed=SEED, size=16, params=changed(saturation=0.5)) == 90).all()


def test_a_crop_shows_a_part():
    given = np.zeros((64, 32, 32, 3), np.uint8)
    given[:, :16] = 200
    found = augment(given, seed=SEED, size=32, params=changed(min_crop_area=0.3))
    bright = (found[..., 0] > 100).mean(axis=(1, 2))
    assert 0.06 < bright.std() < 0.13
    assert set(found[..., 1].ravel()) >= {0, 200}
    assert found.max() == 200


def test_rotation_turns_around_the_middle():
    given = np.zeros((16, 33, 33, 3), np.uint8)
    given[:, 16, 16] = 255
    found = augment(given, seed=SEED, size=33, params=changed(rotation=45.0))
    assert (found[:, 16, 16, 0] > 250).all()


@pytest.mark.parametrize("size", [16, 24])
def test_the_seed_decides(size):
    params = changed(min_crop_area=0.4, flip=True, rotation=15.0, brightness=0.1, contrast=0.2, saturation=0.3)
    given = photos()
    first = augment(given, seed=SEED, size=size, params=params)
    assert first.shape == (8, size, size, 3)
    assert first.dtype == np.uint8
    assert (first == augment(given, seed=SEED, size=size, params=params)).all()
    assert not (first == augment(given, seed=(3, 5), size=size, params=params)).all()


def test_a_pasted_box_mixes_the_targets_by_its_area():
    values = np.arange(1, 65, dtype=np.uint8)
    pictures = np.broadcast_to(values[:, None, None, None], (64, 24, 24, 3))
    targets = np.stack([values, -values.astype(np.float32)], axis=1)
    mixed, answers = cut_and_mix(pictures, targets, seed=SEED, probability=0.75)
    pasted = (mixed == values[::-1, None, None, None]).all(axis=3)
    kept = (mixed == values[:, None, None, None]).all(axis=3)
    assert (pasted ^ kept).all()
    share = pasted.mean(axis=(1, 2))
    assert 0.4 < share.max() <= 0.54  # at most half, to whole pixels
    assert 30 <= (share > 0).sum() <= 60
    expected = (1 - share)[:, None] * targets + share[:, None] * targets[::-1]
    assert answers == pytest.approx(expected, rel=1e-5, abs=1e-4)
    assert answers.dtype == np.float32
    for box in pasted[share > 0]:  # a box, and nothing but a box
        rows, columns = box.any(axis=1), box.any(axis=0)
        assert (box == rows[:, None] & columns[None, :]).all()
    touched = pasted[share > 0]
    assert touched[:, 0].any()  # some boxes reach each edge
    assert touched[:, -1].any()
    assert touched[:, :, 0].any()
    assert touched[:, :, -1].any()


def test_no_boxes_change_nothing():
    pictures = np.arange(4 * 8 * 8 * 3, dtype=np.uint8).reshape(4, 8, 8, 3)
    targets = np.arange(4, dtype=np.float32)[:, None]
    mixed, answers = cut_and_mix(pictures, targets, seed=SEED, probability=0.0)
    assert (mixed == pictures).all()
    assert (answers == targets).all()
