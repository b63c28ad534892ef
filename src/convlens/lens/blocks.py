"""Blocks: a convolution with the normalisation, activation and pooling that follow it, each a map to look at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convlens.lens.arithmetic import Window
from convlens.lens.fields import POOLINGS, ReceptiveField, layer_windows
from convlens.lens.layers import example_shape, kind_of
from convlens.lens.walk import CONVOLUTIONS, Call

ACTIVATIONS = frozenset({
    "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Relu", "Relu6", "LeakyRelu", "Gelu", "Silu", "Elu",
})  # fmt: skip
SILENT = frozenset({"Dropout", "SpatialDropout2D", "AlphaDropout", "GaussianDropout", "GaussianNoise", "Identity",
                    "ActivityRegularization"})  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One set of feature maps inside a block.

    Attributes:
        name: name of the layer that gave it; unique in the graph.
        kind: `convolution`, `normalisation`, `activation`, `pooling` or `sum`.
        label: what the layer is, in words: `ReLU`, `max-pooling`.
        shape: rows, columns, filters.
        rectified: values are never below zero.
        receptive_field: pixels a cell sees; None for the whole picture.
        scale: for a normalisation, its factor per filter; the step is `scale * previous + offset`.
        offset: for a normalisation, what it adds per filter.
        windows: for a pooling, its windows along rows and columns.
    """

    name: str
    kind: str
    label: str
    shape: tuple[int, int, int]
    rectified: bool
    receptive_field: ReceptiveField | None
    scale: np.ndarray | None = None
    offset: np.ndarray | None = None
    windows: tuple[Window, Window] | None = None
    tensor: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Block:
    """A convolution (or a pooling that follows none) and the steps after it, in the order of the graph."""

    name: str
    steps: tuple[Step, ...]

    @property
    def num_filters(self) -> int:
        """Filters, or channels, of the block."""
        return self.steps[0].shape[-1]

    @property
    def is_convolution(self) -> bool:
        """Whether the block begins with a convolution, so that its channels are filters."""
        return self.steps[0].kind == "convolution"

    @property
    def response(self) -> Step:
        """The step that says what a filter found: the activation, or the last step ahead of any pooling."""
        activations = [step for step in self.steps if step.kind == "activation"]
        plain = [step for step in self.steps if step.kind not in ("pooling", "sum")]
        return (activations or plain or list(self.steps))[0 if activations else -1]


@dataclass(frozen=True)
class Skipped:
    """A layer whose maps are not shown, and why."""

    name: str
    reason: str


def find_blocks(
    calls: Sequence[Call], fields: dict[int, ReceptiveField | None]
) -> tuple[tuple[Block, ...], tuple[Skipped, ...]]:
    """Group the calls of a graph into blocks; second come the layers that are left out."""
    shared = _shared(calls)
    consumers = _consumers(calls)
    taken: set[int] = set()
    blocks: list[Block] = []
    for call in reversed(calls):  # the convolution nearest to a sum owns what follows the sum
        if _is_start(call, shared) and id(call.output) not in taken and call.kind in CONVOLUTIONS:
            blocks.insert(0, _follow(call, consumers, fields, taken=taken))
    loose = [call for call in calls if call.kind in POOLINGS and id(call.output) not in taken]
    loose = [call for call in loose if _is_start(call, shared)]
    alone = [Block(call.name, (_step(call, fields, after_rectified=False),)) for call in loose]
    order = {call.name: index for index, call in enumerate(calls)}
    return tuple(sorted([*blocks, *alone], key=lambda block: order[block.name])), tuple(_skipped(calls, shared))


def _is_start(call: Call, shared: set[int]) -> bool:
    return layer_windows(call) is not None and id(call.owner) not in shared


def _shared(calls: Sequence[Call]) -> set[int]:
    """Layers of the user's model that are called more than once."""
    owners = [id(call.owner) for call in calls if not call.is_fused_activation]
    return {owner for owner in owners if owners.count(owner) > 1}


def _consumers(calls: Sequence[Call]) -> dict[int, list[Call]]:
    consumers: dict[int, list[Call]] = {}
    for call in calls:
        for tensor in call.inputs:
            consumers.setdefault(id(tensor), []).append(call)
    return consumers


def _follow(
    start: Call, consumers: dict[int, list[Call]], fields: dict[int, ReceptiveField | None], *, taken: set[int]
) -> Block:
    """The chain of steps behind a convolution, up to a branch, the next convolution, or the classifier."""
    steps = [_step(start, fields, after_rectified=False)]
    tensor = start.output
    while len(consumers.get(id(tensor), [])) == 1:
        call = consumers[id(tensor)][0]
        if id(call.output) in taken or not _belongs(call, steps):
            break
        taken.add(id(call.output))
        tensor = call.output
        if call.kind not in SILENT:
            steps.append(_step(call, fields, after_rectified=steps[-1].rectified))
    return Block(start.name, tuple(steps))


def _belongs(call: Call, steps: list[Step]) -> bool:
    kinds = {step.kind for step in steps}
    if len(call.output.shape) != 4:
        return False
    if call.kind in ACTIVATIONS:
        return "activation" not in kinds
    if call.kind == "Add":
        return not kinds & {"activation", "sum"}
    pools = call.kind in POOLINGS and layer_windows(call) is not None
    return pools or call.kind in SILENT or _is_affine(call)


def _is_affine(call: Call) -> bool:
    """Whether a call is a batch normalisation over channels that come last."""
    return call.kind == "BatchNormalization" and call.layer.axis in (-1, len(call.output.shape) - 1)


def _step(call: Call, fields: dict[int, ReceptiveField | None], *, after_rectified: bool) -> Step:
    kind = _kind(call)
    scale, offset = normalisation(call) if kind == "normalisation" else (None, None)
    rows, columns, channels = example_shape(call.output)
    rectified = _rectifies(call) or (kind == "pooling" and after_rectified)
    return Step(
        name=call.name,
        kind=kind,
        label=kind_of(call),
        shape=(rows, columns, channels),
        rectified=rectified,
        receptive_field=fields.get(id(call.output)),
        scale=scale,
        offset=offset,
        windows=layer_windows(call) if kind == "pooling" else None,
        tensor=call.output,
    )


def _kind(call: Call) -> str:
    if call.kind in CONVOLUTIONS:
        return "convolution"
    if call.kind in POOLINGS:
        return "pooling"
    if call.kind in ACTIVATIONS:
        return "activation"
    return "sum" if call.kind == "Add" else "normalisation"


def normalisation(call: Call) -> tuple[np.ndarray, np.ndarray]:
    """What batch normalisation does once training is over: a factor and an addend per channel."""
    layer = call.layer
    variance, mean = np.asarray(layer.moving_variance), np.asarray(layer.moving_mean)
    gamma = np.asarray(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = np.asarray(layer.beta) if layer.center else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)


def _rectifies(call: Call) -> bool:
    """Whether an activation cuts at zero: ReLU without a slope or a threshold."""
    if call.kind == "ReLU":
        return not call.layer.negative_slope and not call.layer.threshold
    if call.kind == "Activation":
        return getattr(call.layer.activation, "__name__", "") in ("relu", "relu6")
    return call.kind in ("Relu", "Relu6")


def _skipped(calls: Sequence[Call], shared: set[int]) -> Iterator[Skipped]:
    seen: set[int] = set()
    for call in calls:
        if id(call.owner) in seen or call.is_fused_activation:
            continue
        seen.add(id(call.owner))
        if "Conv" in call.kind and call.kind not in CONVOLUTIONS:
            yield Skipped(call.name, f"{call.kind} layers are not drawn yet; their values do reach the answer.")
        elif call.kind in CONVOLUTIONS and layer_windows(call) is None:
            yield Skipped(call.name, "Its channels come first; maps are drawn for channels_last.")
        elif call.kind in CONVOLUTIONS and id(call.owner) in shared:
            yield Skipped(call.name, "It is shared: called more than once, so that one name would stand for many maps.")
