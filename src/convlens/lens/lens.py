"""Open a network: its blocks and their activations."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from convlens.errors import ConvLensError
from convlens.lens.graph import (
    CONVOLUTION_KINDS,
    POINTWISE,
    POOLINGS,
    Call,
    Graph,
    LayerView,
    ParameterComparison,
    ReceptiveField,
    Window,
    compare_parameters,
    example_shape,
    kind_of,
    layer_windows,
    receptive_fields,
    view_layers,
    walk_model,
)

# --- Blocks: a convolution with the normalization, activation and pooling that follow it ---

ACTIVATION_KINDS = frozenset({
    "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Relu", "Relu6", "LeakyRelu", "Gelu", "Silu", "Elu",
})  # fmt: skip
SILENT_KINDS = frozenset({"Dropout", "SpatialDropout2D", "AlphaDropout", "GaussianDropout", "GaussianNoise", "Identity",
                    "ActivityRegularization"})  # fmt: skip


@dataclass(frozen=True)
class BlockStep:
    """One set of feature maps inside a block.

    Attributes:
        name: name of the layer that gave it; unique in the graph.
        kind: `convolution`, `normalization`, `activation`, `pooling` or `sum`.
        label: what the layer is, in words: `ReLU`, `max-pooling`.
        shape: rows, columns, filters.
        rectified: values are never below zero.
        receptive_field: pixels a cell sees; None for the whole picture.
        scale: for a normalization, its factor per filter; the step is `scale * previous + offset`.
        offset: for a normalization, what it adds per filter.
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
    steps: tuple[BlockStep, ...]

    @property
    def num_filters(self) -> int:
        """Filters, or channels, of the block."""
        return self.steps[0].shape[-1]

    @property
    def is_convolution(self) -> bool:
        """Whether the block begins with a convolution, so that its channels are filters."""
        return self.steps[0].kind == "convolution"

    @property
    def response(self) -> BlockStep:
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
    owners = Counter(id(call.owner) for call in calls if not call.is_fused_activation)
    shared = {owner for owner, count in owners.items() if count > 1}
    consumers: dict[int, list[Call]] = {}
    for call in calls:
        for tensor in call.inputs:
            consumers.setdefault(id(tensor), []).append(call)
    starts = [call for call in calls if layer_windows(call) is not None and id(call.owner) not in shared]
    taken: set[int] = set()
    blocks: dict[str, Block] = {}
    for call in reversed(starts):  # the convolution nearest to a sum owns what follows the sum
        if call.kind in CONVOLUTION_KINDS and id(call.output) not in taken:
            blocks[call.name] = _follow(call, consumers, fields, taken=taken)
    for call in starts:
        if call.kind in POOLINGS and id(call.output) not in taken:
            blocks[call.name] = Block(call.name, (_step(call, fields, after_rectified=False),))
    ordered = tuple(blocks[call.name] for call in starts if call.name in blocks)
    return ordered, tuple(_skipped(calls, shared))


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
        if call.kind not in SILENT_KINDS:
            steps.append(_step(call, fields, after_rectified=steps[-1].rectified))
    return Block(start.name, tuple(steps))


def _belongs(call: Call, steps: list[BlockStep]) -> bool:
    kinds = {step.kind for step in steps}
    if len(call.output.shape) != 4:
        return False
    if call.kind in ACTIVATION_KINDS:
        return "activation" not in kinds
    if call.kind == "Add":
        return not kinds & {"activation", "sum"}
    pools = call.kind in POOLINGS and layer_windows(call) is not None
    is_affine = call.kind == "BatchNormalization" and call.layer.axis in (-1, len(call.output.shape) - 1)
    return pools or call.kind in SILENT_KINDS or is_affine


def _step(call: Call, fields: dict[int, ReceptiveField | None], *, after_rectified: bool) -> BlockStep:
    kinds = {**dict.fromkeys(CONVOLUTION_KINDS, "convolution"), **dict.fromkeys(POOLINGS, "pooling"),
             **dict.fromkeys(ACTIVATION_KINDS, "activation"), "Add": "sum"}  # fmt: skip
    kind = kinds.get(call.kind, "normalization")
    scale, offset = normalization(call) if kind == "normalization" else (None, None)
    rows, columns, channels = example_shape(call.output)
    rectified = _rectifies(call) or (kind == "pooling" and after_rectified)
    return BlockStep(
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


def normalization(call: Call) -> tuple[np.ndarray, np.ndarray]:
    """What batch normalization does once training is over: a factor and an addend per channel."""
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
        if "Conv" in call.kind and call.kind not in CONVOLUTION_KINDS:
            yield Skipped(call.name, f"{call.kind} layers are not drawn yet; their values do reach the answer.")
        elif call.kind in CONVOLUTION_KINDS and layer_windows(call) is None:
            yield Skipped(call.name, "Its channels come first; maps are drawn for channels_last.")
        elif call.kind in CONVOLUTION_KINDS and id(call.owner) in shared:
            yield Skipped(call.name, "It is shared: called more than once, so that one name would stand for many maps.")


# --- The lens: one call gives the answer and every feature map on the way to it ---


@dataclass(frozen=True)
class Activations:
    """What the network made of one photo.

    Attributes:
        answer: the model's output, (classes,) or (1,) for one sigmoid.
        picture: the photo at the size the network works on, uint8 (rows, columns, 3).
        maps: float32 (rows, columns, filters) for every step, by its name.
    """

    answer: np.ndarray
    picture: np.ndarray
    maps: dict[str, np.ndarray]


@dataclass(frozen=True)
class Lens:
    """A model opened up.

    Attributes:
        model: the model as it was given.
        graph: the same model as one functional graph.
        layers: a row for every layer.
        comparisons: parameters of every convolution, against dense.
        blocks: convolutions and what follows them.
        skipped: layers whose maps are not shown.
        picture_shape: rows and columns of the picture that receptive fields count in.
        picture: its tensor in the graph.
        fields: what a cell of every tensor sees, by `id(tensor)`; None for the whole picture.
    """

    model: keras.Model
    graph: Graph
    layers: tuple[LayerView, ...]
    comparisons: tuple[ParameterComparison, ...]
    blocks: tuple[Block, ...]
    skipped: tuple[Skipped, ...]
    picture_shape: tuple[int, int]
    probe: Any
    picture: Any
    fields: Mapping[int, ReceptiveField | None]

    @property
    def convolutions(self) -> tuple[Block, ...]:
        """Blocks that begin with a convolution, in order."""
        return tuple(block for block in self.blocks if block.is_convolution)

    @property
    def steps(self) -> tuple[BlockStep, ...]:
        """All maps of all blocks, in order."""
        return tuple(step for block in self.blocks for step in block.steps)

    def run(self, photo: np.ndarray) -> Activations:
        """Show the network one photo, (rows, columns, 3), and keep every feature map.

        Raises:
            ConvLensError: the opened model does not give the model's own answer to the last bit.
        """
        expected_shape = tuple(self.model.inputs[0].shape[1:])
        if photo.shape != expected_shape:
            raise ConvLensError(
                f"Expected a photo of shape {expected_shape} for '{self.model.name}'. Received: {photo.shape}."
            )
        batch = photo[np.newaxis].astype(self.model.inputs[0].dtype)
        outputs = self.probe(batch, training=False)
        answer, picture, *maps = (np.array(value[0]) for value in outputs)
        expected = np.asarray(self.model(batch, training=False))[0]
        if not np.array_equal(expected, answer):
            error = float(np.max(np.abs(expected - answer)))
            raise ConvLensError(
                f"Expected the opened model to answer as '{self.model.name}' does. Received: {error:g} apart; "
                "the feature maps would not be this model's, so none are shown. Please report the model's layers."
            )
        pixels = picture.astype(np.float64)
        if pixels.size and pixels.min() >= 0 and pixels.max() <= 1:  # a network that takes 0..1
            pixels = pixels * 255
        names = (step.name for step in self.steps)
        values = (value.astype(np.float32) for value in maps)
        picture = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
        return Activations(answer, picture, dict(zip(names, values, strict=True)))


def open_lens(model: keras.Model) -> Lens:
    """Open a Sequential, functional or nested model with one input.

    Raises:
        ConvLensError: see `walk_model`.
    """
    graph = walk_model(model)
    picture = graph.input  # as the network works on it: after resizing, still in the units of the photo
    for call in graph.calls:
        if call.kind not in POINTWISE | {"Resizing", "CenterCrop"}:
            break
        if call.kind == "Resizing":
            picture = call.output
    fields: dict[int, ReceptiveField | None] = receptive_fields(graph.calls, picture)
    blocks, skipped = find_blocks(graph.calls, fields)
    tensors = [step.tensor for block in blocks for step in block.steps]
    return Lens(
        model=model,
        graph=graph,
        layers=view_layers(graph.calls, fields),
        comparisons=compare_parameters(graph.calls),
        blocks=blocks,
        skipped=skipped,
        picture_shape=(int(picture.shape[1]), int(picture.shape[2])),
        probe=keras.Model(graph.input, [graph.answer, picture, *tensors]),
        picture=picture,
        fields=fields,
    )
