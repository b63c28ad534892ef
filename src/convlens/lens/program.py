"""A network as a short list of operations, so that a page can run it by itself."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convlens.lens.arithmetic import Window
from convlens.lens.blocks import SILENT, normalisation
from convlens.lens.fields import layer_windows
from convlens.lens.forward import Scorer, multiplications
from convlens.lens.kernels import is_relu
from convlens.lens.sources import is_widening
from convlens.lens.walk import Call

MAX_DENSE_VALUES = 100_000
POOLS = {"MaxPooling2D": "maximum", "AveragePooling2D": "average"}


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
        if call.kind in SILENT or is_widening(call):
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
        if call.kind in POOLS and layer_windows(call):
            return Operation(POOLS[call.kind], inputs, call.name, shape=shape, windows=layer_windows(call))
        if call.kind in ("Rescaling", "BatchNormalization"):
            scale, offset = _affine(call)
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


def _affine(call: Call) -> tuple[np.ndarray, np.ndarray]:
    if call.kind == "BatchNormalization":
        return normalisation(call)
    count = int(call.output.shape[-1])
    return np.resize(call.layer.scale, count).astype(np.float32), np.resize(call.layer.offset, count).astype(np.float32)


def _is_whole(scorer: Scorer, name: str, chosen: Mapping[str, np.ndarray]) -> bool:
    block = next(block for block in scorer.lens.blocks if block.name == name)
    return len(chosen[name]) == block.num_filters
