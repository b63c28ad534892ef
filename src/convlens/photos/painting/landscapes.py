"""Backgrounds outdoors: meadow, hills, beach, night and autumn."""

import numpy as np

from convlens.photos.painting.canvas import Canvas
from convlens.photos.painting.colour import WHITE, Colour, draw_colour, mix, shade, vary
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.geometry import as_points, ellipse, rectangle, smooth_path

_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((112, 176, 230), (206, 230, 244)),
    ((246, 176, 130), (252, 222, 176)),
    ((150, 164, 184), (214, 218, 222)),
    ((120, 130, 200), (242, 190, 190)),
)


def _paint_sky(canvas: Canvas, dice: Dice, *, horizon: float) -> None:
    """Paint a sky down to the horizon, with sun and clouds."""
    high, low = dice.pick(_SKIES)
    canvas.gradient(high, low, span=(0, horizon))
    if dice.chance(0.5):
        canvas.glow((dice.uniform(0, 1), dice.uniform(0, horizon)), (0.25, 0.25), colour=(255, 244, 200), strength=0.9)
    for _ in range(dice.integer(0, 3)):
        _paint_cloud(canvas, dice, horizon=horizon)


def _paint_cloud(canvas: Canvas, dice: Dice, *, horizon: float) -> None:
    """Paint a cloud of three round puffs."""
    x, y, size = dice.uniform(0, 1), dice.uniform(0.05, 0.7 * horizon), dice.uniform(0.06, 0.12)
    for shift, scale in ((-0.9, 0.7), (0, 1.0), (0.9, 0.75)):
        canvas.glow((x + shift * size, y), (size * scale * 1.4, size * scale), colour=WHITE, strength=0.85)


def paint_hills(canvas: Canvas, dice: Dice) -> None:
    """Paint three rows of hills, the nearer the darker, under a sky."""
    horizon = dice.uniform(0.35, 0.6)
    _paint_sky(canvas, dice, horizon=horizon + 0.15)
    green = vary(dice.pick(((110, 156, 84), (150, 166, 92), (86, 132, 110))), dice, amount=0.12)
    for row in range(3):
        base = horizon + 0.16 * row
        ridge = smooth_path([(x, base + dice.uniform(-0.09, 0.05)) for x in np.linspace(-0.1, 1.1, 6)], 5)
        hill = np.concatenate([ridge, as_points([(1.1, 1), (-0.1, 1)])])
        canvas.polygon(hill, mix(green, (200, 214, 220), 0.45 - 0.2 * row))
        _paint_trees(canvas, dice, ridge=ridge, colour=shade(green, 0.7 + 0.08 * row))


def _paint_trees(canvas: Canvas, dice: Dice, *, ridge: np.ndarray, colour: Colour) -> None:
    """Paint some trees on a ridge: firs are triangles, the others round."""
    fir = dice.chance(0.5)
    for _ in range(dice.integer(0, 4)):
        x, y = ridge[dice.integer(0, len(ridge) - 1)]
        size = dice.uniform(0.03, 0.07)
        pointed = as_points([(x - size * 0.6, y + 0.02), (x, y - 2 * size), (x + size * 0.6, y + 0.02)])
        canvas.polygon(pointed if fir else ellipse((x, y - size * 0.6), (size * 0.7, size)), vary(colour, dice))


def paint_meadow(canvas: Canvas, dice: Dice) -> None:
    """Paint a meadow with blades of grass and flowers; sometimes it fills the whole photo."""
    horizon = dice.pick((0.0, dice.uniform(0.25, 0.5)))
    if horizon > 0:
        _paint_sky(canvas, dice, horizon=horizon)
    green = vary((112, 162, 72), dice, amount=0.15)
    canvas.gradient(shade(green, 1.12), shade(green, 0.76), span=(horizon, 1))
    _paint_blades(canvas, dice, top=horizon, colour=green)
    for _ in range(dice.integer(0, 14)):
        _paint_flower(canvas, dice, top=horizon)


def _paint_blades(canvas: Canvas, dice: Dice, *, top: float, colour: Colour) -> None:
    """Draw many blades of grass, longer the nearer they are."""
    generator = dice.generator()
    root = generator.random((220, 2)) * np.array([1.0, 1.0 - top]) + np.array([0.0, top + 0.02])
    long = 0.02 + 0.07 * (root[:, 1:] - top)
    tip = root + np.concatenate([generator.normal(0, 0.4, (220, 1)), -np.ones((220, 1))], axis=1) * long
    tones = np.clip(np.array(colour) * generator.uniform(0.65, 1.25, (220, 1)), 0, 255).astype(np.uint8)
    canvas.strokes(np.concatenate([root, tip], axis=1), tones, width=0.007)


def _paint_flower(canvas: Canvas, dice: Dice, *, top: float) -> None:
    """Paint a flower of five petals."""
    x, y = dice.uniform(0, 1), dice.uniform(top + 0.05, 1)
    size = 0.008 + 0.018 * (y - top)
    petal = dice.pick((WHITE, draw_colour(dice, saturation=(0.4, 0.8), value=(0.8, 1.0))))
    for angle in np.arange(5) * 1.257:
        spot = x + size * np.cos(angle), y + size * np.sin(angle)
        canvas.polygon(ellipse(spot, (size * 0.7, size * 0.7), count=8), petal)
    canvas.polygon(ellipse((x, y), (size * 0.6, size * 0.6), count=8), (246, 206, 70))


def paint_beach(canvas: Canvas, dice: Dice) -> None:
    """Paint sand, sea and sky."""
    horizon, shore = dice.uniform(0.25, 0.4), dice.uniform(0.5, 0.65)
    _paint_sky(canvas, dice, horizon=horizon)
    sea = vary((72, 146, 176), dice, amount=0.15)
    canvas.polygon(rectangle((0, horizon), (1, 1)), sea)
    for _ in range(10):
        x, y = dice.uniform(-0.1, 1), dice.uniform(horizon + 0.02, shore)
        canvas.line(as_points([(x, y), (x + dice.uniform(0.05, 0.2), y)]), mix(sea, WHITE, 0.5), width=0.006)
    edge = smooth_path([(x, shore + dice.uniform(-0.03, 0.03)) for x in np.linspace(-0.1, 1.1, 6)], 5)
    sand = vary((228, 204, 160), dice, amount=0.08)
    canvas.polygon(np.concatenate([edge, as_points([(1.1, 1), (-0.1, 1)])]), sand)
    canvas.line(edge, WHITE, width=0.014)


def paint_night(canvas: Canvas, dice: Dice) -> None:
    """Paint a night with moon and stars over dark hills."""
    high = vary((34, 38, 84), dice, amount=0.2)
    canvas.gradient(high, (110, 100, 150))
    for _ in range(30):
        size = dice.uniform(0.002, 0.007)
        canvas.polygon(ellipse((dice.uniform(0, 1), dice.uniform(0, 0.7)), (size, size), count=6), (250, 244, 210))
    moon = dice.uniform(0.1, 0.9), dice.uniform(0.08, 0.3)
    canvas.glow(moon, (0.2, 0.2), colour=(246, 236, 190), strength=0.5)
    canvas.polygon(ellipse(moon, (0.07, 0.07)), (248, 240, 206))
    ridge = smooth_path([(x, 0.68 + dice.uniform(-0.08, 0.08)) for x in np.linspace(-0.1, 1.1, 6)], 5)
    canvas.polygon(np.concatenate([ridge, as_points([(1.1, 1), (-0.1, 1)])]), shade(high, 1.3))


def paint_autumn(canvas: Canvas, dice: Dice) -> None:
    """Paint a ground of fallen leaves, or of snow with flakes in the air."""
    snowing = dice.chance(0.4)
    ground: Colour = (198, 210, 224) if snowing else vary((138, 100, 66), dice, amount=0.15)
    canvas.polygon(rectangle((0, 0), (1, 1)), shade(ground, 0.8) if snowing else ground)
    if snowing:
        canvas.glow((0.5, 1.0), (1.0, 0.5), colour=WHITE, strength=0.9)
    for _ in range(70):
        turn, size = dice.uniform(0, 3.1), dice.uniform(0.012, 0.04)
        leaf = vary(dice.pick(((206, 120, 44), (190, 70, 44), (220, 168, 60), (150, 110, 50))), dice, amount=0.12)
        radii = (size * 0.4, size * 0.4) if snowing else (size, size * 0.45)
        spot = dice.uniform(0, 1), dice.uniform(0, 1)
        canvas.polygon(ellipse(spot, radii, turn=turn, count=10), WHITE if snowing else leaf)
