"""The arithmetic of convolution layers: output sizes, padding, and parameters against a dense layer.

Sizes follow the lecture's formula, floor((n + 2p - f) / s) + 1, for an input of n cells, a kernel of f, a padding of p
on both sides and a stride of s. With padding `same` the two sides may differ by one; then 2p is their sum.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """A kernel or pooling window along one axis.

    Attributes:
        size: cells it spans, f (with a dilation d: (f - 1) * d + 1).
        stride: step, s.
        before: padding ahead of the first cell.
        after: padding behind the last cell.
        dilation: distance between the kernel's own cells.
    """

    size: int
    stride: int
    before: int = 0
    after: int = 0
    dilation: int = 1


def pad_window(num_cells: int, size: int, *, stride: int, padding: str, dilation: int = 1) -> Window:
    """The window with the padding that `valid` or `same` gives it on an input of `num_cells`.

    `same` pads as much as ceil(n / s) output cells need; an odd amount puts the extra cell behind, as TensorFlow does.
    """
    span = (size - 1) * dilation + 1
    if padding != "same":
        return Window(span, stride, dilation=dilation)
    total = max((math.ceil(num_cells / stride) - 1) * stride + span - num_cells, 0)
    return Window(span, stride, total // 2, total - total // 2, dilation)


def output_size(num_cells: int, window: Window) -> int:
    """Cells that come out: floor((n + 2p - f) / s) + 1."""
    return (num_cells + window.before + window.after - window.size) // window.stride + 1


def size_formula(num_cells: int, window: Window) -> str:
    """The formula with its numbers, for reading: `⌊(150 + 2·0 − 3) / 1⌋ + 1 = 148`."""
    even = window.before == window.after
    padding = f"2·{window.before}" if even else f"({window.before} + {window.after})"
    result = output_size(num_cells, window)
    return f"⌊({num_cells} + {padding} − {window.size}) / {window.stride}⌋ + 1 = {result}"


def dense_parameters(input_shape: tuple[int, ...], output_shape: tuple[int, ...], *, bias: bool) -> int:
    """Parameters of a dense layer that joins every input value with every output value."""
    outputs = math.prod(output_shape)
    return math.prod(input_shape) * outputs + (outputs if bias else 0)
