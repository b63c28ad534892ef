"""The lens: a model opened up, so that one call gives the answer and every feature map on the way to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from convlens.errors import ConvLensError
from convlens.lens.blocks import Block, Skipped, Step, find_blocks
from convlens.lens.fields import POINTWISE, ReceptiveField, receptive_fields
from convlens.lens.layers import LayerView, ParameterComparison, compare_parameters, view_layers
from convlens.lens.walk import Call, Graph, walk_model


@dataclass(frozen=True)
class Look:
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
    def steps(self) -> tuple[Step, ...]:
        """All maps of all blocks, in order."""
        return tuple(step for block in self.blocks for step in block.steps)

    def look(self, photo: np.ndarray) -> Look:
        """Show the network one photo, (rows, columns, 3), and keep every feature map.

        Raises:
            ConvLensError: the opened model does not give the model's own answer to the last bit.
        """
        batch = _batch(self.model, photo)
        answer, picture, *maps = self.probe(batch, training=False)
        self._check(np.asarray(self.model(batch, training=False)), np.asarray(answer))
        values = (np.array(value[0], dtype=np.float32) for value in maps)
        names = (step.name for step in self.steps)
        return Look(np.array(answer[0]), _pixels(np.asarray(picture[0])), dict(zip(names, values, strict=True)))

    def _check(self, expected: np.ndarray, answer: np.ndarray) -> None:
        if not np.array_equal(expected, answer):
            error = float(np.max(np.abs(expected - answer)))
            raise ConvLensError(
                f"Expected the opened model to answer as '{self.model.name}' does. Received: {error:g} apart; "
                "the feature maps would not be this model's, so none are shown. Please report the model's layers."
            )


def open_lens(model: keras.Model) -> Lens:
    """Open a Sequential, functional or nested model with one input.

    Raises:
        ConvLensError: see `walk_model`.
    """
    graph = walk_model(model)
    picture = _find_picture(graph)
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


def _find_picture(graph: Graph) -> Any:
    """The picture as the network works on it: after resizing, still in the units of the photo."""
    resized = [call for call in _lead(graph) if call.kind == "Resizing"]
    return resized[-1].output if resized else graph.input


def _lead(graph: Graph) -> Sequence[Call]:
    """The calls ahead of the first layer that mixes pixels."""
    calls: list[Call] = []
    for call in graph.calls:
        if call.kind not in POINTWISE | {"Resizing", "CenterCrop"}:
            break
        calls.append(call)
    return calls


def _batch(model: keras.Model, photo: np.ndarray) -> np.ndarray:
    expected = tuple(model.inputs[0].shape[1:])
    if photo.shape != expected:
        raise ConvLensError(f"Expected a photo of shape {expected} for '{model.name}'. Received: {photo.shape}.")
    return photo[np.newaxis].astype(model.inputs[0].dtype)


def _pixels(picture: np.ndarray) -> np.ndarray:
    """The picture in 0..255 for showing; a network that takes 0..1 gets its picture stretched."""
    values = picture.astype(np.float64)
    if values.size and values.min() >= 0 and values.max() <= 1:
        values = values * 255
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
