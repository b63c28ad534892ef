"""A large canvas that everything is drawn on, in shares of its side; made small at the end, it is anti-aliased."""

from functools import cache
from typing import Self

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from convlens.photos.painting.colour import Colour
from convlens.photos.painting.geometry import Points

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

    def __init__(self, side: int, colour: Colour = (0, 0, 0)) -> None:
        """Open an empty canvas of `side` × `side` pixels."""
        self.side = side
        self.image = Image.new("RGB", (side, side), colour)
        self._draw = ImageDraw.Draw(self.image)

    def replace(self, image: Image.Image) -> None:
        """Put a whole picture in place of what has been drawn."""
        self.image = image
        self._draw = ImageDraw.Draw(image)

    def polygon(self, points: Points, colour: Colour) -> None:
        """Fill a closed shape."""
        self._draw.polygon((points * self.side).ravel().tolist(), fill=colour)

    def line(self, points: Points, colour: Colour, *, width: float) -> None:
        """Draw a line through the points, its bends rounded when it is wide."""
        pixels = max(1, round(width * self.side))
        joint = "curve" if pixels > 4 else None
        self._draw.line((points * self.side).ravel().tolist(), fill=colour, width=pixels, joint=joint)

    def strokes(self, ends: Points, colours: np.ndarray, *, width: float) -> None:
        """Draw many short lines: `ends` is (num, 4) as x, y, x, y and `colours` is (num, 3), uint8."""
        pixels, line = max(1, round(width * self.side)), self._draw.line
        for coordinates, colour in zip((ends * self.side).tolist(), colours.tolist(), strict=True):
            line(coordinates, fill=tuple(colour), width=pixels)

    def colours_at(self, points: Points) -> np.ndarray:
        """Return the colours below the points (the nearest pixel inside the canvas), shape (num, 3), uint8."""
        pixels = np.clip((points * self.side).astype(np.int64), 0, self.side - 1)
        left, top = pixels.min(axis=0).tolist()
        right, bottom = pixels.max(axis=0).tolist()
        patch = np.asarray(self.image.crop((left, top, right + 1, bottom + 1)))
        colours: np.ndarray = patch[pixels[:, 1] - top, pixels[:, 0] - left]
        return colours

    def glow(self, centre: tuple[float, float], radii: tuple[float, float], *, colour: Colour, strength: float) -> None:
        """Lay a soft spot of a colour over the picture; `strength` (0 to 1) is its cover in the middle."""
        size = max(2, round(2 * radii[0] * self.side)), max(2, round(2 * radii[1] * self.side))
        spot = Image.fromarray(np.round(255 * strength * _falloff()).astype(np.uint8))
        mask = spot.resize(size, Image.Resampling.BILINEAR)
        corner = round((centre[0] - radii[0]) * self.side), round((centre[1] - radii[1]) * self.side)
        self.image.paste(colour, (*corner, corner[0] + size[0], corner[1] + size[1]), mask)

    def layer(self, colour: Colour) -> Self:
        """Return another canvas of the same side, filled with one colour."""
        return type(self)(self.side, colour)

    def lay(self, layer: "Canvas", outline: Points) -> None:
        """Copy what another canvas shows inside an outline."""
        mask, (left, top) = self._mask(outline, 255)
        box = left, top, left + mask.width, top + mask.height
        self.image.paste(layer.image.crop(box), box, mask)

    def blend(self, colour: Colour, outline: Points, *, strength: float) -> None:
        """Fill a shape so that what is below shines through; `strength` 1 is opaque."""
        mask, (left, top) = self._mask(outline, round(255 * strength))
        self.image.paste(colour, (left, top, left + mask.width, top + mask.height), mask)

    def _mask(self, outline: Points, value: int) -> tuple[Image.Image, tuple[int, int]]:
        """Return a mask just large enough for a shape, and where its left upper corner is on the canvas."""
        pixels = outline * self.side
        left, top = np.floor(pixels.min(axis=0)).astype(int).tolist()
        right, bottom = np.ceil(pixels.max(axis=0)).astype(int).tolist()
        mask = Image.new("L", (right - left + 1, bottom - top + 1), 0)
        ImageDraw.Draw(mask).polygon((pixels - np.array([left, top])).ravel().tolist(), fill=value)
        return mask, (left, top)

    def gradient(self, top: Colour, bottom: Colour, *, span: tuple[float, float] = (0, 1)) -> None:
        """Fill the canvas between two heights with a gradient from one colour to another."""
        share = np.linspace(0, 1, 48)[:, None, None]
        ramp = np.array(top) + (np.array(bottom) - np.array(top)) * share
        first, last = round(span[0] * self.side), round(span[1] * self.side)
        strip = Image.fromarray(np.clip(np.round(ramp), 0, 255).astype(np.uint8))
        if last > first:
            self.image.paste(strip.resize((self.side, last - first), Image.Resampling.BILINEAR), (0, first))

    def soften(self, radius: float) -> None:
        """Blur everything drawn so far, as a lens does with what is behind its focus."""
        small = self.image.reduce(SUPERSAMPLE).filter(ImageFilter.BoxBlur(radius * self.side / SUPERSAMPLE))
        self.replace(small.resize(self.image.size, Image.Resampling.BILINEAR))
