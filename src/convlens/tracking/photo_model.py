"""Classifies photos: photos in, a table of labels and probabilities out.

This module travels inside the registered model, together with the loader, under a package name of its own (see
`package`). So it imports nothing but what travels with it and what the model's requirements name.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from convlens.errors import ConvLensError
from convlens.tracking.photo_input import list_photos, read_photo

LABEL_COLUMN = "label"
ERROR_COLUMN = "error"
PHOTOS_PER_BATCH = 64  # as in the evaluation, whose answers these are to the last bit

PhotoLoader = Callable[[Any, Mapping[str, Any]], np.ndarray]
Answer = Callable[[np.ndarray], np.ndarray]


class PhotoClassifier:
    """Classifies photos given as bytes, base64 texts, paths or uint8 arrays; one row per photo, in their order.

    A row has `label`, `probability_<class>` per class, and `error`, which is empty for a photo that was read. A photo
    that was not has neither label nor probabilities, and does not disturb the others.
    """

    def __init__(self, card: Mapping[str, Any], answer: Answer, load_photo: PhotoLoader) -> None:
        """Take the parts.

        Args:
            card: card.json of the model: classes, the settings of the loader, and the threshold, if there is one.
            answer: gives probabilities (n, classes) for uint8 arrays (n, image_size, image_size, 3).
            load_photo: gives the array (image_size, image_size, 3) of a path, bytes or an array, by the card.
        """
        self.card = card
        self.classes: tuple[str, ...] = tuple(card["classes"])
        self._answer = answer
        self._load_photo = load_photo

    def predict(self, given: Any) -> pd.DataFrame:
        """Classify photos; memory is bounded, however many they are.

        Args:
            given: photos in one of the forms of `list_photos`.

        Returns:
            Data frame with `label`, `probability_<class>`…, `error`; one row per photo.

        Raises:
            ConvLensError: `given` holds no photos.
        """
        photos = list_photos(given)
        starts = range(0, max(len(photos), 1), PHOTOS_PER_BATCH)
        return pd.concat(
            [self._predict_batch(photos[start : start + PHOTOS_PER_BATCH]) for start in starts], ignore_index=True
        )

    def predict_arrays(self, images: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (n, classes), of uint8 images (n, image_size, image_size, 3), in one batch."""
        return self._answer(images)

    def _predict_batch(self, photos: list[Any]) -> pd.DataFrame:
        loaded = [self._load(photo) for photo in photos]
        arrays = [item for item in loaded if isinstance(item, np.ndarray)]
        errors = ["" if isinstance(item, np.ndarray) else item for item in loaded]
        probabilities = np.full((len(photos), len(self.classes)), np.nan)
        if arrays:
            probabilities[[not error for error in errors]] = self.predict_arrays(np.stack(arrays))
        return self._table(probabilities, errors)

    def _load(self, photo: Any) -> np.ndarray | str:
        """The pixels of a photo, or why there are none."""
        try:
            return self._load_photo(read_photo(photo), self.card)
        except ConvLensError as error:
            return str(error)

    def _choose(self, probabilities: np.ndarray) -> int:
        """The answer to one photo: of two classes the second above the card's threshold, else the most probable."""
        threshold = self.card.get("threshold", 0.5)
        if len(self.classes) == 2 and threshold != 0.5:
            return int(probabilities[1] > threshold)
        return int(probabilities.argmax())

    def _table(self, probabilities: np.ndarray, errors: list[str]) -> pd.DataFrame:
        best = zip(errors, probabilities, strict=True)
        labels = [None if error else self.classes[self._choose(row)] for error, row in best]
        columns = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(self.classes)}
        texts = {
            name: pd.Series(values, dtype=object) for name, values in ((LABEL_COLUMN, labels), (ERROR_COLUMN, errors))
        }
        return pd.DataFrame({LABEL_COLUMN: texts[LABEL_COLUMN], **columns, ERROR_COLUMN: texts[ERROR_COLUMN]})
