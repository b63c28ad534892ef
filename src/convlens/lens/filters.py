"""What each filter responds to: statistics, responses at fixed places, strongest patches, profiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from convlens.files import round_array
from convlens.lens.forward import Scorer, batch_size, call_model, run_batches, slices
from convlens.lens.graph import ReceptiveField, operate
from convlens.lens.lens import Block, Lens

# --- Means over photos, and areas under ROC curves, with their intervals ---

CONFIDENCE_LEVEL = 0.95


@dataclass(frozen=True)
class Estimates:
    """Means with intervals, float64 arrays of one shape; NaN where there is no number.

    Attributes:
        value: mean over photos.
        low: lower end of the interval.
        high: upper end.
        num: photos behind each mean.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    num: np.ndarray

    def __getitem__(self, index: int) -> tuple[float, float, float]:
        """Value, low and high of one of them."""
        return float(self.value[index]), float(self.low[index]), float(self.high[index])


def estimate(samples: np.ndarray, *, confidence: float = CONFIDENCE_LEVEL) -> Estimates:
    """Mean over the first axis with Student's interval; NaN among the samples is left out.

    Args:
        samples: (photos, …).
        confidence: coverage of the interval.
    """
    values = np.asarray(samples, dtype=np.float64)
    known = np.isfinite(values)
    num = known.sum(axis=0)
    filled = np.where(known, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(num > 0, filled.sum(axis=0) / num, np.nan)
        squares = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)
        error = np.where(num > 1, np.sqrt(squares / (num - 1) / num), np.nan)
    width = student.ppf((1 + confidence) / 2, np.maximum(num - 1, 1)) * error
    return Estimates(mean, mean - width, mean + width, num)


def auc_interval(
    auc: np.ndarray, num_positive: np.ndarray, num_negative: np.ndarray, *, confidence: float = CONFIDENCE_LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of areas under the ROC curve, method 5 of Newcombe 2006 (Statistics in Medicine 25:559).

    It solves for the areas whose own standard error reaches the one found, so it has a width at 0 and at 1 too. Where a
    class lacks, it is 0..1.
    """
    pairs = np.maximum(num_positive * num_negative, 1)
    extra = (num_positive + num_negative) / 2 - 1
    z = norm.ppf((1 + confidence) / 2)

    def reaches(area: np.ndarray) -> np.ndarray:
        variance = area * (1 - area) * (1 + extra * ((1 - area) / (2 - area) + area / (1 + area))) / pairs
        return np.asarray(np.abs(area - auc) <= z * np.sqrt(variance))

    ends = []
    for outer in (np.zeros_like(auc), np.ones_like(auc)):
        near, far = auc.astype(np.float64), outer.astype(np.float64)
        for _ in range(40):
            middle = (near + far) / 2
            inside = reaches(middle)
            near, far = np.where(inside, middle, near), np.where(inside, far, middle)
        ends.append(np.where(num_positive * num_negative > 0, near, outer))
    return ends[0], ends[1]


# --- Statistics of every filter over a sample of photos: how strong, how often, for which class ---

FILTER_COLUMNS = ("layer", "filter", "num_photos", "maximum", "mean", "firing_rate", "active_share", "dead", "prefers",
                  "auc_mean", "auc_max", "selectivity", "auc_low", "auc_high")  # fmt: skip


def measure_filters(lens: Lens, images: Any, *, labels: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Measure every filter of every convolution by the values after its activation; one row per filter.

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
    if not lens.convolutions:
        return pd.DataFrame(columns=list(FILTER_COLUMNS))

    def summarize(tensor: Any) -> list[Any]:
        ops, cells = keras.ops, (1, 2)
        active = ops.cast(tensor > 0, "float32")
        return [ops.max(tensor, cells), ops.min(tensor, cells), ops.mean(tensor, cells), ops.mean(active, cells)]

    parts = []
    for block, (highest, lowest, mean, active) in zip(
        lens.convolutions, run_on_responses(lens, images, summarize), strict=True
    ):
        maximum, minimum = highest.max(axis=0), lowest.min(axis=0)
        dead = maximum <= 0 if block.response.rectified else maximum == minimum
        aucs = np.stack([area_under_curve(mean, labels == index) for index in range(len(classes))])
        tops = np.stack([area_under_curve(highest, labels == index) for index in range(len(classes))])
        best, auc_mean = aucs.argmax(axis=0), aucs.max(axis=0)
        positives = np.bincount(labels, minlength=len(classes))[best]
        low, high = auc_interval(auc_mean, positives, len(labels) - positives)
        rows: dict[str, Any] = {
            "layer": block.name,
            "filter": np.arange(block.num_filters),
            "num_photos": len(labels),
            "maximum": maximum,
            "mean": mean.mean(axis=0),
            "firing_rate": (highest > 0).mean(axis=0),
            "active_share": active.mean(axis=0),
            "dead": dead,
            "prefers": np.where(dead, "", np.asarray(classes, dtype=object)[best]),
            "auc_mean": auc_mean,
            "auc_max": tops[best, np.arange(block.num_filters)],
            "selectivity": 2 * auc_mean - 1,
            "auc_low": low,
            "auc_high": high,
        }
        for name, values in rows.items():
            if isinstance(values, np.ndarray) and values.dtype.kind == "f":
                rows[name] = round_array(values, 6)  # what is beyond differs from processor to processor
        parts.append(pd.DataFrame(rows, columns=list(FILTER_COLUMNS)))
    return pd.concat(parts, ignore_index=True)


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of every column of `scores` (n, filters), ties counted half; 0.5 where a class lacks.

    This is the Mann-Whitney statistic: the chance that a positive example scores above a negative one.
    """
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return np.full(scores.shape[1], 0.5)
    sums = pd.DataFrame(scores).rank(axis=0).to_numpy()[positive].sum(axis=0)
    return np.asarray((sums - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def run_on_responses(lens: Lens, photos: Any, function: Callable[[Any], Sequence[Any]]) -> list[list[np.ndarray]]:
    """Apply a function inside the network to the response (n, rows, columns, filters) of every convolution.

    Returns:
        What the function gives, over all photos, for every convolution in order.
    """
    parts = [list(operate(function, block.response.tensor)) for block in lens.convolutions]
    model = keras.Model(lens.graph.input, [value for values in parts for value in values])
    found = iter(run_batches(model, photos, size=batch_size(lens), dtype=str(lens.model.inputs[0].dtype)))
    return [[next(found) for _ in values] for values in parts]


# --- Responses at some places of some photos: columns of numbers that can be correlated ---

GRID_SIDE = 7  # places down and across
LEAST_LENGTH = 1e-12


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
    if not lens.convolutions or not len(photos):
        return {}

    def pick(tensor: Any) -> Sequence[Any]:
        ops = keras.ops
        rows, columns = (_middles_of_parts(length) for length in tensor.shape[1:3])
        picked = ops.take(ops.take(tensor, rows, axis=1), columns, axis=2)
        return ops.max(tensor, (1, 2)), ops.min(tensor, (1, 2)), picked

    found = {}
    for block, (highest, lowest, maps) in zip(lens.convolutions, run_on_responses(lens, photos, pick), strict=True):
        values = np.asarray(maps.reshape(len(maps), -1, maps.shape[-1]), np.float32)
        found[block.name] = Responses(highest, lowest, values, block.response.rectified)
    return found


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
    spread = lengths > LEAST_LENGTH
    return np.asarray(np.where(spread, table / np.where(spread, lengths, 1), 0.0))


def _middles_of_parts(length: int) -> np.ndarray:
    """The cells at the middles of seven equal parts; of short maps some cells stand for several parts."""
    return ((2 * np.arange(GRID_SIDE) + 1) * length // (2 * GRID_SIDE)).astype(np.int32)


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
    blocks = scorer.lens.convolutions
    if not blocks or not len(photos):
        return {}

    def find_peaks(tensor: Any) -> Sequence[Any]:
        rows, columns, filters = tensor.shape[1:]
        cells = keras.ops.reshape(tensor, (-1, rows * columns, filters))
        return keras.ops.max(cells, axis=1), keras.ops.argmax(cells, axis=1)

    found = {}
    for block, (highest, cells) in zip(blocks, run_on_responses(scorer.lens, photos, find_peaks), strict=True):
        order = np.argsort(-highest, axis=0, kind="stable")[:num_patches].T
        value = np.take_along_axis(highest.T, order, axis=1)
        row, column = np.divmod(np.take_along_axis(cells.T, order, axis=1), block.response.shape[1])
        floor = 0.0 if block.response.rectified else -np.inf
        found[block.name] = Patches(np.where(value > floor, order, -1), row, column, value)
    return found


def crop_field(picture: np.ndarray, field: ReceptiveField | None, row: int, column: int) -> np.ndarray:
    """The pixels a cell sees, cut at the borders of the picture."""
    if field is None:
        return picture
    top, left = field.rows.start + row * field.rows.stride, field.columns.start + column * field.columns.stride
    bottom, right = top + field.rows.size, left + field.columns.size
    return picture[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]


# --- How a filter's values are spread, and whether it follows edges or brightness of the photo ---

HISTOGRAM_BINS = 24
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
    lens, blocks = scorer.lens, scorer.lens.convolutions
    if not blocks or not len(photos):
        return {}
    ends = run_on_responses(lens, photos, lambda maps: (keras.ops.min(maps, (1, 2)), keras.ops.max(maps, (1, 2))))
    gathered = [_ProfileBuilder(block, low.min(axis=0), high.max(axis=0))
                for block, (low, high) in zip(blocks, ends, strict=True)]  # fmt: skip
    model = keras.Model(lens.graph.input, [lens.picture, *(block.response.tensor for block in blocks)])
    for batch in slices(photos, batch_size(lens), scorer.dtype):
        pictures, *maps = (np.asarray(value) for value in call_model(model, batch))
        references = []
        for picture in pictures:
            brightness = picture.astype(np.float64) @ LUMINANCE if picture.shape[-1] == 3 else picture.mean(axis=-1)
            references.append((edge_strength(brightness), brightness))
        for known, values in zip(gathered, maps, strict=True):
            known.add(references, values)
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
    ends = []
    for span, count, length in zip((field.rows, field.columns), shape, values.shape, strict=True):
        first = span.start + np.arange(count) * span.stride + (span.size - span.stride) // 2
        ends.append((np.clip(first, 0, length), np.clip(first + span.stride, 0, length)))
    (tops, bottoms), (lefts, rights) = ends
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


class _ProfileBuilder:
    """What has been seen of a block so far."""

    def __init__(self, block: Block, low: np.ndarray, high: np.ndarray) -> None:
        self.block = block
        self.low = np.zeros_like(low) if block.response.rectified else low
        self.high = np.maximum(high, self.low)
        self.counts = np.zeros((block.num_filters, HISTOGRAM_BINS), np.int64)
        self.edges: list[np.ndarray] = []
        self.brightness: list[np.ndarray] = []

    def add(self, references: Sequence[tuple[np.ndarray, np.ndarray]], maps: np.ndarray) -> None:
        """Take in a batch of maps (n, rows, columns, filters), and edges and brightness of each picture."""
        flat = maps.reshape(-1, maps.shape[-1])
        width = np.where(self.high > self.low, self.high - self.low, 1)
        bins = np.clip(((flat - self.low) / width * HISTOGRAM_BINS).astype(np.int64), 0, HISTOGRAM_BINS - 1)
        counted = flat > 0 if self.block.response.rectified else ...
        places = (bins + np.arange(flat.shape[1]) * HISTOGRAM_BINS)[counted]
        self.counts += np.bincount(places.ravel(), minlength=self.counts.size).reshape(self.counts.shape)
        field, shape = self.block.response.receptive_field, (maps.shape[1], maps.shape[2])
        for reference, values in zip(references, maps, strict=True):
            for kept, picture in zip((self.edges, self.brightness), reference, strict=True):
                cells = values.reshape(-1, values.shape[-1])
                kept.append(np.full(values.shape[-1], np.nan) if field is None
                            else correlate(cells, cell_means(picture, field, shape).ravel()))  # fmt: skip

    def profile(self) -> FilterProfile:
        edges, brightness = estimate(np.stack(self.edges)), estimate(np.stack(self.brightness))
        return FilterProfile(self.low, self.high, self.counts, edges, brightness)
