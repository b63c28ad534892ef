"""Facts about one photo, from decoding it once. Light to import: worker processes load it."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convlens.data.loader import PhotoError, decode_photo, open_photo, read_orientation, read_with_digest

# --- perceptual hashes: what stays alike when a photo is resized, recompressed or made brighter ---

HASH_SIDE = 8
HASH_DIGITS = 16  # hexadecimal digits of 64 bits
HASHED_SIDE = 32
COSINE_STEPS = 4096  # cosines as whole numbers: their sums are exact, and so the same on every machine


def compute_hashes(image: Image.Image) -> dict[str, str]:
    """Sign a decoded photo for the search for near-duplicates.

    Args:
        image: an upright picture without transparency, of any size.

    Returns:
        `perceptual_hash`: the 64-bit pHash followed by the gray thumbnail of 32x32 it was made of, in hexadecimal
        digits, always as many.
    """
    small = image.resize((HASHED_SIDE, HASHED_SIDE), Image.Resampling.BOX)
    gray = np.asarray(small.convert("L"), dtype=np.uint8)
    (upright,) = hash_thumbnails(gray[np.newaxis])
    return {"perceptual_hash": f"{upright:0{HASH_DIGITS}x}{gray.tobytes().hex()}"}


def hash_thumbnails(thumbnails: np.ndarray) -> np.ndarray:
    """The 64-bit pHash (as `imagehash.phash`) of gray thumbnails.

    Args:
        thumbnails: (num_photos, side, side), whole numbers 0..255.

    Returns:
        uint64 (num_photos,).
    """
    side = thumbnails.shape[1]
    angles = np.pi * np.outer(np.arange(HASH_SIDE), 2 * np.arange(side) + 1) / (2 * side)
    cosines = np.round(np.cos(angles) * COSINE_STEPS)
    return pack_frequencies(cosines @ thumbnails.astype(np.float64) @ cosines.T)


def pack_frequencies(low: np.ndarray) -> np.ndarray:
    """One bit for each of the 8x8 lowest frequencies of the cosine transform: above their median or not.

    Args:
        low: (…, 8, 8).

    Returns:
        uint64 (…); the first frequency in reading order is the highest bit.
    """
    flat = low.reshape(*low.shape[:-2], HASH_SIDE * HASH_SIDE)
    bits = flat > np.median(flat, axis=-1, keepdims=True)
    return np.packbits(bits, axis=-1).view(">u8").astype(np.uint64)[..., 0]


# --- one photo ---

ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
STATISTICS_SIDE = 256
THUMBNAIL_SIDE = 160
THUMBNAIL_QUALITY = 78
MAX_PAGES = 1000
SECOND_VIEWS = ("MPO",)  # phones keep previews and depth maps there: no pages, nothing lost


@dataclass(frozen=True)
class PhotoFacts:
    """What is known of a photo after decoding it; `validation.MANIFEST_COLUMNS` says what each field means."""

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
    perceptual_hash: str = ""


@dataclass(frozen=True)
class FlagLimits:
    """What makes a photo worth a picture in the report; the fields of the group `validate` of the same names."""

    formats: tuple[str, ...]
    min_side: int
    max_megapixels: float
    dark_brightness: float
    blurred_sharpness: float


@dataclass(frozen=True)
class Candidate:
    """A photo to scan; `copied` if another file has its digest."""

    path: str
    copied: bool = False


@dataclass(frozen=True)
class ScannedPhoto:
    """The facts of a photo; its flag if it has one (a word of `find_flag`), and a small JPEG of it.

    `sha256` is of the bytes that were decoded, '' if none could be read.
    """

    facts: PhotoFacts
    flag: str = ""
    thumbnail: bytes = b""
    sha256: str = ""


def scan_photo(photo: Candidate, *, flag_limits: FlagLimits) -> ScannedPhoto:
    """Decode one photo and measure it; what cannot be decoded is told in `error`, never raised."""
    facts, digest = PhotoFacts(), ""
    try:
        content, digest = read_with_digest(photo.path)
        with open_photo(content) as image:
            facts = _read_header(image, photo.path)
            if facts.width * facts.height > flag_limits.max_megapixels * 1e6:
                return ScannedPhoto(replace(facts, error=f"{facts.width}x{facts.height} pixels"), sha256=digest)
            image.draft(None, (STATISTICS_SIDE, STATISTICS_SIDE))
            picture = decode_photo(image)
    except PhotoError as error:
        return ScannedPhoto(replace(facts, error=error.reason), sha256=digest)
    picture.thumbnail((STATISTICS_SIDE, STATISTICS_SIDE), Image.Resampling.BOX)
    facts = replace(facts, decodes=True, **_measure(picture))
    flag = "copied" if photo.copied else find_flag(facts, flag_limits)
    buffer = io.BytesIO()
    if flag:
        picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
        picture.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return ScannedPhoto(facts, flag, buffer.getvalue(), digest)


def find_flag(facts: PhotoFacts, flag_limits: FlagLimits) -> str:
    """Why a person may want to see a decoded photo: `format`, `too_small`, `later_frames`, `dark`, `blurred` or ``."""
    found = {
        "format": facts.format not in flag_limits.formats,
        "too_small": min(facts.width, facts.height) < flag_limits.min_side,
        "later_frames": facts.frames > 1 and facts.format not in SECOND_VIEWS,
        "dark": facts.brightness < flag_limits.dark_brightness,
        "blurred": facts.sharpness < flag_limits.blurred_sharpness,
    }
    return next((name for name, holds in found.items() if holds), "")


def _read_header(image: Image.Image, path: str) -> PhotoFacts:
    try:
        frames = _count_frames(image)
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


def _count_frames(image: Image.Image) -> int:
    """Pictures in the file. Pillow's own count of the pages of a TIFF takes the square of their number."""
    if image.format != "TIFF":
        return int(getattr(image, "n_frames", 1))
    for page in range(1, MAX_PAGES + 1):
        try:
            image.seek(page)
        except EOFError:
            image.seek(0)
            return page
    raise ValueError(f"a TIFF of more than {MAX_PAGES:,} pages")


def _measure(image: Image.Image) -> dict[str, Any]:
    """Brightness, contrast, sharpness and hashes of a picture of at most 256 pixels a side.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy",
    ICPR 2000) of luminance in 8-bit levels. At one size, so that one limit serves the photos of every camera.
    """
    light = np.asarray(image.convert("L")).astype(np.int32)
    inner = light[1:-1, 1:-1]
    laplacian = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:] - 4 * inner
    return {
        "brightness": round(float(light.mean()) / 255, 4),
        "contrast": round(_variance(light) ** 0.5 / 255, 4),
        "sharpness": round(_variance(laplacian), 2),
        **compute_hashes(image),
    }


def _variance(values: np.ndarray) -> float:
    """Of integers, through exact sums: the same on every machine, in whatever order it adds. 0 for no values."""
    if not values.size:
        return 0.0
    mean = int(values.sum(dtype=np.int64)) / values.size
    return max(int(np.einsum("ij,ij->", values, values, dtype=np.int64)) / values.size - mean**2, 0.0)
