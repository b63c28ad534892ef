"""Markings on the face: shapes in radii of the head, each with its colour; the same for cats and dogs."""

from collections.abc import Callable

import numpy as np

from convlens.photos.painting.coat import Coat
from convlens.photos.painting.colour import WHITE, Colour, mix
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.geometry import Points, ellipse, mirror, smooth_halves, smooth_loop

Mark = tuple[Points, Colour]


def draw_marks(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw the marks of a coat, in the order in which they are painted."""
    return _MARKS[coat.markings](coat, dice)


def _plain(_coat: Coat, _dice: Dice) -> list[Mark]:
    """Return no marks at all."""
    return []


def _tabby(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw stripes over the forehead and the cheeks."""
    colour = mix(coat.fur, coat.second, dice.uniform(0.55, 0.9))
    brow = [((top, -0.9), (0.75 * top, dice.uniform(-0.55, -0.4))) for top in (0.0, 0.24, 0.48)]
    cheek = [((1.05, height - 0.08), (dice.uniform(0.6, 0.72), height)) for height in (0.08, 0.32, 0.54)]
    stripes = [_stripe(start, end, width=0.07) for start, end in (*brow, *cheek)]
    return [(side(stripe), colour) for stripe in stripes for side in (np.asarray, mirror)]


def _stripe(start: tuple[float, float], end: tuple[float, float], *, width: float) -> Points:
    """Return a stripe that is wide at its start and pointed at its end."""
    along = np.array(end) - np.array(start)
    across = np.array([-along[1], along[0]]) / np.linalg.norm(along) * width
    middle = np.array(start) + 0.5 * along
    return np.stack([start + across * 0.7, middle + across, end, middle - across, start - across * 0.7])


def _patches(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw two to four patches anywhere, in the second colour or in white."""
    return [(_blob(dice), dice.pick((coat.second, coat.second, WHITE))) for _ in range(dice.integer(2, 4))]


def _blob(dice: Dice) -> Points:
    """Draw an uneven round shape."""
    angle, away, size = dice.uniform(0, 2 * np.pi), dice.uniform(0.3, 0.85), dice.uniform(0.28, 0.5)
    corners = ellipse((away * np.cos(angle), away * np.sin(angle)), (size, size * dice.uniform(0.7, 1.2)), count=7)
    uneven = np.array([[dice.uniform(-0.08, 0.08), dice.uniform(-0.08, 0.08)] for _ in corners])
    return smooth_loop(corners + uneven)


def _bicolour(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw a white lower face that runs up between the eyes."""
    peak, foot = dice.uniform(-0.9, -0.2), dice.uniform(0.5, 0.8)
    half = [(0.0, peak), (0.1, -0.1), (0.32, 0.22), (foot, 0.42), (0.9, 0.8), (0.4, 1.2), (0.0, 1.2)]
    return [(smooth_halves(half), mix(coat.light, WHITE, 0.7))]


def _mask(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw a mask of the second colour around the eyes."""
    round_eye = ellipse((0.4, -0.1), (0.34, dice.uniform(0.26, 0.36)), turn=dice.uniform(-0.3, 0.1))
    return [(round_eye, coat.second), (mirror(round_eye), coat.second)]


def _blaze(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw one half of the face in the second colour, or a light line down the middle."""
    if dice.chance(0.4):
        side = dice.sign()
        half = smooth_loop([(0.04, -1.2), (1.2, -1.2), (1.2, 1.2), (0.3, 1.0), (0.12, 0.2), (0.03, -0.4)])
        return [(half * np.array([side, 1]), coat.second)]
    wide = dice.uniform(0.08, 0.16)
    line = smooth_halves([(0.0, -1.0), (wide * 1.6, -0.9), (wide, -0.3), (0.2, 0.5), (0.0, 0.55)])
    return [(line, mix(coat.light, WHITE, 0.6))]


def _brows(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw light spots over the eyes and on the cheeks."""
    brow = ellipse((0.36, -0.42), (0.12, 0.08), turn=-0.3)
    cheek = ellipse((0.66, 0.4), (0.22, dice.uniform(0.16, 0.26)))
    return [(side(spot), mix(coat.light, coat.fur, 0.2)) for spot in (brow, cheek) for side in (np.asarray, mirror)]


_MARKS: dict[str, Callable[[Coat, Dice], list[Mark]]] = {
    "plain": _plain,
    "tabby": _tabby,
    "patches": _patches,
    "bicolour": _bicolour,
    "mask": _mask,
    "blaze": _blaze,
    "brows": _brows,
}
