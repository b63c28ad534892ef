"""Keras models that ConvLens did not train: read from a file, and asked as its own are."""

import zipfile
from pathlib import Path
from typing import Any

import keras

from convlens.errors import ConvLensError
from convlens.lens.forward import Scorer
from convlens.lens.walk import require_photos


def read_keras_file(path: Path, *, divide_by: float = 1.0) -> keras.Model:
    """A model from a file of Keras, `.keras` or `.h5`, without running code that the file brings along.

    Args:
        path: of the file.
        divide_by: what the model's photos were divided by outside of it, such as 255; here it becomes a layer of it.

    Raises:
        ConvLensError: Keras cannot read it, or it does not take square photos in colour.
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
            f"Expected a model of square photos in three colours. Received: '{model.name}', which takes "
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
