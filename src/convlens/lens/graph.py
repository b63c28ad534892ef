"""The graph of a network: operations, layers, receptive fields."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import keras
import numpy as np

from convlens.errors import ConvLensError

# --- Functions of tensors as layers with names of their own ---
#
# Keras names operations by their kind (`cast`, `max`), and a graph whose names are not unique is refused. Layers of the
# user's network may have such names already: given by hand, or by the process that saved it.


class LensOperation(keras.layers.Layer):
    """A function of tensors as a layer; Keras numbers the names of these, so that each is the only one."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        """Take what `call` shall do."""
        super().__init__(name=name, autocast=False)
        self._function = function

    def call(self, tensor: Any) -> Any:
        """What the function gives."""
        return self._function(tensor)


class Cast(LensOperation):
    """Values as numbers of another type."""

    def __init__(self, dtype: str, name: str) -> None:
        """Take the type, and a name that nothing in the graph has."""
        super().__init__(partial(keras.ops.cast, dtype=dtype), name)


def operate(function: Callable[..., Any], tensor: Any) -> Any:
    """What a function gives of a tensor of a graph, as a tensor of it, or several."""
    return LensOperation(function)(tensor)


# --- The arithmetic of convolutions: output sizes and padding ---
#
# Sizes follow the lecture's formula, floor((n + 2p - f) / s) + 1, for an input of n cells, a kernel of f, a padding of
# p on both sides and a stride of s. With padding `same` the two sides may differ by one; then 2p is their sum.


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


# --- Any Keras model with one input as one functional graph, layer call by layer call ---
#
# Nested models are entered, and a convolution with its activation fused (`Conv2D(activation="relu")`) becomes two
# calls, so that the values before the activation are a tensor of the graph as well. Layers are called anew, with their
# own weights; the model's answer does not change by a bit. A graph needs unique names, which layers of different nested
# models need not have: then a copy of the layer stands in the graph.

START = "photo"
CONVOLUTION_KINDS = frozenset({"Conv2D", "DepthwiseConv2D", "SeparableConv2D"})


@dataclass(frozen=True)
class Call:
    """One call of a layer in the graph.

    Attributes:
        name: the layer's name, after the names of the models it lies in: `backbone/conv_1`.
        layer: the Keras layer (or operation) that was called.
        inputs: tensors that went in.
        output: tensor that came out.
        owner: the layer of the user's model; differs from `layer` where a fused activation was split off, and where a
            copy under another name stands in the graph.
    """

    name: str
    layer: Any
    inputs: tuple[Any, ...]
    output: Any
    owner: Any

    @property
    def kind(self) -> str:
        """Name of the layer's class: `Conv2D`."""
        return type(self.layer).__name__

    @property
    def is_fused_activation(self) -> bool:
        """Whether this is the activation that was split off a convolution."""
        return self.kind == "Activation" and type(self.owner).__name__ in CONVOLUTION_KINDS


@dataclass
class _Notes:
    """What has been noted on the walk: the calls, the names taken, and copies of layers by `id(layer)`."""

    calls: list[Call] = field(default_factory=list)
    names: set[str] = field(default_factory=lambda: {START})
    copies: dict[int, Any] = field(default_factory=dict)

    def claim(self, name: str) -> str:
        """The name, or one like it that nothing in the graph has."""
        found, number = name, 2
        while found in self.names:
            found, number = f"{name}_{number}", number + 1
        self.names.add(found)
        return found


@dataclass(frozen=True)
class Graph:
    """A model as one functional graph: the input, every layer call in order, and the answer."""

    input: Any
    calls: tuple[Call, ...]
    answer: Any


def walk_model(model: keras.Model) -> Graph:
    """Rebuild a model as one graph over all its layers, nested ones included.

    Raises:
        ConvLensError: the model has several inputs or answers, is not built, or is no graph (a subclassed model).
    """
    require_photos(model)
    shape, dtype = model.inputs[0].shape, model.inputs[0].dtype
    start = keras.Input(batch_shape=(None, *shape[1:]), dtype=dtype, name=START)
    notes = _Notes()
    answer = _enter(model, start, prefix="", notes=notes)
    return Graph(start, tuple(notes.calls), answer)


def require_photos(model: keras.Model) -> None:
    """Make sure that a model is a graph with one input, photos of one size, and one answer.

    Raises:
        ConvLensError: it is not.
    """
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if not inputs or not _is_graph(model):
        raise ConvLensError(
            f"Expected a Sequential or functional Keras model that is built. Received: {type(model).__name__} "
            f"'{model.name}', whose layers Keras cannot list. Build it from keras.Input."
        )
    if len(inputs) != 1 or len(outputs) != 1:
        raise ConvLensError(
            f"Expected a model with one input and one answer. Received: '{model.name}' with {len(inputs)} inputs and "
            f"{len(outputs)} answers. Make a keras.Model of the one branch to look at."
        )
    if len(inputs[0].shape) != 4 or None in inputs[0].shape[1:]:
        raise ConvLensError(
            f"Expected a model that takes photos of a fixed size (N, height, width, channels). "
            f"Received: input shape {tuple(inputs[0].shape)}. Call it on a keras.Input of that size first."
        )


def _is_graph(layer: Any) -> bool:
    """Whether a layer is a model that Keras holds as a graph of layers."""
    return isinstance(layer, keras.Sequential) or (isinstance(layer, keras.Model) and hasattr(layer, "operations"))


def _enter(model: keras.Model, tensors: Any, *, prefix: str, notes: _Notes) -> Any:
    """Call every layer of a model on `tensors`, noting each call; gives the model's output tensors."""
    visit = _visitor(prefix, notes)
    flat = []
    for tensor, known in zip(keras.tree.flatten(tensors), model.inputs, strict=True):
        if tensor.dtype != known.dtype:  # a model casts its input before its first layer: a call of its own
            tensor = visit(Cast(known.dtype, f"cast_to_{known.dtype}_{len(notes.calls)}"), tensor)
        flat.append(tensor)
    if isinstance(model, keras.Sequential):
        tensor = flat[0]
        for layer in model.layers:
            tensor = visit(layer, tensor)
        return tensor
    return _run(model, flat, visit)


def _run(model: keras.Model, tensors: list[Any], visit: Callable[..., Any]) -> Any:
    """Call `visit` for every layer of a functional model; gives the model's output tensors.

    `clone_model` is Keras's public way through such a graph. What it builds at the end is of no use here, so markers
    behind the model's outputs note the tensors that reach them.
    """
    markers = [keras.layers.Identity() for _ in model.outputs]
    marked = keras.Model(model.inputs, [mark(output) for mark, output in zip(markers, model.outputs, strict=True)])
    reached: dict[int, Any] = {}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer in markers:
            reached[id(layer)] = args[0]
            return layer(*args)
        return visit(layer, *args, **kwargs)

    keras.models.clone_model(marked, input_tensors=tensors, clone_function=lambda layer: layer, call_function=call)
    return keras.tree.pack_sequence_as(model.output, [reached[id(mark)] for mark in markers])


def _visitor(prefix: str, notes: _Notes) -> Callable[..., Any]:
    def visit(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.layers.InputLayer):
            return layer(*args, **kwargs)
        if _is_graph(layer):
            return _enter(layer, args[0], prefix=f"{prefix}{layer.name}/", notes=notes)
        inputs = tuple(t for t in keras.tree.flatten((args, kwargs)) if isinstance(t, keras.KerasTensor))
        if type(layer).__name__ in CONVOLUTION_KINDS and layer.activation is not keras.activations.linear:
            return _call_split(layer, inputs, name=prefix + layer.name, notes=notes)
        own = _own(layer, notes)
        output = own(*args, **kwargs)
        if own is not layer and getattr(layer, "weights", []):
            own.set_weights(layer.get_weights())
        notes.calls.append(Call(prefix + layer.name, own, inputs, output, layer))
        return output

    return visit


def _own(layer: Any, notes: _Notes) -> Any:
    """The layer itself, or, where its name is taken, a copy under another name; always the same for one layer."""
    if id(layer) not in notes.copies:
        name = notes.claim(layer.name)
        renamed = name != layer.name
        notes.copies[id(layer)] = type(layer).from_config({**layer.get_config(), "name": name}) if renamed else layer
    return notes.copies[id(layer)]


def _call_split(layer: Any, inputs: tuple[Any, ...], *, name: str, notes: _Notes) -> Any:
    """Call a convolution without its activation, then the activation: the same operations in the same order."""
    linear = type(layer).from_config({**layer.get_config(), "activation": None, "name": notes.claim(layer.name)})
    linear.build(inputs[0].shape)
    linear.set_weights(layer.get_weights())
    before = linear(inputs[0])
    activation = keras.layers.Activation(layer.activation, name=notes.claim(f"{layer.name}_activation"))
    after = activation(before)
    notes.calls.append(Call(name, linear, inputs, before, layer))
    notes.calls.append(Call(f"{name}/activation", activation, (before,), after, layer))
    return after


# --- Receptive fields: which pixels of the network's input a cell of a feature map can see ---
#
# Along each axis a field is a size, a stride and a start: cell i sees the pixels from start + i * stride on, `size` of
# them. Pixels outside the picture are padding. After Araujo, Norris and Sim, "Computing Receptive Fields of
# Convolutional Neural Networks", Distill 2019.

# Layers and operations whose every output cell comes from the one input cell at the same place.
POINTWISE = frozenset({
    "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Relu", "Relu6", "LeakyRelu", "Gelu", "Silu", "Elu",
    "BatchNormalization", "LayerNormalization", "Normalization", "Rescaling", "Dropout", "SpatialDropout2D",
    "AlphaDropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization", "Identity", "Cast",
    "RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom",
    "Sigmoid", "HardSigmoid", "HardSilu", "HardSwish", "Tanh", "Softplus", "LayerScale",
})  # fmt: skip
MERGES = frozenset({
    "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Divide", "TrueDivide",
})  # fmt: skip
POOLINGS = frozenset({"MaxPooling2D", "AveragePooling2D"})


@dataclass(frozen=True)
class Span:
    """A receptive field along one axis, in pixels of the network's input."""

    size: int
    stride: int
    start: int


@dataclass(frozen=True)
class ReceptiveField:
    """What a cell sees.

    Attributes:
        rows: in pixels of the picture after resizing.
        columns: the same.
        gated: the values were multiplied, channel by channel, by a factor that sees the whole picture, as squeeze and
            excitation does (Hu et al. 2018, arXiv:1709.01507); their place on the picture stays.
    """

    rows: Span
    columns: Span
    gated: bool = False


PIXEL = ReceptiveField(Span(1, 1, 0), Span(1, 1, 0))


def layer_windows(call: Call) -> tuple[Window, Window] | None:
    """Kernel or pooling window of a call along rows and columns; None where it has none."""
    channels_last = getattr(call.layer, "data_format", "channels_last") == "channels_last"
    if call.kind not in POOLINGS | CONVOLUTION_KINDS or not channels_last:
        return None
    layer, shape = call.layer, call.inputs[0].shape
    sizes = layer.kernel_size if call.kind in CONVOLUTION_KINDS else layer.pool_size
    dilations = layer.dilation_rate if call.kind in CONVOLUTION_KINDS else (1, 1)
    rows, columns = (
        pad_window(shape[axis + 1], sizes[axis], stride=layer.strides[axis], padding=layer.padding,
                   dilation=dilations[axis])
        for axis in (0, 1)
    )  # fmt: skip
    return rows, columns


def receptive_fields(calls: Iterable[Call], picture: Any) -> dict[int, ReceptiveField | None]:
    """The field of every tensor of a graph, by `id(tensor)`.

    Args:
        calls: layer calls in order.
        picture: the tensor whose pixels count: the network's input after resizing.

    Returns:
        None stands for tensors that see the whole picture, or that come before it.
    """
    fields: dict[int, ReceptiveField | None] = {id(picture): PIXEL}
    for call in calls:
        if call.output is not picture:
            fields[id(call.output)] = _after(call, [fields.get(id(tensor)) for tensor in call.inputs])
    return fields


def _after(call: Call, before: list[ReceptiveField | None]) -> ReceptiveField | None:
    known = [field for field in before if field is not None]
    gated = _is_gate(call, before)
    if not known or len(call.output.shape) != 4 or (len(known) != len(before) and not gated):
        return None
    windows, axes = layer_windows(call), (known[0].rows, known[0].columns)
    if windows is not None:
        spans = [
            Span(span.size + (window.size - 1) * span.stride, span.stride * window.stride,
                 span.start - window.before * span.stride)
            for span, window in zip(axes, windows, strict=True)
        ]  # fmt: skip
    elif call.kind in ("ZeroPadding2D", "Cropping2D"):
        sides, sign = (call.layer.padding, 1) if call.kind == "ZeroPadding2D" else (call.layer.cropping, -1)
        spans = [replace(span, start=span.start - sign * before * span.stride)
                 for span, (before, _) in zip(axes, sides, strict=True)]  # fmt: skip
    elif call.kind in POINTWISE | MERGES | {"Dense"} or (call.kind == "Flip" and call.layer.axis in (-1, 3)):
        spans = [_join([field.rows for field in known]), _join([field.columns for field in known])]
    else:
        return None
    rows, columns = spans
    return ReceptiveField(rows, columns, gated or any(field.gated for field in known))


def _is_gate(call: Call, before: list[ReceptiveField | None]) -> bool:
    """Whether maps are multiplied by one factor per channel, of a branch that sees the whole picture."""
    if call.kind != "Multiply" or all(field is not None for field in before):
        return False
    unknown = [tensor for tensor, field in zip(call.inputs, before, strict=True) if field is None]
    return all(len(tensor.shape) == 4 and tuple(tensor.shape[1:3]) == (1, 1) for tensor in unknown)


def _join(spans: list[Span]) -> Span:
    """The smallest field that holds all of them; branches that meet have one stride."""
    start = min(span.start for span in spans)
    end = max(span.start + span.size for span in spans)
    return Span(end - start, spans[0].stride, start)


# --- The table of layers: shapes, parameters, and output sizes by the formula, checked against Keras ---

LAYER_NAMES = {
    "Conv2D": "convolution", "DepthwiseConv2D": "depthwise convolution", "SeparableConv2D": "separable convolution",
    "MaxPooling2D": "max-pooling", "AveragePooling2D": "average-pooling", "BatchNormalization": "normalization",
    "LayerNormalization": "normalization", "Normalization": "normalization", "GroupNormalization": "normalization",
    "ReLU": "ReLU", "Relu": "ReLU", "LeakyReLU": "leaky ReLU", "Activation": "activation", "Add": "sum",
    "Concatenate": "concatenation", "Resizing": "resize", "Rescaling": "rescale", "Dense": "dense",
    "Flatten": "flatten", "Dropout": "dropout", "GlobalAveragePooling2D": "global average",
    "GlobalMaxPooling2D": "global maximum", "ZeroPadding2D": "zero padding",
    "Multiply": "product", "Cast": "change of type", "Flip": "channels reversed", "Cropping2D": "cropping",
}  # fmt: skip

ACTIVATION_NAMES = {
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "leaky ReLU", "silu": "SiLU", "hard_silu": "hard SiLU",
    "gelu": "GELU", "elu": "ELU", "selu": "SELU",
}  # fmt: skip


@dataclass(frozen=True)
class LayerView:
    """One row of the table of layers.

    Attributes:
        name: the layer's name in the graph.
        kind: what it is, in words.
        kernel_size: rows and columns of its kernel or pooling window; None where it has none.
        strides: its steps along rows and columns; None where it has none.
        padding: `valid`, `same`, or empty.
        input_shape: shape of one example that goes in, without the batch.
        output_shape: shape that comes out, as Keras says.
        num_parameters: weights and biases, those that training does not change included.
        formula: the output size with its numbers, for reading.
        expected_shape: shape by the formula; None where no formula is known.
        receptive_field: pixels an output cell sees; None for the whole picture.
    """

    name: str
    kind: str
    kernel_size: tuple[int, int] | None
    strides: tuple[int, int] | None
    padding: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    num_parameters: int
    formula: str
    expected_shape: tuple[int, ...] | None
    receptive_field: ReceptiveField | None

    @property
    def agrees(self) -> bool | None:
        """Whether formula and Keras give one shape; None where there is no formula."""
        return None if self.expected_shape is None else self.expected_shape == self.output_shape


@dataclass(frozen=True)
class ParameterComparison:
    """Parameters of a convolution, and of a dense layer between the same two shapes."""

    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    num_convolution: int
    num_dense: int

    @property
    def ratio(self) -> float:
        """How many times as many parameters the dense layer has."""
        return self.num_dense / self.num_convolution


def view_layers(calls: Sequence[Call], fields: dict[int, ReceptiveField | None]) -> tuple[LayerView, ...]:
    """A row for every layer of the user's model, in the order of the graph."""
    return tuple(_view(call, fields.get(id(call.output))) for call in calls if not call.is_fused_activation)


def compare_parameters(calls: Sequence[Call]) -> tuple[ParameterComparison, ...]:
    """Compare the parameters of every convolution with those that a dense layer in its place would need."""
    found = []
    for call in calls:
        if call.kind in CONVOLUTION_KINDS:
            before, after = example_shape(call.inputs[0]), example_shape(call.output)
            biases = math.prod(after) if getattr(call.layer, "use_bias", False) else 0
            num_dense = math.prod(before) * math.prod(after) + biases
            found.append(ParameterComparison(call.name, before, after, int(call.owner.count_params()), num_dense))
    return tuple(found)


def kind_of(call: Call) -> str:
    """What a layer is, in words; an activation goes by the name of its function."""
    if call.kind == "Activation":
        name = getattr(call.layer.activation, "__name__", "activation")
        return ACTIVATION_NAMES.get(name, name.replace("_", " "))
    return LAYER_NAMES.get(call.kind, call.kind)


def example_shape(tensor: Any) -> tuple[int, ...]:
    """Shape of a tensor without its batch axis."""
    return tuple(int(size) for size in tensor.shape[1:])


def _view(call: Call, field: ReceptiveField | None) -> LayerView:
    windows = layer_windows(call)
    before = example_shape(call.inputs[0])
    formula, expected = _explain(call, windows, before)
    layer = call.owner
    return LayerView(
        name=call.name,
        kind=kind_of(call),
        kernel_size=(windows[0].size, windows[1].size) if windows else None,
        strides=(windows[0].stride, windows[1].stride) if windows else None,
        padding=call.layer.padding if windows else "",
        input_shape=before,
        output_shape=example_shape(call.output),
        num_parameters=int(layer.count_params()) if hasattr(layer, "count_params") else 0,
        formula=formula,
        expected_shape=expected,
        receptive_field=field,
    )


def _explain(
    call: Call, windows: tuple[Window, Window] | None, before: tuple[int, ...]
) -> tuple[str, tuple[int, ...] | None]:
    """The formula in words and numbers, and the shape it gives."""
    if windows is not None:
        texts = [size_formula(n, window) for n, window in zip(before, windows, strict=False)]
        formula = texts[0] if texts[0] == texts[1] else f"rows {texts[0]}; columns {texts[1]}"
        sizes = tuple(output_size(n, window) for n, window in zip(before, windows, strict=False))
        channels = before[-1]
        if call.kind == "DepthwiseConv2D":
            channels *= int(call.layer.depth_multiplier)
        elif call.kind in CONVOLUTION_KINDS:
            channels = int(call.layer.filters)
        return formula, (*sizes, channels)
    if call.kind in POINTWISE:
        return "as its input", before
    if call.kind in MERGES and call.kind != "Concatenate":
        return "as its inputs", np.broadcast_shapes(*(example_shape(tensor) for tensor in call.inputs))
    if call.kind == "Flatten":
        return " · ".join(str(size) for size in before) + f" = {math.prod(before):,}", (math.prod(before),)
    if call.kind in ("GlobalAveragePooling2D", "GlobalMaxPooling2D"):
        return "one value per channel", (1, 1, before[-1]) if call.layer.keepdims else before[-1:]
    if call.kind == "Dense":
        units = int(call.layer.units)
        return f"{units:,} unit{'s' * (units != 1)}", (*before[:-1], units)
    return "", None
