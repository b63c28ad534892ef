"""Feature maps as 8-bit grey sprites with their raw range, so that a page can show them and read them back.

Every tile has its own offset and step: value = offset + step * grey. Zero is always one of the greys when it lies in a
tile's range, so signs are exact, and no value is off by more than half a step. Where more is needed, a second sprite
holds what is left: value = offset + step * (grey + (low - 128) / 256).
"""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

TILES_PER_ROW = 16
LEVELS = 255
MIDDLE = 128
FINER = 256


@dataclass(frozen=True)
class Sprite:
    """The maps of one step for one photo.

    Attributes:
        png: grey PNG; tile k stands at row k // 16, column k % 16.
        offset: float32 (tiles,).
        step: float32 (tiles,); 0 for a tile of one value.
        low: a second PNG of the same layout with what the greys leave; None if it was not asked for.
        decoded: the values that a reader gets back, float64 (rows, columns, tiles).
    """

    png: bytes
    offset: np.ndarray
    step: np.ndarray
    low: bytes | None
    decoded: np.ndarray


def make_sprite(maps: np.ndarray, *, fine: bool = False) -> Sprite:
    """Store maps (rows, columns, tiles), float32, as a sprite; values that are not finite count as zero.

    Args:
        maps: the values.
        fine: keep what the greys leave, so that values are good to 1/512 of a step.
    """
    values = np.where(np.isfinite(maps), maps, 0).astype(np.float64)
    offset, step = _grid(values.min(axis=(0, 1)), values.max(axis=(0, 1)))
    places = (values - offset) / np.where(step > 0, step, 1)
    greys = np.clip(np.round(places), 0, LEVELS)
    lows = np.clip(np.round((places - greys) * FINER) + MIDDLE, 0, LEVELS) if fine else np.full_like(greys, MIDDLE)
    decoded = offset + step.astype(np.float64) * (greys + (lows - MIDDLE) / FINER)
    low = encode_png(_lay_out(lows.astype(np.uint8))) if fine else None
    return Sprite(encode_png(_lay_out(greys.astype(np.uint8))), offset, step, low, decoded)


def encode_png(pixels: np.ndarray) -> bytes:
    """A lossless PNG of a grey (rows, columns) or RGB (rows, columns, 3) picture."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def as_base64(content: bytes | np.ndarray) -> str:
    """Bytes, or an array, for JSON; whole numbers of 8 and 16 bits as they are, others as little-endian float32."""
    if isinstance(content, bytes):
        data = content
    else:
        whole = content.dtype in (np.int8, np.uint8, np.dtype("<i2"))
        data = content.tobytes() if whole else content.astype("<f4").tobytes()
    return base64.b64encode(data).decode("ascii")


def _grid(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offset and step per tile, float32, with zero on the grid where the range holds it."""
    holds_zero = (low <= 0) & (high >= 0)
    step = np.where(holds_zero & (low < 0), (high - low) / (LEVELS - 1), (high - low) / LEVELS).astype(np.float32)
    below = np.ceil(-low / np.where(step > 0, step, 1))
    offset = np.where(holds_zero, -below * step, low).astype(np.float32)
    return offset, step


def _lay_out(tiles: np.ndarray) -> np.ndarray:
    """Sixteen tiles a row; the last row is filled up with zeros."""
    height, width, count = tiles.shape
    num_rows = -(-count // TILES_PER_ROW)
    num_columns = min(count, TILES_PER_ROW)
    padded = np.zeros((num_rows * num_columns, height, width), np.uint8)
    padded[:count] = tiles.transpose(2, 0, 1)
    grid = padded.reshape(num_rows, num_columns, height, width).transpose(0, 2, 1, 3)
    return grid.reshape(num_rows * height, num_columns * width)
