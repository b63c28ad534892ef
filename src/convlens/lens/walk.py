"""Walk any Keras model with one input into one functional graph, layer call by layer call.

Nested models are entered, and a convolution with its activation fused (`Conv2D(activation="relu")`) becomes two
calls, so that the values before the activation are a tensor of the graph as well. Layers are called anew, with their
own weights; the model's answer does not change by a bit. A graph needs unique names, which layers of different nested
models need not have: then a copy of the layer stands in the graph.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from convlens.errors import ConvLensError
from convlens.lens.operation import Cast

START = "photo"
CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")


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
        return self.kind == "Activation" and type(self.owner).__name__ in CONVOLUTIONS


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
    given = zip(keras.tree.flatten(tensors), model.inputs, strict=True)
    flat = [_cast(tensor, known.dtype, visit=visit, notes=notes) for tensor, known in given]
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
        if _has_fused_activation(layer):
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


def _cast(tensor: Any, dtype: str, *, visit: Callable[..., Any], notes: _Notes) -> Any:
    """What a model does with an input of another type before its first layer, as a call of its own."""
    return tensor if tensor.dtype == dtype else visit(Cast(dtype, f"cast_to_{dtype}_{len(notes.calls)}"), tensor)


def _has_fused_activation(layer: Any) -> bool:
    return type(layer).__name__ in CONVOLUTIONS and layer.activation is not keras.activations.linear


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
