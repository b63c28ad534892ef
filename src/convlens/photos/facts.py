"""The facts of one photo, from decoding it once. Light to import: worker processes load it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convlens.photos.loader import PhotoError, decode_photo, open_photo, read_orientation

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
    facts = PhotoFacts()
    try:
        with open_photo(Path(path)) as image:
            facts = _read_header(image, path)
            if facts.width * facts.height > max_megapixels * 1e6:
                return replace(facts, error=f"{facts.width}x{facts.height} pixels")
            image.draft(None, (STATISTICS_SIDE, STATISTICS_SIDE))
            return replace(facts, decodes=True, **_measure(decode_photo(image)))
    except PhotoError as error:
        return replace(facts, error=error.reason)


def _read_header(image: Image.Image, path: str) -> PhotoFacts:
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception as error:  # a broken header shows itself in many ways
        raise PhotoError(f"Expected a whole photo. Received: {path}: {error}", str(error)) from error
    orientation = read_orientation(image)
    lying = orientation in ROTATED and image.format != "TIFF"  # Pillow gives the upright size of a TIFF
    width, height = image.size[::-1] if lying else image.size
    kind = image.format or ""
    known = Image.registered_extensions().get(Path(path).suffix.lower())
    return PhotoFacts(
        format=kind,
        mode=image.mode,
        frames=frames,
        width=width,
        height=height,
        aspect=round(width / height, 4),
        orientation=orientation,
        suffix_agrees=known == kind or {known, kind} == {"JPEG", "MPO"},
    )


def _measure(image: Image.Image) -> dict[str, Any]:
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
