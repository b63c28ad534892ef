"""The table of layers: every layer's shapes, parameters, and its output size by the formula, checked against Keras."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convlens.lens.arithmetic import Window, dense_parameters, output_size, size_formula
from convlens.lens.fields import CONVOLVES, MERGES, POINTWISE, ReceptiveField, layer_windows
from convlens.lens.walk import Call

KINDS = {
    "Conv2D": "convolution", "DepthwiseConv2D": "depthwise convolution", "SeparableConv2D": "separable convolution",
    "MaxPooling2D": "max-pooling", "AveragePooling2D": "average-pooling", "BatchNormalization": "normalisation",
    "LayerNormalization": "normalisation", "Normalization": "normalisation", "GroupNormalization": "normalisation",
    "ReLU": "ReLU", "Relu": "ReLU", "LeakyReLU": "leaky ReLU", "Activation": "activation", "Add": "sum",
    "Concatenate": "concatenation", "Resizing": "resize", "Rescaling": "rescale", "Dense": "dense",
    "Flatten": "flatten", "Dropout": "dropout", "GlobalAveragePooling2D": "global average",
    "GlobalMaxPooling2D": "global maximum", "ZeroPadding2D": "zero padding",
    "Multiply": "product", "Cast": "change of type", "Flip": "channels reversed", "Cropping2D": "cropping",
}  # fmt: skip

ACTIVATIONS = {
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
    """For every convolution the parameters it has, and those a dense layer in its place would need."""
    return tuple(_compare(call) for call in calls if call.kind in CONVOLVES)


def kind_of(call: Call) -> str:
    """What a layer is, in words; an activation goes by the name of its function."""
    if call.kind == "Activation":
        name = getattr(call.layer.activation, "__name__", "activation")
        return ACTIVATIONS.get(name, name.replace("_", " "))
    return KINDS.get(call.kind, call.kind)


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
        return _explain_windows(call, windows, before)
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


def _explain_windows(
    call: Call, windows: tuple[Window, Window], before: tuple[int, ...]
) -> tuple[str, tuple[int, ...] | None]:
    texts = [size_formula(n, window) for n, window in zip(before, windows, strict=False)]
    formula = texts[0] if texts[0] == texts[1] else f"rows {texts[0]}; columns {texts[1]}"
    sizes = tuple(output_size(n, window) for n, window in zip(before, windows, strict=False))
    return formula, (*sizes, _num_channels(call, before[-1]))


def _num_channels(call: Call, num_inputs: int) -> int:
    if call.kind == "DepthwiseConv2D":
        return num_inputs * int(call.layer.depth_multiplier)
    return int(call.layer.filters) if call.kind in CONVOLVES else num_inputs


def _compare(call: Call) -> ParameterComparison:
    before, after = example_shape(call.inputs[0]), example_shape(call.output)
    bias = bool(getattr(call.layer, "use_bias", False))
    return ParameterComparison(
        call.name, before, after, int(call.owner.count_params()), dense_parameters(before, after, bias=bias)
    )
