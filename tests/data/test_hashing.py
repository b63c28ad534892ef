import io

import numpy as np
import pytest
from PIL import Image
from thumbnails import paint_picture

from convlens.data.duplicates import HASHED_SIDE, read_thumbnails
from convlens.data.facts import compute_hashes, hash_thumbnails
from convlens.errors import ConvLensError


def bits(digits: str) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits[:16]), np.uint8))


def distance(first: Image.Image, second: Image.Image) -> int:
    hashes = [compute_hashes(image)["perceptual_hash"] for image in (first, second)]
    return int((bits(hashes[0]) != bits(hashes[1])).sum())


def recompress(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def test_digits_are_lower_case_and_always_as_many() -> None:
    for image in (paint_picture(0), Image.new("RGB", (1, 1)), Image.new("RGB", (3000, 2), "white")):
        hashes = compute_hashes(image)
        assert {name: len(digits) for name, digits in hashes.items()} == {
            "perceptual_hash": 16 + 2 * 32 * 32,
        }
        assert set("".join(hashes.values())) <= set("0123456789abcdef")


def test_the_hash_is_the_published_one() -> None:
    """Bits computed step by step as the definition of pHash says, from a plain cosine transform."""
    picture = paint_picture(3)
    gray = np.asarray(picture.resize((32, 32), Image.Resampling.BOX).convert("L"), float)
    places = np.arange(32)
    waves = [np.cos(np.pi * (2 * places + 1) * number / 64) for number in range(8)]
    low = np.array([[(gray * np.outer(down, across)).sum() for across in waves] for down in waves])
    expected = (low > np.median(low)).ravel()
    np.testing.assert_array_equal(bits(compute_hashes(picture)["perceptual_hash"]), expected)


@pytest.mark.parametrize("seed", range(5))
def test_the_hash_stays_near_where_the_picture_stays_the_same(seed: int) -> None:
    picture = paint_picture(seed, (200, 150))
    assert distance(picture, picture.resize((100, 75))) <= 4
    assert distance(picture, recompress(picture, 30)) <= 4
    assert distance(picture, picture.point(lambda value: value * 0.8)) <= 4
    assert distance(picture, paint_picture(seed + 100, (200, 150))) > 14


def test_thumbnails_come_back() -> None:
    pictures = [paint_picture(seed, (32, 32)).convert("L") for seed in range(3)]
    signatures = [compute_hashes(picture.convert("RGB"))["perceptual_hash"] for picture in pictures]
    np.testing.assert_array_equal(read_thumbnails(signatures), np.stack([np.asarray(each) for each in pictures]))
    assert read_thumbnails([]).shape == (0, HASHED_SIDE, HASHED_SIDE)


def test_a_manifest_of_another_version_is_told() -> None:
    with pytest.raises(ConvLensError, match=r"Expected perceptual hashes of 2064 digits .* Received: 16 digits"):
        read_thumbnails([compute_hashes(paint_picture(0))["perceptual_hash"], "0" * 16])


def test_a_symmetric_picture_has_exactly_the_hash_of_its_mirror_image() -> None:
    """Frequencies that cancel out are exactly 0, not what rounding leaves of them."""
    half = np.random.default_rng(0).integers(0, 256, (1, 32, 16), np.uint8)
    both = np.concatenate([half, half[:, :, ::-1]], axis=2)
    assert hash_thumbnails(both) == hash_thumbnails(both[:, :, ::-1])
    assert hash_thumbnails(np.full((1, 32, 32), 77, np.uint8)) == 1 << 63  # one color: nothing but the mean
