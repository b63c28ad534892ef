"""Predict with a network: views, logits, probabilities."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convlens.data.prepared import Images
from convlens.errors import ConvLensError

# --- Answers of a trained network: logits, and the probabilities that come of them ---

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
    return {**view_settings(card), "temperature": float(temperature)}


def view_settings(card: Mapping[str, Any]) -> dict[str, Any]:
    """Which views of a photo a network's answer is the mean over, from its card; older cards know no center crop."""
    return {"mirror": bool(card.get("mirror", False)), "center_crop": card.get("center_crop")}


def predict_probabilities(
    model: keras.Model, images: Images, *, temperature: float = 1.0, batch_size: int = 64, **views: Any
) -> np.ndarray:
    """Probabilities of every class for photos as the loader gives them.

    Args:
        model: a whole network: uint8 photos to probabilities.
        images: uint8 (num_photos, image_size, image_size, 3), read a batch at a time.
        temperature: what the logits are divided by; above 1 answers become less certain, below 1 more.
        batch_size: photos per batch.
        views: what logits are averaged over; see `make_views`.

    Returns:
        float64 (num_photos, num_classes), rows add up to 1; two columns also for one sigmoid output.
    """
    return apply_temperature(predict_logits(model, images, batch_size=batch_size, **views), temperature)


def predict_logits(model: keras.Model, images: Images, *, batch_size: int = 64, **views: Any) -> np.ndarray:
    """What the network says before it becomes probabilities: the mean over the views of each photo.

    Returns:
        float64 (num_photos, num_classes); one sigmoid output gives a column of zeros and its logit.
    """
    to_logits = _open_logits(model)
    rows = [np.arange(start, min(start + batch_size, len(images))) for start in range(0, len(images), batch_size)]
    logits = [_answer(to_logits, images[batch], **views) for batch in rows]
    return np.concatenate(logits) if logits else np.empty((0, max(2, int(model.output_shape[-1]))))


def make_views(photos: Any, *, mirror: bool = False, center_crop: float | None = None) -> list[tf.Tensor]:
    """The views of photos that an answer is the mean over, the photos themselves first.

    Args:
        photos: uint8 (N, height, width, 3), an array or a tensor, also in a graph.
        mirror: the mirror image of every view, too.
        center_crop: the center of a photo, so much of each side, enlarged to the size of the photo; None for none.

    Returns:
        One, two or four uint8 tensors of the shape of `photos`.
    """
    views = [tf.convert_to_tensor(photos)]
    if center_crop is not None:
        views.append(_enlarge_center(views[0], center_crop))
    return [*views, *(tf.reverse(view, axis=[2]) for view in views)] if mirror else views


def average_views(logits: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of the logits (N, K) of every view, added up in order: the same bits wherever answers are made."""
    mean: np.ndarray = sum(logits[1:], start=logits[0]) / len(logits)
    return mean


def _enlarge_center(photos: tf.Tensor, share: float) -> tf.Tensor:
    height, width = photos.shape[1:3]
    rows, columns = (max(1, round(side * share)) for side in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    center = tf.cast(photos[:, top : top + rows, left : left + columns], tf.float32)  # exporters resize only floats
    return tf.cast(tf.round(tf.image.resize(center, (height, width))), tf.uint8)


def apply_temperature(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The softmax of logits (N, K) divided by a temperature: float64 (N, K), rows add up to 1."""
    scaled = logits / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def _open_logits(model: keras.Model) -> keras.Model:
    """The network up to its logits, on the same weights."""
    return keras.Model(model.inputs[0], model.get_layer(LOGITS).output, name=LOGITS)


def _answer(to_logits: keras.Model, photos: np.ndarray, **views: Any) -> np.ndarray:
    return average_views([_spread(to_logits, view) for view in make_views(photos, **views)])


def _spread(to_logits: keras.Model, photos: tf.Tensor) -> np.ndarray:
    """Logits float64 (N, K); the sigmoid of z is the softmax of 0 and z.

    No photo goes through the network alone: the product of a single row adds up in another order than those of more,
    so that the same photo would get other last bits by itself than among others.
    """
    asked = photos if len(photos) > 1 else tf.repeat(photos, 2, axis=0)
    logits = np.asarray(to_logits(asked, training=False)).astype(np.float64)[: len(photos)]
    return np.concatenate([np.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits


# --- answering ---
# A network made ready to be asked again and again: the bits of `predict_probabilities`, without its cost per call.

PHOTOS_AT_ONCE = 64


class Answerer:
    """Gives probabilities for arrays of photos; may be called from several threads at once.

    The network runs as one graph instead of layer by layer. The answer to a photo is the same bits whatever other
    photos come with it, and the same as the evaluation's. For that no photo goes through the network alone: the matrix
    product of a single row adds up in another order than those of two and more.
    """

    def __init__(self, model: keras.Model, *, temperature: float = 1.0, **views: Any) -> None:
        """Take a whole network and how it answers, as `answer_settings` reads it from the card."""
        photos = model.inputs[0]
        network = keras.Model(photos, model.get_layer(LOGITS).output, name=LOGITS)
        shape = tf.TensorSpec((None, *photos.shape[1:]), tf.uint8)
        self._run = tf.function(partial(network, training=False), input_signature=[shape])
        self._views, self._temperature = views, temperature

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (N, num_classes), of at least one photo, uint8 (N, image_size, image_size, 3)."""
        step = PHOTOS_AT_ONCE // len(make_views(images[:1], **self._views))
        parts = [self._logits(images[start : start + step]) for start in range(0, len(images), step)]
        return apply_temperature(np.concatenate(parts), self._temperature)

    def _logits(self, photos: np.ndarray) -> np.ndarray:
        """Logits float64 (N, K); all views of the photos go through the network together."""
        views = make_views(photos, **self._views)
        asked = np.concatenate(views)
        given = np.asarray(self._run(asked if len(asked) > 1 else np.repeat(asked, 2, axis=0))).astype(np.float64)
        if given.shape[1] == 1:  # the sigmoid of z is the softmax of 0 and z
            given = np.concatenate([np.zeros_like(given), given], axis=1)
        return average_views(np.split(given[: len(views) * len(photos)], len(views)))
