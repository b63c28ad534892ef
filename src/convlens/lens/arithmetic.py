"""Work values out by hand: what a convolution reads, its kernel and steps, and the network as a program."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from convlens.lens.forward import Scorer, multiplications
from convlens.lens.graph import Call, Window, layer_windows
from convlens.lens.lens import SILENT_KINDS, Block, BlockStep, Lens, normalization

# --- What a convolution reads ---


@dataclass(frozen=True)
class Source:
    """What a convolution reads: steps whose maps are added up, or the picture, channel by channel.

    Attributes:
        steps: names of steps; empty for the picture.
        scale: of the picture: channel c is scale[c] * pixel[order[c]] + offset[c], pixels 0..255.
        offset: see `scale`.
        order: channels of the photo in the order they are read.
        top: rows of zeros added ahead of it by a layer of padding.
        left: columns added.
    """

    steps: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    order: tuple[int, ...] = ()
    top: int = 0
    left: int = 0


def read_source(source: Source, maps: Mapping[str, np.ndarray], picture: np.ndarray) -> np.ndarray:
    """What a convolution reads, float64 (rows, columns, channels), from maps of steps or from the picture."""
    if source.steps:
        return np.asarray(sum(maps[name].astype(np.float64) for name in source.steps))
    return picture[..., list(source.order)].astype(np.float64) * source.scale + source.offset


def trace_source(tensor: Any, makers: Mapping[int, Call], steps: Mapping[int, str], picture: Any) -> Source | str:
    """What a tensor is made of, in terms of steps or of the picture."""
    if id(tensor) in steps:
        return Source((steps[id(tensor)],))
    if tensor is picture:
        count = int(tensor.shape[-1])
        return Source((), (1.0,) * count, (0.0,) * count, tuple(range(count)))
    call = makers.get(id(tensor))
    if call is None:
        return "It reads the photo before it is resized."
    before = [trace_source(value, makers, steps, picture) for value in call.inputs]
    known = [source for source in before if isinstance(source, Source)]
    if len(known) < len(before) or not known:
        return next((source for source in before if isinstance(source, str)), _unknown(call))
    return _follow(call, known)


def is_widening(call: Call) -> bool:
    """Whether a layer only gives its values as real numbers; as whole numbers they would be truncated."""
    return call.kind == "Cast" and "float" in str(call.output.dtype)


def _follow(call: Call, known: Sequence[Source]) -> Source | str:
    source = known[0]
    padded = any(part.top or part.left for part in known)
    if call.kind in SILENT_KINDS or is_widening(call):
        return source
    if call.kind == "ZeroPadding2D" and not padded:
        (top, _), (left, _) = call.layer.padding
        return replace(source, top=int(top), left=int(left))
    if call.kind == "Add" and not padded and all(part.steps for part in known):
        return Source(tuple(name for part in known for name in part.steps))
    if not source.steps and not padded:
        return _follow_picture(call, source)
    return _unknown(call)


def _follow_picture(call: Call, source: Source) -> Source | str:
    count = len(source.scale)
    if call.kind == "Rescaling":
        return _affine(source, np.resize(call.layer.scale, count), np.resize(call.layer.offset, count))
    if call.kind == "Normalization":
        mean, deviation = np.ravel(call.layer.mean), np.sqrt(np.ravel(call.layer.variance))
        if mean.size in (1, count):
            scale = np.resize(1 / np.maximum(deviation, 1e-7), count)
            return _affine(source, scale, -np.resize(mean, count) * scale)
    if call.kind == "Flip" and call.layer.axis in (-1, 3):
        return Source((), source.scale[::-1], source.offset[::-1], source.order[::-1])
    return _unknown(call)


def _affine(source: Source, scale: np.ndarray, offset: np.ndarray) -> Source:
    factors, addends = np.array(source.scale) * scale, np.array(source.offset) * scale + offset
    return replace(source, scale=tuple(factors.tolist()), offset=tuple(addends.tolist()))


def _unknown(call: Call) -> str:
    return f"It reads what {call.name} ({call.kind}) gives, which is not held on the page."


# --- How the values of a block are made, as plain arrays ---
#
# With these, and with the maps of the steps it names, every cell of a response can be worked out by hand.

CONVOLUTION_NAMES = {"Conv2D": "convolution", "DepthwiseConv2D": "depthwise", "SeparableConv2D": "separable"}


@dataclass(frozen=True)
class ConvolutionRecipe:
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
    steps: tuple[BlockStep, ...]

    @property
    def up_to(self) -> str:
        """Name of the step that the recipe ends with; empty for the convolution itself."""
        return self.steps[-1].name if self.steps else ""


def find_recipes(lens: Lens) -> dict[str, ConvolutionRecipe | str]:
    """The recipe of every convolution by name of its block, or why there is none."""
    calls = {call.name: call for call in lens.graph.calls}
    makers = {id(call.output): call for call in lens.graph.calls}
    steps = {id(step.tensor): step.name for step in lens.steps}
    found: dict[str, ConvolutionRecipe | str] = {}
    for block in lens.blocks:
        if block.is_convolution:
            source = trace_source(calls[block.name].inputs[0], makers, steps, lens.picture)
            found[block.name] = source if isinstance(source, str) else _recipe(block, calls, source)
    return found


def _recipe(block: Block, calls: Mapping[str, Call], source: Source) -> ConvolutionRecipe | str:
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
    return ConvolutionRecipe(
        CONVOLUTION_NAMES[call.kind], source, (rows, columns), cells, kernel, first, num_channels, bias, steps
    )


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


def _known_steps(block: Block, calls: Mapping[str, Call]) -> tuple[BlockStep, ...]:
    """Normalizations, poolings and ReLUs up to the response, as far as they go."""
    known: list[BlockStep] = []
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


# --- A network as a short list of operations that a page can run ---

MAX_DENSE_VALUES = 100_000
POOLING_NAMES = {"MaxPooling2D": "maximum", "AveragePooling2D": "average"}


@dataclass(frozen=True)
class Operation:
    """One step of a program.

    Attributes:
        kind: `affine`, `convolution`, `maximum`, `average`, `relu`, `sum`, `globalAverage`, `flatten` or `dense`.
        inputs: numbers of earlier operations; -1 is the picture.
        name: of the layer.
        shape: rows and columns that come out of a convolution or pooling.
        windows: of a pooling.
        scale: of an affine operation, per channel.
        offset: the same.
        weights: of a dense one, (inputs, units).
        bias: the same, (units,).
    """

    kind: str
    inputs: tuple[int, ...]
    name: str
    shape: tuple[int, int] | None = None
    windows: tuple[Window, Window] | None = None
    scale: np.ndarray | None = None
    offset: np.ndarray | None = None
    weights: np.ndarray | None = None
    bias: np.ndarray | None = None


@dataclass(frozen=True)
class Program:
    """Operations in order; the last gives the logits."""

    operations: tuple[Operation, ...]
    units: int
    multiplications: int


def find_program(scorer: Scorer, *, planned: Set[str], chosen: Mapping[str, np.ndarray]) -> tuple[Program | None, str]:
    """The network as a program, or why it is none.

    Args:
        scorer: the network.
        planned: convolutions whose kernels are at hand.
        chosen: filters whose kernels are, by name of the block.
    """
    writer = _Writer(scorer, {name for name in planned if _is_whole(scorer, name, chosen)})
    try:
        return writer.write(), ""
    except _CannotRunError as error:
        return None, f"This network cannot be run on the page: {error}"


class _CannotRunError(Exception):
    """A layer that programs do not know."""


@dataclass
class _Writer:
    scorer: Scorer
    whole: set[str]
    operations: list[Operation] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)

    def write(self) -> Program:
        lens, head = self.scorer.lens, self.scorer.head
        self.places[id(lens.picture)] = -1
        made = [id(call.output) for call in lens.graph.calls]
        start = made.index(id(lens.picture)) + 1 if id(lens.picture) in made else 0
        for call in lens.graph.calls[start : made.index(id(head.source)) + 1]:
            self._add(call)
        if head.layer is not None:
            self._add_dense(head.layer, lens.graph.calls[-1].name, (self.places[id(head.source)],))
        elif head.logits is not head.source:
            raise _CannotRunError("its answer comes from no sigmoid or softmax.")
        total = sum(multiplications(call) for call in lens.graph.calls)
        return Program(tuple(self.operations), head.num_units, total)

    def _add(self, call: Call) -> None:
        inputs = tuple(self.places[id(tensor)] for tensor in call.inputs)
        if call.kind in SILENT_KINDS or is_widening(call):
            self.places[id(call.output)] = inputs[0]
            return
        if call.kind == "Dense":
            self._add_dense(call.layer, call.name, inputs)
        else:
            self.operations.append(self._operation(call, inputs))
        self.places[id(call.output)] = len(self.operations) - 1

    def _operation(self, call: Call, inputs: tuple[int, ...]) -> Operation:
        shape = (int(call.output.shape[1]), int(call.output.shape[2])) if len(call.output.shape) == 4 else None
        if call.name in self.whole:
            return Operation("convolution", inputs, call.name, shape=shape)
        if call.kind in POOLING_NAMES and layer_windows(call):
            return Operation(POOLING_NAMES[call.kind], inputs, call.name, shape=shape, windows=layer_windows(call))
        if call.kind in ("Rescaling", "BatchNormalization"):
            scale, offset = _affine_program(call)
            return Operation("affine", inputs, call.name, scale=scale, offset=offset)
        simple = {"Add": "sum", "GlobalAveragePooling2D": "globalAverage", "Flatten": "flatten"}
        kind = "relu" if is_relu(call) else simple.get(call.kind)
        if kind is None or getattr(call.layer, "keepdims", False):
            raise _CannotRunError(f"the layer {call.name} ({call.kind}) is not among what it knows, or too large.")
        return Operation(kind, inputs, call.name)

    def _add_dense(self, layer: Any, name: str, inputs: tuple[int, ...]) -> None:
        activation = getattr(layer.activation, "__name__", "")
        if activation not in ("linear", "relu") or layer.kernel.shape[0] * layer.kernel.shape[1] > MAX_DENSE_VALUES:
            raise _CannotRunError(f"the layer {name} (Dense) is too large, or its activation is not known.")
        bias = np.asarray(layer.bias) if layer.use_bias else None
        self.operations.append(Operation("dense", inputs, name, weights=np.asarray(layer.kernel), bias=bias))
        if activation == "relu":
            self.operations.append(Operation("relu", (len(self.operations) - 1,), f"{name}/activation"))


def _affine_program(call: Call) -> tuple[np.ndarray, np.ndarray]:
    if call.kind == "BatchNormalization":
        return normalization(call)
    count = int(call.output.shape[-1])
    return np.resize(call.layer.scale, count).astype(np.float32), np.resize(call.layer.offset, count).astype(np.float32)


def _is_whole(scorer: Scorer, name: str, chosen: Mapping[str, np.ndarray]) -> bool:
    block = next(block for block in scorer.lens.blocks if block.name == name)
    return len(chosen[name]) == block.num_filters


# --- Values worked out in double precision with NumPy alone ---


def work_out(recipe: ConvolutionRecipe, inputs: np.ndarray) -> np.ndarray:
    """Work out the values of a recipe's last step from inputs (rows, columns, channels), without padding."""
    return follow_steps(recipe, convolve(recipe, inputs))


def convolve(recipe: ConvolutionRecipe, inputs: np.ndarray) -> np.ndarray:
    """Work out the convolution itself, with its bias; arguments as for `work_out`."""
    height, width = recipe.cells
    rows, columns = recipe.windows
    ends = [  # zeros ahead and behind, as many as the last window needs
        (window.before, max((num_outputs - 1) * window.stride + window.size - window.before - num_cells, 0))
        for num_cells, window, num_outputs in zip(inputs.shape, recipe.windows, recipe.cells, strict=False)
    ]
    values = np.pad(inputs.astype(np.float64), (*ends, (0, 0)))
    num_channels = recipe.kernel.shape[1]
    result = np.zeros((height, width, len(recipe.kernel)))
    for y in range(recipe.kernel.shape[2]):
        for x in range(recipe.kernel.shape[3]):
            top, left = y * rows.dilation, x * columns.dilation
            seen = values[top : top + height * rows.stride : rows.stride, left : left + width * columns.stride
                          : columns.stride]  # fmt: skip
            for first in np.unique(recipe.first_channel):
                chosen = recipe.first_channel == first
                weights = recipe.kernel[chosen, :, y, x].astype(np.float64)
                result[:, :, chosen] += seen[:, :, first : first + num_channels] @ weights.T
    return result if recipe.bias is None else result + recipe.bias


def follow_steps(recipe: ConvolutionRecipe, values: np.ndarray) -> np.ndarray:
    """What the recipe's steps make of the values of its convolution."""
    for step in recipe.steps:
        values = apply_step(step, values)
    return values


def derive_steps(steps: Sequence[BlockStep], stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
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


def apply_step(step: BlockStep, values: np.ndarray) -> np.ndarray:
    """What a pooling, normalization or ReLU makes of maps (rows, columns, filters); padding does not count."""
    if step.windows is None:
        if step.scale is not None and step.offset is not None:
            return np.asarray(values * step.scale + step.offset)
        return np.asarray(np.maximum(values, 0))
    rows, columns = step.windows
    pooled = np.empty((*step.shape[:2], values.shape[-1]))
    for i in range(step.shape[0]):
        for j in range(step.shape[1]):
            top, left = i * rows.stride - rows.before, j * columns.stride - columns.before
            seen = values[max(top, 0) : top + rows.size, max(left, 0) : left + columns.size]
            pooled[i, j] = seen.mean(axis=(0, 1)) if step.label == "average-pooling" else seen.max(axis=(0, 1))
    return pooled
