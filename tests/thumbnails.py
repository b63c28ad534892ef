"""Smooth pictures, each from its own number, and their thumbnails: alike for nobody but their copies."""

import numpy as np
from PIL import Image


def paint_picture(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Blurred coarse noise with sharp patches, RGB."""
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 256, (9, 9), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).convert("RGB")


def paint_thumbnail(seed: int, box: tuple[float, float, float, float] = (0, 0, 1, 1)) -> np.ndarray:
    """The gray thumbnail of a part (left, top, right, bottom, in shares) of a picture; uint8 (32, 32)."""
    picture = paint_picture(seed, (200, 200)).convert("L")
    return np.asarray(picture.resize((32, 32), Image.Resampling.BOX, box=tuple(200 * edge for edge in box)))
