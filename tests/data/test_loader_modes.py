import struct
import zlib

import numpy as np
import pytest
from photo_files import encode
from PIL import Image

from convlens.data.loader import LoaderSettings, PhotoError, load_photo

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_transparency_is_flattened_on_white(mode: str) -> None:
    picture = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 10, 20))
    if mode == "P":
        content = encode(picture.convert("P"), transparency=picture.convert("P").getpixel((15, 5)))
        if picture.convert("P").getpixel((5, 5)) == picture.convert("P").getpixel((15, 5)):
            palette = Image.new("P", (20, 20), 1)
            palette.putpalette([0, 0, 0, 9, 9, 9])
            palette.paste(0, (0, 0, 10, 20))
            content = encode(palette, transparency=1)
    elif mode in ("L", "RGB"):
        plain = Image.new(mode, (20, 20), 7 if mode == "L" else (7, 7, 7))
        plain.paste(0 if mode == "L" else (0, 0, 0), (0, 0, 10, 20))
        content = encode(plain, transparency=7 if mode == "L" else (7, 7, 7))
    else:
        content = encode(picture.convert(mode))
    photo = load_photo(content, LoaderSettings(20))
    assert (photo[:, :10] == 0).all()
    assert (photo[:, 10:] == 255).all()


def test_half_transparency_is_mixed_with_white() -> None:
    photo = load_photo(encode(Image.new("RGBA", (8, 8), (0, 0, 0, 128))), LoaderSettings(8))
    assert np.abs(photo.astype(int) - 127).max() <= 1


@pytest.mark.parametrize(
    ("image", "kind", "expected", "tolerance"),
    [
        (Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", RED, 3),
        (Image.new("L", (16, 16), 90), "PNG", (90, 90, 90), 0),
        (Image.new("1", (16, 16), 1), "PNG", WHITE, 0),
        (Image.new("P", (16, 16), 0), "GIF", (0, 0, 0), 0),
        (Image.fromarray(np.full((16, 16), 257 * 90, np.uint16)), "PNG", (90, 90, 90), 0),
        (Image.fromarray(np.full((16, 16), 65535, np.uint16)), "PNG", WHITE, 0),
        (Image.fromarray(np.full((16, 16), 257 * 90, np.uint16)), "TIFF", (90, 90, 90), 0),
        (Image.fromarray(np.full((16, 16), 90.2, np.float32)), "TIFF", (90, 90, 90), 0),
        (Image.fromarray(np.full((16, 16), 257 * 90, np.int32)), "TIFF", (90, 90, 90), 0),
        (Image.fromarray(np.full((16, 16), 4095, np.uint16)), "PNG", WHITE, 0),  # 12 bits in 16
        (Image.fromarray(np.full((16, 16), 16383, np.uint16)), "TIFF", WHITE, 0),
        (Image.fromarray(np.full((16, 16), 90, np.uint16)), "PNG", (90, 90, 90), 0),
        (Image.fromarray(np.full((16, 16), 1 << 20, np.int32)), "TIFF", WHITE, 0),
        (Image.fromarray(np.full((16, 16), 1.0, np.float32)), "TIFF", WHITE, 0),
        (Image.fromarray(np.full((16, 16), 0.353, np.float32)), "TIFF", (90, 90, 90), 0),
        (Image.fromarray(np.full((16, 16), 65535.0, np.float32)), "TIFF", WHITE, 0),
        (Image.new("YCbCr", (16, 16), (255, 128, 128)), "TIFF", WHITE, 1),
        (Image.new("RGB", (16, 16), (10, 200, 30)), "BMP", (10, 200, 30), 0),
    ],
)
def test_every_color_mode_becomes_rgb(image: Image.Image, kind: str, expected: tuple, tolerance: int) -> None:
    photo = load_photo(encode(image, kind), LoaderSettings(16))
    assert photo.dtype == np.uint8
    assert photo.shape == (16, 16, 3)
    assert np.abs(photo.astype(int) - expected).max() <= tolerance


def test_sixteen_bit_gray_is_scaled_not_clipped() -> None:
    ramp = np.repeat(np.linspace(0, 65535, 16).astype(np.uint16)[None], 16, axis=0)
    photo = load_photo(encode(Image.fromarray(ramp)), LoaderSettings(16))
    assert np.abs(photo[0, :, 0].astype(float) - np.linspace(0, 255, 16)).max() <= 1


def test_only_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in (RED, GREEN, BLUE)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        content = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        photo = load_photo(content, LoaderSettings(16)).astype(int)
        assert np.abs(photo - RED).max() <= 3, kind


def deep_png(largest: int) -> bytes:
    """A PNG of 16 bits a color."""
    values = np.full((16, 16, 3), largest, ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(part)) + name + part for name, part in parts)
    sums = (struct.pack(">I", zlib.crc32(name + part)) for name, part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk + check for chunk, check in zip(chunks, sums, strict=True))


@pytest.mark.parametrize(
    ("photo", "told"),
    [
        (deep_png(4095), "16 bits a color of which only the lower 12 are used"),
        (encode(Image.fromarray(np.full((16, 16), np.nan, np.float32)), "TIFF"), "values that are not finite numbers"),
    ],
)
def test_what_would_be_black_is_refused_with_the_reason(photo: bytes, told: str) -> None:
    with pytest.raises(PhotoError) as caught:
        load_photo(photo, LoaderSettings(16))
    assert caught.value.reason.startswith(told)


def test_colors_that_use_their_16_bits_are_taken() -> None:
    assert (load_photo(deep_png(65535), LoaderSettings(16)) == 255).all()
    assert (load_photo(deep_png(0), LoaderSettings(16)) == 0).all()
