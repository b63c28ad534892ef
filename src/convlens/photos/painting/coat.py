"""Colours and markings of an animal; drawn without knowing the class, so that they never tell it."""

from dataclasses import dataclass

from convlens.photos.painting.colour import WHITE, Colour, mix, shade, vary
from convlens.photos.painting.dice import Dice

_FURS: tuple[Colour, ...] = (
    (226, 142, 66),  # ginger
    (240, 212, 168),  # cream
    (138, 142, 154),  # blue grey
    (66, 60, 64),  # black
    (238, 234, 226),  # white
    (120, 78, 52),  # chocolate
    (206, 168, 118),  # fawn
    (172, 98, 56),  # russet
    (222, 180, 104),  # golden
    (184, 180, 176),  # silver
    (160, 128, 96),  # sand
)
_IRISES: tuple[Colour, ...] = (
    (236, 178, 54),
    (150, 186, 72),
    (104, 168, 206),
    (146, 92, 44),
    (196, 124, 46),
    (98, 176, 142),
)
_NOSES: tuple[Colour, ...] = ((222, 134, 134), (54, 44, 48), (112, 70, 60), (62, 50, 54), (186, 104, 104))
_TONGUES: tuple[Colour, ...] = ((232, 106, 124), (222, 92, 108), (240, 128, 140))
MARKINGS = ("plain", "tabby", "patches", "bicolour", "mask", "blaze", "brows")


@dataclass(frozen=True)
class Coat:
    """The colours of one animal, and the name of its markings (one of `MARKINGS`)."""

    fur: Colour
    second: Colour
    light: Colour
    markings: str
    ears: tuple[Colour, Colour]
    inner_ear: Colour
    muzzle: Colour
    iris: Colour
    nose: Colour
    tongue: Colour
    collar: Colour | None
    fluff: float

    @property
    def line(self) -> Colour:
        """The colour of contours: the fur, much darker."""
        return shade(mix(self.fur, (90, 50, 40), 0.35), 0.45)


def draw_coat(dice: Dice) -> Coat:
    """Draw a coat; every colour comes from the same list for every animal."""
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


def _draw_second(dice: Dice, fur: Colour) -> Colour:
    """Draw the colour of the markings, far enough from the fur to be seen."""
    other = vary(dice.pick(_FURS), dice, amount=0.1)
    if abs(sum(other) - sum(fur)) > 120:
        return other
    return shade(fur, 0.55) if sum(fur) > 300 else mix(fur, WHITE, 0.55)


def _draw_collar(dice: Dice) -> Colour | None:
    """Draw the colour of a collar, which half of the animals wear."""
    colour = vary(dice.pick(((206, 62, 62), (54, 112, 190), (64, 150, 102), (232, 178, 60), (134, 84, 164))), dice)
    return colour if dice.chance(0.5) else None
