"""Fur: short strokes that take the colour below them, a little lighter or darker."""

import numpy as np

from convlens.photos.painting.canvas import Canvas
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.geometry import Points, outward


def fur_edge(canvas: Canvas, outline: Points, *, length: float, count: int, dice: Dice) -> Points:
    """Draw hairs that stick out of an outline (both in shares of the side) and return their tips."""
    generator = dice.generator()
    index = generator.integers(0, len(outline), count)
    lean = generator.normal(0.0, 0.3, (count, 2)) + np.array([0.0, 0.4])
    start = outline[index] + (np.roll(outline, -1, axis=0)[index] - outline[index]) * generator.random((count, 1))
    inside = start + (outline.mean(axis=0) - start) * 0.09
    tips: Points = start + (outward(outline)[index] + lean) * length * generator.uniform(0.3, 1.0, (count, 1))
    _draw_hairs(canvas, inside, tips, width=0.0035, generator=generator)
    return tips


def fur_inside(canvas: Canvas, outline: Points, *, length: float, count: int, dice: Dice) -> None:
    """Draw hairs all over a shape, combed from its middle to its edge."""
    generator = dice.generator()
    middle = outline.mean(axis=0)
    spoke = outline[generator.integers(0, len(outline), count)] - middle
    start = middle + spoke * 0.92 * np.sqrt(generator.random((count, 1)))
    combed = spoke / np.maximum(np.linalg.norm(spoke, axis=1, keepdims=True), 1e-9)
    lean = generator.normal(0.0, 0.35, (count, 2))
    _draw_hairs(canvas, start, start + (combed + lean) * length, width=0.0035, generator=generator)


def _draw_hairs(canvas: Canvas, start: Points, tips: Points, *, width: float, generator: np.random.Generator) -> None:
    """Draw one hair from each start to its tip."""
    tone = generator.uniform(0.8, 1.16, (len(start), 1))
    colours = np.clip(canvas.colours_at(start) * tone, 0, 255).astype(np.uint8)
    canvas.strokes(np.concatenate([start, tips], axis=1), colours, width=width)
