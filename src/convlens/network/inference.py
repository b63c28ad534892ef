"""Answers of a trained network: logits, and the probabilities that come of them."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from convlens.errors import ConvLensError
from convlens.network.batches import Images

LOGITS = "logits"  # the layer before the answer in every architecture


def answer_settings(card: Mapping[str, Any]) -> dict[str, Any]:
    """How a network answers, from its card: `predict_probabilities(model, photos, **answer_settings(card))`.

    Cards written before there was a temperature say none; then it is 1, which changes nothing.

    Raises:
        ConvLensError: the temperature is not a number above 0.
    """
    temperature = card.get("temperature", 1.0)
    if not (isinstance(temperature, int | float) and math.isfinite(temperature) and temperature > 0):
        raise ConvLensError(
            f"Expected a temperature above 0 in the model's card. Received: {temperature!r}. Train again: dvc repro."
        )
    return {"mirror": bool(card.get("mirror", False)), "temperature": float(temperature)}


def predict_probabilities(
    model: keras.Model, images: Images, *, mirror: bool = False, temperature: float = 1.0, batch_size: int = 64
) -> np.ndarray:
    """Probabilities of every class for photos as the loader gives them.

    Args:
        model: a whole network: uint8 photos to probabilities.
        images: uint8 (num_photos, image_size, image_size, 3), read a batch at a time.
        mirror: answer with the mean of the logits of each photo and its mirror image.
        temperature: what the logits are divided by; above 1 answers become less certain, below 1 more.
        batch_size: photos per batch.

    Returns:
        float64 (num_photos, num_classes), rows add up to 1; two columns also for one sigmoid output.
    """
    return apply_temperature(predict_logits(model, images, mirror=mirror, batch_size=batch_size), temperature)


def predict_logits(model: keras.Model, images: Images, *, mirror: bool = False, batch_size: int = 64) -> np.ndarray:
    """What the network says before it becomes probabilities.

    Returns:
        float64 (num_photos, num_classes); one sigmoid output gives a column of zeros and its logit.
    """
    to_logits = _open_logits(model)
    rows = [np.arange(start, min(start + batch_size, len(images))) for start in range(0, len(images), batch_size)]
    logits = [_answer(to_logits, images[batch], mirror=mirror) for batch in rows]
    return np.concatenate(logits) if logits else np.empty((0, max(2, int(model.output_shape[-1]))))


def apply_temperature(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The softmax of logits (N, K) divided by a temperature: float64 (N, K), rows add up to 1."""
    scaled = logits / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def _open_logits(model: keras.Model) -> keras.Model:
    """The network up to its logits, on the same weights."""
    return keras.Model(model.inputs[0], model.get_layer(LOGITS).output, name=LOGITS)


def _answer(to_logits: keras.Model, photos: np.ndarray, *, mirror: bool) -> np.ndarray:
    logits = _spread(to_logits, photos)
    return (logits + _spread(to_logits, photos[:, :, ::-1])) / 2 if mirror else logits


def _spread(to_logits: keras.Model, photos: np.ndarray) -> np.ndarray:
    """Logits float64 (N, K); the sigmoid of z is the softmax of 0 and z."""
    logits = np.asarray(to_logits(photos, training=False)).astype(np.float64)
    return np.concatenate([np.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits
