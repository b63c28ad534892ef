"""Draw shapes with soft edges, and random numbers for them."""

import colorsys
import random
from collections.abc import Sequence
from functools import cache
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

# --- Random numbers that depend on a key alone: the same key gives the same picture, in any order and process ---

Option = TypeVar("Option")


class Dice:
    """Draws numbers from a key; every branch draws its own, so that one part of a picture never shifts another.

    Only `random.Random.random` is used, whose values Python promises to keep from release to release.
    """

    def __init__(self, *key: object) -> None:
        """Seed the dice by the parts of `key`, which are told apart by their text."""
        self._key = key
        self._random = random.Random("/".join(str(part) for part in key))  # noqa: S311 – paint, no secrets

    def branch(self, name: str) -> "Dice":
        """Return independent dice for one purpose, for example `"coat"`."""
        return Dice(*self._key, name)

    def uniform(self, low: float, high: float) -> float:
        """Draw a number from `low` to `high`."""
        return low + (high - low) * self._random.random()

    def integer(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability; always draws one number."""
        return self._random.random() < probability

    def sign(self) -> int:
        """Return -1 or 1."""
        return 1 if self.chance(0.5) else -1

    def pick(self, options: Sequence[Option]) -> Option:
        """Draw one of the options, each equally likely."""
        return options[self.integer(0, len(options) - 1)]

    def generator(self) -> np.random.Generator:
        """Return a NumPy generator for whole arrays, seeded by the next draw."""
        return np.random.Generator(np.random.PCG64(self.integer(0, 2**52)))


# --- Curves and outlines as arrays of points, shape (num_points, 2), x to the right and y downwards ---

Points = NDArray[np.float64]

Pair = tuple[float, float] | Points

_CATMULL_ROM = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]], dtype=np.float64)


def as_points(points: Sequence[tuple[float, float]]) -> Points:
    """Return a list of (x, y) pairs as an array."""
    return np.array(points, dtype=np.float64)


def smooth_loop(corners: Sequence[tuple[float, float]] | Points, steps: int = 6) -> Points:
    """Return a closed Catmull-Rom curve through the corners, `steps` points for each."""
    knots = np.asarray(corners, dtype=np.float64)
    neighbors = np.stack([np.roll(knots, shift, axis=0) for shift in (1, 0, -1, -2)], axis=1)
    return _interpolate(neighbors, steps)


def smooth_halves(right: Sequence[tuple[float, float]] | Points, steps: int = 6) -> Points:
    """Return a closed curve whose left half mirrors the given right one, which runs from the top to the bottom."""
    return smooth_loop([*right, *((-x, y) for x, y in right[-2:0:-1])], steps)


def smooth_path(corners: Sequence[tuple[float, float]] | Points, steps: int = 6) -> Points:
    """Return an open Catmull-Rom curve from the first corner to the last."""
    knots = np.asarray(corners, dtype=np.float64)
    padded = np.concatenate([knots[:1], knots, knots[-1:]])
    neighbors = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)], axis=1)
    return np.concatenate([_interpolate(neighbors, steps), knots[-1:]])


def _interpolate(neighbors: Points, steps: int) -> Points:
    """Return the points between each second and third of four neighboring knots."""
    time = np.arange(steps) / steps
    powers = time[:, None] ** np.arange(4)
    points: Points = np.einsum("sk,nkd->nsd", powers @ _CATMULL_ROM, neighbors).reshape(-1, 2)
    return points


def ellipse(center: Pair, radii: Pair, *, turn: float = 0.0, count: int = 26) -> Points:
    """Return the outline of an ellipse, turned by `turn` radians."""
    angle = np.arange(count) * (2 * np.pi / count)
    upright = np.stack([radii[0] * np.cos(angle), radii[1] * np.sin(angle)], axis=1)
    outline: Points = rotate(upright, turn) + np.array(center)
    return outline


def almond(radii: Pair, *, turn: float = 0.0, sharpness: float = 1.0, count: int = 28) -> Points:
    """Return an outline with two corners around the origin; `sharpness` 0 is an ellipse, 1 an almond."""
    angle = np.arange(count) * (2 * np.pi / count)
    height = np.sin(angle) * np.abs(np.sin(angle)) ** sharpness
    return rotate(np.stack([radii[0] * np.cos(angle), radii[1] * height], axis=1), turn)


def rectangle(left_top: tuple[float, float], right_bottom: tuple[float, float]) -> Points:
    """Return the four corners of an upright rectangle."""
    (left, top), (right, bottom) = left_top, right_bottom
    return as_points([(left, top), (right, top), (right, bottom), (left, bottom)])


def closed(outline: Points) -> Points:
    """Return an outline as a line that ends where it starts."""
    return np.concatenate([outline, outline[:1]])


def rotate(points: Points, turn: float) -> Points:
    """Return the points turned by `turn` radians around the origin, clockwise on the screen."""
    cosine, sine = np.cos(turn), np.sin(turn)
    turned: Points = points @ np.array([[cosine, sine], [-sine, cosine]])
    return turned


def mirror(points: Points) -> Points:
    """Return the points with left and right exchanged."""
    mirrored: Points = points * np.array([-1.0, 1.0])
    return mirrored


def shrink(points: Points, towards: tuple[float, float], *, factor: float) -> Points:
    """Return the points moved towards one point, to `factor` of their distance."""
    center = np.array(towards)
    shrunk: Points = center + (points - center) * factor
    return shrunk


def outward(points: Points) -> Points:
    """Return the unit normals of a loop that point away from its middle."""
    tangent = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    away = np.sum(normal * (points - points.mean(axis=0)), axis=1, keepdims=True)
    return np.where(away < 0, -normal, normal)


# --- Colors as (red, green, blue), 0 to 255, and the few ways the painter mixes them ---

Color = tuple[int, int, int]

WHITE: Color = (250, 248, 244)
INK: Color = (38, 28, 28)


def mix(first: Color, second: Color, share: float) -> Color:
    """Return the color `share` of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shade(color: Color, factor: float) -> Color:
    """Return the color made darker (`factor` below 1) or lighter (above), within 0 to 255."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in color)
    return red, green, blue


def draw_color(dice: Dice, *, saturation: tuple[float, float], value: tuple[float, float]) -> Color:
    """Draw a color of any hue within the ranges of saturation and value."""
    channels = colorsys.hsv_to_rgb(dice.uniform(0, 1), dice.uniform(*saturation), dice.uniform(*value))
    red, green, blue = (round(channel * 255) for channel in channels)
    return red, green, blue


def vary(color: Color, dice: Dice, *, amount: float = 0.06) -> Color:
    """Return a color close by: each channel and the brightness wander by up to `amount`."""
    bright = 1 + dice.uniform(-amount, amount)
    channels = [channel * bright * (1 + dice.uniform(-amount, amount) / 2) for channel in color]
    red, green, blue = (min(255, round(channel)) for channel in channels)
    return red, green, blue


# --- A large canvas that everything is drawn on, in shares of its side; made small at the end, it is anti-aliased ---

SUPERSAMPLE = 3


@cache
def _falloff(size: int = 64) -> np.ndarray:
    """Return a soft round spot: 1 in the middle, falling smoothly to 0 at the rim; shape (size, size)."""
    across = (np.arange(size) + 0.5) / size * 2 - 1
    distance = np.minimum(np.hypot(across[:, None], across[None, :]), 1)
    spot: np.ndarray = 1 - distance**2 * (3 - 2 * distance)
    return spot


class Canvas:
    """A square RGB picture with drawing tools; all coordinates and widths are shares of the side, from 0 to 1."""

    def __init__(self, side: int, color: Color = (0, 0, 0)) -> None:
        """Open an empty canvas of `side` × `side` pixels."""
        self.side = side
        self.image = Image.new("RGB", (side, side), color)
        self._draw = ImageDraw.Draw(self.image)

    def polygon(self, points: Points, color: Color) -> None:
        """Fill a closed shape."""
        self._draw.polygon((points * self.side).ravel().tolist(), fill=color)

    def line(self, points: Points, color: Color, *, width: float) -> None:
        """Draw a line through the points, its bends rounded when it is wide."""
        pixels = max(1, round(width * self.side))
        joint = "curve" if pixels > 4 else None
        self._draw.line((points * self.side).ravel().tolist(), fill=color, width=pixels, joint=joint)

    def strokes(self, ends: Points, colors: np.ndarray, *, width: float) -> None:
        """Draw many short lines: `ends` is (num, 4) as x, y, x, y and `colors` is (num, 3), uint8."""
        pixels, line = max(1, round(width * self.side)), self._draw.line
        for coordinates, color in zip((ends * self.side).tolist(), colors.tolist(), strict=True):
            line(coordinates, fill=tuple(color), width=pixels)

    def colors_at(self, points: Points) -> np.ndarray:
        """Return the colors below the points (the nearest pixel inside the canvas), shape (num, 3), uint8."""
        pixels = np.clip((points * self.side).astype(np.int64), 0, self.side - 1)
        left, top = pixels.min(axis=0).tolist()
        right, bottom = pixels.max(axis=0).tolist()
        patch = np.asarray(self.image.crop((left, top, right + 1, bottom + 1)))
        colors: np.ndarray = patch[pixels[:, 1] - top, pixels[:, 0] - left]
        return colors

    def glow(self, center: tuple[float, float], radii: tuple[float, float], *, color: Color, strength: float) -> None:
        """Lay a soft spot of a color over the picture; `strength` (0 to 1) is its cover in the middle."""
        size = max(2, round(2 * radii[0] * self.side)), max(2, round(2 * radii[1] * self.side))
        spot = Image.fromarray(np.round(255 * strength * _falloff()).astype(np.uint8))
        mask = spot.resize(size, Image.Resampling.BILINEAR)
        corner = round((center[0] - radii[0]) * self.side), round((center[1] - radii[1]) * self.side)
        self.image.paste(color, (*corner, corner[0] + size[0], corner[1] + size[1]), mask)

    def layer(self, color: Color) -> Self:
        """Return another canvas of the same side, filled with one color."""
        return type(self)(self.side, color)

    def lay(self, layer: "Canvas", outline: Points) -> None:
        """Copy what another canvas shows inside an outline."""
        mask, (left, top) = self._mask(outline, 255)
        box = left, top, left + mask.width, top + mask.height
        self.image.paste(layer.image.crop(box), box, mask)

    def blend(self, color: Color, outline: Points, *, strength: float) -> None:
        """Fill a shape so that what is below shines through; `strength` 1 is opaque."""
        mask, (left, top) = self._mask(outline, round(255 * strength))
        self.image.paste(color, (left, top, left + mask.width, top + mask.height), mask)

    def _mask(self, outline: Points, value: int) -> tuple[Image.Image, tuple[int, int]]:
        """Return a mask just large enough for a shape, and where its left upper corner is on the canvas."""
        pixels = outline * self.side
        left, top = np.floor(pixels.min(axis=0)).astype(int).tolist()
        right, bottom = np.ceil(pixels.max(axis=0)).astype(int).tolist()
        mask = Image.new("L", (right - left + 1, bottom - top + 1), 0)
        ImageDraw.Draw(mask).polygon((pixels - np.array([left, top])).ravel().tolist(), fill=value)
        return mask, (left, top)

    def gradient(self, top: Color, bottom: Color, *, span: tuple[float, float] = (0, 1)) -> None:
        """Fill the canvas between two heights with a gradient from one color to another."""
        share = np.linspace(0, 1, 48)[:, None, None]
        ramp = np.array(top) + (np.array(bottom) - np.array(top)) * share
        first, last = round(span[0] * self.side), round(span[1] * self.side)
        strip = Image.fromarray(np.clip(np.round(ramp), 0, 255).astype(np.uint8))
        if last > first:
            self.image.paste(strip.resize((self.side, last - first), Image.Resampling.BILINEAR), (0, first))

    def soften(self, radius: float) -> None:
        """Blur everything drawn so far, as a lens does with what is behind its focus."""
        small = self.image.reduce(SUPERSAMPLE).filter(ImageFilter.BoxBlur(radius * self.side / SUPERSAMPLE))
        self.image = small.resize(self.image.size, Image.Resampling.BILINEAR)
        self._draw = ImageDraw.Draw(self.image)


# --- From the large canvas to a photo: light, lens and sensor; the same for every class ---


def take_photo(canvas: Canvas, dice: Dice, *, strength: float) -> Image.Image:
    """Return the finished picture; `strength` (0 to 1) scales blur, uneven light, and the noise of the sensor."""
    image = canvas.image.reduce(SUPERSAMPLE)
    side = image.width
    radius = strength * dice.pick((0.0, 0.4, 0.7, 1.1)) * side / 160
    if radius > 0:
        image = image.filter(ImageFilter.BoxBlur(radius))
    across, down = np.meshgrid(np.linspace(-1, 1, side, dtype=np.float32), np.linspace(-1, 1, side, dtype=np.float32))
    angle, slope = dice.uniform(0, 2 * np.pi), strength * dice.uniform(0, 0.45)
    lit = 1 + slope * (across * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle)))
    rim = 1 - strength * dice.uniform(0, 0.4) * (across**2 + down**2) / 2
    exposure, warmth = 1 + strength * dice.uniform(-0.45, 0.3), strength * dice.uniform(-0.2, 0.2)
    white = np.array([1 + warmth, 1, 1 - warmth], dtype=np.float32) * np.float32(exposure)

    amount = np.float32(strength * (1.0 + 17.0 * dice.uniform(0, 1) ** 2))
    color = dice.generator().standard_normal((side, side, 3), dtype=np.float32)
    gray = np.roll(color[..., :1], side // 3, axis=0)  # noise is mostly brightness, a little color
    noise = amount * (np.float32(0.8) * gray + np.float32(0.4) * color)
    light = np.asarray(image, dtype=np.float32) * (lit * rim)[..., None].astype(np.float32) * white + noise
    return Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))
