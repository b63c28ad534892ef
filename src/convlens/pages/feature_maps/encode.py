"""What the feature-map page carries, encoded: sprites, blocks, maps and kernels."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

# --- Color tables of the feature maps: readable for the color-blind, and honest about zero; never jet ---
#
# Signed values run from purple over white at zero to orange (Brewer's PuOr, reversed), values that cannot fall below
# zero run along viridis. Pages and PNGs use the same tables.

SIGNED = "PuOr_r"
POSITIVE = "viridis"


def color_table(name: str) -> np.ndarray:
    """A color map as 256 RGB entries, uint8 (256, 3)."""
    from matplotlib import colormaps

    table: np.ndarray = colormaps[name](np.arange(256), bytes=True)
    return table[:, :3].copy()


def color_hex(name: str) -> str:
    """A color map as 256 RGB triples in hexadecimal, one after the other."""
    return color_table(name).tobytes().hex()


def color_index(values: np.ndarray, limit: float, *, signed: bool) -> np.ndarray:
    """Place of values in a color table, uint8: 0..limit, or -limit..limit when signed; beyond that the end color.

    Colors follow the square root of the values, so that faint ones show; a legend must bend with them.
    """
    plain = values / (limit if limit > 0 else 1.0)
    root = np.sign(plain) * np.sqrt(np.abs(plain))
    share = (root + 1) / 2 if signed else root
    places: np.ndarray = np.clip(np.round(share * 255), 0, 255).astype(np.uint8)
    return places


# --- Feature maps as 8-bit gray sprites with their raw range, so that a page can show them and read them back ---
#
# Every tile has its own offset and step: value = offset + step * gray. Zero is always one of the grays when it lies in
# a tile's range, so signs are exact, and no value is off by more than half a step. Where more is needed, a second
# sprite holds what is left: value = offset + step * (gray + (low - 128) / 256).

TILES_PER_ROW = 16
LEVELS = 255
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
    offset, step = _grid(values.min(axis=(0, 1)), values.max(axis=(0, 1)))
    places = (values - offset) / np.where(step > 0, step, 1)
    grays = np.clip(np.round(places), 0, LEVELS)
    lows = np.clip(np.round((places - grays) * FINER) + MIDDLE, 0, LEVELS) if fine else np.full_like(grays, MIDDLE)
    decoded = offset + step.astype(np.float64) * (grays + (lows - MIDDLE) / FINER)
    low = encode_png(_lay_out(lows.astype(np.uint8))) if fine else None
    return Sprite(encode_png(_lay_out(grays.astype(np.uint8))), offset, step, low, decoded)


def encode_png(pixels: np.ndarray) -> bytes:
    """A lossless PNG of a gray (rows, columns) or RGB (rows, columns, 3) picture."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def as_base64(content: bytes | np.ndarray) -> str:
    """Bytes, or an array, for JSON; whole numbers of 8 and 16 bits as they are, others as little-endian float32."""
    if isinstance(content, bytes):
        data = content
    else:
        whole = content.dtype in (np.int8, np.uint8, np.dtype("<i2"))
        data = content.tobytes() if whole else content.astype("<f4").tobytes()
    return base64.b64encode(data).decode("ascii")


def _grid(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offset and step per tile, float32, with zero on the grid where the range holds it."""
    holds_zero = (low <= 0) & (high >= 0)
    step = np.where(holds_zero & (low < 0), (high - low) / (LEVELS - 1), (high - low) / LEVELS).astype(np.float32)
    below = np.ceil(-low / np.where(step > 0, step, 1))
    offset = np.where(holds_zero, -below * step, low).astype(np.float32)
    return offset, step


def _lay_out(tiles: np.ndarray) -> np.ndarray:
    """Sixteen tiles a row; the last row is filled up with zeros."""
    height, width, count = tiles.shape
    num_rows = -(-count // TILES_PER_ROW)
    num_columns = min(count, TILES_PER_ROW)
    padded = np.zeros((num_rows * num_columns, height, width), np.uint8)
    padded[:count] = tiles.transpose(2, 0, 1)
    grid = padded.reshape(num_rows, num_columns, height, width).transpose(0, 2, 1, 3)
    return grid.reshape(num_rows * height, num_columns * width)


# --- The lecture's picture of a layer: sixteen tiles a row, with a title and the one color scale all tiles share ---

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
    table = color_table(POSITIVE if rectified else SIGNED)
    tiles = table[color_index(maps, limit, signed=not rectified)]
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
    """The color scale at the top right, even in the values, with its numbers below."""
    left, top = page.width - MARGIN - 256, MARGIN
    ramp = table[color_index(np.linspace(-1 if signed else 0, 1, 256), 1.0, signed=signed)]
    page.paste(Image.fromarray(np.broadcast_to(ramp, (12, 256, 3)).copy()), (left, top))
    pen, font = ImageDraw.Draw(page), write_font(12)
    values = (-limit, 0.0, limit) if signed else (0.0, limit / 2, limit)
    for x, value, anchor in zip((0, 128, 256), values, ("lt", "mt", "rt"), strict=True):
        text = f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
        pen.text((left + x, top + 16), text, fill=FAINT, font=font, anchor=anchor)


# --- What the feature-map page needs to know of a network: shapes of the values that the lens gives ---


class Span(Protocol):
    """A receptive field along one axis."""

    @property
    def size(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def start(self) -> int: ...


class Field(Protocol):
    """A receptive field."""

    @property
    def rows(self) -> Span: ...
    @property
    def columns(self) -> Span: ...
    @property
    def gated(self) -> bool: ...


class Window(Protocol):
    """A pooling window along one axis."""

    @property
    def size(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def before(self) -> int: ...


class Step(Protocol):
    """One set of feature maps inside a block."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def rectified(self) -> bool: ...
    @property
    def receptive_field(self) -> Field | None: ...
    @property
    def scale(self) -> np.ndarray | None: ...
    @property
    def offset(self) -> np.ndarray | None: ...
    @property
    def windows(self) -> tuple[Window, Window] | None: ...


class Block(Protocol):
    """A convolution and what follows it."""

    @property
    def name(self) -> str: ...
    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def num_filters(self) -> int: ...
    @property
    def is_convolution(self) -> bool: ...
    @property
    def response(self) -> Step: ...


# --- What the feature-map page holds: blocks, filters and photos as compact JSON ---
#
# The page stores the maps of activations and sums, and of convolutions that it cannot work out. Other convolutions
# (from their input and kernels), normalizations (an affine function per filter) and poolings (from the maps before
# them) it works out by itself, as the network does.

RARE = 0.01  # a filter that fires on a smaller share of photos is called rare
MAX_VALUES = 1_500_000  # map values per photo; how many bytes they take is only known once they are stored
MAX_SHOWN = 3_000  # filters of the whole page: each has a card of half a kilobyte, and a tile to draw


@dataclass(frozen=True, kw_only=True)
class ShownPhoto:
    """One photo of the page.

    Attributes:
        name: what to call it.
        group: `user`, `error` or `correct`.
        truth: its class; None if unknown.
        answer: the class the network says.
        probabilities: one per class.
        stored: the photo as the loader gives it, uint8 (rows, columns, 3).
        picture: the photo as the network works on it, uint8 (rows, columns, 3).
    """

    name: str
    group: str
    truth: str | None
    answer: str
    probabilities: Sequence[float]
    stored: np.ndarray
    picture: np.ndarray


@dataclass(frozen=True)
class StoredMaps:
    """The maps of a photo as text; `decoded` is what a reader gets back, float64 by name of the stored step."""

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
    """The filters to show of every block: all, or the strongest by their mean over the sample; sorted indices.

    Besides `max_filters` there are bounds on filters of the page, and on values per photo. Layers with many filters,
    and with large maps, meet them first; a layer that needs less than its even share leaves the rest to the others.

    Args:
        blocks: convolutions and what follows them.
        filters: one row per filter: layer, filter, mean.
        max_filters: at most, per layer.
        max_values: map values per photo, at most; None for `MAX_VALUES`.
    """
    counts = [min(block.num_filters, max_filters) for block in blocks]
    counts = _share_room(counts, [1] * len(counts), MAX_SHOWN)
    counts = _share_room(counts, [_values_per_filter(block) for block in blocks], max_values or MAX_VALUES)
    return {block.name: _strongest(block, filters, count) for block, count in zip(blocks, counts, strict=True)}


def _share_room(counts: Sequence[int], costs: Sequence[int], room: int) -> list[int]:
    """Counts that cost no more than there is room, at least one of each; what is cheap is served first."""
    found = list(counts)
    order = sorted(range(len(counts)), key=lambda i: counts[i] * costs[i])
    for position, i in enumerate(order):
        found[i] = max(1, min(counts[i], room // (len(order) - position) // costs[i]))
        room -= found[i] * costs[i]
    return found


def encode_blocks(
    blocks: Sequence[Block],
    filters: pd.DataFrame,
    chosen: Mapping[str, np.ndarray],
    extras: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    worked: frozenset[str] = frozenset(),
) -> list[dict[str, Any]]:
    """The blocks with their steps.

    Args:
        blocks: convolutions and what follows them.
        filters: one row per filter, by the lens.
        chosen: filters shown, by name of the block.
        extras: what else is known, by name of the block, as FORMAT.md names it.
        worked: convolutions that the page works out.
    """
    found = []
    for block in blocks:
        shown, known = chosen[block.name], (extras or {}).get(block.name, {})
        steps = [_encode_step(step, shown, is_stored(step, i, worked)) for i, step in enumerate(block.steps)]
        rows = filters[filters["layer"] == block.name]
        found.append(_encode_block(block, rows, shown) | {"steps": steps} | dict(known))
    return found


def store_maps(
    maps: Mapping[str, np.ndarray],
    blocks: Sequence[Block],
    chosen: Mapping[str, np.ndarray],
    fine: frozenset[str] = frozenset(),
    worked: frozenset[str] = frozenset(),
) -> StoredMaps:
    """Maps of one photo as sprites.

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
            limits[step.name] = (_rounded(finite.min()), _rounded(finite.max()))
            if is_stored(step, index, worked):
                sprite = make_sprite(values, fine=step.name in fine)
                low = {"low": as_base64(sprite.low)} if sprite.low else {}
                texts[step.name] = {"png": as_base64(sprite.png), "offset": as_base64(sprite.offset),
                                    "step": as_base64(sprite.step), **low}  # fmt: skip
                decoded[step.name] = sprite.decoded
    return StoredMaps(texts, limits, decoded)


def encode_photo(
    photo: ShownPhoto,
    stored: StoredMaps,
    *,
    facts: Mapping[str, Any] | None = None,
    payload: Mapping[str, Any] | None = None,
) -> EncodedPhoto:
    """Turn a photo and its maps into text; the arrays are not kept. `facts` and `payload` add what else is known."""
    known = {"name": photo.name, "group": photo.group, "truth": photo.truth, "answer": photo.answer,
             "probabilities": [round(float(p), 6) for p in photo.probabilities],
             "storedSize": list(photo.stored.shape[:2]), "pictureSize": list(photo.picture.shape[:2])}  # fmt: skip
    picture = None if np.array_equal(photo.stored, photo.picture) else as_base64(encode_png(photo.picture))
    held = {"picture": picture, "limits": stored.limits, "maps": stored.texts}
    text = compact_json(held | dict(payload or {}))
    return EncodedPhoto(known | dict(facts or {}), as_base64(encode_png(photo.stored)), text, stored.limits)


def is_stored(step: Step, index: int, worked: frozenset[str] = frozenset()) -> bool:
    """Whether the page holds a step's values; the others it works out from the step before, or from the input."""
    return step.name not in worked and (index == 0 or (step.scale is None and step.windows is None))


def compact_json(value: Any) -> str:
    """JSON without spaces that may stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _values_per_filter(block: Block) -> int:
    return sum(step.shape[0] * step.shape[1] for i, step in enumerate(block.steps) if is_stored(step, i))


def _strongest(block: Block, filters: pd.DataFrame, count: int) -> np.ndarray:
    rows = filters[filters["layer"] == block.name]
    if count >= block.num_filters or rows.empty:
        return np.arange(min(count, block.num_filters))
    order = rows.sort_values(["mean", "filter"], ascending=[False, True])["filter"].to_numpy()
    return np.sort(order[:count])


def _encode_block(block: Block, rows: pd.DataFrame, shown: np.ndarray) -> dict[str, Any]:
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
    }


def _encode_step(step: Step, shown: np.ndarray, stored: bool) -> dict[str, Any]:
    field = step.receptive_field
    return {
        "name": step.name,
        "kind": step.kind,
        "label": step.label,
        "shape": list(step.shape[:2]),
        "rectified": step.rectified,
        "stored": stored,
        "field": None if field is None else _field(field),
        "scale": None if stored or step.scale is None else as_base64(step.scale[shown]),
        "offset": None if stored or step.offset is None else as_base64(step.offset[shown]),
        "windows": None if stored or step.windows is None else [_window(window) for window in step.windows],
    }


def _field(field: Field) -> dict[str, Any]:
    spans = {"rows": _span(field.rows), "columns": _span(field.columns)}
    return spans | {"gated": True} if field.gated else spans


def _span(span: Span) -> dict[str, int]:
    return {"size": span.size, "stride": span.stride, "start": span.start}


def _window(window: Window) -> dict[str, int]:
    return {"size": window.size, "stride": window.stride, "before": window.before}


def _rounded(value: Any) -> float:
    """Six significant digits: more than a screen can show."""
    return float(f"{float(value):.6g}")
