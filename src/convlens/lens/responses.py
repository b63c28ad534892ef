"""What the filters of a network say at some places of some photos: columns of numbers that can be correlated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from convlens.lens.forward import batch_size, run_batches
from convlens.lens.lens import Lens
from convlens.lens.operation import operate
from convlens.lens.saliency import cam_blocks

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
    return np.asarray((standardise(first) * standardise(second)).sum(axis=0))


def standardise(values: np.ndarray) -> np.ndarray:
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
