import numpy as np
import pytest
from thumbnails import paint_thumbnail

from convlens.data.duplicates import INNER, OUTER, are_alike, count_bits, hash_windows

CROPS = [
    (0, 0, 1, 1),
    (0.05, 0.05, 0.95, 0.95),
    (0.1, 0.1, 0.9, 0.9),
    (0.1, 0, 1, 1),
    (0, 0, 1, 0.9),
    (0, 0.05, 0.9, 1),
]


def nearest(copy: np.ndarray, original: np.ndarray) -> int:
    outer, inner = hash_windows(copy[None], OUTER), hash_windows(original[None], INNER)
    return int(count_bits(outer[0][:, None] ^ inner[0]).min())


@pytest.mark.parametrize("crop", CROPS)
def test_some_pair_of_windows_shows_the_same_whatever_is_cropped(crop: tuple[float, float, float, float]) -> None:
    for seed in range(8):
        assert nearest(paint_thumbnail(seed, crop), paint_thumbnail(seed)) <= 6


def test_different_pictures_have_no_such_windows() -> None:
    assert min(nearest(paint_thumbnail(seed), paint_thumbnail(seed + 100)) for seed in range(8)) > 6


def test_windows_are_hashed_across_and_down() -> None:
    picture = paint_thumbnail(0)
    hashes = hash_windows(np.stack([picture, picture.T]), OUTER)
    assert hashes.shape == (2, 9)
    assert len(set(hashes[0])) == 9
    whole = paint_thumbnail(0, (0, 0, 0.945, 1))  # the sixth of nine windows, cut out of the picture itself
    lying = hash_windows(whole[None], ((0.0, 1.0),))[0, 0]
    distances = count_bits(hashes[0] ^ lying)
    assert distances.argmin() == 7
    assert distances.min() <= 2


def test_copies_are_alike_and_others_are_not() -> None:
    originals = np.stack([paint_thumbnail(seed) for seed in range(6)])
    for crop in CROPS:
        copies = np.stack([paint_thumbnail(seed, crop) for seed in range(6)])
        assert are_alike(copies, originals).all()
        assert not are_alike(copies, np.roll(originals, 1, axis=0)).any()


def test_brightness_and_contrast_do_not_count() -> None:
    picture = paint_thumbnail(2)
    changed = (picture * 0.6 + 60).astype(np.uint8)
    assert are_alike(changed[None], picture[None]).all()


def test_the_same_layout_with_other_details_is_not_alike() -> None:
    """Both are lit from above, so their gray values correlate; what is in the light differs."""
    generator = np.random.default_rng(0)
    layout = np.linspace(200, 40, 32)[:, None]
    pictures = (layout + generator.normal(0, 25, (2, 32, 32))).clip(0, 255).astype(np.uint8)
    smooth = [each.reshape(16, 2, 16, 2).mean((1, 3)).ravel() for each in pictures]
    assert np.corrcoef(*smooth)[0, 1] > 0.92
    assert not are_alike(pictures[:1], pictures[1:]).any()


def test_no_photos() -> None:
    none = np.empty((0, 32, 32), np.uint8)
    assert hash_windows(none, INNER).shape == (0, 9)
    assert are_alike(none, none).shape == (0,)
