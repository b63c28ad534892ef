"""Colours as (red, green, blue), 0 to 255, and the few ways the painter mixes them."""

import colorsys

from convlens.photos.painting.dice import Dice

Colour = tuple[int, int, int]

WHITE: Colour = (250, 248, 244)
INK: Colour = (38, 28, 28)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour `share` of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shade(colour: Colour, factor: float) -> Colour:
    """Return the colour made darker (`factor` below 1) or lighter (above), within 0 to 255."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue


def hue(position: float, *, saturation: float, value: float) -> Colour:
    """Return the colour at a position (0 to 1) of the colour circle."""
    red, green, blue = (round(channel * 255) for channel in colorsys.hsv_to_rgb(position % 1, saturation, value))
    return red, green, blue


def draw_colour(dice: Dice, *, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    """Draw a colour of any hue within the ranges of saturation and value."""
    return hue(dice.uniform(0, 1), saturation=dice.uniform(*saturation), value=dice.uniform(*value))


def vary(colour: Colour, dice: Dice, *, amount: float = 0.06) -> Colour:
    """Return a colour close by: each channel and the brightness wander by up to `amount`."""
    bright = 1 + dice.uniform(-amount, amount)
    red, green, blue = (
        min(255, max(0, round(channel * bright * (1 + dice.uniform(-amount, amount) / 2)))) for channel in colour
    )
    return red, green, blue
