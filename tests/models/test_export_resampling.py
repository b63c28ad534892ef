import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from convlens.data.loader import LoaderSettings, resize_photo
from convlens.models.export import _halve_to_even, resize_photos

SIDE = 24
SIZES = [(24, 24), (23, 25), (48, 24), (24, 72), (12, 9), (61, 37), (60, 20), (50, 90), (200, 30), (9, 60)]


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("keep_aspect", [False, True])
def test_pixels_are_pillow_s(resampling: str, keep_aspect: bool) -> None:
    """All sizes, wide and high, larger and smaller: a few values in a thousand may be one step away."""
    random = np.random.default_rng(0)
    settings = {"image_size": SIDE, "keep_aspect": keep_aspect, "resampling": resampling}
    num_apart = 0
    for height, width in SIZES:
        photo = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = resize_photo(Image.fromarray(photo), LoaderSettings(**settings)).astype(int)
        given = resize_photos(tf.constant(photo[None]), **settings).numpy()[0]
        assert abs(expected - given).max() <= 1, (height, width)
        num_apart += np.count_nonzero(expected != given)
    assert num_apart <= 0.02 * len(SIZES) * SIDE * SIDE * 3


def test_pictures_of_the_network_s_size_stay_as_they_are() -> None:
    photos = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    given = resize_photos(tf.constant(photos), image_size=SIDE, keep_aspect=True, resampling="lanczos")
    assert np.array_equal(given.numpy(), photos)


def test_halves_go_to_the_even_number() -> None:
    assert [int(_halve_to_even(tf.constant(number))) for number in range(9)] == [round(n / 2) for n in range(9)]
