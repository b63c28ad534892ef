import io
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from photo_files import encode, noise_photo, quadrants, write_photo
from PIL import Image

from convlens.data.loader import LoaderSettings, PhotoError, decode_photo, load_photo, open_photo, read_orientation
from convlens.errors import ConvLensError

SETTINGS = LoaderSettings(32)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
# What the quadrants look like, row by row, after each orientation is undone.
UPRIGHT = {
    1: (RED, GREEN, BLUE, WHITE),
    2: (GREEN, RED, WHITE, BLUE),
    3: (WHITE, BLUE, GREEN, RED),
    4: (BLUE, WHITE, RED, GREEN),
    5: (RED, BLUE, GREEN, WHITE),
    6: (BLUE, RED, WHITE, GREEN),
    7: (WHITE, GREEN, BLUE, RED),
    8: (GREEN, WHITE, RED, BLUE),
}


def corners(photo: np.ndarray) -> np.ndarray:
    """The colors in the middle of the four quadrants, row by row."""
    side = photo.shape[0]
    low, high = side // 4, 3 * side // 4
    return photo[[low, low, high, high], [low, high, low, high]].astype(int)


def with_orientation(orientation: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    return encode(Image.fromarray(quadrants()), kind, exif=exif, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_upright(orientation: int, kind: str) -> None:
    content = with_orientation(orientation, kind)
    assert np.abs(corners(load_photo(content, SETTINGS)) - UPRIGHT[orientation]).max() <= 12
    with open_photo(content) as image:
        read_orientation(image)  # asking for the orientation must not make it count twice
        assert decode_photo(image).size == ((40, 20) if orientation < 5 else (20, 40))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientations_that_do_not_exist_are_ignored(value: int) -> None:
    photo = load_photo(with_orientation(value, "JPEG"), SETTINGS)
    assert np.abs(corners(photo) - UPRIGHT[1]).max() <= 12


def test_broken_exif_does_not_make_a_photo_unreadable() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    exif[0x8769] = {0x9003: "2020:01:01 00:00:00"}
    content = encode(Image.fromarray(quadrants()), "JPEG", exif=exif)
    start = content.index(b"Exif")
    generator = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(content)
        for place in generator.integers(start + 6, start + len(exif.tobytes()), 3):
            broken[place] = generator.integers(256)
        assert load_photo(bytes(broken), SETTINGS).shape == (32, 32, 3)


def test_keep_aspect_pads_with_gray() -> None:
    photo = load_photo(encode(Image.fromarray(quadrants())), LoaderSettings(40, keep_aspect=True))
    assert (photo[:10] == 128).all()
    assert (photo[30:] == 128).all()
    np.testing.assert_array_equal(photo[10:30], quadrants())


def test_squashing_takes_the_whole_square() -> None:
    np.testing.assert_array_equal(corners(load_photo(encode(Image.fromarray(quadrants())), SETTINGS)), UPRIGHT[1])


@pytest.mark.parametrize("keep_aspect", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (32, 32), (31, 33)])
def test_any_shape_gives_the_asked_size(size: tuple[int, int], keep_aspect: bool) -> None:
    photo = load_photo(encode(Image.new("RGB", size, RED)), LoaderSettings(32, keep_aspect))
    assert photo.shape == (32, 32, 3)
    assert photo.dtype == np.uint8


def test_a_photo_of_the_asked_size_is_unchanged() -> None:
    picture = noise_photo("exact", (32, 32))
    np.testing.assert_array_equal(load_photo(encode(picture), SETTINGS), np.asarray(picture))


def test_draft_decoding_is_close_to_full_decoding() -> None:
    grid = np.indices((512, 640)).astype(float)
    waves = 127 + 60 * np.sin(grid[0] / 40) + 60 * np.cos(grid[1] / 25)
    picture = Image.fromarray(np.repeat(waves[:, :, None], 3, axis=2).astype(np.uint8))
    content = encode(picture, "JPEG", quality=95)
    full = np.asarray(Image.open(io.BytesIO(content)).resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
    drafted = load_photo(content, LoaderSettings(64)).astype(int)
    assert np.abs(full - drafted).max() <= 6
    assert np.abs(full - drafted).mean() < 1


def test_path_and_bytes_give_the_same(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a photo.jpg", noise_photo("same", (90, 70)), "JPEG")
    np.testing.assert_array_equal(load_photo(path, SETTINGS), load_photo(path.read_bytes(), SETTINGS))


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic", "lanczos"])
def test_resampling_is_pillows(resampling: str) -> None:
    picture = noise_photo("resampling", (90, 70))
    expected = picture.resize((32, 32), Image.Resampling[resampling.upper()])
    photo = load_photo(encode(picture), LoaderSettings(32, resampling=resampling))
    np.testing.assert_array_equal(photo, np.asarray(expected))


def test_the_array_is_the_callers_own() -> None:
    for size in ((32, 32), (40, 20)):
        photo = load_photo(encode(noise_photo("own", size)), SETTINGS)
        photo += 1
        assert photo.flags.owndata or photo.base is not None
        assert photo.flags.writeable


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_photo_is_refused(kind: str, tmp_path: Path) -> None:
    content = encode(noise_photo("truncated", (200, 160)), kind)
    path = write_photo(tmp_path / "cut.jpg", content[: len(content) * 2 // 3])
    with pytest.raises(PhotoError, match=r"Expected a .*photo") as caught:
        load_photo(path, SETTINGS)
    assert "cut.jpg" in str(caught.value)
    assert "cut.jpg" not in caught.value.reason
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF"])
def test_what_is_no_image_is_refused(content: bytes, tmp_path: Path) -> None:
    for photo in (content, write_photo(tmp_path / "x.jpg", content)):
        with pytest.raises(PhotoError, match=r"^Expected .* Received: "):
            load_photo(photo, SETTINGS)


def test_a_missing_photo_a_folder_and_a_pipe_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"Received: .*nothing\.jpg, which does not exist"):
        load_photo(tmp_path / "nothing.jpg", SETTINGS)
    with pytest.raises(PhotoError, match=r"Received: the folder .* Name the files in it"):
        load_photo(tmp_path, SETTINGS)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(PhotoError, match="no regular file"):
        load_photo(tmp_path / "pipe.jpg", SETTINGS)
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(PhotoError):
            load_photo(Path(name), SETTINGS)


def test_a_picture_of_monstrous_size_is_refused_unread() -> None:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(PhotoError, match="Expected a photo of ordinary size"):
        load_photo(header + struct.pack(">I", 10) + b"IDAT" + bytes(50), SETTINGS)


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(PhotoError("Expected x. Received: y.", "y")))
    assert isinstance(error, ConvLensError)
    assert (str(error), error.reason) == ("Expected x. Received: y.", "y")


def test_no_file_stays_open(tmp_path: Path) -> None:
    """An open file would be a ResourceWarning, and warnings are errors; count them all the same."""
    good = write_photo(tmp_path / "good.png")
    bad = write_photo(tmp_path / "bad.png", good.read_bytes()[:80])
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        load_photo(good, SETTINGS)
        with pytest.raises(PhotoError):
            load_photo(bad, SETTINGS)
    assert len(os.listdir("/dev/fd")) == before
