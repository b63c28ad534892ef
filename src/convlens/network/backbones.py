"""The networks of `keras.applications` by name, as layers of one flat graph with their preprocessing in front.

A backbone gets pictures of 0..255 in RGB like every network here. What its module's `preprocess_input` does to them is
found out by asking it, and built of plain Keras layers. The graph is flat, not a model within a model, so that the
lens shows every layer under its own name; and every name depends on the network only, so that files are reproducible.
"""

import difflib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from convlens.errors import ConvLensError

FULL = 255.0
DIGITS = 12  # enough for float32, and the rounding errors of the probe do not show


@dataclass(frozen=True)
class Preprocessing:
    """What is done to pictures: `value * scale + offset` by channel (R, G, B), then perhaps BGR for RGB."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    flipped: bool


def list_backbones() -> tuple[str, ...]:
    """The names of all networks in `keras.applications`, sorted."""
    public = vars(keras.applications)
    return tuple(sorted(name for name, value in public.items() if callable(value) and name[:1].isupper()))


def find_builder(name: str) -> Callable[..., keras.Model]:
    """The function of `keras.applications` that builds a network.

    Raises:
        ConvLensError: there is none of that name; the message suggests others.
    """
    known = list_backbones()
    if name not in known:
        raise ConvLensError(
            "Expected model.transfer.backbone to be the name of a network in keras.applications. "
            f"Received: '{name}'. {_suggest(name, known)}"
        )
    builder: Callable[..., keras.Model] = getattr(keras.applications, name)
    return builder


def probe_preprocessing(name: str) -> Preprocessing:
    """What the `preprocess_input` that belongs to a network does to pictures of 0..255, found by showing it some.

    The first EfficientNets (B0 to B7) scale inside the network, by values that come with their weights. Theirs is what
    takes pictures to ImageNet's mean 0 and deviation 1 behind that layer; see `pretrained.copy_weights`.

    Raises:
        ConvLensError: it is no scaling of channels.
    """
    prepare = sys.modules[find_builder(name).__module__].preprocess_input
    if re.fullmatch(r"EfficientNetB\d", name):
        found = _probe(name, lambda values: keras.applications.imagenet_utils.preprocess_input(values, mode="torch"))
        return Preprocessing(_times(found.scale, FULL), _times(found.offset, FULL), found.flipped)
    return _probe(name, prepare)


def apply_backbone(
    pictures: keras.KerasTensor, name: str, *, image_size: int | None, dtype: str
) -> tuple[keras.KerasTensor, list[keras.Layer]]:
    """Preprocessing and backbone, with random weights.

    Args:
        pictures: (N, image_size, image_size, 3), RGB, values 0..255.
        name: of a network in `keras.applications`.
        image_size: side in pixels; None takes any.
        dtype: Keras dtype policy of the backbone's layers; preprocessing is done in float32.

    Returns:
        Features (N, rows, columns, channels), and the layers on the way to them.

    Raises:
        ConvLensError: there is no such network, or the pictures are too small for it.
    """
    builder = find_builder(name)
    values = _preprocess(pictures, probe_preprocessing(name))
    with _dtype_policy(dtype):
        network = build_application(builder, name, image_size=image_size, input_tensor=values)
    _settle_names(network)
    return network.output, network.layers


def build_application(
    builder: Callable[..., keras.Model], name: str, *, image_size: int | None, **options: Any
) -> keras.Model:
    """A network of `keras.applications` without its top, with random weights unless `options` say otherwise.

    Raises:
        ConvLensError: the pictures are too small for it.
    """
    options = {"weights": None, **options}
    try:
        return builder(include_top=False, input_shape=(image_size, image_size, 3), **options)
    except ValueError as error:
        small = re.search(r"at least (\d+)\s?x", str(error))
        if not small and "negative dimension" not in str(error).lower() and "<= 0" not in str(error):
            raise
        least = f"at least {small[1]}" if small else "larger"
        raise ConvLensError(
            f"Expected preprocess.image_size to be {least} for the backbone {name}. Received: {image_size}."
        ) from error


def _suggest(name: str, known: tuple[str, ...]) -> str:
    lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower().replace("-", "").replace("_", ""), lower, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {', '.join(lower[match] for match in close)}?"
    return f"There are {', '.join(known)}."


def _probe(name: str, prepare: Callable[[np.ndarray], np.ndarray]) -> Preprocessing:
    black = np.asarray(prepare(np.zeros((1, 1, 1, 3))))[0, 0, 0]
    bright = np.asarray(prepare(FULL * np.eye(3).reshape(3, 1, 1, 3)))[:, 0, 0]
    matrix = (bright - black) / FULL  # row: channel that is lit; column: channel of the answer
    flipped = bool(matrix[0, 2] != 0)
    if flipped:
        matrix, black = matrix[:, ::-1], black[::-1]
    if np.count_nonzero(matrix - np.diag(np.diag(matrix))):
        raise ConvLensError(f"Expected the preprocessing of {name} to scale channels. Received: one that mixes them.")
    return Preprocessing(_round(np.diag(matrix)), _round(black), flipped)


def _round(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{value:.{DIGITS}g}") + 0.0 for value in values)  # + 0.0 makes -0.0 zero


def _times(values: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return _round(factor * np.array(values))


def _preprocess(pictures: keras.KerasTensor, how: Preprocessing) -> keras.KerasTensor:
    scale, offset = _shorten(how.scale), _shorten(how.offset)
    values = layers.Rescaling(scale, offset=offset, name="preprocess", dtype="float32")(pictures)
    return keras.ops.flip(values, axis=-1) if how.flipped else values


def _shorten(values: tuple[float, ...]) -> float | list[float]:
    """One number where all channels have the same."""
    return values[0] if len(set(values)) == 1 else list(values)


@contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Layers made inside have this policy; `keras.applications` cannot be told in another way."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _settle_names(network: keras.Model) -> None:
    """Number the layers that Keras numbered (`conv2d_57`) anew, as it goes on counting from model to model."""
    counts: dict[str, int] = {}
    parts = network.layers if isinstance(network, keras.Sequential) else network.operations
    for operation in parts:
        kind = _snake_case(type(operation).__name__)
        if re.fullmatch(rf"{kind}(_\d+)?", operation.name):
            counts[kind] = counts.get(kind, 0) + 1
            operation.name = f"{kind}_{counts[kind]}"
        if isinstance(operation, keras.Model):
            operation.inputs[0]._keras_history.operation.name = f"{operation.name}_input"
            _settle_names(operation)


def _snake_case(name: str) -> str:
    """As Keras makes names of classes: Conv2D to conv2d, ReLU to re_lu."""
    partly = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", partly).lower()
