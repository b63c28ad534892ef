"""How a value is made: what a convolution reads, its kernel, and the steps to the response, as plain arrays.

With these, and with the maps of the steps it names, every cell of a response can be worked out by hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from convlens.lens.arithmetic import Window
from convlens.lens.blocks import Block, Step
from convlens.lens.fields import layer_windows
from convlens.lens.lens import Lens
from convlens.lens.sources import Source, trace_source
from convlens.lens.walk import Call

KINDS = {"Conv2D": "convolution", "DepthwiseConv2D": "depthwise", "SeparableConv2D": "separable"}


@dataclass(frozen=True)
class Recipe:
    """Everything that makes the values of a block.

    Attributes:
        kind: `convolution`, `depthwise` or `separable`.
        source: what it reads.
        windows: along rows and columns.
        cells: rows and columns of its output.
        kernel: float32 (filters, channels of a filter, kernel rows, kernel columns).
        first_channel: the first channel each filter reads, int (filters,).
        num_channels: channels it has in all.
        bias: float32 (filters,), or None.
        steps: the steps behind the convolution, up to the last that can be worked out.
    """

    kind: str
    source: Source
    windows: tuple[Window, Window]
    cells: tuple[int, int]
    kernel: np.ndarray
    first_channel: np.ndarray
    num_channels: int
    bias: np.ndarray | None
    steps: tuple[Step, ...]

    @property
    def up_to(self) -> str:
        """Name of the step that the recipe ends with; empty for the convolution itself."""
        return self.steps[-1].name if self.steps else ""


def find_recipes(lens: Lens) -> dict[str, Recipe | str]:
    """The recipe of every convolution by name of its block, or why there is none."""
    calls = {call.name: call for call in lens.graph.calls}
    makers = {id(call.output): call for call in lens.graph.calls}
    steps = {id(step.tensor): step.name for step in lens.steps}
    found: dict[str, Recipe | str] = {}
    for block in lens.blocks:
        if block.is_convolution:
            source = trace_source(calls[block.name].inputs[0], makers, steps, lens.picture)
            found[block.name] = source if isinstance(source, str) else _recipe(block, calls, source)
    return found


def _recipe(block: Block, calls: Mapping[str, Call], source: Source) -> Recipe | str:
    call = calls[block.name]
    windows = layer_windows(call)
    if windows is None or ((source.top or source.left) and call.layer.padding == "same"):
        return "Its padding cannot be told in one window."
    rows, columns = windows
    if source.top or source.left:
        rows, columns = replace(rows, before=source.top), replace(columns, before=source.left)
    kernel, first = _kernel(call)
    bias = np.asarray(call.layer.bias, np.float32) if getattr(call.layer, "use_bias", False) else None
    num_channels = int(call.inputs[0].shape[-1])
    steps = _known_steps(block, calls)
    cells = block.steps[0].shape[:2]
    return Recipe(KINDS[call.kind], source, (rows, columns), cells, kernel, first, num_channels, bias, steps)


def _kernel(call: Call) -> tuple[np.ndarray, np.ndarray]:
    """Kernels (filters, channels, rows, columns), and the first channel each reads."""
    layer = call.layer
    if call.kind == "DepthwiseConv2D":
        values = np.asarray(layer.kernel)
        depth = values.shape[3]
        flat = values.transpose(2, 3, 0, 1).reshape(-1, 1, *values.shape[:2])
        return flat.astype(np.float32), np.arange(len(flat)) // depth
    if call.kind == "SeparableConv2D":
        depthwise, pointwise = np.asarray(layer.depthwise_kernel), np.asarray(layer.pointwise_kernel)[0, 0]
        joined = np.einsum("yxcm,cmf->fcyx", depthwise, pointwise.reshape(*depthwise.shape[2:], -1), dtype=np.float64)
        return joined.astype(np.float32), np.zeros(len(joined), int)
    values = np.asarray(layer.kernel).transpose(3, 2, 0, 1)
    groups = int(getattr(layer, "groups", 1))
    return values.astype(np.float32), np.arange(len(values)) // (len(values) // groups) * values.shape[1]


def _known_steps(block: Block, calls: Mapping[str, Call]) -> tuple[Step, ...]:
    """Normalisations, poolings and ReLUs up to the response, as far as they go."""
    known: list[Step] = []
    for step in block.steps[1:]:
        if not (step.scale is not None or step.windows is not None or is_relu(calls[step.name])):
            break
        known.append(step)
        if step.name == block.response.name:
            break
    return tuple(known)


def is_relu(call: Call) -> bool:
    """Whether a call is max(0, value) and nothing more."""
    layer = call.layer
    if call.kind == "ReLU":
        return not layer.negative_slope and not layer.threshold and layer.max_value is None
    return call.kind == "Relu" or (call.kind == "Activation" and getattr(layer.activation, "__name__", "") == "relu")
