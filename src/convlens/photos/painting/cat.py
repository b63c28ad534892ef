"""The shape of a cat: pointed ears, a wide face, almond eyes with slit pupils, a small muzzle, long whiskers."""

from convlens.photos.painting.anatomy import Anatomy, Ear, Eye, Muzzle, Nose, Whiskers
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.geometry import Points, as_points, ellipse, mirror, shrink, smooth_halves, smooth_path


def draw_cat(dice: Dice) -> Anatomy:
    """Draw the shape of one cat."""
    stretch = dice.uniform(0.96, 1.08)
    return Anatomy(
        skull=_draw_skull(dice, stretch),
        ears=_draw_ears(dice, stretch),
        eye=_draw_eye(dice),
        muzzle=_draw_muzzle(dice),
        nose=_draw_nose(dice),
        whiskers=_draw_whiskers(dice),
    )


def _draw_skull(dice: Dice, stretch: float) -> Points:
    """Draw a face that is wider than high, with full cheeks."""
    cheek = dice.uniform(0.94, 1.04) * stretch
    upper = [(0.0, -0.8), (0.48 * stretch, -0.74), (0.86 * stretch, -0.36), (cheek, 0.14)]
    return smooth_halves([*upper, (0.84 * cheek, 0.54), (0.46, 0.8), (0.0, 0.88)])


def _draw_ears(dice: Dice, stretch: float) -> tuple[Ear, Ear]:
    """Draw two upright triangles, which may point in slightly different directions."""
    height, spread = dice.uniform(1.24, 1.6), dice.uniform(0.56, 0.9)
    first, second = (
        _ear(spread + dice.uniform(-0.06, 0.06), height + dice.uniform(-0.08, 0.04), stretch) for _ in range(2)
    )
    return first, second


def _ear(spread: float, height: float, stretch: float) -> Ear:
    """Return one ear with its tip at (spread, -height)."""
    inner_base, outer_base = (0.16 * stretch, -0.74), (0.95 * stretch, -0.18)
    left_bulge = (0.5 * (inner_base[0] + spread) - 0.05, 0.5 * (-0.74 - height) - 0.02)
    right_bulge = (0.5 * (outer_base[0] + spread) + 0.07, 0.5 * (-0.18 - height) - 0.02)
    left = smooth_path([inner_base, left_bulge, (spread, -height)], 5)
    right = smooth_path([(spread, -height), right_bulge, outer_base], 5)
    outer = as_points([*map(tuple, left), *map(tuple, right[1:]), (0.4, -0.3)])
    return Ear(outer, shrink(outer, (0.56 * stretch, -0.62), factor=0.66), in_front=False)


def _draw_eye(dice: Dice) -> Eye:
    """Draw an almond with a slit pupil."""
    size = dice.uniform(0.92, 1.1)
    pupil = 0.04 + 0.1 * dice.uniform(0, 1) ** 2, 0.18 * size
    centre = dice.uniform(0.4, 0.46), dice.uniform(-0.1, -0.02)
    return Eye(centre, (0.27 * size, 0.2 * size), dice.uniform(-0.35, -0.1), dice.uniform(0.2, 0.65), pupil)


def _draw_muzzle(dice: Dice) -> Muzzle:
    """Draw two whisker pads over a small chin."""
    wide = dice.uniform(0.9, 1.1)
    pad = ellipse((0.16 * wide, 0.42), (0.23 * wide, 0.17))
    chin = ellipse((0, 0.6), (0.16 * wide, 0.12))
    corner = smooth_path([(0.0, 0.43), (0.1 * wide, 0.53), (0.25 * wide, 0.5), (0.31 * wide, 0.43)], 4)
    philtrum = as_points([(0.0, 0.28), (0.0, 0.43)])
    return Muzzle((chin, pad, mirror(pad)), 0.7, (philtrum, corner, mirror(corner)), (0.0, 0.5))


def _draw_nose(dice: Dice) -> Nose:
    """Draw a small triangle that stands on its tip."""
    wide, high = dice.uniform(0.12, 0.15), dice.uniform(0.12, 0.15)
    half = [(0.0, 0.18), (wide, 0.17), (wide * 0.8, 0.18 + high * 0.5), (0.0, 0.19 + high)]
    return Nose(smooth_halves(half, 4), (0.05, 0.245), 0.8)


def _draw_whiskers(dice: Dice) -> Whiskers:
    """Draw long hairs that fan out from the pad."""
    reach, droop = dice.uniform(0.65, 1.1), dice.uniform(-0.05, 0.15)
    hairs = []
    for row in range(dice.integer(3, 4)):
        rise = -0.22 + 0.2 * row + dice.uniform(-0.04, 0.04)
        root = (0.24 + dice.uniform(0, 0.06), 0.36 + 0.05 * row)
        middle = root[0] + 0.5 * reach, root[1] + 0.6 * rise - 0.03
        hairs.append(smooth_path([root, middle, (root[0] + reach, root[1] + rise + droop)], 4))
    return Whiskers(tuple(hairs))
