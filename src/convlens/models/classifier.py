"""From photos to a table of predictions: the classifier that travels inside the registered model."""

import base64
import binascii
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from PIL import Image

from convlens.data.loader import LoaderSettings, load_photo, resize_photo
from convlens.errors import ConvLensError
from convlens.models.inference import (
    OperatingPoint,
    Predictor,
    apply_threshold,
    check_choices,
    find_operating_point,
    prediction_confidence,
)

# --- photos in every form that the registered model takes; travels inside the model ---

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
    """Whether this process serves the model over the network."""
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


# --- Classifies photos: photos in, a table of labels and probabilities out ---
#
# This module travels inside the registered model, together with the loader, under a package name of its own (see
# `package`). So it imports nothing but what travels with it and what the model's requirements name.

LABEL_COLUMN, UNSURE_COLUMN, ERROR_COLUMN = "label", "unsure", "error"
PHOTOS_PER_BATCH = 64  # as in the evaluation, whose predictions these are to the last bit
DIGITS = 7  # what float32 holds, and what the evaluation keeps and decides by

PhotoLoader = Callable[[Any, Mapping[str, Any]], np.ndarray]
Predict = Callable[[np.ndarray], np.ndarray]


class PhotoClassifier:
    """Classifies photos given as bytes, base64 texts, paths or uint8 arrays; one row per photo, in their order.

    A row has `label`, `probability_<class>` per class, `unsure`, and `error`, which is empty for a photo that was read.
    A photo that was not has none of the others, and does not affect its neighbors.
    """

    def __init__(
        self, card: Mapping[str, Any], point: OperatingPoint, predict: Predict, load_photo: PhotoLoader
    ) -> None:
        """Take the parts.

        Args:
            card: card.json of the model: classes and the settings of the loader.
            point: threshold and least confidence.
            predict: gives probabilities (n, classes) for uint8 arrays (n, image_size, image_size, 3).
            load_photo: gives the array (image_size, image_size, 3) of a path, bytes or an array, by the card.
        """
        self.card = card
        self.operating_point = point
        self.classes: tuple[str, ...] = tuple(card["classes"])
        self._predict = predict
        self._load_photo = load_photo

    def predict(self, given: Any, *, threshold: float | None = None, top_k: int | None = None) -> pd.DataFrame:
        """Classify photos; memory is bounded, however many they are.

        Args:
            given: photos in one of the forms of `list_photos`.
            threshold: of two classes the second is predicted above this probability; None takes the model's own.
            top_k: adds the most probable classes, the first one first; None adds none.

        Returns:
            Data frame with `label`, `probability_<class>`…, `unsure`, `error`, and for every place up to `top_k`
            `top_<place>_label` and `top_<place>_probability`; one row per photo.

        Raises:
            ConvLensError: `given` holds no photos, or threshold or top_k are none of this model's.
        """
        check_choices(len(self.classes), threshold=threshold, top_k=top_k)
        chosen = self.operating_point.threshold if threshold is None else float(threshold)
        num_top = int(top_k or 0)
        photos = list_photos(given)
        starts = range(0, max(len(photos), 1), PHOTOS_PER_BATCH)
        read = [self._predict_batch(photos[start : start + PHOTOS_PER_BATCH]) for start in starts]
        probabilities = np.concatenate([values for values, _ in read])
        return self._table(probabilities, [error for _, errors in read for error in errors], chosen, num_top)

    def predict_arrays(self, images: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (n, classes), of uint8 images (n, image_size, image_size, 3), all digits kept."""
        return self._predict(images)

    def _predict_batch(self, photos: list[Any]) -> tuple[np.ndarray, list[str]]:
        """Probabilities (n, classes), NaN for photos that cannot be read, and why they cannot, else ''."""
        loaded = [self._load(photo) for photo in photos]
        arrays = [item for item in loaded if isinstance(item, np.ndarray)]
        errors = ["" if isinstance(item, np.ndarray) else item for item in loaded]
        probabilities = np.full((len(photos), len(self.classes)), np.nan)
        if arrays:
            probabilities[[not error for error in errors]] = _keep_digits(self.predict_arrays(np.stack(arrays)))
        return probabilities, errors

    def _load(self, photo: Any) -> np.ndarray | str:
        """The pixels of a photo, or why there are none."""
        try:
            return self._load_photo(read_photo(photo), self.card)
        except ConvLensError as error:
            return str(error)

    def _table(self, probabilities: np.ndarray, errors: list[str], threshold: float, num_top: int) -> pd.DataFrame:
        failed = np.array([bool(error) for error in errors], dtype=bool)
        known = np.where(failed[:, None], 0.0, probabilities)
        chosen = apply_threshold(known, threshold)
        surely = prediction_confidence(known, chosen) > self.operating_point.min_confidence
        doubts = [None if lost else not sure for lost, sure in zip(failed, surely, strict=True)]
        columns = {
            LABEL_COLUMN: self._names(chosen, failed),
            **{f"probability_{name}": probabilities[:, place] for place, name in enumerate(self.classes)},
            UNSURE_COLUMN: pd.Series(doubts, dtype="boolean"),
            ERROR_COLUMN: pd.Series(errors, dtype=object),
        }
        order = np.argsort(-known, axis=1, kind="stable")[:, :num_top]
        for place in range(num_top):
            top, label = order[:, place], f"top_{place + 1}"
            columns[f"{label}_label"] = self._names(top, failed)
            columns[f"{label}_probability"] = probabilities[np.arange(len(probabilities)), top]
        return pd.DataFrame(columns)

    def _names(self, places: np.ndarray, failed: np.ndarray) -> pd.Series:
        """Names of the classes, None for a photo that could not be read."""
        both = zip(places, failed, strict=True)
        return pd.Series([None if lost else self.classes[place] for place, lost in both], dtype=object)


def _keep_digits(values: np.ndarray) -> np.ndarray:
    """As the evaluation rounds, so that its predictions.csv has these very numbers."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()]).reshape(values.shape)


# --- a trained network as a classifier: for the command line and for the registered model ---

CARD, NETWORK = "card.json", "model.keras"


def open_classifier(folder: Path) -> PhotoClassifier:
    """Open the trained network in a folder; nothing in its file may run code of its own.

    Args:
        folder: with model.keras and card.json, and operating_point.json in it or as the pipeline leaves it beside it;
            without one the network predicts as the cards of earlier versions say.

    Raises:
        ConvLensError: one of the files is missing or cannot be read, or the operating point is of another training.
    """
    try:
        opened = keras.saving.load_model(folder / NETWORK, compile=False, safe_mode=True)
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        point = find_operating_point(folder, card)
        return PhotoClassifier(card, point, Predictor(opened, point), load_by_card)
    except (OSError, ValueError, TypeError, KeyError) as error:
        shown = " ".join(str(error).split())
        raise ConvLensError(
            f"Expected a trained network in {folder} ({NETWORK} and {CARD}). Received: {shown}"
        ) from error


def read_settings(card: Mapping[str, Any]) -> LoaderSettings:
    """How a card says that photos become pixels."""
    return LoaderSettings(card["image_size"], keep_aspect=card["keep_aspect"], resampling=card["resampling"])


def load_by_card(photo: Path | bytes | np.ndarray, card: Mapping[str, Any]) -> np.ndarray:
    """Pixels of a photo as the network was trained on them: uint8 (image_size, image_size, 3)."""
    settings = read_settings(card)
    if isinstance(photo, np.ndarray):
        return resize_photo(Image.fromarray(photo), settings)
    return load_photo(photo, settings)
