"""The facts of one photo, from decoding it once. Light to import: worker processes load it."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from convlens.photos.loader import PhotoError, decode_photo, open_photo

ORIENTATION_TAG = 0x0112
ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
STATISTICS_SIDE = 256


@dataclass(frozen=True)
class PhotoFacts:
    """What is known of a photo after decoding it.

    Attributes:
        format: Pillow's name of the format, whatever the suffix says; empty if it is no image.
        mode: Pillow's colour mode as stored.
        frames: pictures in the file; only the first is used.
        width: pixels of the upright photo, 0 if unknown.
        height: pixels of the upright photo, 0 if unknown.
        aspect: width over height, 0 if unknown.
        orientation: EXIF orientation 1..8.
        suffix_agrees: whether the file's suffix belongs to its format.
        decodes: whether the whole picture could be decoded.
        error: why not.
        brightness: mean luminance, 0..1.
        contrast: standard deviation of luminance, 0..0.5.
        sharpness: mean absolute Laplacian of luminance at about 256 pixels, 0..4; low for blurred photos.
    """

    format: str = ""
    mode: str = ""
    frames: int = 0
    width: int = 0
    height: int = 0
    aspect: float = 0.0
    orientation: int = 1
    suffix_agrees: bool = False
    decodes: bool = False
    error: str = ""
    brightness: float = 0.0
    contrast: float = 0.0
    sharpness: float = 0.0


def scan_photo(path: str, *, max_megapixels: float) -> PhotoFacts:
    """Decode one photo and measure it; what cannot be decoded is told in `error`, never raised."""
    try:
        with open_photo(Path(path)) as image:
            header = _read_header(image, path)
            if header.width * header.height > max_megapixels * 1e6:
                return PhotoFacts(**{**asdict(header), "error": f"{image.width}x{image.height} pixels"})
            image.draft(None, (STATISTICS_SIDE, STATISTICS_SIDE))
            return PhotoFacts(**{**asdict(header), "decodes": True, **_measure(decode_photo(image))})
    except PhotoError as error:
        return PhotoFacts(error=_cause(error))


def _read_header(image: Image.Image, path: str) -> PhotoFacts:
    try:
        orientation = int(image.getexif().get(ORIENTATION_TAG, 1))
        frames = int(getattr(image, "n_frames", 1))
    except Exception as error:  # a broken header shows itself in many ways
        raise PhotoError(f"Expected a whole photo. Received: {path}: {error}") from error
    width, height = image.size[::-1] if orientation in ROTATED else image.size
    kind = image.format or ""
    known = Image.registered_extensions().get(Path(path).suffix.lower())
    return PhotoFacts(
        format=kind,
        mode=image.mode,
        frames=frames,
        width=width,
        height=height,
        aspect=round(width / height, 4),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        suffix_agrees=known == kind or {known, kind} == {"JPEG", "MPO"},
    )


def _measure(image: Image.Image) -> dict[str, float]:
    image.thumbnail((STATISTICS_SIDE, STATISTICS_SIDE), Image.Resampling.BOX)
    light = np.asarray(image.convert("L"), dtype=np.float32) / 255
    inner = light[1:-1, 1:-1]
    laplacian = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:] - 4 * inner
    sharpness = float(np.abs(laplacian).mean()) if laplacian.size else 0.0
    return {
        "brightness": round(float(light.mean()), 4),
        "contrast": round(float(light.std()), 4),
        "sharpness": round(sharpness, 4),
    }


def _cause(error: PhotoError) -> str:
    """The loader's reason without the path, which has a column of its own."""
    if error.__cause__ is not None:
        return " ".join(str(error.__cause__).split())[:200] or type(error.__cause__).__name__
    return "not an image that Pillow can read"
