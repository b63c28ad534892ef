"""What a network makes of a photo before it answers: the values its last layer decides by."""

from collections.abc import Callable
from typing import Protocol

import keras
import numpy as np

from convlens.errors import ConvLensError

LAST_LAYER = "logits"  # of every architecture
PHOTOS_PER_BATCH = 64


class Images(Protocol):
    """uint8 photos (num_photos, height, width, 3) that may lie on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


def open_features(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 photos (N, S, S, 3) to their features, float32 (N, D).

    Features are what goes into the layer that decides; in `residual` and `transfer` these are the averages of the last
    maps over all places.

    Raises:
        ConvLensError: the model has no such layer.
    """
    try:
        values = model.get_layer(LAST_LAYER).input
    except ValueError as error:
        raise ConvLensError(
            f"Expected a network of ConvLens, with a layer '{LAST_LAYER}'. Received: '{model.name}' without one."
        ) from error
    network = keras.Model(model.inputs[0], values, name="features")

    def look(photos: np.ndarray) -> np.ndarray:
        features = np.asarray(network(photos, training=False), dtype=np.float32)
        return features.reshape(len(photos), -1)

    return look


def embed_photos(look: Callable[[np.ndarray], np.ndarray], images: Images, rows: np.ndarray) -> np.ndarray:
    """Features of some rows of the images, float32 (len(rows), D), a batch at a time."""
    batches = [rows[start : start + PHOTOS_PER_BATCH] for start in range(0, len(rows), PHOTOS_PER_BATCH)]
    return np.concatenate([look(images[batch]) for batch in batches])
