"""Running a network over many photos with bounded memory, and resuming it in the middle."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convlens.lens.head import Head, class_probabilities, find_head, log_odds
from convlens.lens.lens import Lens
from convlens.lens.walk import Call

MAX_VALUES = 24_000_000  # float32 values held at once: about 100 MB
MAX_BATCH = 32
CALLS_AS_IT_IS = 4
COMPILED_FROM = 8  # batches; compiling takes as long as some of them


@dataclass(frozen=True)
class Scorer:
    """A network that gives log-odds and calibrated probabilities of a class, photo by photo, without mirror images.

    Attributes:
        lens: the opened network.
        temperature: probabilities are those of the logits over this.
    """

    lens: Lens
    temperature: float = 1.0

    @cached_property
    def head(self) -> Head:
        """Where the logits are."""
        return find_head(self.lens.graph)

    @cached_property
    def model(self) -> keras.Model:
        """Photos to logits."""
        return keras.Model(self.lens.graph.input, self.head.logits)

    def logits(self, photos: Any) -> np.ndarray:
        """Logits, float32 (n, units), of photos that slice, as the loader gives them."""
        batches = slices(photos, batch_size(self.lens), self.dtype)
        return np.concatenate([np.asarray(self._compiled(batch, training=False)) for batch in batches])

    @cached_property
    def cuts(self) -> "Mapping[str, Cut]":
        """The network cut behind the response of every convolution, by name of the block."""
        blocks = (block for block in self.lens.blocks if block.is_convolution)
        return {block.name: cut_behind(self.lens, self.head, block.response.tensor) for block in blocks}

    @cached_property
    def _compiled(self) -> Callable[..., Any]:
        return compile_model(self.model)

    def answers(self, logits: np.ndarray) -> np.ndarray:
        """The class that each photo is said to be, int (n,)."""
        return np.asarray(class_probabilities(logits).argmax(axis=-1))

    def target_of(self, answer: int) -> int:
        """The class that explanations speak for: the second of two, else the answer."""
        return 1 if self.head.num_classes == 2 else answer

    def scores(self, logits: np.ndarray, targets: Any) -> tuple[np.ndarray, np.ndarray]:
        """Log-odds and calibrated probability of a class for every row of logits; float64 (n,) each."""
        wanted = np.broadcast_to(np.asarray(targets), len(logits))
        odds = np.asarray(log_odds(logits, wanted), dtype=np.float64)
        chances = class_probabilities(logits, temperature=self.temperature)
        return odds, np.asarray(chances[np.arange(len(logits)), wanted])

    @property
    def dtype(self) -> str:
        """Type of number that the network takes."""
        return str(self.lens.model.inputs[0].dtype)


@dataclass(frozen=True)
class Cut:
    """A network cut behind one tensor.

    Attributes:
        tensor: where the cut is.
        frontier: all tensors that the rest needs; the one of the cut is among them.
        logits: where the rest ends.
        multiplications: of the rest, for one photo; an estimate from the shapes of kernels.
    """

    tensor: Any
    frontier: tuple[Any, ...]
    logits: Any
    multiplications: int

    @cached_property
    def rest(self) -> keras.Model:
        """From the frontier to the logits."""
        return keras.Model(list(self.frontier), self.logits)

    @cached_property
    def without(self) -> "PatientlyCompiled":
        """Takes the frontier's values of one photo, and filters (int32); gives logits, one of them off in each row."""
        known = [tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype) for tensor in self.frontier]
        return PatientlyCompiled(self._switch_off, [known, tf.TensorSpec((None,), tf.int32)])

    @property
    def is_only_way(self) -> bool:
        """Whether nothing reaches the answer but through the tensor of the cut."""
        return len(self.frontier) == 1

    @property
    def place(self) -> int:
        """Where the tensor of the cut stands in the frontier."""
        return [id(tensor) for tensor in self.frontier].index(id(self.tensor))

    def _switch_off(self, known: Sequence[Any], filters: Any) -> Any:
        maps = known[self.place]
        off = tf.one_hot(filters, maps.shape[-1], True, False, dtype=tf.bool)[:, tf.newaxis, tf.newaxis]
        rows = [tf.repeat(value, tf.shape(filters)[0], axis=0) for value in known]
        rows[self.place] = tf.where(off, tf.zeros((), maps.dtype), maps)
        return self.rest(rows, training=False)


class PatientlyCompiled:
    """Calls a function as it is a few times, then compiles it, which takes as long as some calls and speeds them up.

    Explaining one photo by a deep network, which has a cut for every convolution, would compile longer than it runs.
    """

    def __init__(self, function: Callable[..., Any], signature: Sequence[Any]) -> None:
        self._function, self._signature, self._calls = function, signature, 0

    def __call__(self, *values: Any) -> Any:
        """What the function gives."""
        self._calls += 1
        if self._calls == CALLS_AS_IT_IS + 1:
            self._function = _trace(self._function, self._signature)
        return self._function(*values)


def cut_behind(lens: Lens, head: Head, tensor: Any) -> Cut:
    """Cut a network right behind a tensor; branches that pass it by are part of the frontier."""
    calls = lens.graph.calls
    last = next(i for i, call in enumerate(calls) if call.output is tensor)
    later = calls[last + 1 :]
    made = {id(call.output) for call in later}
    needed = [tensor, *(value for call in later for value in call.inputs), head.source]
    frontier = tuple({id(value): value for value in needed if id(value) not in made}.values())
    return Cut(tensor, frontier, head.logits, sum(multiplications(call) for call in later))


def multiplications(call: Call) -> int:
    """Multiplications of a layer with kernels for one photo: each weight once for every output cell.

    Layers without kernels, and what they cost, count nothing.
    """
    kernels = [weight for weight in getattr(call.layer, "weights", []) if len(weight.shape) > 1]
    if len(call.output.shape) not in (2, 4):
        return 0
    cells = int(np.prod(call.output.shape[1:-1])) if len(call.output.shape) == 4 else 1
    return cells * sum(int(np.prod(kernel.shape)) for kernel in kernels)


def batch_size(lens: Lens) -> int:
    """Photos at once, so that all values of all layers stay bounded."""
    values = sum(int(np.prod(call.output.shape[1:])) for call in lens.graph.calls)
    return max(1, min(MAX_BATCH, MAX_VALUES // values))


def run_batches(model: keras.Model, photos: Any, *, size: int, dtype: str) -> list[np.ndarray]:
    """Every output of a model over photos, batch by batch, joined."""
    run = compile_model(model) if len(photos) >= COMPILED_FROM * size else model
    parts = [[np.asarray(value) for value in call_model(run, batch)] for batch in slices(photos, size, dtype)]
    return [np.concatenate(values) for values in zip(*parts, strict=True)]


def compile_model(model: keras.Model) -> Callable[..., Any]:
    """A model of one input as one function, which drops values that nothing needs any more and so runs faster.

    Models that resize their photos stay as they are: `keras.layers.Resizing` rounds whole numbers to whole numbers, but
    not in a compiled function (Keras 3.15).
    """
    run_model: Callable[..., Any] = model
    if any(isinstance(layer, keras.layers.Resizing) for layer in model.layers):
        return run_model
    start = model.inputs[0]

    traced = _trace(lambda batch: run_model(batch, training=False), [tf.TensorSpec(start.shape, start.dtype)])
    return lambda batch, **_: traced(batch)  # always as in use, never as in training


def _trace(function: Callable[..., Any], signature: Sequence[Any]) -> Callable[..., Any]:
    """Compile a function now, once; TensorFlow would warn of several that are compiled at their first calls."""
    concrete = tf.function(function, input_signature=signature).get_concrete_function()
    return lambda *values: concrete(*tf.nest.map_structure(tf.convert_to_tensor, values))


def call_model(model: Callable[..., Any], batch: Any) -> Sequence[Any]:
    """The outputs of a model as a list, also of a model with one."""
    outputs = model(batch, training=False)
    return outputs if isinstance(outputs, list | tuple) else [outputs]


def slices(photos: Any, size: int, dtype: str) -> Iterator[np.ndarray]:
    """Batches of photos in the type that a network takes."""
    for start in range(0, len(photos), size):
        yield np.asarray(photos[start : start + size]).astype(dtype)
