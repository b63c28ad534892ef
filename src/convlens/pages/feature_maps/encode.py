"""Encode what the feature-map page holds of a network: colors, sprites, blocks and maps."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from convlens.files import encode_png, round_number
from convlens.lens.graph import ReceptiveField, Window
from convlens.lens.lens import Block, BlockStep
from convlens.lens.statistics import strongest_first

# --- Colors: readable for the color-blind, honest about zero, the same on pages and in PNGs ---
#
# Signed values run from purple over white at zero to orange (Brewer's PuOr, reversed); values that cannot fall below
# zero run along viridis.

SIGNED = "PuOr_r"
POSITIVE = "viridis"


def color_table(name: str) -> np.ndarray:
    """A color map as 256 RGB entries, uint8 (256, 3)."""
    from matplotlib import colormaps

    table: np.ndarray = colormaps[name](np.arange(256), bytes=True)
    return table[:, :3].copy()


def color_index(values: np.ndarray, limit: float, *, signed: bool) -> np.ndarray:
    """Place of values in a color table, uint8: 0..limit, or -limit..limit when signed; beyond that the end color.

    Colors follow the square root of the values, so that faint ones show; a legend must bend with them.
    """
    shares = values / (limit if limit > 0 else 1.0)
    root = np.sign(shares) * np.sqrt(np.abs(shares))
    places: np.ndarray = np.clip(np.round(((root + 1) / 2 if signed else root) * 255), 0, 255).astype(np.uint8)
    return places


# --- Numbers and bytes as text ---


def as_base64(content: bytes | np.ndarray) -> str:
    """Bytes, or an array, for JSON; whole numbers of 8 and 16 bits as they are, others as little-endian float32."""
    if isinstance(content, np.ndarray):
        whole = content.dtype in (np.int8, np.uint8, np.dtype("<i2"))
        content = content.tobytes() if whole else content.astype("<f4").tobytes()
    return base64.b64encode(content).decode("ascii")


def compact_json(value: Any) -> str:
    """JSON without spaces that may stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def to_json_number(value: Any) -> float | None:
    """Round to six significant digits, more than a screen can show; None for what is not finite."""
    return round_number(float(value), 6) if np.isfinite(value) else None


# --- Feature maps as 8-bit gray sprites with their raw range, so that a page can show them and read them back ---
#
# Every tile has its own offset and step: value = offset + step * gray. Zero is always one of the grays when it lies in
# a tile's range, so signs are exact, and no value is off by more than half a step. Where more is needed, a second
# sprite holds what is left: value = offset + step * (gray + (low - 128) / 256).

TILES_PER_ROW = 16
MAX_GRAY = 255
MIDDLE = 128
FINER = 256


@dataclass(frozen=True)
class Sprite:
    """The maps of one step for one photo.

    Attributes:
        png: gray PNG; tile k stands at row k // 16, column k % 16.
        offset: float32 (tiles,).
        step: float32 (tiles,); 0 for a tile of one value.
        low: a second PNG of the same layout with what the grays leave; None if it was not asked for.
        decoded: the values that a reader gets back, float64 (rows, columns, tiles).
    """

    png: bytes
    offset: np.ndarray
    step: np.ndarray
    low: bytes | None
    decoded: np.ndarray


def make_sprite(maps: np.ndarray, *, fine: bool = False) -> Sprite:
    """Store maps (rows, columns, tiles), float32, as a sprite; values that are not finite count as zero.

    Args:
        maps: the values.
        fine: keep what the grays leave, so that values are good to 1/512 of a step.
    """
    values = np.where(np.isfinite(maps), maps, 0).astype(np.float64)
    lowest, highest = values.min(axis=(0, 1)), values.max(axis=(0, 1))
    holds_zero = (lowest <= 0) & (highest >= 0)
    levels = np.where(holds_zero & (lowest < 0), MAX_GRAY - 1, MAX_GRAY)
    step = ((highest - lowest) / levels).astype(np.float32)
    divisor = np.where(step > 0, step, 1)
    offset = np.where(holds_zero, -np.ceil(-lowest / divisor) * step, lowest).astype(np.float32)
    places = (values - offset) / divisor
    grays = np.clip(np.round(places), 0, MAX_GRAY)
    lows = np.clip(np.round((places - grays) * FINER) + MIDDLE, 0, MAX_GRAY) if fine else np.full_like(grays, MIDDLE)
    decoded = offset + step.astype(np.float64) * (grays + (lows - MIDDLE) / FINER)
    low = encode_png(_arrange_tiles(lows.astype(np.uint8))) if fine else None
    return Sprite(encode_png(_arrange_tiles(grays.astype(np.uint8))), offset, step, low, decoded)


def _arrange_tiles(tiles: np.ndarray) -> np.ndarray:
    """Put tiles (rows, columns, tiles) sixteen a row; the last row is filled up with zeros."""
    height, width, count = tiles.shape
    num_rows = -(-count // TILES_PER_ROW)
    num_columns = min(count, TILES_PER_ROW)
    padded = np.zeros((num_rows * num_columns, height, width), np.uint8)
    padded[:count] = tiles.transpose(2, 0, 1)
    grid = padded.reshape(num_rows, num_columns, height, width).transpose(0, 2, 1, 3)
    return grid.reshape(num_rows * height, num_columns * width)


# --- The lecture's picture of a layer: sixteen tiles a row, with a title and the one color scale all tiles share ---

TILE_SIDE: Final = 64  # smallest side of a tile in pixels
TILE_GAP: Final = 2
PAGE_MARGIN: Final = 24
PAGE_COLOR: Final = (255, 255, 255)
TEXT_COLOR: Final = (26, 26, 30)
QUIET_COLOR: Final = (110, 110, 118)


def draw_tiles(maps: np.ndarray, *, title: str, subtitle: str, rectified: bool) -> Image.Image:
    """All maps (rows, columns, filters) of one layer as one RGB picture.

    Black to yellow runs from 0 to the highest value of the layer; signed maps run from purple over white to orange.
    The picture is as wide as sixteen tiles, and the last row is left open where filters end.
    """
    limit = float(np.abs(maps).max()) if maps.size else 0.0
    table = color_table(POSITIVE if rectified else SIGNED)
    scale = max(1, TILE_SIDE // max(maps.shape[:2]))
    tiles = color_index(maps, limit, signed=not rectified).repeat(scale, axis=0).repeat(scale, axis=1)
    height, width, count = tiles.shape
    num_rows, top = -(-count // TILES_PER_ROW), PAGE_MARGIN + 52
    shape = (top + num_rows * (height + TILE_GAP) + PAGE_MARGIN,
             2 * PAGE_MARGIN + TILES_PER_ROW * (width + TILE_GAP) - TILE_GAP, 3)  # fmt: skip
    pixels = np.full(shape, PAGE_COLOR, np.uint8)
    for index in range(count):
        row = top + index // TILES_PER_ROW * (height + TILE_GAP)
        column = PAGE_MARGIN + index % TILES_PER_ROW * (width + TILE_GAP)
        pixels[row : row + height, column : column + width] = table[tiles[:, :, index]]
    page = Image.fromarray(pixels)
    pen = ImageDraw.Draw(page)
    pen.text((PAGE_MARGIN, PAGE_MARGIN - 6), title, fill=TEXT_COLOR, font=load_font(20))
    pen.text((PAGE_MARGIN, PAGE_MARGIN + 22), subtitle, fill=QUIET_COLOR, font=load_font(13))
    _draw_legend(page, table, limit=limit, signed=not rectified)
    return page


@cache
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu, which comes with matplotlib and knows most alphabets."""
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _draw_legend(page: Image.Image, table: np.ndarray, *, limit: float, signed: bool) -> None:
    """The color scale at the top right, even in the values, with its numbers below."""
    left, top = page.width - PAGE_MARGIN - 256, PAGE_MARGIN
    ramp = table[color_index(np.linspace(-1 if signed else 0, 1, 256), 1.0, signed=signed)]
    page.paste(Image.fromarray(np.broadcast_to(ramp, (12, 256, 3)).copy()), (left, top))
    pen, font = ImageDraw.Draw(page), load_font(12)
    values = (-limit, 0.0, limit) if signed else (0.0, limit / 2, limit)
    for x, value, anchor in zip((0, 128, 256), values, ("lt", "mt", "rt"), strict=True):
        text = f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
        pen.text((left + x, top + 16), text, fill=QUIET_COLOR, font=font, anchor=anchor)


# --- What the page holds of blocks, filters and photos ---
#
# The page stores the maps of activations and sums, and of convolutions that it cannot work out. Other convolutions
# (from their input and kernels), normalizations (an affine function per filter) and poolings (from the maps before
# them) it works out by itself, as the network does.

RARE = 0.01  # a filter that fires on a smaller share of photos is called rare
MAX_MAP_VALUES = 1_500_000  # map values per photo; how many bytes they take is only known once they are stored
MAX_FILTERS_SHOWN = 3_000  # filters of the whole page: each has a card of half a kilobyte, and a tile to draw


@dataclass(frozen=True)
class StoredMaps:
    """The maps of a photo as text.

    Attributes:
        texts: PNG, offset and step in base64, by name of the stored step.
        limits: lowest and highest value of every step.
        decoded: what a reader gets back, float64 by name of the stored step.
    """

    texts: Mapping[str, Mapping[str, str]]
    limits: Mapping[str, tuple[float, float]]
    decoded: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class EncodedPhoto:
    """A photo ready for the page: facts, pictures and maps as text, without its arrays."""

    facts: Mapping[str, Any]
    stored: str
    payload: str
    limits: Mapping[str, tuple[float, float]]

    @property
    def num_bytes(self) -> int:
        """Size on the page."""
        return len(self.stored) + len(self.payload)


def choose_filters(
    blocks: Sequence[Block], filters: pd.DataFrame, max_filters: int, *, max_values: int | None = None
) -> dict[str, np.ndarray]:
    """Choose the filters to show of every block: all, or the strongest by their mean over the sample; sorted indices.

    Besides `max_filters` there are bounds on filters of the page, and on values per photo. Layers with many filters,
    and with large maps, meet them first; a layer that needs less than its even share leaves the rest to the others.

    Args:
        blocks: convolutions and what follows them.
        filters: one row per filter: layer, filter, mean.
        max_filters: at most, per layer.
        max_values: map values per photo, at most; None for `MAX_MAP_VALUES`.
    """
    sizes = [
        sum(step.shape[0] * step.shape[1] for i, step in enumerate(block.steps) if is_stored(step, i))
        for block in blocks
    ]
    counts = [min(block.num_filters, max_filters) for block in blocks]
    counts = _share_room(counts, [1] * len(counts), MAX_FILTERS_SHOWN)
    counts = _share_room(counts, sizes, max_values or MAX_MAP_VALUES)
    chosen = {}
    for block, count in zip(blocks, counts, strict=True):
        order = strongest_first(filters, block.name) if count < block.num_filters else np.arange(count)
        chosen[block.name] = np.sort(order[:count]) if len(order) else np.arange(count)
    return chosen


def _share_room(counts: Sequence[int], costs: Sequence[int], room: int) -> list[int]:
    """Counts that cost no more than there is room, at least one of each; what is cheap is served first."""
    found = list(counts)
    order = sorted(range(len(counts)), key=lambda i: counts[i] * costs[i])
    for position, i in enumerate(order):
        found[i] = max(1, min(counts[i], room // (len(order) - position) // costs[i]))
        room -= found[i] * costs[i]
    return found


def is_stored(step: BlockStep, index: int, worked: frozenset[str] = frozenset()) -> bool:
    """Whether the page holds a step's values; the others it works out from the step before, or from the input."""
    return step.name not in worked and (index == 0 or (step.scale is None and step.windows is None))


def encode_block(
    block: Block, filters: pd.DataFrame, shown: np.ndarray, *, worked: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Encode a block and its steps.

    Args:
        block: a convolution and what follows it.
        filters: one row per filter, by the lens.
        shown: numbers of the filters shown.
        worked: convolutions that the page works out.
    """
    rows = filters[filters["layer"] == block.name]
    return {
        "name": block.name,
        "isConvolution": block.is_convolution,
        "numFilters": block.num_filters,
        "numDead": int(rows["dead"].sum()) if len(rows) else 0,
        "numRare": int(((rows["firing_rate"] < RARE) & ~rows["dead"]).sum()) if len(rows) else 0,
        "response": block.response.name,
        "shown": shown.tolist(),
        "facts": None,
        "arithmetic": None,
        "why": "",
        "steps": [_encode_step(step, shown, is_stored(step, i, worked)) for i, step in enumerate(block.steps)],
    }


def _encode_step(step: BlockStep, shown: np.ndarray, stored: bool) -> dict[str, Any]:
    field = step.receptive_field
    return {
        "name": step.name,
        "kind": step.kind,
        "label": step.label,
        "shape": list(step.shape[:2]),
        "rectified": step.rectified,
        "stored": stored,
        "field": None if field is None else encode_field(field) | ({"gated": True} if field.gated else {}),
        "scale": None if stored or step.scale is None else as_base64(step.scale[shown]),
        "offset": None if stored or step.offset is None else as_base64(step.offset[shown]),
        "windows": None if stored or step.windows is None else encode_windows(step.windows),
    }


def encode_field(field: ReceptiveField) -> dict[str, Any]:
    """Encode a receptive field: size, stride and start along rows and columns."""
    return {name: {"size": span.size, "stride": span.stride, "start": span.start}
            for name, span in (("rows", field.rows), ("columns", field.columns))}  # fmt: skip


def encode_windows(windows: Sequence[Window]) -> list[dict[str, int]]:
    """Encode the windows of a pooling along rows and columns."""
    return [{"size": window.size, "stride": window.stride, "before": window.before} for window in windows]


def store_maps(
    maps: Mapping[str, np.ndarray],
    blocks: Sequence[Block],
    chosen: Mapping[str, np.ndarray],
    fine: frozenset[str] = frozenset(),
    worked: frozenset[str] = frozenset(),
) -> StoredMaps:
    """Store the maps of one photo as sprites.

    Args:
        maps: float32 (rows, columns, filters) by step name.
        blocks: convolutions and what follows them.
        chosen: filters shown, by name of the block.
        fine: stored steps to keep finely.
        worked: convolutions that the page works out, so that they are left out.
    """
    limits: dict[str, tuple[float, float]] = {}
    texts: dict[str, dict[str, str]] = {}
    decoded: dict[str, np.ndarray] = {}
    for block in blocks:
        for index, step in enumerate(block.steps):
            values = maps[step.name][:, :, chosen[block.name]]
            finite = np.where(np.isfinite(values), values, 0)
            limits[step.name] = (round_number(float(finite.min()), 6), round_number(float(finite.max()), 6))
            if is_stored(step, index, worked):
                sprite = make_sprite(values, fine=step.name in fine)
                low = {"low": as_base64(sprite.low)} if sprite.low else {}
                texts[step.name] = {"png": as_base64(sprite.png), "offset": as_base64(sprite.offset),
                                    "step": as_base64(sprite.step), **low}  # fmt: skip
                decoded[step.name] = sprite.decoded
    return StoredMaps(texts, limits, decoded)
