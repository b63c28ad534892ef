"""A Keras model from a file, with the card that ConvLens would have written about it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from convlens.errors import ConvLensError
from convlens.lens.adoption import read_keras_file


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
