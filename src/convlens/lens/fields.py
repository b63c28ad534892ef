"""Receptive fields: which pixels of the network's input a cell of a feature map can see.

Along each axis a field is a size, a stride and a start: cell i sees the pixels from start + i * stride on, `size` of
them. Pixels outside the picture are padding. After Araujo, Norris and Sim, "Computing Receptive Fields of
Convolutional Neural Networks", Distill 2019.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from convlens.lens.arithmetic import Window, pad_window
from convlens.lens.walk import Call

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
CONVOLVES = frozenset({"Conv2D", "DepthwiseConv2D", "SeparableConv2D"})


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
    if call.kind not in POOLINGS | CONVOLVES or not _is_channels_last(call):
        return None
    layer, shape = call.layer, call.inputs[0].shape
    sizes = layer.kernel_size if call.kind in CONVOLVES else layer.pool_size
    dilations = layer.dilation_rate if call.kind in CONVOLVES else (1, 1)
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


def _is_channels_last(call: Call) -> bool:
    return getattr(call.layer, "data_format", "channels_last") == "channels_last"


def _is_channel_flip(call: Call) -> bool:
    """Whether this is RGB to BGR, `keras.ops.flip(values, axis=-1)`, which moves no pixel."""
    return call.kind == "Flip" and call.layer.axis in (-1, 3)


def _after(call: Call, before: list[ReceptiveField | None]) -> ReceptiveField | None:
    known = [field for field in before if field is not None]
    gated = _is_gate(call, before)
    if not known or len(call.output.shape) != 4 or (len(known) != len(before) and not gated):
        return None
    first, windows = known[0], layer_windows(call)
    if windows is not None:
        return replace(first, rows=_slide(first.rows, windows[0]), columns=_slide(first.columns, windows[1]))
    if call.kind in ("ZeroPadding2D", "Cropping2D"):
        (top, _), (left, _) = call.layer.padding if call.kind == "ZeroPadding2D" else call.layer.cropping
        sign = 1 if call.kind == "ZeroPadding2D" else -1
        return replace(first, rows=_shift(first.rows, sign * top), columns=_shift(first.columns, sign * left))
    if call.kind in POINTWISE | MERGES | {"Dense"} or _is_channel_flip(call):
        rows, columns = _join([field.rows for field in known]), _join([field.columns for field in known])
        return ReceptiveField(rows, columns, gated or any(field.gated for field in known))
    return None


def _is_gate(call: Call, before: list[ReceptiveField | None]) -> bool:
    """Whether maps are multiplied by one factor per channel, of a branch that sees the whole picture."""
    if call.kind != "Multiply" or all(field is not None for field in before):
        return False
    unknown = [tensor for tensor, field in zip(call.inputs, before, strict=True) if field is None]
    return all(len(tensor.shape) == 4 and tuple(tensor.shape[1:3]) == (1, 1) for tensor in unknown)


def _slide(span: Span, window: Window) -> Span:
    """The field after a window; its size already counts the dilation."""
    return Span(
        span.size + (window.size - 1) * span.stride,
        span.stride * window.stride,
        span.start - window.before * span.stride,
    )


def _shift(span: Span, num_cells: int) -> Span:
    return Span(span.size, span.stride, span.start - num_cells * span.stride)


def _join(spans: list[Span]) -> Span:
    """The smallest field that holds all of them; branches that meet have one stride."""
    start = min(span.start for span in spans)
    end = max(span.start + span.size for span in spans)
    return Span(end - start, spans[0].stride, start)
