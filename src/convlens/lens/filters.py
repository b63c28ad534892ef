"""Filters: their statistics, patches, responses and profiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd

from convlens.lens.attribution import cam_blocks
from convlens.lens.estimates import Estimates, auc_interval, estimate
from convlens.lens.forward import Scorer, batch_size, call_model, run_batches, slices
from convlens.lens.graph import ReceptiveField, operate
from convlens.lens.lens import Block, Lens

# --- Facts about every filter over a sample of photos: how strong, how often, for which class ---

SUMMARIES = ("maximum", "minimum", "mean", "active")


def measure_filters(lens: Lens, images: Any, *, labels: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """One row per filter of every convolution, from the values after its activation.

    Args:
        lens: the opened model.
        images: uint8 photos, array-like (n, rows, columns, 3) that slices.
        labels: (n,) index into `classes`.
        classes: names of the classes.

    Returns:
        Columns: layer, filter, num_photos; maximum and mean over all cells of all photos; firing_rate (share of photos
        on which the filter is above zero anywhere) and active_share (share of cells above zero); dead (it never is,
        or it never changes where values may be negative); prefers (the class it tells best), auc_mean and auc_max
        (area under the ROC curve of its mean and its highest value for that class, 0.5 is chance), selectivity
        (2 * auc_mean - 1), and auc_low and auc_high (95 % interval of auc_mean).
    """
    blocks = [block for block in lens.blocks if block.is_convolution]
    if not blocks:
        return pd.DataFrame(columns=list(COLUMNS))
    summaries = _summarize(lens, blocks, images)
    parts = [_describe(block, summaries[i], labels, classes) for i, block in enumerate(blocks)]
    return pd.concat(parts, ignore_index=True)


COLUMNS = ("layer", "filter", "num_photos", "maximum", "mean", "firing_rate", "active_share", "dead", "prefers",
           "auc_mean", "auc_max", "selectivity", "auc_low", "auc_high")  # fmt: skip


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of every column of `scores` (n, filters), ties counted half; 0.5 where a class lacks.

    This is the Mann-Whitney statistic: the chance that a positive example scores above a negative one.
    """
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return np.full(scores.shape[1], 0.5)
    sums = pd.DataFrame(scores).rank(axis=0).to_numpy()[positive].sum(axis=0)
    return np.asarray((sums - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def _summarize(lens: Lens, blocks: Sequence[Block], images: Any) -> list[dict[str, np.ndarray]]:
    """Highest, lowest and mean value and active share of every filter on every photo; arrays (n, filters) per block."""
    outputs = [value for block in blocks for value in operate(_summaries, block.response.tensor)]
    model = keras.Model(lens.graph.input, outputs)
    whole = run_batches(model, images, size=batch_size(lens), dtype=str(lens.model.inputs[0].dtype))
    width = len(SUMMARIES)
    return [dict(zip(SUMMARIES, whole[width * i : width * (i + 1)], strict=True)) for i in range(len(blocks))]


def _summaries(tensor: Any) -> list[Any]:
    """Over the cells of each map, in the order of `SUMMARIES`."""
    ops, cells = keras.ops, (1, 2)
    active = ops.cast(tensor > 0, "float32")
    return [ops.max(tensor, cells), ops.min(tensor, cells), ops.mean(tensor, cells), ops.mean(active, cells)]


def _describe(block: Block, summary: dict[str, np.ndarray], labels: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    maximum, minimum = summary["maximum"].max(axis=0), summary["minimum"].min(axis=0)
    dead = maximum <= 0 if block.response.rectified else maximum == minimum
    aucs = np.stack([area_under_curve(summary["mean"], labels == index) for index in range(len(classes))])
    best = aucs.argmax(axis=0)
    auc_mean = aucs.max(axis=0)
    positives = np.bincount(labels, minlength=len(classes))[best]
    low, high = auc_interval(auc_mean, positives, len(labels) - positives)
    tops = np.stack([area_under_curve(summary["maximum"], labels == index) for index in range(len(classes))])
    rows: dict[str, Any] = {
        "layer": block.name,
        "filter": np.arange(block.num_filters),
        "num_photos": len(labels),
        "maximum": maximum,
        "mean": summary["mean"].mean(axis=0),
        "firing_rate": (summary["maximum"] > 0).mean(axis=0),
        "active_share": summary["active"].mean(axis=0),
        "dead": dead,
        "prefers": np.where(dead, "", np.asarray(classes, dtype=object)[best]),
        "auc_mean": auc_mean,
        "auc_max": tops[best, np.arange(block.num_filters)],
        "selectivity": 2 * auc_mean - 1,
        "auc_low": low,
        "auc_high": high,
    }
    return pd.DataFrame({name: _rounded(values) for name, values in rows.items()}, columns=list(COLUMNS))


def _rounded(values: Any) -> Any:
    """Floats with six significant digits: what is beyond differs from processor to processor."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        return values
    return np.array([float(f"{value:.6g}") for value in values.tolist()])


# --- What the filters of a network say at some places of some photos: columns of numbers that can be correlated ---

GRID = 7  # places down and across
SMALLEST = 1e-12


@dataclass(frozen=True)
class Responses:
    """Responses of one layer.

    Attributes:
        highest: float32 (photos, filters), over all cells of a map.
        lowest: the same for the lowest.
        values: float32 (photos, 49, filters), at a grid of 7x7 places that is the same for maps of every size.
        rectified: responses are never below zero.
    """

    highest: np.ndarray
    lowest: np.ndarray
    values: np.ndarray
    rectified: bool

    @property
    def dead(self) -> np.ndarray:
        """Filters that are never above zero on these photos, or never change where they may be negative."""
        if self.rectified:
            return np.asarray(self.highest.max(axis=0) <= 0)
        return np.asarray(self.highest.max(axis=0) == self.lowest.min(axis=0))

    @property
    def firing_rate(self) -> np.ndarray:
        """Share of the photos on which each filter is above zero anywhere."""
        return np.asarray((self.highest > 0).mean(axis=0))


def gather_responses(lens: Lens, photos: Any) -> dict[str, Responses]:
    """Responses of every convolution to photos (n, rows, columns, 3), by name of the block, in the network's order."""
    blocks = cam_blocks(lens.blocks)
    if not blocks or not len(photos):
        return {}
    outputs = [value for block in blocks for value in operate(_outputs, block.response.tensor)]
    found = run_batches(
        keras.Model(lens.graph.input, outputs),
        photos,
        size=batch_size(lens),
        dtype=str(lens.model.inputs[0].dtype),
    )
    parts = zip(blocks, found[0::3], found[1::3], found[2::3], strict=True)
    return {
        block.name: Responses(highest, lowest, _flatten(maps), block.response.rectified)
        for block, highest, lowest, maps in parts
    }


def correlate_columns(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson's correlation of every column of one table with that of the same number of the other; 0 if constant."""
    return np.asarray((standardize(first) * standardize(second)).sum(axis=0))


def standardize(values: np.ndarray) -> np.ndarray:
    """Columns without their mean and of length 1, float64 (rows, filters); constant ones are zero.

    Args:
        values: (…, filters); all axes but the last count as rows.
    """
    table = values.reshape(-1, values.shape[-1]).astype(np.float64)
    table = table - table.mean(axis=0)
    lengths = np.sqrt((table**2).sum(axis=0))
    spread = lengths > SMALLEST
    return np.asarray(np.where(spread, table / np.where(spread, lengths, 1), 0.0))


def _outputs(tensor: Any) -> Sequence[Any]:
    """Highest and lowest value of every map, and the values at the places."""
    ops, (rows, columns) = keras.ops, tensor.shape[1:3]
    places = ops.take(tensor, _places(rows), axis=1)
    return ops.max(tensor, (1, 2)), ops.min(tensor, (1, 2)), ops.take(places, _places(columns), axis=2)


def _places(length: int) -> np.ndarray:
    """The cells at the middles of seven equal parts; of short maps some cells stand for several parts."""
    return ((2 * np.arange(GRID) + 1) * length // (2 * GRID)).astype(np.int32)


def _flatten(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.reshape(len(values), -1, values.shape[-1]), np.float32)


# --- The patches that excite each filter most, each from another photo ---
#
# One place per photo, the highest of its map, as the Deep Visualization Toolbox does (Yosinski et al. 2015,
# arXiv:1506.06579); so nine patches are nine different photos.

NUM_PATCHES = 9


@dataclass(frozen=True)
class Patches:
    """The strongest places of every filter of a block, strongest first; arrays (filters, patches).

    Attributes:
        photo: number of the photo, -1 where there is none.
        row: row of the cell.
        column: column of the cell.
        value: response there.
    """

    photo: np.ndarray
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray


def strongest_patches(scorer: Scorer, photos: Any, *, num_patches: int = NUM_PATCHES) -> dict[str, Patches]:
    """The strongest places of every filter over photos, by name of the block.

    Of responses that cannot be negative only places above zero count; equal values keep the order of the photos.
    """
    blocks = cam_blocks(scorer.lens.blocks)
    if not blocks or not len(photos):
        return {}
    outputs = [value for block in blocks for value in operate(_peaks, block.response.tensor)]
    model = keras.Model(scorer.lens.graph.input, outputs)
    found = run_batches(model, photos, size=batch_size(scorer.lens), dtype=scorer.dtype)
    return {
        block.name: _rank(found[2 * i], found[2 * i + 1], block.response.shape[1],
                          floor=0.0 if block.response.rectified else -np.inf, count=num_patches)
        for i, block in enumerate(blocks)
    }  # fmt: skip


def crop_field(picture: np.ndarray, field: ReceptiveField | None, row: int, column: int) -> np.ndarray:
    """The pixels a cell sees, cut at the borders of the picture."""
    if field is None:
        return picture
    top, left = field.rows.start + row * field.rows.stride, field.columns.start + column * field.columns.stride
    bottom, right = top + field.rows.size, left + field.columns.size
    return picture[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]


def _peaks(tensor: Any) -> tuple[Any, Any]:
    """Highest value of every map, and the number of its cell."""
    ops = keras.ops
    rows, columns, filters = tensor.shape[1:]
    cells = ops.reshape(tensor, (-1, rows * columns, filters))
    return ops.max(cells, axis=1), ops.argmax(cells, axis=1)


def _rank(highest: np.ndarray, cells: np.ndarray, num_columns: int, *, floor: float, count: int) -> Patches:
    order = np.argsort(-highest, axis=0, kind="stable")[:count].T
    value = np.take_along_axis(highest.T, order, axis=1)
    cell = np.take_along_axis(cells.T, order, axis=1)
    photo = np.where(value > floor, order, -1)
    return Patches(photo, cell // num_columns, cell % num_columns, value)


# --- How a filter's values are spread, and whether it follows edges or brightness of the photo ---

NUM_BINS = 24
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True)
class FilterProfile:
    """Facts about the filters of a block over photos.

    Attributes:
        low: lower end of the histogram per filter; zero where responses cannot be negative.
        high: upper end.
        counts: int (filters, 24), values in even bins; zeros of rectified responses are left out.
        edges: mean correlation, cell by cell, with edge strength; NaN where it is not defined on any photo.
        brightness: the same with brightness.
    """

    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray
    edges: Estimates
    brightness: Estimates


def profile_filters(scorer: Scorer, photos: Any) -> dict[str, FilterProfile]:
    """Histograms and correlations of every filter over photos, by name of the block."""
    blocks = cam_blocks(scorer.lens.blocks)
    if not blocks or not len(photos):
        return {}
    size, dtype, start = batch_size(scorer.lens), scorer.dtype, scorer.lens.graph.input
    ends = [end for block in blocks for end in operate(_ends, block.response.tensor)]
    found = run_batches(keras.Model(start, ends), photos, size=size, dtype=dtype)
    gathered = [_Gathered(block, found[2 * i].min(axis=0), found[2 * i + 1].max(axis=0))
                for i, block in enumerate(blocks)]  # fmt: skip
    model = keras.Model(start, [scorer.lens.picture, *(block.response.tensor for block in blocks)])
    for batch in slices(photos, size, dtype):
        pictures, *maps = (np.asarray(value) for value in call_model(model, batch))
        for known, values in zip(gathered, maps, strict=True):
            known.add(pictures, values)
    return {known.block.name: known.profile() for known in gathered}


def edge_strength(brightness: np.ndarray) -> np.ndarray:
    """Size of the Sobel gradient of brightness (rows, columns); the picture is continued by its border."""
    padded = np.pad(brightness, 1, mode="edge")
    across = padded[:, 2:] - padded[:, :-2]
    down = padded[2:] - padded[:-2]
    along_rows = across[:-2] + 2 * across[1:-1] + across[2:]
    along_columns = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    return np.asarray(np.hypot(along_rows, along_columns))


def cell_means(values: np.ndarray, field: ReceptiveField, shape: tuple[int, int]) -> np.ndarray:
    """Mean of values (rows, columns) of a picture around the middle of what each cell sees, as wide as the stride.

    Returns:
        float64 of `shape`; NaN where a cell's middle lies outside the picture.
    """
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    total[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    tops, bottoms = _edges(field.rows.start, field.rows.size, field.rows.stride, shape[0], values.shape[0])
    lefts, rights = _edges(field.columns.start, field.columns.size, field.columns.stride, shape[1], values.shape[1])
    sums = total[bottoms][:, rights] - total[tops][:, rights] - total[bottoms][:, lefts] + total[tops][:, lefts]
    areas = np.outer(bottoms - tops, rights - lefts)
    return np.where(areas > 0, sums / np.maximum(areas, 1), np.nan)


def correlate(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Pearson's correlation of every column of values (cells, filters) with a reference (cells,); NaN if constant."""
    known = np.isfinite(reference)
    x, y = values[known].astype(np.float64), reference[known]
    x, y = x - x.mean(axis=0), y - y.mean()
    norms = np.sqrt((x**2).sum(axis=0) * (y**2).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norms > 1e-9, (x * y[:, np.newaxis]).sum(axis=0) / norms, np.nan)


class _Gathered:
    """What has been seen of a block so far."""

    def __init__(self, block: Block, low: np.ndarray, high: np.ndarray) -> None:
        self.block = block
        self.low = np.zeros_like(low) if block.response.rectified else low
        self.high = np.maximum(high, self.low)
        self.counts = np.zeros((block.num_filters, NUM_BINS), np.int64)
        self.edges: list[np.ndarray] = []
        self.brightness: list[np.ndarray] = []

    def add(self, pictures: np.ndarray, maps: np.ndarray) -> None:
        self.counts += self._count(maps.reshape(-1, maps.shape[-1]))
        field, shape = self.block.response.receptive_field, maps.shape[1:3]
        for picture, values in zip(pictures, maps, strict=True):
            brightness = picture.astype(np.float64) @ LUMINANCE if picture.shape[-1] == 3 else picture.mean(axis=-1)
            for kept, reference in ((self.edges, edge_strength(brightness)), (self.brightness, brightness)):
                flat = values.reshape(-1, values.shape[-1])
                nothing = np.full(values.shape[-1], np.nan)
                kept.append(nothing if field is None else correlate(flat, cell_means(reference, field, shape).ravel()))

    def profile(self) -> FilterProfile:
        edges, brightness = estimate(np.stack(self.edges)), estimate(np.stack(self.brightness))
        return FilterProfile(self.low, self.high, self.counts, edges, brightness)

    def _count(self, values: np.ndarray) -> np.ndarray:
        width = np.where(self.high > self.low, self.high - self.low, 1)
        bins = np.clip(((values - self.low) / width * NUM_BINS).astype(np.int64), 0, NUM_BINS - 1)
        places = (bins + np.arange(values.shape[1]) * NUM_BINS)[values > 0 if self.block.response.rectified else ...]
        return np.bincount(places.ravel(), minlength=self.counts.size).reshape(self.counts.shape)


def _ends(tensor: Any) -> tuple[Any, Any]:
    return keras.ops.min(tensor, (1, 2)), keras.ops.max(tensor, (1, 2))


def _edges(start: int, size: int, stride: int, count: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    first = start + np.arange(count) * stride + (size - stride) // 2
    return np.clip(first, 0, length), np.clip(first + stride, 0, length)
