"""Run an opened network forward, and from the middle on."""

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convlens.data.loader import Images
from convlens.errors import ConvLensError
from convlens.lens.graph import Call, Graph, operate, require_photos
from convlens.lens.lens import Lens
from convlens.models.inference import make_views

# --- The head of a network: its logits, and what they say about a class as log-odds and as a probability ---
#
# Explanations speak about log-odds, because a probability near 0 or 1 hardly moves whatever happens to the photo.

FINAL_ACTIVATIONS = {"Sigmoid": "sigmoid", "Softmax": "softmax"}
LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Head:
    """Where a network's logits are.

    Attributes:
        logits: tensor (N, units); one unit is the log-odds of the second of two classes.
        source: tensor of the graph that the logits follow from; may be the logits themselves.
        layer: a dense layer that was called again for them, else None.
    """

    logits: Any
    source: Any
    layer: Any = None

    @property
    def num_units(self) -> int:
        """Logits per photo."""
        return int(self.logits.shape[-1])

    @property
    def num_classes(self) -> int:
        """Classes: two for one unit."""
        return max(2, self.num_units)


def find_head(graph: Graph) -> Head:
    """The logits of a graph: the values before its last sigmoid or softmax.

    A dense layer with a fused activation is called again without it. What a dense layer without one gives are logits
    (`from_logits=True` of Keras's losses). Where the answer comes from something else, its values are taken as
    probabilities.
    """
    last = next(call for call in reversed(graph.calls) if call.output is graph.answer)
    if _final_activation(last):
        if last.kind != "Dense":
            return Head(last.inputs[0], last.inputs[0])
        layer = type(last.layer).from_config({**last.layer.get_config(), "activation": None})
        layer.build(last.inputs[0].shape)
        layer.set_weights(last.layer.get_weights())
        return Head(layer(last.inputs[0]), last.inputs[0], layer)
    if last.kind == "Dense" and last.layer.activation is keras.activations.linear:
        return Head(graph.answer, graph.answer)
    return Head(operate(_undo, graph.answer), graph.answer)


def log_odds(logits: Any, targets: np.ndarray) -> Any:
    """Log-odds of one class per photo: its logit, less the logarithm of the sum over the others.

    Args:
        logits: (n, units), array or tensor.
        targets: int (n,), index of the class; of one unit, 1 is the class it speaks for.

    Returns:
        Tensor (n,).
    """
    ops = keras.ops
    if logits.shape[-1] == 1:
        return logits[:, 0] * np.where(np.asarray(targets) == 1, 1, -1).astype("float32")
    chosen = np.eye(logits.shape[-1], dtype="float32")[np.asarray(targets)]
    others = ops.logsumexp(logits - chosen * 1e9, axis=-1)
    return ops.sum(logits * chosen, axis=-1) - others


def class_probabilities(logits: np.ndarray, *, temperature: float = 1.0) -> np.ndarray:
    """Probabilities of every class, float64 (n, classes), calibrated by a temperature."""
    values = np.asarray(logits, dtype=np.float64) / temperature
    if values.shape[-1] == 1:
        values = np.concatenate([np.zeros_like(values), values], axis=-1)
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _undo(answer: Any) -> Any:
    """Logits of probabilities (n, units)."""
    chances = keras.ops.clip(answer, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return keras.ops.log(chances) - (keras.ops.log(1 - chances) if answer.shape[-1] == 1 else 0.0)


def _final_activation(call: Call) -> str:
    """`sigmoid` or `softmax`, or nothing."""
    if call.kind in FINAL_ACTIVATIONS:
        return FINAL_ACTIVATIONS[call.kind]
    name = getattr(getattr(call.layer, "activation", None), "__name__", "")
    return name if call.kind in ("Activation", "Dense") and name in FINAL_ACTIVATIONS.values() else ""


# --- Running a network over many photos with bounded memory, and resuming it in the middle ---

MAX_VALUES_HELD = 24_000_000  # float32 values held at once: about 100 MB
MAX_BATCH_SIZE = 32
CALLS_BEFORE_COMPILING = 4
MIN_COMPILED_BATCHES = 8  # batches; compiling takes as long as some of them


@dataclass(frozen=True)
class Scorer:
    """A network that gives log-odds and calibrated probabilities of a class, photo by photo.

    Attributes:
        lens: the opened network.
        temperature: probabilities are those of the logits over this.
        mirror: what is announced is the mean over a photo and its mirror image.
        center_crop: also over their centers, so much of each side, enlarged; None for none.
    """

    lens: Lens
    temperature: float = 1.0
    mirror: bool = False
    center_crop: float | None = None

    @cached_property
    def head(self) -> Head:
        """Where the logits are."""
        return find_head(self.lens.graph)

    @cached_property
    def model(self) -> keras.Model:
        """Photos to logits."""
        return keras.Model(self.lens.graph.input, self.head.logits)

    def logits(self, photos: Any) -> np.ndarray:
        """Logits, float32 (n, units), of photos that slice, as the loader gives them: of this one view of each."""
        batches = slices(photos, batch_size(self.lens), self.dtype)
        return np.concatenate([np.asarray(self._compiled(batch, training=False)) for batch in batches])

    @property
    def num_views(self) -> int:
        """Views of each photo that what is announced is the mean over."""
        return (1 + self.mirror) * (1 + (self.center_crop is not None))

    def view_logits(self, photos: Any) -> np.ndarray:
        """Logits of every view of photos, float32 (views, n, units); what is announced is their mean."""
        views = make_views(photos, mirror=self.mirror, center_crop=self.center_crop)
        return np.stack([self.logits(np.asarray(view)) for view in views])

    @cached_property
    def cuts(self) -> "Mapping[str, Cut]":
        """The network cut behind the response of every convolution, by name of the block."""
        blocks = self.lens.convolutions
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
        if self._calls == CALLS_BEFORE_COMPILING + 1:
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
    return max(1, min(MAX_BATCH_SIZE, MAX_VALUES_HELD // values))


def run_batches(model: keras.Model, photos: Any, *, size: int, dtype: str) -> list[np.ndarray]:
    """Every output of a model over photos, batch by batch, joined."""
    run = compile_model(model) if len(photos) >= MIN_COMPILED_BATCHES * size else model
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


# --- What a network makes of a photo before it answers: the values its last layer decides by ---

FEATURES_BEFORE = "logits"  # the last layer of every architecture
EMBEDDED_AT_ONCE = 64


def open_features(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 photos (N, S, S, 3) to their features, float32 (N, D).

    Features are what goes into the layer that decides; in `residual` and `transfer` these are the averages of the last
    maps over all places.

    Raises:
        ConvLensError: the model has no such layer.
    """
    try:
        values = model.get_layer(FEATURES_BEFORE).input
    except ValueError as error:
        raise ConvLensError(
            f"Expected a network of ConvLens, with a layer '{FEATURES_BEFORE}'. Received: '{model.name}' without one."
        ) from error
    network = keras.Model(model.inputs[0], values, name="features")

    def look(photos: np.ndarray) -> np.ndarray:
        features = np.asarray(network(photos, training=False), dtype=np.float32)
        return features.reshape(len(photos), -1)

    return look


def embed_photos(look: Callable[[np.ndarray], np.ndarray], images: Images, rows: np.ndarray) -> np.ndarray:
    """Features of some rows of the images, float32 (len(rows), D), a batch at a time."""
    batches = [rows[start : start + EMBEDDED_AT_ONCE] for start in range(0, len(rows), EMBEDDED_AT_ONCE)]
    return np.concatenate([look(images[batch]) for batch in batches])


# --- Keras models that ConvLens did not train: read from a file, and asked as its own are ---


def read_keras_file(path: Path, *, divide_by: float = 1.0) -> keras.Model:
    """A model from a file of Keras, `.keras` or `.h5`, without running code that the file brings along.

    Args:
        path: of the file.
        divide_by: what the model's photos were divided by outside of it, such as 255; here it becomes a layer of it.

    Raises:
        ConvLensError: Keras cannot read it, or it does not take square photos in color.
    """
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, ImportError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConvLensError(f"Expected a model that Keras can read. Received: {path}. {reason[0]}") from error
    require_photos(model)
    height, width, channels = model.inputs[0].shape[1:]
    if (height, channels) != (width, 3):
        raise ConvLensError(
            f"Expected a model of square photos in three colors. Received: '{model.name}', which takes "
            f"{height}×{width} pixels with {channels} channels."
        )
    return model if divide_by == 1 else _divide(model, divide_by)


def name_logits(scorer: Scorer, name: str) -> keras.Model:
    """A model that has its logits as a layer of a given name: the scorer's own, or one around it."""
    model = scorer.lens.model
    if any(layer.name == name for layer in model.layers):
        return model
    start = _photos(model)
    return keras.Model(start, keras.layers.Activation("linear", name=name)(scorer.model(start)), name=model.name)


def _divide(model: keras.Model, divisor: float) -> keras.Model:
    if "int" in model.inputs[0].dtype:
        raise ConvLensError(
            f"Expected a model of real numbers, if photos are to be divided by {divisor:g}. Received: '{model.name}', "
            f"which takes {model.inputs[0].dtype} and so divides by itself."
        )
    start = _photos(model, dtype="uint8")
    divide = keras.layers.Rescaling(1 / divisor, name=f"divide_by_{divisor:g}")
    return keras.Model(start, model(divide(start)), name=model.name)


def _photos(model: keras.Model, dtype: str | None = None) -> Any:
    given = model.inputs[0]
    return keras.Input(given.shape[1:], dtype=dtype or given.dtype)


# --- A Keras model from a file, with the card that ConvLens would have written about it ---


def open_keras_file(
    path: Path, classes: Sequence[str] | None, *, divide_by: float = 1.0
) -> tuple[keras.Model, Mapping[str, Any]]:
    """A model and what must be known to show it photos: resized as Keras does it, without other views or calibration.

    Args:
        path: a file of Keras.
        classes: names in the order of the answers; None numbers them.
        divide_by: what the model's photos were divided by outside of it.

    Raises:
        ConvLensError: it is not there, cannot be read, or has another number of classes.
    """
    if not path.is_file():
        raise ConvLensError(f"Expected a Keras model in a file. Received: {path}, which is not there.")
    model = read_keras_file(path, divide_by=divide_by)
    num = max(2, int(model.outputs[0].shape[-1]))
    names = [name.strip() for name in classes or [f"class {i}" for i in range(num)]]
    if len(set(names)) != num or "" in names:
        raise ConvLensError(f"Expected {num} different names of classes for {path}. Received: {', '.join(names)}.")
    return model, {"classes": names, "image_size": int(model.inputs[0].shape[1]), "keep_aspect": False,
                   "resampling": "bilinear"}  # fmt: skip
