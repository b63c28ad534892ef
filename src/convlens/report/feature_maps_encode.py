"""What the feature-map page holds: blocks, filters and photos as compact JSON.

The page stores the maps of activations and sums, and of convolutions that it cannot work out. Other convolutions (from
their input and kernels), normalisations (an affine function per filter) and poolings (from the maps before them) it
works out by itself, as the network does.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from convlens.report.feature_maps_blocks import Block, Field, Span, Step, Window
from convlens.report.feature_maps_sprites import as_base64, encode_png, make_sprite

RARE = 0.01  # a filter that fires on a smaller share of photos is called rare
MAX_VALUES = 1_500_000  # map values per photo; how many bytes they take is only known once they are stored
MAX_SHOWN = 3_000  # filters of the whole page: each has a card of half a kilobyte, and a tile to draw


@dataclass(frozen=True, kw_only=True)
class ShownPhoto:
    """One photo of the page.

    Attributes:
        name: what to call it.
        group: `own`, `mistake` or `correct`.
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
