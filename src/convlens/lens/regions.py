"""What named regions, such as an ear or a tongue, do for the answer, against random boxes of the same size.

Covering anything changes an answer a little. So the effect of a region counts only as far as it exceeds that of boxes
of its size elsewhere on the same photo.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from convlens.lens.blocks import Block
from convlens.lens.estimates import CONFIDENCE, Estimates, estimate
from convlens.lens.fields import Span
from convlens.lens.forward import Scorer, batch_size, multiplications, run_batches
from convlens.lens.occlusion import Box, cover_effects
from convlens.lens.saliency import cam_blocks

TRIES = 20
LEAST_NULL = 3


@dataclass(frozen=True)
class RegionEffect:
    """What covering one region of one photo does.

    Attributes:
        name: of the region.
        box: left, top, right, bottom in pixels of the picture.
        share: of the picture's area.
        effect: on the calibrated probability of the target; above zero the region spoke for it.
        log_odds: on its log-odds.
        null: effects on the probability of random boxes of the same size, float64 (boxes,).
    """

    name: str
    box: Box
    share: float
    effect: float
    log_odds: float
    null: np.ndarray


@dataclass(frozen=True)
class RegionSummary:
    """A region over several photos; see `RegionEffect`. `found`: it does more than random boxes, surely."""

    name: str
    num_photos: int
    share: float
    effect: tuple[float, float, float]
    null: tuple[float, float, float]
    difference: tuple[float, float, float]
    found: bool


def region_effects(
    scorer: Scorer, photo: np.ndarray, regions: Mapping[str, Box], target: int, *, num_null: int, seed: Sequence[int]
) -> list[RegionEffect]:
    """Cover each region of a photo, and random boxes of its size.

    Args:
        scorer: the network.
        photo: uint8 (rows, columns, 3), as the loader gives it.
        regions: boxes in pixels of the picture, by name.
        target: the class whose probability counts.
        num_null: random boxes per region.
        seed: whole numbers that decide the random boxes.
    """
    shape = scorer.lens.picture_shape
    rng = np.random.default_rng([*seed])
    inside = {name: clip_box(box, shape) for name, box in regions.items()}
    known = {name: box for name, box in inside.items() if box is not None}
    boxes = [box for own in known.values() for box in (own, *random_boxes(own, shape, num_null, rng))]
    if not boxes:
        return []
    odds, chances = cover_effects(scorer, photo, boxes, target)
    step = 1 + num_null
    return [
        RegionEffect(name, box, _area(box) / (shape[0] * shape[1]), float(chances[step * i]), float(odds[step * i]),
                     chances[step * i + 1 : step * (i + 1)])
        for i, (name, box) in enumerate(known.items())
    ]  # fmt: skip


def plan_null(scorer: Scorer, num_regions: int, *, budget: float, most: int) -> int:
    """Random boxes per region, so that the multiplications of all of them stay within a budget; at least three."""
    cost = num_regions * sum(multiplications(call) for call in scorer.lens.graph.calls)
    return int(min(most, max(LEAST_NULL, budget // max(cost, 1))))


def clip_box(box: Box, shape: tuple[int, int]) -> Box | None:
    """The part of a box within a picture of rows and columns; None if less than one pixel is left."""
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    right, bottom = min(box[2], float(shape[1])), min(box[3], float(shape[0]))
    return (left, top, right, bottom) if right - left >= 1 and bottom - top >= 1 else None


def random_boxes(box: Box, shape: tuple[int, int], count: int, rng: np.random.Generator) -> list[Box]:
    """Boxes of the same size anywhere on the picture, apart from `box` where twenty tries find such a place."""
    width, height = box[2] - box[0], box[3] - box[1]
    found: list[Box] = []
    for _ in range(count):
        tries = rng.random((TRIES, 2)) * (shape[1] - width, shape[0] - height)
        places = [(float(x), float(y), float(x) + width, float(y) + height) for x, y in tries]
        found.append(next((place for place in places if not _overlap(place, box)), places[0]))
    return found


def summarise_regions(photos: Sequence[Sequence[RegionEffect]]) -> list[RegionSummary]:
    """The regions of several photos, the largest excess over random boxes first.

    The interval of the excess is widened for the number of regions (Bonferroni), so that looking at many finds none by
    chance more than one time in twenty.
    """
    names = sorted({effect.name for photo in photos for effect in photo})
    confidence = 1 - (1 - CONFIDENCE) / max(len(names), 1)
    rows = [_summarise(name, photos, confidence) for name in names]
    return sorted(rows, key=lambda row: (-row.difference[0], row.name))


def region_ratios(scorer: Scorer, photos: Any, regions: Sequence[Mapping[str, Box]]) -> dict[str, dict[str, Estimates]]:
    """Share of each filter's response inside a region, over the region's share of the area; mean over photos.

    Returns:
        By name of the block and of the region. 1 means no preference; NaN where a filter is silent, or where a cell
        sees the whole picture.
    """
    blocks = [block for block in cam_blocks(scorer.lens.blocks) if block.response.receptive_field is not None]
    names = sorted({name for boxes in regions for name in boxes})
    size = batch_size(scorer.lens)
    if not blocks or not names:
        return {}
    model = keras.Model(scorer.lens.graph.input, [block.response.tensor for block in blocks])
    samples: dict[tuple[str, str], list[np.ndarray]] = {(b.name, name): [] for b in blocks for name in names}
    for start in range(0, len(regions), size):
        found = run_batches(model, photos[start : start + size], size=size, dtype=scorer.dtype)
        for block, maps in zip(blocks, found, strict=True):
            for values, boxes in zip(maps, regions[start : start + size], strict=True):
                for name, box in boxes.items():
                    samples[block.name, name].append(activation_ratio(values, block, box))
    return {block.name: {name: estimate(np.stack(samples[block.name, name])) for name in names} for block in blocks}


def activation_ratio(maps: np.ndarray, block: Block, box: Box) -> np.ndarray:
    """Share of response above zero inside a box over the share of cells inside; (filters,), NaN where not defined.

    A cell is inside when the middle of what it sees is.
    """
    field = block.response.receptive_field
    if field is None:
        return np.full(maps.shape[-1], np.nan)
    rows, columns = _middles(field.rows, maps.shape[0]), _middles(field.columns, maps.shape[1])
    inside = np.outer((rows >= box[1]) & (rows < box[3]), (columns >= box[0]) & (columns < box[2]))
    positive = np.maximum(maps, 0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = positive[inside].sum(axis=0) / positive.sum(axis=(0, 1))
        return np.asarray(share / (inside.mean() if inside.any() else np.nan))


def _summarise(name: str, photos: Sequence[Sequence[RegionEffect]], confidence: float) -> RegionSummary:
    found = [effect for photo in photos for effect in photo if effect.name == name]
    effects = np.array([effect.effect for effect in found])
    nulls = np.array([effect.null.mean() if effect.null.size else np.nan for effect in found])
    difference = estimate((effects - nulls)[:, np.newaxis], confidence=confidence)[0]
    effect, null = estimate(effects[:, np.newaxis])[0], estimate(nulls[:, np.newaxis])[0]
    share = float(np.mean([effect.share for effect in found]))
    return RegionSummary(name, len(found), share, effect, null, difference, bool(difference[1] > 0))


def _middles(span: Span, count: int) -> np.ndarray:
    return np.asarray(span.start + np.arange(count) * span.stride + span.size / 2)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
