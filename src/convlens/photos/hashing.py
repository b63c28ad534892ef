"""Perceptual signatures of photos: what stays alike when a photo is resized, recompressed or made brighter.

Light to import: worker processes load it.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from convlens.errors import ConvLensError

THUMBNAIL_SIDE = 32
HASH_SIDE = 8
HASH_DIGITS = 16  # hexadecimal digits of 64 bits
COSINE_STEPS = 4096  # cosines as whole numbers: their sums are exact, and so the same on every machine


def compute_hashes(image: Image.Image) -> dict[str, str]:
    """Sign a decoded photo for the search for near-duplicates.

    Args:
        image: an upright picture without transparency, of any size.

    Returns:
        `perceptual_hash`: the 64-bit pHash followed by the grey thumbnail of 32x32 it was made of, in hexadecimal
        digits, always as many.
    """
    small = image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    grey = np.asarray(small.convert("L"), dtype=np.uint8)
    (upright,) = hash_thumbnails(grey[np.newaxis])
    return {"perceptual_hash": f"{upright:0{HASH_DIGITS}x}{grey.tobytes().hex()}"}


def read_thumbnails(signatures: Sequence[str]) -> np.ndarray:
    """The grey thumbnails inside `perceptual_hash`, uint8 (num_photos, 32, 32).

    Raises:
        ConvLensError: a signature is missing, or was made by another version.
    """
    digits = HASH_DIGITS + 2 * THUMBNAIL_SIDE**2
    other = next((text for text in signatures if len(text) != digits), None)
    if other is not None:
        raise ConvLensError(
            f"Expected perceptual hashes of {digits} digits in the manifest. Received: {len(other)} digits. "
            "Run `dvc repro --force validate`."
        )
    content = np.frombuffer(b"".join(map(bytes.fromhex, signatures)), np.uint8).reshape(len(signatures), digits // 2)
    return content[:, HASH_DIGITS // 2 :].reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def hash_thumbnails(thumbnails: np.ndarray) -> np.ndarray:
    """The 64-bit pHash (as `imagehash.phash`) of grey thumbnails.

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
