"""The lecture's picture of a layer: sixteen tiles a row, with a title and the one colour scale all tiles share."""

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from convlens.report.feature_maps_colours import POSITIVE, SIGNED, colour_index, colour_table
from convlens.report.feature_maps_sprites import TILES_PER_ROW

TILE: Final = 64  # smallest side of a tile in pixels
GAP: Final = 2
MARGIN: Final = 24
PAPER: Final = (255, 255, 255)
INK: Final = (26, 26, 30)
FAINT: Final = (110, 110, 118)


def draw_tiles(maps: np.ndarray, *, title: str, subtitle: str, rectified: bool) -> Image.Image:
    """All maps (rows, columns, filters) of one layer as one RGB picture.

    Black to yellow runs from 0 to the highest value of the layer; signed maps run from purple over white to orange.
    The picture is as wide as sixteen tiles, and the last row is left open where filters end.
    """
    limit = float(np.abs(maps).max()) if maps.size else 0.0
    table = colour_table(POSITIVE if rectified else SIGNED)
    tiles = table[colour_index(maps, limit, signed=not rectified)]
    scale = max(1, TILE // max(maps.shape[:2]))
    tiles = tiles.repeat(scale, axis=0).repeat(scale, axis=1)
    return _compose(tiles, table, limit=limit, words=(title, subtitle), signed=not rectified)


def write_font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu, which comes with matplotlib and knows most alphabets."""
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _compose(
    tiles: np.ndarray, table: np.ndarray, *, limit: float, words: tuple[str, str], signed: bool
) -> Image.Image:
    height, width, count = tiles.shape[:3]
    num_rows = -(-count // TILES_PER_ROW)
    top = MARGIN + 52
    size = (2 * MARGIN + TILES_PER_ROW * (width + GAP) - GAP, top + num_rows * (height + GAP) + MARGIN)
    page = Image.new("RGB", size, PAPER)
    for index in range(count):
        place = (MARGIN + index % TILES_PER_ROW * (width + GAP), top + index // TILES_PER_ROW * (height + GAP))
        page.paste(Image.fromarray(np.ascontiguousarray(tiles[:, :, index])), place)
    _write(page, *words)
    _draw_legend(page, table, limit=limit, signed=signed)
    return page


def _write(page: Image.Image, title: str, subtitle: str) -> None:
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN - 6), title, fill=INK, font=write_font(20))
    pen.text((MARGIN, MARGIN + 22), subtitle, fill=FAINT, font=write_font(13))


def _draw_legend(page: Image.Image, table: np.ndarray, *, limit: float, signed: bool) -> None:
    """The colour scale at the top right, even in the values, with its numbers below."""
    left, top = page.width - MARGIN - 256, MARGIN
    ramp = table[colour_index(np.linspace(-1 if signed else 0, 1, 256), 1.0, signed=signed)]
    page.paste(Image.fromarray(np.broadcast_to(ramp, (12, 256, 3)).copy()), (left, top))
    pen, font = ImageDraw.Draw(page), write_font(12)
    values = (-limit, 0.0, limit) if signed else (0.0, limit / 2, limit)
    for x, value, anchor in zip((0, 128, 256), values, ("lt", "mt", "rt"), strict=True):
        text = f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
        pen.text((left + x, top + 16), text, fill=FAINT, font=font, anchor=anchor)
