"""Coats of animals: colors, fur and markings."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convlens.data.synthetic.canvas import (
    WHITE,
    Canvas,
    Color,
    Dice,
    Points,
    ellipse,
    mirror,
    mix,
    outward,
    shade,
    smooth_halves,
    smooth_loop,
    vary,
)

# --- Colors and markings of an animal; drawn without knowing the class, so that they never tell it ---

_FURS: tuple[Color, ...] = (
    (226, 142, 66),  # ginger
    (240, 212, 168),  # cream
    (138, 142, 154),  # blue gray
    (66, 60, 64),  # black
    (238, 234, 226),  # white
    (120, 78, 52),  # chocolate
    (206, 168, 118),  # fawn
    (172, 98, 56),  # russet
    (222, 180, 104),  # golden
    (184, 180, 176),  # silver
    (160, 128, 96),  # sand
)
_IRISES: tuple[Color, ...] = (
    (236, 178, 54),
    (150, 186, 72),
    (104, 168, 206),
    (146, 92, 44),
    (196, 124, 46),
    (98, 176, 142),
)
_NOSES: tuple[Color, ...] = ((222, 134, 134), (54, 44, 48), (112, 70, 60), (62, 50, 54), (186, 104, 104))
_TONGUES: tuple[Color, ...] = ((232, 106, 124), (222, 92, 108), (240, 128, 140))
MARKINGS = ("plain", "tabby", "patches", "bicolor", "mask", "blaze", "brows")


@dataclass(frozen=True)
class Coat:
    """The colors of one animal, and the name of its markings (one of `MARKINGS`)."""

    fur: Color
    second: Color
    light: Color
    markings: str
    ears: tuple[Color, Color]
    inner_ear: Color
    muzzle: Color
    iris: Color
    nose: Color
    tongue: Color
    collar: Color | None
    fluff: float

    @property
    def line(self) -> Color:
        """The color of contours: the fur, much darker."""
        return shade(mix(self.fur, (90, 50, 40), 0.35), 0.45)


def draw_coat(dice: Dice) -> Coat:
    """Draw a coat; every color comes from the same list for every animal."""
    fur = vary(dice.pick(_FURS), dice, amount=0.1)
    second = _draw_second(dice, fur)
    light = mix(fur, WHITE, dice.uniform(0.35, 0.8))
    return Coat(
        fur=fur,
        second=second,
        light=light,
        markings=dice.pick(MARKINGS),
        ears=(dice.pick((fur, fur, second)), dice.pick((fur, fur, second))),
        inner_ear=mix(vary((226, 160, 150), dice), fur, dice.uniform(0.1, 0.45)),
        muzzle=dice.pick((light, light, mix(fur, light, 0.4), mix(fur, second, 0.4))),
        iris=vary(dice.pick(_IRISES), dice, amount=0.1),
        nose=vary(dice.pick(_NOSES), dice, amount=0.1),
        tongue=vary(dice.pick(_TONGUES), dice),
        collar=_draw_collar(dice),
        fluff=dice.uniform(0.35, 1.25),
    )


def _draw_second(dice: Dice, fur: Color) -> Color:
    """Draw the color of the markings, far enough from the fur to be seen."""
    other = vary(dice.pick(_FURS), dice, amount=0.1)
    if abs(sum(other) - sum(fur)) > 120:
        return other
    return shade(fur, 0.55) if sum(fur) > 300 else mix(fur, WHITE, 0.55)


def _draw_collar(dice: Dice) -> Color | None:
    """Draw the color of a collar, which half of the animals wear."""
    color = vary(dice.pick(((206, 62, 62), (54, 112, 190), (64, 150, 102), (232, 178, 60), (134, 84, 164))), dice)
    return color if dice.chance(0.5) else None


# --- Fur: short strokes that take the color below them, a little lighter or darker ---


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
    colors = np.clip(canvas.colors_at(start) * tone, 0, 255).astype(np.uint8)
    canvas.strokes(np.concatenate([start, tips], axis=1), colors, width=width)


# --- Markings on the face: shapes in radii of the head, each with its color; the same for cats and dogs ---

Mark = tuple[Points, Color]


def draw_marks(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw the marks of a coat, in the order in which they are painted."""
    return _MARKS[coat.markings](coat, dice)


def _plain(_coat: Coat, _dice: Dice) -> list[Mark]:
    """Return no marks at all."""
    return []


def _tabby(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw stripes over the forehead and the cheeks."""
    color = mix(coat.fur, coat.second, dice.uniform(0.55, 0.9))
    brow = [((top, -0.9), (0.75 * top, dice.uniform(-0.55, -0.4))) for top in (0.0, 0.24, 0.48)]
    cheek = [((1.05, height - 0.08), (dice.uniform(0.6, 0.72), height)) for height in (0.08, 0.32, 0.54)]
    stripes = [_stripe(start, end, width=0.07) for start, end in (*brow, *cheek)]
    return [(side(stripe), color) for stripe in stripes for side in (np.asarray, mirror)]


def _stripe(start: tuple[float, float], end: tuple[float, float], *, width: float) -> Points:
    """Return a stripe that is wide at its start and pointed at its end."""
    along = np.array(end) - np.array(start)
    across = np.array([-along[1], along[0]]) / np.linalg.norm(along) * width
    middle = np.array(start) + 0.5 * along
    return np.stack([start + across * 0.7, middle + across, end, middle - across, start - across * 0.7])


def _patches(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw two to four patches anywhere, in the second color or in white."""
    return [(_blob(dice), dice.pick((coat.second, coat.second, WHITE))) for _ in range(dice.integer(2, 4))]


def _blob(dice: Dice) -> Points:
    """Draw an uneven round shape."""
    angle, away, size = dice.uniform(0, 2 * np.pi), dice.uniform(0.3, 0.85), dice.uniform(0.28, 0.5)
    corners = ellipse((away * np.cos(angle), away * np.sin(angle)), (size, size * dice.uniform(0.7, 1.2)), count=7)
    uneven = np.array([[dice.uniform(-0.08, 0.08), dice.uniform(-0.08, 0.08)] for _ in corners])
    return smooth_loop(corners + uneven)


def _bicolor(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw a white lower face that runs up between the eyes."""
    peak, foot = dice.uniform(-0.9, -0.2), dice.uniform(0.5, 0.8)
    half = [(0.0, peak), (0.1, -0.1), (0.32, 0.22), (foot, 0.42), (0.9, 0.8), (0.4, 1.2), (0.0, 1.2)]
    return [(smooth_halves(half), mix(coat.light, WHITE, 0.7))]


def _mask(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw a mask of the second color around the eyes."""
    round_eye = ellipse((0.4, -0.1), (0.34, dice.uniform(0.26, 0.36)), turn=dice.uniform(-0.3, 0.1))
    return [(round_eye, coat.second), (mirror(round_eye), coat.second)]


def _blaze(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw one half of the face in the second color, or a light line down the middle."""
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
    "bicolor": _bicolor,
    "mask": _mask,
    "blaze": _blaze,
    "brows": _brows,
}
