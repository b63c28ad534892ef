"""From the large canvas to a photo: light, lens and sensor; the same for every class."""

import numpy as np
from PIL import Image, ImageFilter

from convlens.photos.painting.canvas import SUPERSAMPLE, Canvas
from convlens.photos.painting.dice import Dice


def take_photo(canvas: Canvas, dice: Dice, *, strength: float) -> Image.Image:
    """Return the finished picture; `strength` (0 to 1) scales uneven light, blur and noise."""
    image = canvas.image.reduce(SUPERSAMPLE)
    radius = strength * dice.pick((0.0, 0.4, 0.7, 1.1)) * image.width / 160
    if radius > 0:
        image = image.filter(ImageFilter.BoxBlur(radius))
    light = np.asarray(image, dtype=np.float32) * _draw_light(image.width, dice, strength=strength)
    light = light + _draw_noise(image.width, dice, strength=strength)
    return Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))


def _draw_light(side: int, dice: Dice, *, strength: float) -> np.ndarray:
    """Draw the factor by which light scales every pixel: exposure, colour temperature, a lit side, a dark rim."""
    across, down = np.meshgrid(np.linspace(-1, 1, side, dtype=np.float32), np.linspace(-1, 1, side, dtype=np.float32))
    angle, slope = dice.uniform(0, 2 * np.pi), strength * dice.uniform(0, 0.45)
    lit = 1 + slope * (across * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle)))
    rim = 1 - strength * dice.uniform(0, 0.4) * (across**2 + down**2) / 2
    exposure, warmth = 1 + strength * dice.uniform(-0.45, 0.3), strength * dice.uniform(-0.2, 0.2)
    white = np.array([1 + warmth, 1, 1 - warmth], dtype=np.float32) * np.float32(exposure)
    return np.asarray((lit * rim)[..., None] * white, dtype=np.float32)


def _draw_noise(side: int, dice: Dice, *, strength: float) -> np.ndarray:
    """Draw the noise of a sensor: mostly brightness, a little colour."""
    amount = np.float32(strength * (1.0 + 17.0 * dice.uniform(0, 1) ** 2))
    generator = dice.generator()
    colour = generator.standard_normal((side, side, 3), dtype=np.float32)
    grey = np.roll(colour[..., :1], side // 3, axis=0)
    return np.asarray(amount * (np.float32(0.8) * grey + np.float32(0.4) * colour), dtype=np.float32)


def draw_jpeg_quality(dice: Dice) -> int:
    """Draw the JPEG quality, 40 to 95."""
    return dice.integer(40, 95)
