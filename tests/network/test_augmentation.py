import numpy as np
import pytest
import tensorflow as tf

from convlens.network.augmentation import augment, cut_and_mix
from convlens.params import NO_AUGMENTATION

SEED = tf.constant([3, 4], tf.int32)


def photos(count=8, side=32):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def changed(**changes):
    return NO_AUGMENTATION.model_copy(update=changes)


def test_no_change_leaves_photos_alone():
    given = photos()
    assert np.allclose(augment(given, SEED, size=32, params=NO_AUGMENTATION), given, atol=1e-3)


def test_a_smooth_picture_keeps_its_place_when_resized():
    ramp = np.broadcast_to(np.linspace(0, 255, 64)[None, :, None, None], (64, 64, 1, 3))
    given = np.moveaxis(ramp, 2, 0).astype(np.uint8)
    small = augment(given, SEED, size=32, params=NO_AUGMENTATION).numpy()
    expected = given[:, ::2, ::2] / 2 + given[:, 1::2, 1::2] / 2
    assert np.abs(small - expected)[:, 1:-1, 1:-1].max() < 2.5


def test_flip_mirrors_some_photos_exactly():
    given = photos(64)
    found = augment(given, SEED, size=32, params=changed(flip=True)).numpy()
    same = np.array([np.allclose(a, b, atol=0.01) for a, b in zip(found, given, strict=True)])
    mirrored = np.array([np.allclose(a, b[:, ::-1], atol=0.01) for a, b in zip(found, given, strict=True)])
    assert (same ^ mirrored).all()
    assert 16 <= mirrored.sum() <= 48


def test_brightness_shifts_within_its_bounds():
    given = np.full((64, 16, 16, 3), 128, np.uint8)
    shift = augment(given, SEED, size=16, params=changed(brightness=0.1)).numpy() - 128
    assert np.ptp(shift, axis=(1, 2, 3)).max() < 1e-3
    assert 20 < np.abs(shift).max() <= 25.5 + 1e-3


def test_saturation_leaves_grey_alone_and_keeps_the_mean():
    grey = np.full((4, 16, 16, 3), 90, np.uint8)
    assert np.allclose(augment(grey, SEED, size=16, params=changed(saturation=0.5)), 90, atol=1e-3)


def test_a_crop_shows_a_part():
    given = np.zeros((64, 32, 32, 3), np.uint8)
    given[:, :16] = 200
    found = augment(given, SEED, size=32, params=changed(min_crop_area=0.3)).numpy()
    bright = (found[..., 0] > 100).mean(axis=(1, 2))
    assert bright.std() > 0.1
    assert found.min() >= 0
    assert found.max() <= 200 + 1e-3


def test_rotation_turns_around_the_middle():
    given = np.zeros((16, 33, 33, 3), np.uint8)
    given[:, 16, 16] = 255
    found = augment(given, SEED, size=33, params=changed(rotation=45.0)).numpy()
    assert (found[:, 16, 16, 0] > 250).all()


@pytest.mark.parametrize("size", [16, 24])
def test_the_seed_decides(size):
    params = changed(min_crop_area=0.4, flip=True, rotation=15.0, brightness=0.1, contrast=0.2, saturation=0.3)
    given = photos()
    first = augment(given, SEED, size=size, params=params).numpy()
    assert first.shape == (8, size, size, 3)
    assert first.dtype == np.float32
    assert (first == augment(given, SEED, size=size, params=params).numpy()).all()
    assert not (first == augment(given, SEED + 1, size=size, params=params).numpy()).all()


def test_a_pasted_box_mixes_the_targets_by_its_area():
    values = np.arange(1, 65, dtype=np.float32)
    pictures = np.broadcast_to(values[:, None, None, None], (64, 24, 24, 3))
    targets = np.stack([values, -values], axis=1)
    mixed, answers = cut_and_mix(tf.constant(pictures), tf.constant(targets), SEED, probability=0.75)
    pasted = (mixed.numpy() == values[::-1, None, None, None]).all(axis=3)
    kept = (mixed.numpy() == values[:, None, None, None]).all(axis=3)
    assert (pasted ^ kept).all()
    share = pasted.mean(axis=(1, 2))
    assert 0.4 < share.max() <= 0.52  # at most half, to whole pixels
    assert 30 <= (share > 0).sum() <= 60
    expected = (1 - share)[:, None] * targets + share[:, None] * targets[::-1]
    assert answers.numpy() == pytest.approx(expected, rel=1e-5, abs=1e-4)
    for box in pasted[share > 0]:  # a box, and nothing but a box
        rows, columns = box.any(axis=1), box.any(axis=0)
        assert (box == rows[:, None] & columns[None, :]).all()


def test_no_boxes_change_nothing():
    pictures, targets = tf.ones((4, 8, 8, 3)) * tf.range(4.0)[:, None, None, None], tf.range(4.0)[:, None]
    mixed, answers = cut_and_mix(pictures, targets, SEED, probability=0.0)
    assert (mixed.numpy() == pictures.numpy()).all()
    assert (answers.numpy() == targets.numpy()).all()
