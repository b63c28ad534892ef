"""Attribution: class activation maps, occlusion, ablation, regions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convlens.lens.estimates import CONFIDENCE, Estimates, estimate
from convlens.lens.forward import (
    MAX_VALUES,
    Cut,
    Scorer,
    batch_size,
    call_model,
    cut_behind,
    log_odds,
    multiplications,
    run_batches,
    slices,
)
from convlens.lens.graph import ReceptiveField, Span
from convlens.lens.lens import Block

# --- Where on the photo the answer comes from: Grad-CAM, with its sign kept ---
#
# Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization", ICCV 2017
# (arXiv:1610.02391). Without the final ReLU of the paper, so that places that speak against the class show as well, and
# for log-odds, which a sure answer does not flatten. Gradients weigh each cell by itself instead of by their mean over
# the map (HiResCAM: Draelos and Carin 2020, arXiv:2011.08891). Behind a global average both are the same; in earlier
# layers the mean points to wrong places: on the default network, deleting what it shows hurts less than chance.

MAX_TARGETS = 12
FINE_CELLS = 7


@dataclass(frozen=True)
class CamTarget:
    """Maps that a Grad-CAM is made of; every way to the answer leads through them.

    A branch that a shortcut passes by tells a part of the story only: its Grad-CAM can point away from what counts.

    Attributes:
        name: of the layer that gives them.
        shape: rows and columns.
        field: pixels a cell sees.
    """

    name: str
    shape: tuple[int, int]
    field: ReceptiveField | None
    tensor: Any


def cam_blocks(blocks: Sequence[Block]) -> list[Block]:
    """Convolutions, in the order of the network."""
    return [block for block in blocks if block.is_convolution]


def find_cam_targets(scorer: Scorer) -> tuple[CamTarget, ...]:
    """Where a Grad-CAM is made, in the order of the network: responses and sums that nothing passes by.

    The last one is that of the paper. Of deep networks the last twelve are kept.
    """
    lens = scorer.lens
    responses = {id(block.response.tensor) for block in cam_blocks(lens.blocks)}
    first = next((i for i, call in enumerate(lens.graph.calls) if id(call.output) in responses), None)
    if first is None:
        return ()
    found: list[CamTarget] = []
    for call in reversed(lens.graph.calls[first:]):
        wanted = id(call.output) in responses or call.kind in ("Add", "Concatenate")
        if wanted and len(call.output.shape) == 4 and cut_behind(lens, scorer.head, call.output).is_only_way:
            shape = (int(call.output.shape[1]), int(call.output.shape[2]))
            found.append(CamTarget(call.name, shape, lens.fields.get(id(call.output)), call.output))
        if len(found) == MAX_TARGETS:
            break
    return tuple(reversed(found))


def choose_cam(targets: Sequence[CamTarget]) -> CamTarget | None:
    """The one to show first: the last with at least 7x7 cells, else the last; small photos end in very few cells."""
    fine = [target for target in targets if min(target.shape) >= FINE_CELLS]
    return next(iter([*reversed(fine), *reversed(targets)]), None)


def grad_cam(scorer: Scorer, photos: Any, classes: np.ndarray, targets: Sequence[CamTarget]) -> dict[str, np.ndarray]:
    """Signed Grad-CAM of photos.

    Args:
        scorer: the network.
        photos: uint8 (n, rows, columns, 3), as the loader gives them.
        classes: int (n,), the class whose log-odds are explained.
        targets: maps to explain by, in the order of the network.

    Returns:
        By name of the target, float32 (n, rows, columns): the sum over filters of map times gradient. Behind a global
        average and one dense layer the cells add up to the log-odds without the bias.
    """
    if not targets:
        return {}
    first, *later = (target.tensor for target in targets)
    front = keras.Model(scorer.lens.graph.input, first)
    rest = keras.Model(first, [scorer.head.logits, *later])
    parts: list[list[np.ndarray]] = []
    size = batch_size(scorer.lens)
    for number, batch in enumerate(slices(photos, size, scorer.dtype)):
        parts.append(_explain(rest, front(batch, training=False), classes[number * size : number * size + len(batch)]))
    return {target.name: np.concatenate(maps) for target, maps in zip(targets, zip(*parts, strict=True), strict=True)}


def _explain(rest: keras.Model, known: Any, classes: np.ndarray) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        tape.watch(known)
        outputs = rest(known, training=False)
        logits, *later = outputs if isinstance(outputs, list | tuple) else [outputs]
        score = tf.reduce_sum(log_odds(logits, classes))
    maps = [known, *later]
    gradients = tape.gradient(score, maps, unconnected_gradients="zero")
    sums = (tf.reduce_sum(values * gradient, axis=-1) for values, gradient in zip(maps, gradients, strict=True))
    return [np.asarray(values, dtype=np.float32) for values in sums]


# --- What happens to the answer when a box of the photo is covered ---
#
# Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014 (arXiv:1311.2901). A box is
# covered with the photo's own mean color, which changes its brightness least.

Box = tuple[float, float, float, float]
SHARES = (1 / 6, 1 / 3)


@dataclass(frozen=True)
class Occlusion:
    """Effects of covering boxes on a grid: what is left is subtracted from the original.

    Attributes:
        size: rows and columns of a box, in pixels of the picture.
        stride: from box to box, down and across.
        log_odds: (rows, columns) effect on the log-odds of the target; above zero the box spoke for it.
        probability: effect on its calibrated probability.
    """

    size: tuple[float, float]
    stride: tuple[float, float]
    log_odds: np.ndarray
    probability: np.ndarray


def occlude(scorer: Scorer, photo: np.ndarray, target: int, *, share: float) -> Occlusion:
    """Cover boxes on a grid, one at a time; a box spans `share` of each side, and the next starts half a box on."""
    height, width = scorer.lens.picture_shape
    size = (max(1, round(height * share)), max(1, round(width * share)))
    stride = (max(1, size[0] // 2), max(1, size[1] // 2))
    tops, lefts = (_starts(n, s, d) for n, s, d in zip((height, width), size, stride, strict=True))
    boxes = [(left, top, left + size[1], top + size[0]) for top in tops for left in lefts]
    odds, chances = cover_effects(scorer, photo, boxes, target)
    shape = (len(tops), len(lefts))
    return Occlusion(size, stride, odds.reshape(shape), chances.reshape(shape))


def cover_effects(
    scorer: Scorer, photo: np.ndarray, boxes: Sequence[Box], target: int
) -> tuple[np.ndarray, np.ndarray]:
    """Effect of covering each box on log-odds and on calibrated probability of a class; float64 (boxes,) each.

    Args:
        scorer: the network.
        photo: uint8 (rows, columns, 3), as the loader gives it.
        boxes: in pixels of the picture the network works on.
        target: the class.
    """
    parts = [scorer.logits(batch) for batch in _covered(scorer, photo, boxes)]
    odds, chances = scorer.scores(np.concatenate(parts), target)
    return odds[0] - odds[1:], chances[0] - chances[1:]


def cover(photo: np.ndarray, box: Box) -> np.ndarray:
    """A copy of a photo with a box, in its own pixels, in its mean color; parts of pixels are rounded."""
    left, top, right, bottom = (round(side) for side in box)
    covered = photo.copy()
    covered[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = mean_color(photo)
    return covered


def mean_color(photo: np.ndarray) -> np.ndarray:
    """Mean color of a photo, rounded, uint8 (3,)."""
    color: np.ndarray = np.round(photo.reshape(-1, photo.shape[-1]).mean(axis=0)).astype(photo.dtype)
    return color


def _covered(scorer: Scorer, photo: np.ndarray, boxes: Sequence[Box]) -> Iterator[np.ndarray]:
    """The photo itself, then the photo with each box covered, in batches."""
    rows, columns = (n / m for n, m in zip(photo.shape[:2], scorer.lens.picture_shape, strict=True))
    size = batch_size(scorer.lens)
    wanted = [(0.0, 0.0, 0.0, 0.0), *boxes]
    for start in range(0, len(wanted), size):
        chosen = wanted[start : start + size]
        yield np.stack([cover(photo, (box[0] * columns, box[1] * rows, box[2] * columns, box[3] * rows))
                        for box in chosen])  # fmt: skip


def _starts(length: int, size: int, stride: int) -> list[int]:
    return [i * stride for i in range(max(1, -(-(length - size) // stride) + 1))]


# --- What each filter does for the answer: switch it off and see ---
#
# A filter is switched off by setting its map to zero behind the activation. The network is resumed from there, so the
# layers ahead are worked out once for all filters. After Morcos et al., "On the importance of single directions for
# generalization", ICLR 2018 (arXiv:1803.06959).

ROWS_AT_ONCE = 64


def ablate_filters(scorer: Scorer, photos: Any, filters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Logits of photos with one filter switched off at a time.

    Args:
        scorer: the network.
        photos: uint8 (n, rows, columns, 3), as the loader gives them.
        filters: filters to switch off, by name of the block; blocks that are not named are passed over.

    Returns:
        By name of the block, float32 (n, filters, units).
    """
    cuts = {name: cut for name, cut in scorer.cuts.items() if len(filters.get(name, ()))}
    tensors = {id(tensor): tensor for cut in cuts.values() for tensor in cut.frontier}
    if not cuts:
        return {}
    front = keras.Model(scorer.lens.graph.input, list(tensors.values()))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in cuts}
    for photo in photos:
        values = dict(zip(tensors, call_model(front, photo[np.newaxis].astype(scorer.dtype)), strict=True))
        for name, cut in cuts.items():
            known = [values[id(tensor)] for tensor in cut.frontier]
            parts[name].append(_switch_off(cut, known, filters[name]))
    return {name: np.stack(rows) for name, rows in parts.items()}


def plan_ablation(
    scorer: Scorer, filters: Mapping[str, np.ndarray], *, budget: float, most: int
) -> tuple[int, dict[str, np.ndarray]]:
    """How many photos, and which filters, so that the multiplications stay within a budget.

    Fewer photos come first; when even four are too many, only the first filters of each list are measured.

    Returns:
        Number of photos, and filters per block.
    """
    costs = _costs(scorer, filters)
    total = sum(costs[name] * len(chosen) for name, chosen in filters.items())
    num_photos = int(min(most, max(4, budget // max(total, 1))))
    share = min(1.0, budget / max(total * num_photos, 1))
    return num_photos, {name: chosen[: max(1, int(len(chosen) * share))] for name, chosen in filters.items()}


def _costs(scorer: Scorer, filters: Mapping[str, np.ndarray]) -> dict[str, int]:
    return {name: cut.multiplications for name, cut in scorer.cuts.items() if name in filters}


def _switch_off(cut: Cut, known: Sequence[Any], filters: np.ndarray) -> np.ndarray:
    """Logits (filters, units) of one photo."""
    values = sum(int(np.prod(tensor.shape)) for tensor in known)
    size = max(1, min(ROWS_AT_ONCE, MAX_VALUES // (4 * values)))
    parts = [filters[start : start + size].astype(np.int32) for start in range(0, len(filters), size)]
    return np.concatenate([np.asarray(cut.without(known, part)) for part in parts])


# --- What named regions, such as an ear or a tongue, do for the answer, against random boxes of the same size ---
#
# Covering anything changes an answer a little. So the effect of a region counts only as far as it exceeds that of boxes
# of its size elsewhere on the same photo.

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


def summarize_regions(photos: Sequence[Sequence[RegionEffect]]) -> list[RegionSummary]:
    """The regions of several photos, the largest excess over random boxes first.

    The interval of the excess is widened for the number of regions (Bonferroni), so that looking at many finds none by
    chance more than one time in twenty.
    """
    names = sorted({effect.name for photo in photos for effect in photo})
    confidence = 1 - (1 - CONFIDENCE) / max(len(names), 1)
    rows = [_summarize(name, photos, confidence) for name in names]
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


def _summarize(name: str, photos: Sequence[Sequence[RegionEffect]], confidence: float) -> RegionSummary:
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
