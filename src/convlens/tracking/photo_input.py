"""What people hand to the registered model, made into a plain list of photos. Travels inside the model."""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.errors import ConvLensError

IMAGE_COLUMN = "image"
MAX_PATH_LENGTH = 4096
MAX_SHOWN = 60
# Set in the process of `mlflow models serve`. Who asks over the network has no business with the server's files.
SERVER_VARIABLE = "__pyfunc_model_path__"


def list_photos(given: Any) -> list[Any]:
    """The photos in any form of input that MLflow hands on, in their order.

    Args:
        given: list, tuple, array or series of photos, one photo, or a data frame or mapping with a column `image`.

    Raises:
        ConvLensError: a table without that column, or nothing that holds photos.
    """
    if isinstance(given, pd.DataFrame | Mapping):
        if IMAGE_COLUMN not in given:
            names = ", ".join(str(name) for name in given)
            raise ConvLensError(f"Expected a column '{IMAGE_COLUMN}' with the photos. Received columns: {names}.")
        given = given[IMAGE_COLUMN]
    if isinstance(given, str | bytes | bytearray | Path):
        return [given]
    if isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim in (3, 4):
        return [given] if given.ndim == 3 else list(given)
    if isinstance(given, np.ndarray) and given.dtype.kind in "OSU":
        given = given.ravel().tolist()
    if isinstance(given, list | tuple | pd.Series):
        return [photo for item in given for photo in _unwrap(item)]
    raise ConvLensError(
        f"Expected a list of photos or a table with a column '{IMAGE_COLUMN}'. Received: {_name(given)}."
    )


def _unwrap(item: Any) -> list[Any]:
    """A record `{"image": photo}` or a nested `[photo]`, as JSON clients send them, holds one photo or several."""
    nested = isinstance(item, Mapping) or (isinstance(item, list) and all(isinstance(part, str) for part in item))
    return list_photos(item) if nested else [item]


def read_photo(photo: Any) -> Path | bytes | np.ndarray:
    """One photo as the loader takes it: a path, the bytes of an image file, or a uint8 array (H, W, 3).

    Args:
        photo: those, or the base64 text of an image file, also as `data:image/…;base64,…`.

    Raises:
        ConvLensError: none of these.
    """
    if isinstance(photo, bytes | bytearray | memoryview):
        return bytes(photo)
    if isinstance(photo, str):
        return _read_text(photo)
    if isinstance(photo, Path):
        return _read_path(photo)
    if isinstance(photo, np.ndarray) and photo.dtype == np.uint8 and photo.ndim == 3 and photo.shape[2] == 3:
        return photo
    raise ConvLensError(
        f"Expected a photo: bytes, base64 text, a path or a uint8 array (H, W, 3). Received: {_name(photo)}."
    )


def is_served() -> bool:
    """Whether this process answers over the network."""
    return SERVER_VARIABLE in os.environ


def _read_text(text: str) -> Path | bytes:
    served = is_served()
    if not served and len(text) <= MAX_PATH_LENGTH and "\0" not in text and Path(text).exists():
        return Path(text)
    try:
        return base64.b64decode("".join(text.split(",")[-1].split()), validate=True)
    except (binascii.Error, ValueError):
        shown = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
        expected = "the base64 text of a photo" if served else "a photo file or the base64 text of one"
        raise ConvLensError(f"Expected {expected}. Received: the text '{shown}'.") from None


def _read_path(path: Path) -> Path:
    if is_served():
        raise ConvLensError("Expected the base64 text of a photo. Received: a path.")
    return path


def _name(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with shape {value.shape}"
    return "nothing" if value is None else f"a value of type {type(value).__name__}"
