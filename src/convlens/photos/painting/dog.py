"""The shape of a dog: hanging or rounded ears, round pupils, a long muzzle with a big oval nose, short whiskers."""

from convlens.photos.painting.anatomy import Anatomy, Ear, Eye, Muzzle, Nose, Whiskers
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.geometry import (
    Points,
    as_points,
    ellipse,
    mirror,
    shrink,
    smooth_halves,
    smooth_loop,
    smooth_path,
)

_EARS = ("hanging",) * 5 + ("folded",) * 4 + ("round",)


def draw_dog(dice: Dice) -> Anatomy:
    """Draw the shape of one dog."""
    return Anatomy(
        skull=_draw_skull(dice),
        ears=_draw_ears(dice),
        eye=_draw_eye(dice),
        muzzle=_draw_muzzle(dice),
        nose=_draw_nose(dice),
        whiskers=_draw_whiskers(dice),
    )


def _draw_skull(dice: Dice) -> Points:
    """Draw a face that is higher than wide and narrows towards the chin."""
    jaw, brow = dice.uniform(0.5, 0.62), dice.uniform(0.82, 0.92)
    upper = [(0.0, -0.86), (0.48, -0.82), (brow, -0.42), (0.9, 0.04)]
    return smooth_halves([*upper, (jaw + 0.2, 0.5), (jaw * 0.85, 0.86), (0.0, 0.98)])


def _draw_ears(dice: Dice) -> tuple[Ear, Ear]:
    """Draw a pair of hanging, folded or round ears; the second differs a little from the first."""
    kind, size = dice.pick(_EARS), dice.uniform(0.88, 1.1)
    shape = {"hanging": _hanging_ear, "folded": _folded_ear, "round": _round_ear}[kind]
    first, second = (shape(size * dice.uniform(0.96, 1.04), dice.uniform(-0.08, 0.08)) for _ in range(2))
    return first, second


def _hanging_ear(size: float, swing: float) -> Ear:
    """Return an ear that hangs down beside the cheek."""
    outside = [(0.4, -0.8), (0.82, -0.88), (1.14, -0.52), (1.26 + swing, -0.5 + 0.55 * size)]
    tip = [(1.16 + swing, -0.5 + 0.98 * size), (0.94 + swing, -0.52 + 0.9 * size)]
    outer = smooth_loop([*outside, *tip, (0.8, -0.5 + 0.45 * size), (0.66, -0.46)], 5)
    return Ear(outer, None, in_front=True)


def _folded_ear(size: float, swing: float) -> Ear:
    """Return an ear that stands at its root and folds over, with a soft tip."""
    fold = [(0.3, -0.8), (0.56, -1.06 * size), (0.94, -1.08 * size), (1.16 * size, -0.84)]
    tip = [(1.2 * size + swing, -0.42), (1.02 + swing, -0.28)]
    outer = smooth_loop([*fold, *tip, (0.82, -0.5), (0.6, -0.62)], 5)
    return Ear(outer, None, in_front=True)


def _round_ear(size: float, swing: float) -> Ear:
    """Return a round ear that stands off to the side."""
    outer = ellipse((0.84 + swing / 2, -0.68), (0.36 * size, 0.46 * size), turn=0.8 + swing)
    return Ear(outer, shrink(outer, (0.78, -0.6), factor=0.62), in_front=False)


def _draw_eye(dice: Dice) -> Eye:
    """Draw a round eye with a round pupil."""
    size = dice.uniform(0.92, 1.1)
    pupil = 0.115 * size * dice.uniform(0.9, 1.1)
    centre = dice.uniform(0.36, 0.42), dice.uniform(-0.22, -0.12)
    return Eye(centre, (0.2 * size, 0.195 * size), dice.uniform(-0.2, 0.25), dice.uniform(0.0, 0.25), (pupil, pupil))


def _draw_muzzle(dice: Dice) -> Muzzle:
    """Draw a long muzzle with jowls over a chin."""
    wide, end = dice.uniform(0.4, 0.48), dice.uniform(0.74, 0.84)
    chin = ellipse((0, end + 0.04), (wide * 0.6, 0.15))
    upper = [(0.0, -0.05), (0.2, 0.02), (wide * 0.8, 0.3)]
    bridge = smooth_halves([*upper, (wide, 0.6), (wide * 0.72, end), (0.0, end - 0.06)])
    corner = smooth_path([(0, 0.62), (0.14, 0.74), (wide * 0.7, 0.74), (wide * 0.95, 0.6)], 4)
    philtrum = as_points([(0, 0.4), (0, 0.62)])
    return Muzzle((chin, bridge), 0.75, (philtrum, corner, mirror(corner)), (0.0, 0.69))


def _draw_nose(dice: Dice) -> Nose:
    """Draw a big oval nose, flatter above than below."""
    wide, high = dice.uniform(0.2, 0.25), dice.uniform(0.14, 0.18)
    upper = [(0.0, 0.3 - high), (wide * 0.8, 0.31 - high * 0.8), (wide, 0.31)]
    outline = smooth_halves([*upper, (wide * 0.5, 0.31 + high * 0.8), (0.0, 0.31 + high)], 4)
    return Nose(outline, (0.09, 0.33), 0.9)


def _draw_whiskers(dice: Dice) -> Whiskers:
    """Draw a few short hairs on the jowl."""
    reach = dice.uniform(0.28, 0.55)
    hairs = []
    for row in range(dice.integer(2, 3)):
        root = (0.24 + dice.uniform(0, 0.06), 0.48 + 0.09 * row)
        middle = root[0] + 0.5 * reach, root[1] - 0.02 + 0.04 * row
        hairs.append(smooth_path([root, middle, (root[0] + reach, root[1] + 0.02 + 0.1 * row)], 4))
    return Whiskers(tuple(hairs))
