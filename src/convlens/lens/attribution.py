"""Explain an answer: class activation maps, occlusion, ablation of filters, named regions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convlens.lens.filters import CONFIDENCE_LEVEL, Estimates, estimate
from convlens.lens.forward import (
    MAX_VALUES_HELD,
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
from convlens.models.inference import locate_views, make_views

# --- Class activation maps: Grad-CAM, with its sign kept ---
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


def find_cam_targets(scorer: Scorer) -> tuple[CamTarget, ...]:
    """Where a Grad-CAM is made, in the order of the network: responses and sums that nothing passes by.

    The last one is that of the paper. Of deep networks the last twelve are kept.
    """
    lens = scorer.lens
    responses = {id(block.response.tensor) for block in lens.convolutions}
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


def grad_cam(
    scorer: Scorer,
    photos: Any,
    classes: np.ndarray,
    targets: Sequence[CamTarget],
    *,
    weights: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Signed Grad-CAM of photos.

    Args:
        scorer: the network.
        photos: uint8 (n, rows, columns, 3), as the loader gives them.
        classes: int (n,), the class whose log-odds are explained.
        targets: maps to explain by, in the order of the network.
        weights: (units,), explains this weighted sum of the logits instead; None for the log-odds.

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
        known = front(batch, training=False)
        with tf.GradientTape() as tape:
            tape.watch(known)
            logits, *maps = call_model(rest, known)
            chosen = classes[number * size : number * size + len(batch)]
            score = tf.reduce_sum(log_odds(logits, chosen) if weights is None else logits * weights)
        maps = [known, *maps]
        gradients = tape.gradient(score, maps, unconnected_gradients="zero")
        sums = (tf.reduce_sum(values * gradient, axis=-1) for values, gradient in zip(maps, gradients, strict=True))
        parts.append([np.asarray(values, dtype=np.float32) for values in sums])
    return {target.name: np.concatenate(maps) for target, maps in zip(targets, zip(*parts, strict=True), strict=True)}


def announced_cam(scorer: Scorer, photo: np.ndarray, target: int, cams: Sequence[CamTarget]) -> dict[str, np.ndarray]:
    """Signed Grad-CAM of what is announced about a photo: of the log-odds of the mean logits over its views.

    The maps of the views are laid back onto the photo: each cell is shared out to the cells that it covers there, so
    that sums stay.

    Args:
        scorer: the network and its views.
        photo: uint8 (rows, columns, 3), as the loader gives it.
        target: the class.
        cams: maps to explain by.

    Returns:
        By name of the map, float32 (rows, columns).
    """
    views = np.concatenate(make_views(photo[np.newaxis], mirror=scorer.mirror, center_crop=scorer.center_crop))
    mean = tf.constant(scorer.logits(views).mean(axis=0, keepdims=True))
    with tf.GradientTape() as tape:
        tape.watch(mean)
        odds = log_odds(mean, np.array([target]))
    weights = np.asarray(tape.gradient(odds, mean))[0] / len(views)
    found = grad_cam(scorer, views, np.full(len(views), target), cams, weights=weights)
    places = locate_views(photo.shape[:2], mirror=scorer.mirror, center_crop=scorer.center_crop)
    laid = {}
    for cam in cams:
        spans = (cam.field.rows, cam.field.columns) if cam.field else (None, None)
        rows, columns = (
            _cell_edges(span, count, length)
            for span, count, length in zip(spans, cam.shape, scorer.lens.picture_shape, strict=True)
        )
        laid[cam.name] = np.zeros(cam.shape, np.float32)
        for values, (top, left, share, mirrored) in zip(found[cam.name], places, strict=True):
            height, width = scorer.lens.picture_shape
            down, across = top * height + share[0] * rows, left * width + share[1] * columns
            if mirrored:
                values, across = values[:, ::-1], width - across[::-1]
            laid[cam.name] += _share_out(down, rows).T @ values @ _share_out(across, columns)
    return laid


def _cell_edges(span: Span | None, count: int, length: int) -> np.ndarray:
    """Where cells begin and end along an axis, each around the middle of what it sees; float64 (count + 1,)."""
    if span is None:
        return np.linspace(0, length, count + 1)
    return span.start + (span.size - span.stride) / 2 + span.stride * np.arange(count + 1.0)


def _share_out(edges: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """How much of each cell lies in each of others; what lies outside of all counts for the next; rows add up to 1."""
    onto = np.array([-np.inf, *onto[1:-1], np.inf])
    common = np.minimum(edges[1:, np.newaxis], onto[1:]) - np.maximum(edges[:-1, np.newaxis], onto[:-1])
    shares: np.ndarray = np.maximum(common, 0) / np.diff(edges)[:, np.newaxis]
    return shares


# --- Occlusion: what happens to the answer when a box of the photo is covered ---
#
# Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014 (arXiv:1311.2901). A box is
# covered with the photo's own mean color, which changes its brightness least.

Box = tuple[float, float, float, float]
OCCLUSION_SHARES = (1 / 6, 1 / 3)  # of each side


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


def measure_occlusion(scorer: Scorer, photo: np.ndarray, target: int, *, share: float) -> Occlusion:
    """Cover boxes on a grid, one at a time; a box spans `share` of each side, and the next starts half a box on."""
    height, width = scorer.lens.picture_shape
    size = (max(1, round(height * share)), max(1, round(width * share)))
    stride = (max(1, size[0] // 2), max(1, size[1] // 2))
    tops, lefts = (
        [i * step for i in range(max(1, -(-(length - side) // step) + 1))]
        for length, side, step in zip((height, width), size, stride, strict=True)
    )
    boxes = [(left, top, left + size[1], top + size[0]) for top in tops for left in lefts]
    odds, chances = cover_effects(scorer, photo, boxes, target)
    shape = (len(tops), len(lefts))
    return Occlusion(size, stride, odds.reshape(shape), chances.reshape(shape))


def cover_effects(
    scorer: Scorer, photo: np.ndarray, boxes: Sequence[Box], target: int
) -> tuple[np.ndarray, np.ndarray]:
    """Effect of covering each box on log-odds and calibrated probability of a class, over all views; float64 (boxes,).

    Args:
        scorer: the network.
        photo: uint8 (rows, columns, 3), as the loader gives it.
        boxes: in pixels of the picture the network works on.
        target: the class.
    """
    down, across = (n / m for n, m in zip(photo.shape[:2], scorer.lens.picture_shape, strict=True))
    wanted = [(0.0, 0.0, 0.0, 0.0), *((box[0] * across, box[1] * down, box[2] * across, box[3] * down)
                                      for box in boxes)]  # fmt: skip
    size = batch_size(scorer.lens)
    parts = [scorer.view_logits(np.stack([cover(photo, box) for box in wanted[start : start + size]])).mean(axis=0)
             for start in range(0, len(wanted), size)]  # fmt: skip
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


# --- Ablation: what each filter does for the answer ---
#
# A filter is switched off by setting its map to zero behind the activation. The network is resumed from there, so the
# layers ahead are worked out once for all filters. After Morcos et al., "On the importance of single directions for
# generalization", ICLR 2018 (arXiv:1803.06959).

MAX_ABLATED_AT_ONCE = 64


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
    costs = {name: cut.multiplications for name, cut in scorer.cuts.items() if name in filters}
    total = sum(costs[name] * len(chosen) for name, chosen in filters.items())
    num_photos = int(min(most, max(4, budget // max(total, 1))))
    share = min(1.0, budget / max(total * num_photos, 1))
    return num_photos, {name: chosen[: max(1, int(len(chosen) * share))] for name, chosen in filters.items()}


def _switch_off(cut: Cut, known: Sequence[Any], filters: np.ndarray) -> np.ndarray:
    """Logits (filters, units) of one photo."""
    values = sum(int(np.prod(tensor.shape)) for tensor in known)
    size = max(1, min(MAX_ABLATED_AT_ONCE, MAX_VALUES_HELD // (4 * values)))
    parts = [filters[start : start + size].astype(np.int32) for start in range(0, len(filters), size)]
    return np.concatenate([np.asarray(cut.without(known, part)) for part in parts])


# --- Named regions, such as an ear or a tongue, against random boxes of the same size ---
#
# Covering anything changes an answer a little. So the effect of a region counts only as far as it exceeds that of boxes
# of its size elsewhere on the same photo.

MAX_PLACES_TRIED = 20
MIN_NULL = 3


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
    step, area = 1 + num_null, shape[0] * shape[1]
    return [
        RegionEffect(name, box, (box[2] - box[0]) * (box[3] - box[1]) / area, float(chances[step * i]),
                     float(odds[step * i]), chances[step * i + 1 : step * (i + 1)])
        for i, (name, box) in enumerate(known.items())
    ]  # fmt: skip


def plan_null(scorer: Scorer, num_regions: int, *, budget: float, most: int) -> int:
    """Random boxes per region, so that the multiplications of all of them stay within a budget; at least three."""
    cost = scorer.num_views * num_regions * sum(multiplications(call) for call in scorer.lens.graph.calls)
    return int(min(most, max(MIN_NULL, budget // max(cost, 1))))


def clip_box(box: Box, shape: tuple[int, int]) -> Box | None:
    """The part of a box within a picture of rows and columns; None if less than one pixel is left."""
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    right, bottom = min(box[2], float(shape[1])), min(box[3], float(shape[0]))
    return (left, top, right, bottom) if right - left >= 1 and bottom - top >= 1 else None


def random_boxes(box: Box, shape: tuple[int, int], count: int, rng: np.random.Generator) -> list[Box]:
    """Boxes of the same size anywhere on the picture, apart from `box` where twenty tries find such a place."""
    width, height = box[2] - box[0], box[3] - box[1]

    def overlaps(place: Box) -> bool:
        return place[0] < box[2] and box[0] < place[2] and place[1] < box[3] and box[1] < place[3]

    found: list[Box] = []
    for _ in range(count):
        tries = rng.random((MAX_PLACES_TRIED, 2)) * (shape[1] - width, shape[0] - height)
        places = [(float(x), float(y), float(x) + width, float(y) + height) for x, y in tries]
        found.append(next((place for place in places if not overlaps(place)), places[0]))
    return found


def summarize_regions(photos: Sequence[Sequence[RegionEffect]]) -> list[RegionSummary]:
    """The regions of several photos, the largest excess over random boxes first.

    The interval of the excess is widened for the number of regions (Bonferroni), so that looking at many finds none by
    chance more than one time in twenty.
    """
    names = sorted({effect.name for photo in photos for effect in photo})
    confidence = 1 - (1 - CONFIDENCE_LEVEL) / max(len(names), 1)
    rows = []
    for name in names:
        found = [effect for photo in photos for effect in photo if effect.name == name]
        effects = np.array([effect.effect for effect in found])
        nulls = np.array([effect.null.mean() if effect.null.size else np.nan for effect in found])
        difference = estimate((effects - nulls)[:, np.newaxis], confidence=confidence)[0]
        effect, null = estimate(effects[:, np.newaxis])[0], estimate(nulls[:, np.newaxis])[0]
        share = float(np.mean([one.share for one in found]))
        rows.append(RegionSummary(name, len(found), share, effect, null, difference, bool(difference[1] > 0)))
    return sorted(rows, key=lambda row: (-row.difference[0], row.name))


def region_ratios(scorer: Scorer, photos: Any, regions: Sequence[Mapping[str, Box]]) -> dict[str, dict[str, Estimates]]:
    """Share of each filter's response inside a region, over the region's share of the area; mean over photos.

    Returns:
        By name of the block and of the region. 1 means no preference; NaN where a filter is silent, or where a cell
        sees the whole picture.
    """
    blocks = [block for block in scorer.lens.convolutions if block.response.receptive_field is not None]
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
    rows, columns = (
        span.start + np.arange(count) * span.stride + span.size / 2
        for span, count in zip((field.rows, field.columns), maps.shape, strict=False)
    )
    inside = np.outer((rows >= box[1]) & (rows < box[3]), (columns >= box[0]) & (columns < box[2]))
    positive = np.maximum(maps, 0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = positive[inside].sum(axis=0) / positive.sum(axis=(0, 1))
        return np.asarray(share / (inside.mean() if inside.any() else np.nan))
