"""Backgrounds: indoors and outdoors, from plain walls to a room with a window."""

import numpy as np

from convlens.photos.painting.canvas import Canvas
from convlens.photos.painting.colour import WHITE, Colour, draw_colour, mix, shade, vary
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.geometry import Points, as_points, ellipse, rectangle
from convlens.photos.painting.landscapes import paint_autumn, paint_beach, paint_hills, paint_meadow, paint_night

_WOODS: tuple[Colour, ...] = ((176, 124, 78), (134, 90, 58), (206, 168, 124), (112, 84, 70), (190, 176, 160))
_WALLS: tuple[Colour, ...] = (
    (178, 196, 168),  # sage
    (240, 226, 198),  # cream
    (222, 172, 164),  # dusty rose
    (158, 196, 220),  # sky
    (206, 128, 96),  # terracotta
    (230, 190, 96),  # mustard
    (84, 150, 152),  # teal
    (92, 112, 156),  # denim
    (190, 174, 212),  # lavender
    (206, 204, 200),  # grey
    (150, 96, 110),  # plum
    (122, 152, 96),  # olive
)


def paint_background(canvas: Canvas, dice: Dice) -> None:
    """Paint one of many backgrounds over the whole canvas; some are out of focus."""
    dice.pick(_BACKGROUNDS)(canvas, dice)
    if dice.chance(0.35):
        canvas.soften(dice.uniform(0.006, 0.016))


def _draw_wall(dice: Dice) -> Colour:
    """Draw the colour of a wall, as a paint shop would offer it, in a light or a deep tone."""
    return vary(shade(dice.pick(_WALLS), dice.uniform(0.65, 1.05)), dice, amount=0.08)


def _paint_studio(canvas: Canvas, dice: Dice) -> None:
    """Paint a plain wall with a soft light on it."""
    colour = _draw_wall(dice)
    canvas.gradient(colour, shade(colour, dice.uniform(0.55, 0.9)))
    spot = dice.uniform(0.2, 0.8), dice.uniform(0.1, 0.5)
    canvas.glow(spot, (0.7, 0.7), colour=mix(colour, WHITE, 0.7), strength=0.5)


def _paint_wallpaper(canvas: Canvas, dice: Dice) -> None:
    """Paint a wall with stripes, dots or diamonds above a floor."""
    colour = _draw_wall(dice)
    second = mix(colour, dice.pick((WHITE, shade(colour, 0.6))), dice.uniform(0.3, 0.6))
    canvas.polygon(rectangle((0, 0), (1, 1)), colour)
    dice.pick((_paint_stripes, _paint_dots, _paint_diamonds))(canvas, second, step=dice.uniform(0.07, 0.14))
    if dice.chance(0.6):
        _paint_floor(canvas, dice, top=dice.uniform(0.62, 0.85))


def _paint_stripes(canvas: Canvas, colour: Colour, *, step: float) -> None:
    """Paint upright stripes."""
    for left in np.arange(0, 1, step):
        canvas.polygon(rectangle((left, 0), (left + step * 0.45, 1)), colour)


def _paint_dots(canvas: Canvas, colour: Colour, *, step: float) -> None:
    """Paint dots in shifted rows."""
    for row, y in enumerate(np.arange(0, 1 + step, step)):
        for x in np.arange((row % 2) * step / 2, 1 + step, step):
            canvas.polygon(ellipse((x, y), (step * 0.22, step * 0.22), count=12), colour)


def _paint_diamonds(canvas: Canvas, colour: Colour, *, step: float) -> None:
    """Paint a net of slanting lines."""
    for start in np.arange(-1, 1, step):
        canvas.line(as_points([(start, 0), (start + 1, 1)]), colour, width=step * 0.12)
        canvas.line(as_points([(start + 1, 0), (start, 1)]), colour, width=step * 0.12)


def _paint_floor(canvas: Canvas, dice: Dice, *, top: float) -> None:
    """Paint a wooden floor with a skirting board."""
    wood = vary(dice.pick(_WOODS), dice, amount=0.1)
    canvas.polygon(rectangle((0, top), (1, 1)), wood)
    for x in np.arange(-0.6, 1.6, 0.14):
        canvas.line(as_points([(x, top), (x + (x - 0.5) * 0.8, 1)]), shade(wood, 0.8), width=0.006)
    canvas.polygon(rectangle((0, top - 0.03), (1, top)), mix(wood, WHITE, 0.6))


def _paint_planks(canvas: Canvas, dice: Dice) -> None:
    """Paint wooden planks, upright or level, with their grain."""
    wood, step, upright = dice.pick(_WOODS), dice.uniform(0.1, 0.2), dice.chance(0.5)
    for near in np.arange(-dice.uniform(0, step), 1, step):
        plank = vary(wood, dice, amount=0.12)
        board = rectangle((0, near), (1, near + step - 0.008))
        canvas.polygon(rectangle((0, near), (1, near + step))[:, :: -1 if upright else 1], shade(wood, 0.5))
        canvas.polygon(board[:, :: -1 if upright else 1], plank)
        for _ in range(3):
            y = near + step * dice.uniform(0.15, 0.85)
            grain = as_points([(0, y), (0.5, y + dice.uniform(-0.01, 0.01)), (1, y)])
            canvas.line(grain[:, :: -1 if upright else 1], shade(plank, 0.86), width=0.005)


def _paint_tiles(canvas: Canvas, dice: Dice) -> None:
    """Paint a wall of tiles or bricks: one row may be shifted against the next."""
    colour = _draw_wall(dice)
    canvas.polygon(rectangle((0, 0), (1, 1)), mix(colour, (200, 196, 188), 0.6))
    high, shifted = dice.uniform(0.08, 0.2), dice.chance(0.5)
    wide = high * dice.uniform(1, 2)
    for row, top in enumerate(np.arange(-dice.uniform(0, high), 1, high)):
        for left in np.arange(-wide * (1 + 0.5 * shifted * (row % 2)), 1, wide):
            canvas.polygon(
                rectangle((left, top), (left + wide - 0.01, top + high - 0.01)), vary(colour, dice, amount=0.1)
            )


def _paint_bokeh(canvas: Canvas, dice: Dice) -> None:
    """Paint lights far out of focus."""
    colour = draw_colour(dice, saturation=(0.3, 0.7), value=(0.2, 0.5))
    canvas.gradient(colour, shade(colour, 0.6))
    for _ in range(dice.integer(14, 26)):
        size = dice.uniform(0.03, 0.09)
        light = draw_colour(dice, saturation=(0.2, 0.6), value=(0.8, 1.0))
        disc = ellipse((dice.uniform(0, 1), dice.uniform(0, 1)), (size, size))
        canvas.blend(light, disc, strength=dice.uniform(0.2, 0.6))
    canvas.soften(0.008)


def _paint_room(canvas: Canvas, dice: Dice) -> None:
    """Paint a room with a window or a framed picture, and a floor."""
    wall = _draw_wall(dice)
    canvas.gradient(shade(wall, 1.05), shade(wall, 0.85))
    _paint_floor(canvas, dice, top=dice.uniform(0.62, 0.8))
    left, top = dice.uniform(0.02, 0.6), dice.uniform(0.02, 0.1)
    wide, high = dice.uniform(0.3, 0.4), dice.uniform(0.3, 0.42)
    frame = dice.pick((WHITE, (120, 84, 58), (70, 66, 66)))
    canvas.polygon(rectangle((left - 0.02, top - 0.02), (left + wide + 0.02, top + high + 0.02)), frame)
    _paint_view(canvas, dice, pane=rectangle((left, top), (left + wide, top + high)))
    if dice.chance(0.7):
        canvas.polygon(rectangle((left + wide / 2 - 0.008, top), (left + wide / 2 + 0.008, top + high)), frame)
        canvas.polygon(rectangle((left, top + high / 2 - 0.008), (left + wide, top + high / 2 + 0.008)), frame)
    _paint_curtain(canvas, dice, left=left - 0.07, bottom=top + high + 0.12)


def _paint_view(canvas: Canvas, dice: Dice, *, pane: Points) -> None:
    """Paint what is seen through a window: sky over a hill."""
    (left, top), (right, bottom) = pane[0], pane[2]
    canvas.polygon(pane, vary(dice.pick(((158, 206, 236), (250, 204, 160), (88, 104, 150))), dice))
    horizon = top + (bottom - top) * dice.uniform(0.5, 0.8)
    ridge = [(left, horizon), ((left + right) / 2, horizon - 0.05), (right, horizon + 0.02)]
    canvas.polygon(as_points([*ridge, (right, bottom), (left, bottom)]), vary((116, 158, 92), dice, amount=0.15))


def _paint_curtain(canvas: Canvas, dice: Dice, *, left: float, bottom: float) -> None:
    """Paint a curtain with folds on the left of a window."""
    colour = draw_colour(dice, saturation=(0.3, 0.7), value=(0.5, 0.9))
    for fold in range(4):
        x = left + 0.025 * fold
        canvas.polygon(rectangle((x, 0), (x + 0.025, bottom)), shade(colour, 1.0 if fold % 2 else 0.86))


_BACKGROUNDS = (
    _paint_studio,
    _paint_wallpaper,
    _paint_wallpaper,
    _paint_planks,
    _paint_tiles,
    _paint_bokeh,
    _paint_room,
    _paint_room,
    paint_meadow,
    paint_hills,
    paint_beach,
    paint_night,
    paint_autumn,
)
