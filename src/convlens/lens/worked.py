"""A value worked out by hand: patch times kernel, summed, and what follows, in double precision with NumPy alone."""

from collections.abc import Mapping, Sequence

import numpy as np

from convlens.lens.arithmetic import Window
from convlens.lens.blocks import Step
from convlens.lens.kernels import Recipe


def work_out(recipe: Recipe, inputs: np.ndarray) -> np.ndarray:
    """The values of a recipe's last step, the way one would by hand, in double precision.

    Args:
        recipe: of a block.
        inputs: (rows, columns, channels), without the zeros of padding.
    """
    return follow_steps(recipe, convolve(recipe, inputs))


def convolve(recipe: Recipe, inputs: np.ndarray) -> np.ndarray:
    """The values of the convolution itself, with its bias; arguments as for `work_out`."""
    ends = [_padding(*facts) for facts in zip(inputs.shape, recipe.windows, recipe.cells, strict=False)]
    values = _convolve(recipe, np.pad(inputs.astype(np.float64), (*ends, (0, 0))))
    return values if recipe.bias is None else values + recipe.bias


def follow_steps(recipe: Recipe, values: np.ndarray) -> np.ndarray:
    """What the recipe's steps make of the values of its convolution."""
    for step in recipe.steps:
        values = apply_step(step, values)
    return values


def derive_steps(steps: Sequence[Step], stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The maps of a block's steps: those that are stored, and those that follow from the step before.

    What comes ahead of the first stored step is left out.
    """
    maps: dict[str, np.ndarray] = {}
    before: np.ndarray | None = None
    for step in steps:
        before = stored.get(step.name, None if before is None else apply_step(step, before))
        if before is not None:
            maps[step.name] = before
    return maps


def _padding(num_cells: int, window: Window, num_outputs: int) -> tuple[int, int]:
    """Zeros ahead and behind, as many as the last window needs."""
    return window.before, max((num_outputs - 1) * window.stride + window.size - window.before - num_cells, 0)


def _convolve(recipe: Recipe, values: np.ndarray) -> np.ndarray:
    height, width = recipe.cells
    rows, columns = recipe.windows
    size = recipe.kernel.shape[1]
    result = np.zeros((height, width, len(recipe.kernel)))
    for y in range(recipe.kernel.shape[2]):
        for x in range(recipe.kernel.shape[3]):
            top, left = y * rows.dilation, x * columns.dilation
            seen = values[top : top + height * rows.stride : rows.stride, left : left + width * columns.stride
                          : columns.stride]  # fmt: skip
            for first in np.unique(recipe.first_channel):
                chosen = recipe.first_channel == first
                weights = recipe.kernel[chosen, :, y, x].astype(np.float64)
                result[:, :, chosen] += seen[:, :, first : first + size] @ weights.T
    return result


def apply_step(step: Step, values: np.ndarray) -> np.ndarray:
    """What a pooling, normalisation or ReLU makes of maps (rows, columns, filters)."""
    if step.windows is not None:
        return _pool(step, values)
    if step.scale is not None and step.offset is not None:
        return np.asarray(values * step.scale + step.offset)
    return np.asarray(np.maximum(values, 0))


def _pool(step: Step, values: np.ndarray) -> np.ndarray:
    """Highest or mean value of each window; cells of the padding do not count."""
    if step.windows is None:
        return values
    rows, columns = step.windows
    pooled = np.empty((*step.shape[:2], values.shape[-1]))
    for i in range(step.shape[0]):
        for j in range(step.shape[1]):
            top, left = i * rows.stride - rows.before, j * columns.stride - columns.before
            seen = values[max(top, 0) : top + rows.size, max(left, 0) : left + columns.size]
            pooled[i, j] = seen.mean(axis=(0, 1)) if step.label == "average-pooling" else seen.max(axis=(0, 1))
    return pooled
