"""Facts about every filter over a sample of photos: how strong, how often, for which class."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from convlens.lens.blocks import Block
from convlens.lens.estimates import auc_interval
from convlens.lens.forward import batch_size, run_batches
from convlens.lens.lens import Lens
from convlens.lens.operation import operate

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
    summaries = _summarise(lens, blocks, images)
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


def _summarise(lens: Lens, blocks: Sequence[Block], images: Any) -> list[dict[str, np.ndarray]]:
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
