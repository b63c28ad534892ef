"""Answers of a trained network."""

import keras
import numpy as np

from convlens.network.batches import Images


def predict_probabilities(
    model: keras.Model, images: Images, *, mirror: bool = False, batch_size: int = 64
) -> np.ndarray:
    """Probabilities of every class for photos as the loader gives them.

    Args:
        model: a whole network: uint8 photos to probabilities.
        images: uint8 (num_photos, image_size, image_size, 3), read a batch at a time.
        mirror: answer with the mean over each photo and its mirror image.
        batch_size: photos per batch.

    Returns:
        float64 (num_photos, num_classes), rows add up to 1; two columns also for one sigmoid output.
    """
    rows = [np.arange(start, min(start + batch_size, len(images))) for start in range(0, len(images), batch_size)]
    answers = [_answer(model, images[batch], mirror=mirror) for batch in rows]
    return spread_sigmoid(np.concatenate(answers)) if answers else np.empty((0, 2))


def _answer(model: keras.Model, photos: np.ndarray, *, mirror: bool) -> np.ndarray:
    answer = np.asarray(model(photos, training=False))
    return (answer + np.asarray(model(photos[:, :, ::-1], training=False))) / 2 if mirror else answer


def spread_sigmoid(outputs: np.ndarray) -> np.ndarray:
    """Outputs (N, 1) of a sigmoid as two columns that add up to 1; a softmax as it is. float64."""
    values = outputs.astype(np.float64)
    return np.concatenate([1 - values, values], axis=1) if values.shape[1] == 1 else values
