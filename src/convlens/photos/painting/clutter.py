"""Things that lie around behind the animal: balls, plants, cushions, boxes, books, bunting, balloons."""

import numpy as np

from convlens.photos.painting.canvas import Canvas
from convlens.photos.painting.colour import INK, WHITE, Colour, draw_colour, mix, shade, vary
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.geometry import as_points, ellipse, rectangle, rotate, smooth_loop, smooth_path

_MOST_THINGS = 4


def paint_clutter(canvas: Canvas, dice: Dice, *, amount: float) -> None:
    """Paint up to four things, each with the chance `amount`."""
    for number in range(_MOST_THINGS):
        thing = dice.branch(f"thing {number}")
        if thing.chance(amount):
            thing.pick(_THINGS)(canvas, thing)


def _place(dice: Dice, *, top: float = 0.45) -> tuple[float, float]:
    """Draw a place on the ground."""
    return dice.uniform(0.02, 0.98), dice.uniform(top, 0.97)


def _bright(dice: Dice) -> Colour:
    """Draw the colour of a toy or a cloth."""
    return draw_colour(dice, saturation=(0.35, 0.8), value=(0.5, 0.95))


def _paint_shadow(canvas: Canvas, spot: tuple[float, float], *, wide: float) -> None:
    """Paint the soft shadow of a thing that stands at a spot."""
    canvas.glow(spot, (wide * 1.3, wide * 0.35), colour=INK, strength=0.45)


def paint_ball(canvas: Canvas, dice: Dice) -> None:
    """Paint a ball with a band or a ball of yarn."""
    (x, y), size, colour = _place(dice), dice.uniform(0.05, 0.1), _bright(dice)
    _paint_shadow(canvas, (x, y + size * 0.9), wide=size)
    canvas.polygon(ellipse((x, y), (size, size)), colour)
    if dice.chance(0.5):
        for turn in np.arange(6) * 0.5 + dice.uniform(0, 1):
            thread = ellipse((x, y), (size * 0.9, size * 0.4), turn=turn)
            canvas.line(thread[:14], shade(colour, 0.78), width=0.006)
    else:
        band = rotate(np.array([[-1, -0.25], [1, -0.25], [1, 0.25], [-1, 0.25]]) * size * 0.95, dice.uniform(0, 3))
        canvas.polygon(band + np.array([x, y]), mix(colour, WHITE, 0.7))
    canvas.glow((x - size * 0.35, y - size * 0.4), (size * 0.5, size * 0.5), colour=WHITE, strength=0.6)


def _paint_plant(canvas: Canvas, dice: Dice) -> None:
    """Paint a potted plant with long or round leaves."""
    (x, y), size = _place(dice), dice.uniform(0.06, 0.1)
    green, slim = vary((84, 140, 76), dice, amount=0.2), dice.chance(0.5)
    _paint_shadow(canvas, (x, y + size), wide=size)
    for angle in np.linspace(-2.5, -0.6, dice.integer(5, 8)):
        long = size * dice.uniform(1.4, 2.6)
        middle = x + 0.5 * long * np.cos(angle), y - size * 0.2 + 0.5 * long * np.sin(angle)
        leaf = ellipse(middle, (long * 0.5, size * (0.16 if slim else 0.36)), turn=angle, count=14)
        canvas.polygon(leaf, vary(green, dice, amount=0.15))
    pot, colour = size * 0.7, vary(dice.pick(((196, 106, 74), (230, 226, 220), (92, 116, 150))), dice)
    foot = [(x + 0.7 * pot, y + size), (x - 0.7 * pot, y + size)]
    canvas.polygon(as_points([(x - pot, y - 0.2 * size), (x + pot, y - 0.2 * size), *foot]), colour)
    canvas.polygon(rectangle((x - 1.12 * pot, y - 0.3 * size), (x + 1.12 * pot, y)), shade(colour, 0.88))


def _paint_cushion(canvas: Canvas, dice: Dice) -> None:
    """Paint a cushion with piping and a pattern of stripes."""
    (x, y), size, colour = _place(dice), dice.uniform(0.1, 0.17), _bright(dice)
    corners = [(-1, -0.62), (0, -0.5), (1, -0.62), (0.86, 0), (1, 0.62), (0, 0.5), (-1, 0.62), (-0.86, 0)]
    outline = rotate(smooth_loop(corners) * size, dice.uniform(-0.4, 0.4)) + np.array([x, y])
    _paint_shadow(canvas, (x, y + size * 0.55), wide=size)
    canvas.polygon(outline, colour)
    canvas.line(np.concatenate([outline, outline[:1]]), shade(colour, 0.7), width=0.008)
    shine = mix(colour, WHITE, 0.6)
    canvas.glow((x - size * 0.2, y - size * 0.2), (size * 0.6, size * 0.4), colour=shine, strength=0.6)


def _paint_box(canvas: Canvas, dice: Dice) -> None:
    """Paint a parcel with a ribbon or a cardboard box."""
    (x, y), size = _place(dice), dice.uniform(0.07, 0.13)
    colour = dice.pick((vary((196, 152, 104), dice, amount=0.1), _bright(dice)))
    _paint_shadow(canvas, (x, y + size * 0.8), wide=size)
    canvas.polygon(rectangle((x - size, y - size * 0.6), (x + size, y + size * 0.8)), colour)
    lid = [
        (x - size, y - size * 0.6),
        (x - 0.7 * size, y - size),
        (x + 0.8 * size, y - size),
        (x + size, y - size * 0.6),
    ]
    canvas.polygon(as_points(lid), shade(colour, 1.15))
    canvas.polygon(rectangle((x - 0.14 * size, y - size * 0.6), (x + 0.14 * size, y + size * 0.8)), shade(colour, 0.72))


def _paint_books(canvas: Canvas, dice: Dice) -> None:
    """Paint a pile of books."""
    (x, y), size = _place(dice), dice.uniform(0.09, 0.14)
    _paint_shadow(canvas, (x, y), wide=size)
    for number in range(dice.integer(2, 4)):
        shift, top = dice.uniform(-0.02, 0.02), y - 0.04 * (number + 1)
        canvas.polygon(rectangle((x - size + shift, top), (x + size + shift, top + 0.038)), _bright(dice))
        canvas.polygon(
            rectangle((x + size * 0.8 + shift, top + 0.007), (x + size + shift, top + 0.031)), (238, 230, 210)
        )


def _paint_bunting(canvas: Canvas, dice: Dice) -> None:
    """Paint a string of pointed flags across the upper part."""
    height, sag, step = dice.uniform(0.03, 0.3), dice.uniform(0.04, 0.14), dice.uniform(0.09, 0.14)
    string = smooth_path([(0, height), (0.5, height + sag), (1, height - 0.02)], 10)
    canvas.line(string, (236, 230, 220), width=0.006)
    for left in np.arange(0.02, 1, step):
        top = float(np.interp(left + step * 0.4, string[:, 0], string[:, 1]))
        tip = left + step * 0.4, top + step * dice.uniform(0.9, 1.2)
        canvas.polygon(as_points([(left, top), (left + step * 0.8, top), tip]), _bright(dice))


def _paint_balloon(canvas: Canvas, dice: Dice) -> None:
    """Paint a balloon on a string."""
    x, y, size, colour = dice.uniform(0, 1), dice.uniform(0.05, 0.5), dice.uniform(0.06, 0.1), _bright(dice)
    canvas.line(smooth_path([(x, y + size), (x + 0.03, y + 2.4 * size), (x - 0.02, y + 4 * size)]), WHITE, width=0.005)
    canvas.polygon(ellipse((x, y), (size * 0.85, size * 1.1)), colour)
    canvas.glow((x - size * 0.3, y - size * 0.4), (size * 0.45, size * 0.5), colour=WHITE, strength=0.55)


def _paint_bowl(canvas: Canvas, dice: Dice) -> None:
    """Paint a bowl of food."""
    (x, y), size, colour = _place(dice, top=0.6), dice.uniform(0.07, 0.11), _bright(dice)
    _paint_shadow(canvas, (x, y + size * 0.5), wide=size)
    canvas.polygon(ellipse((x, y - 0.1 * size), (size * 0.8, size * 0.4)), vary((140, 92, 60), dice))
    foot = [(x + size, y + size * 0.5), (x - size, y + size * 0.5)]
    canvas.polygon(as_points([(x - size * 0.9, y), (x + size * 0.9, y), *foot]), colour)


_THINGS = (
    paint_ball,
    _paint_plant,
    _paint_plant,
    _paint_cushion,
    _paint_box,
    _paint_books,
    _paint_bunting,
    _paint_balloon,
    _paint_bowl,
)
