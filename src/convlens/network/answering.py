"""A network made ready to be asked again and again: the bits of `predict_probabilities`, without its cost per call."""

from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convlens.network.inference import LOGITS, apply_temperature, average_views, make_views

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
