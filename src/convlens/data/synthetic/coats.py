"""Coats of animals: colors, fur and markings, drawn without knowing the class, so that they never tell it."""

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

# --- the colors of an animal ---

# ginger, cream, blue gray, black, white, chocolate, fawn, russet, golden, silver, sand
_FURS: tuple[Color, ...] = ((226, 142, 66), (240, 212, 168), (138, 142, 154), (66, 60, 64), (238, 234, 226),
                            (120, 78, 52), (206, 168, 118), (172, 98, 56), (222, 180, 104), (184, 180, 176),
                            (160, 128, 96))  # fmt: skip
_IRISES: tuple[Color, ...] = ((236, 178, 54), (150, 186, 72), (104, 168, 206), (146, 92, 44), (98, 176, 142))
_NOSES: tuple[Color, ...] = ((222, 134, 134), (54, 44, 48), (112, 70, 60), (62, 50, 54), (186, 104, 104))
_COLLARS: tuple[Color, ...] = ((206, 62, 62), (54, 112, 190), (64, 150, 102), (232, 178, 60), (134, 84, 164))


@dataclass(frozen=True)
class Coat:
    """The colors of one animal, and its markings."""

    fur: Color
    second: Color
    light: Color
    draw_marks: "Callable[[Coat, Dice], list[Mark]]"
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
    """Draw a coat; half of the animals wear a collar."""
    fur, second = (vary(dice.pick(_FURS), dice, amount=0.1) for _ in range(2))
    if abs(sum(second) - sum(fur)) <= 120:  # the second color must be seen
        second = shade(fur, 0.55) if sum(fur) > 300 else mix(fur, WHITE, 0.55)
    light, collar = mix(fur, WHITE, dice.uniform(0.35, 0.8)), vary(dice.pick(_COLLARS), dice)
    return Coat(
        fur=fur,
        second=second,
        light=light,
        draw_marks=dice.pick(_MARKINGS),
        ears=(dice.pick((fur, fur, second)), dice.pick((fur, fur, second))),
        inner_ear=mix(vary((226, 160, 150), dice), fur, dice.uniform(0.1, 0.45)),
        muzzle=dice.pick((light, light, mix(fur, light, 0.4), mix(fur, second, 0.4))),
        iris=vary(dice.pick(_IRISES), dice, amount=0.1),
        nose=vary(dice.pick(_NOSES), dice, amount=0.1),
        tongue=vary((232, 106, 124), dice),
        collar=collar if dice.chance(0.5) else None,
        fluff=dice.uniform(0.35, 1.25),
    )


# --- fur: short strokes that take the color below them, a little lighter or darker ---


def fur_edge(canvas: Canvas, outline: Points, *, length: float, count: int, dice: Dice) -> Points:
    """Draw hairs that stick out of an outline (both in shares of the side) and return their tips."""
    generator = dice.generator()
    index = generator.integers(0, len(outline), count)
    lean = generator.normal(0.0, 0.3, (count, 2)) + np.array([0.0, 0.4])
    start = outline[index] + (np.roll(outline, -1, axis=0)[index] - outline[index]) * generator.random((count, 1))
    inside = start + (outline.mean(axis=0) - start) * 0.09
    tips: Points = start + (outward(outline)[index] + lean) * length * generator.uniform(0.3, 1.0, (count, 1))
    _draw_hairs(canvas, inside, tips, generator)
    return tips


def fur_inside(canvas: Canvas, outline: Points, *, length: float, count: int, dice: Dice) -> None:
    """Draw hairs all over a shape, combed from its middle to its edge."""
    generator = dice.generator()
    middle = outline.mean(axis=0)
    spoke = outline[generator.integers(0, len(outline), count)] - middle
    start = middle + spoke * 0.92 * np.sqrt(generator.random((count, 1)))
    combed = spoke / np.maximum(np.linalg.norm(spoke, axis=1, keepdims=True), 1e-9)
    lean = generator.normal(0.0, 0.35, (count, 2))
    _draw_hairs(canvas, start, start + (combed + lean) * length, generator)


def _draw_hairs(canvas: Canvas, start: Points, tips: Points, generator: np.random.Generator) -> None:
    tone = generator.uniform(0.8, 1.16, (len(start), 1))
    colors = np.clip(canvas.colors_at(start) * tone, 0, 255).astype(np.uint8)
    canvas.strokes(np.concatenate([start, tips], axis=1), colors, width=0.0035)


# --- markings on the face: shapes in radii of the head, each with its color, in the order they are painted ---

Mark = tuple[Points, Color]


def _leave_plain(_coat: Coat, _dice: Dice) -> list[Mark]:
    return []


def _draw_tabby(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw stripes over the forehead and the cheeks, wide at their start and pointed at their end."""
    color = mix(coat.fur, coat.second, dice.uniform(0.55, 0.9))
    brow = [((top, -0.9), (0.75 * top, dice.uniform(-0.55, -0.4))) for top in (0.0, 0.24, 0.48)]
    cheek = [((1.05, height - 0.08), (dice.uniform(0.6, 0.72), height)) for height in (0.08, 0.32, 0.54)]
    marks = []
    for first, last in (*brow, *cheek):
        start, along = np.array(first), np.array(last) - np.array(first)
        across = np.array([-along[1], along[0]]) / np.linalg.norm(along) * 0.07
        middle = start + 0.5 * along
        stripe = np.stack([start + 0.7 * across, middle + across, start + along, middle - across, start - 0.7 * across])
        marks += [(stripe, color), (mirror(stripe), color)]
    return marks


def _draw_patches(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw two to four uneven patches anywhere, in the second color or in white."""
    marks = []
    for _ in range(dice.integer(2, 4)):
        angle, away, size = dice.uniform(0, 2 * np.pi), dice.uniform(0.3, 0.85), dice.uniform(0.28, 0.5)
        corners = ellipse((away * np.cos(angle), away * np.sin(angle)), (size, size * dice.uniform(0.7, 1.2)), count=7)
        uneven = np.array([[dice.uniform(-0.08, 0.08), dice.uniform(-0.08, 0.08)] for _ in corners])
        marks.append((smooth_loop(corners + uneven), dice.pick((coat.second, coat.second, WHITE))))
    return marks


def _draw_bicolor(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw a white lower face that runs up between the eyes."""
    peak, foot = dice.uniform(-0.9, -0.2), dice.uniform(0.5, 0.8)
    half = [(0.0, peak), (0.1, -0.1), (0.32, 0.22), (foot, 0.42), (0.9, 0.8), (0.4, 1.2), (0.0, 1.2)]
    return [(smooth_halves(half), mix(coat.light, WHITE, 0.7))]


def _draw_mask(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw a mask around the eyes, or light spots over them."""
    if dice.chance(0.5):
        spot, color = ellipse((0.4, -0.1), (0.34, dice.uniform(0.26, 0.36)), turn=dice.uniform(-0.3, 0.1)), coat.second
    else:
        spot, color = ellipse((0.36, -0.42), (0.12, 0.08), turn=-0.3), coat.light
    return [(spot, color), (mirror(spot), color)]


def _draw_blaze(coat: Coat, dice: Dice) -> list[Mark]:
    """Draw one half of the face in the second color, or a light line down the middle."""
    if dice.chance(0.4):
        half = smooth_loop([(0.04, -1.2), (1.2, -1.2), (1.2, 1.2), (0.3, 1.0), (0.12, 0.2), (0.03, -0.4)])
        return [(half * np.array([dice.sign(), 1]), coat.second)]
    wide = dice.uniform(0.08, 0.16)
    line = smooth_halves([(0.0, -1.0), (wide * 1.6, -0.9), (wide, -0.3), (0.2, 0.5), (0.0, 0.55)])
    return [(line, mix(coat.light, WHITE, 0.6))]


_MARKINGS = (_leave_plain, _draw_tabby, _draw_patches, _draw_bicolor, _draw_mask, _draw_blaze)
