"""How a filter's values are spread, and whether it follows edges or brightness of the photo."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from convlens.lens.blocks import Block
from convlens.lens.estimates import Estimates, estimate
from convlens.lens.fields import ReceptiveField
from convlens.lens.forward import Scorer, batch_size, call_model, run_batches, slices
from convlens.lens.operation import operate
from convlens.lens.saliency import cam_blocks

NUM_BINS = 24
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True)
class Profile:
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


def profile_filters(scorer: Scorer, photos: Any) -> dict[str, Profile]:
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

    def profile(self) -> Profile:
        edges, brightness = estimate(np.stack(self.edges)), estimate(np.stack(self.brightness))
        return Profile(self.low, self.high, self.counts, edges, brightness)

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
