"""The patches that excite each filter most, each from another photo.

One place per photo, the highest of its map, as the Deep Visualization Toolbox does (Yosinski et al. 2015,
arXiv:1506.06579); so nine patches are nine different photos.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from convlens.lens.fields import ReceptiveField
from convlens.lens.forward import Scorer, batch_size, run_batches
from convlens.lens.operation import operate
from convlens.lens.saliency import cam_blocks

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
