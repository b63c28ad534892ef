"""Paints the body below the head: sitting, with paws, tail and perhaps a collar; the same for cats and dogs."""

from collections.abc import Callable

import numpy as np

from convlens.photos.painting.canvas import Canvas
from convlens.photos.painting.coat import Coat
from convlens.photos.painting.colour import INK, WHITE, Colour, mix, shade
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.fur import fur_edge, fur_inside
from convlens.photos.painting.geometry import Points, ellipse, mirror, smooth_halves, smooth_loop, smooth_path
from convlens.photos.painting.pose import Pose

Place = Callable[[Points], Points]


def paint_body(canvas: Canvas, coat: Coat, *, pose: Pose, dice: Dice) -> None:
    """Paint a sitting body under the head; in a close-up most of it is outside the photo."""
    spot = np.array([pose.x, pose.y])
    long, wide = dice.uniform(2.3, 2.7), dice.uniform(0.86, 1.05)

    def place(points: Points) -> Points:
        """Return points in radii below the middle of the head in the photo."""
        placed: Points = points * pose.radius + spot
        return placed

    foot = place(np.array([[0.0, long]]))[0]
    canvas.glow((foot[0], foot[1]), (1.7 * pose.radius, 0.34 * pose.radius), colour=INK, strength=0.55)
    _paint_tail(canvas, coat, tail=place(_draw_tail(long, dice)), width=0.26 * pose.radius)
    trunk = place(_trunk(long, wide))
    _paint_trunk(canvas, coat, trunk=trunk, pose=pose, dice=dice)
    _paint_legs(canvas, coat, legs=[place(leg) for leg in _legs(long)], dice=dice)
    _paint_paws(canvas, coat, paws=[place(paw) for paw in _paws(long)], dice=dice)
    if coat.collar is not None:
        _paint_collar(canvas, coat.collar, place=place, radius=pose.radius)


def _trunk(long: float, wide: float) -> Points:
    """Return the outline of the trunk from the neck to the haunches."""
    neck = [(0.0, 0.2), (0.5, 0.5), (0.58, 1.0), (0.74 * wide, 1.5)]
    return smooth_halves([*neck, (1.06 * wide, long - 0.45), (0.86 * wide, long), (0.0, long)])


def _legs(long: float) -> list[Points]:
    """Return the outlines of both front legs."""
    outside = [(0.2, 1.35), (0.44, 1.6), (0.4, long - 0.3), (0.52, long - 0.02), (0.3, long + 0.1)]
    right = smooth_loop([*outside, (0.06, long - 0.02), (0.1, long - 0.3), (0.06, 1.7)], 5)
    return [right, mirror(right)]


def _paws(long: float) -> list[Points]:
    """Return the outlines of both front paws."""
    return [ellipse((side * 0.29, long - 0.04), (0.25, 0.17)) for side in (-1, 1)]


def _draw_tail(long: float, dice: Dice) -> Points:
    """Draw the middle line of a tail that comes out on one side."""
    tip = dice.uniform(0.1, 0.7)
    rise = [(1.62, long - 0.4), (1.56, long - 0.7 - tip), (1.3 + 0.5 * tip, long - 0.9 - tip)]
    line = smooth_path([(0.6, long - 0.3), (1.2, long - 0.1), *rise], 8)
    return line if dice.chance(0.5) else mirror(line)


def _paint_tail(canvas: Canvas, coat: Coat, *, tail: Points, width: float) -> None:
    """Paint a tail as a thick line with a round end in the second colour."""
    canvas.line(tail, shade(coat.fur, 0.86), width=width)
    tip = tail[-7:]
    canvas.line(tip, shade(coat.second, 0.95), width=width)
    canvas.polygon(ellipse((tip[-1, 0], tip[-1, 1]), (width / 2, width / 2)), shade(coat.second, 0.95))


def _paint_trunk(canvas: Canvas, coat: Coat, *, trunk: Points, pose: Pose, dice: Dice) -> None:
    """Paint the trunk with a light chest, the shadow of the head and fur."""
    radius = pose.radius
    layer = canvas.layer(shade(coat.fur, 0.94))
    layer.glow((pose.x, pose.y + 1.6 * radius), (0.55 * radius, 0.8 * radius), colour=coat.light, strength=0.8)
    shadow = shade(coat.fur, 0.35)
    layer.glow((pose.x, pose.y + 0.8 * radius), (1.1 * radius, 0.7 * radius), colour=shadow, strength=0.6)
    canvas.lay(layer, trunk)
    fur_inside(canvas, trunk, length=0.16 * radius, count=90, dice=dice)
    fur_edge(canvas, trunk, length=0.11 * radius * coat.fluff, count=80, dice=dice)


def _paint_legs(canvas: Canvas, coat: Coat, *, legs: list[Points], dice: Dice) -> None:
    """Paint the front legs, each with a line of shadow."""
    for leg in legs:
        canvas.blend(shade(coat.fur, 0.98), leg, strength=0.75)
        canvas.line(leg[8:-8], mix(coat.fur, coat.line, 0.45), width=0.004)
        fur_inside(canvas, leg, length=0.03, count=20, dice=dice)


def _paint_paws(canvas: Canvas, coat: Coat, *, paws: list[Points], dice: Dice) -> None:
    """Paint the paws with their toes; some animals wear socks."""
    colour = dice.pick((coat.fur, coat.fur, mix(coat.light, WHITE, 0.5), coat.second))
    line = mix(colour, coat.line, 0.5)
    for paw in paws:
        canvas.polygon(paw, colour)
        canvas.line(np.concatenate([paw, paw[:1]]), line, width=0.004)
        middle, half = paw.mean(axis=0), (paw.max(axis=0) - paw.min(axis=0)) / 2
        for shift in (-0.3, 0.3):
            toe = np.array([[shift, 0.25], [shift * 1.1, 0.85]]) * half + middle
            canvas.line(toe, line, width=0.005)


def _paint_collar(canvas: Canvas, colour: Colour, *, place: Place, radius: float) -> None:
    """Paint a collar with a round tag."""
    band = smooth_path([(-0.56, 0.98), (0.0, 1.2), (0.56, 0.98)], 6)
    canvas.line(place(band), colour, width=0.16 * radius)
    canvas.polygon(place(ellipse((0.0, 1.34), (0.12, 0.13), count=16)), (226, 186, 84))
    canvas.polygon(place(ellipse((-0.03, 1.3), (0.04, 0.04), count=10)), (250, 232, 170))
