"""Classifies photos: photos in, a table of labels and probabilities out.

This module travels inside the registered model, together with the loader, under a package name of its own (see
`package`). So it imports nothing but what travels with it and what the model's requirements name.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from convlens.errors import ConvLensError
from convlens.tracking.photo_input import list_photos, read_photo

LABEL_COLUMN, UNSURE_COLUMN, ERROR_COLUMN = "label", "unsure", "error"
PHOTOS_PER_BATCH = 64  # as in the evaluation, whose answers these are to the last bit
DIGITS = 7  # what float32 holds, and what the evaluation keeps and decides by
EVEN = 0.5

PhotoLoader = Callable[[Any, Mapping[str, Any]], np.ndarray]
Answer = Callable[[np.ndarray], np.ndarray]


class PhotoClassifier:
    """Classifies photos given as bytes, base64 texts, paths or uint8 arrays; one row per photo, in their order.

    A row has `label`, `probability_<class>` per class, `unsure`, and `error`, which is empty for a photo that was read.
    A photo that was not has none of the others, and does not disturb its neighbours.
    """

    def __init__(self, card: Mapping[str, Any], answer: Answer, load_photo: PhotoLoader) -> None:
        """Take the parts.

        Args:
            card: card.json of the model: classes, the settings of the loader, and, if there are such, the threshold
                and the least probability of an answer that is sure.
            answer: gives probabilities (n, classes) for uint8 arrays (n, image_size, image_size, 3).
            load_photo: gives the array (image_size, image_size, 3) of a path, bytes or an array, by the card.
        """
        self.card = card
        self.classes: tuple[str, ...] = tuple(card["classes"])
        self._answer = answer
        self._load_photo = load_photo

    def predict(self, given: Any, *, threshold: float | None = None, top_k: int | None = None) -> pd.DataFrame:
        """Classify photos; memory is bounded, however many they are.

        Args:
            given: photos in one of the forms of `list_photos`.
            threshold: of two classes the second is answered above this probability; None takes the model's own.
            top_k: adds the most probable classes, the first one first; None adds none.

        Returns:
            Data frame with `label`, `probability_<class>`…, `unsure`, `error`, and for every place up to `top_k`
            `top_<place>_label` and `top_<place>_probability`; one row per photo.

        Raises:
            ConvLensError: `given` holds no photos, or threshold or top_k are none of this model's.
        """
        line, num_top = self._check_threshold(threshold), self._check_top(top_k)
        photos = list_photos(given)
        starts = range(0, max(len(photos), 1), PHOTOS_PER_BATCH)
        read = [self._answer_batch(photos[start : start + PHOTOS_PER_BATCH]) for start in starts]
        probabilities = np.concatenate([values for values, _ in read])
        return self._table(probabilities, [error for _, errors in read for error in errors], line, num_top)

    def predict_arrays(self, images: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (n, classes), of uint8 images (n, image_size, image_size, 3), all digits kept."""
        return self._answer(images)

    def _check_threshold(self, threshold: float | None) -> float:
        if threshold is None:
            return float(self.card.get("threshold", EVEN))
        if len(self.classes) != 2:
            raise ConvLensError(
                f"Expected no threshold for {len(self.classes)} classes: only between two is there one line to draw. "
                f"Received: {threshold}."
            )
        if not (math.isfinite(threshold) and 0 <= threshold <= 1):
            raise ConvLensError(f"Expected a threshold from 0 to 1. Received: {threshold}.")
        return float(threshold)

    def _check_top(self, top_k: int | None) -> int:
        if top_k is None:
            return 0
        if not 0 <= top_k <= len(self.classes):
            raise ConvLensError(f"Expected top_k from 0 to {len(self.classes)}, the classes. Received: {top_k}.")
        return int(top_k)

    def _answer_batch(self, photos: list[Any]) -> tuple[np.ndarray, list[str]]:
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
        chosen = _choose(known, threshold)
        surely = known[np.arange(len(known)), chosen] > self.card.get("min_probability", 0.0)
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


def _choose(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """The answers, int (n,): of two classes the second above the threshold, else the most probable one."""
    if probabilities.shape[1] == 2 and threshold != EVEN:
        return (probabilities[:, 1] > threshold).astype(int)
    return np.asarray(probabilities.argmax(axis=1))


def _keep_digits(values: np.ndarray) -> np.ndarray:
    """As the evaluation rounds, so that its predictions.csv has these very numbers."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()]).reshape(values.shape)
