"""One training step and one validation step, compiled once per picture size."""

import keras
import numpy as np
import tensorflow as tf

from convlens.network.augmentation import augment
from convlens.network.losses import batch_loss, count_hits
from convlens.params import AugmentParams


class Steps:
    """The compiled steps of one training."""

    def __init__(
        self, body: keras.Model, optimizer: keras.optimizers.Optimizer, augmentation: AugmentParams, smoothing: float
    ) -> None:
        self._body = body
        self._optimizer = optimizer
        self._augmentation = augmentation
        self._smoothing = smoothing
        self._compiled_train = tf.function(self._train, reduce_retracing=False)
        self._compiled_validate = tf.function(self._validate, reduce_retracing=True)

    def train(
        self, photos: np.ndarray, labels: np.ndarray, seed: tf.Tensor, *, rate: float, size: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Change the photos at random, update the weights; returns loss and number of right answers."""
        result: tuple[tf.Tensor, tf.Tensor] = self._compiled_train(
            tf.constant(photos), tf.constant(labels), seed, tf.constant(rate, tf.float32), size=size
        )
        return result

    def validate(self, photos: np.ndarray, labels: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """Loss (without smoothing) and number of right answers, without a change to weights or photos."""
        result: tuple[tf.Tensor, tf.Tensor] = self._compiled_validate(tf.constant(photos), tf.constant(labels))
        return result

    def _train(
        self, photos: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, rate: tf.Tensor, *, size: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        pictures = augment(photos, seed, size=size, params=self._augmentation)
        with tf.GradientTape() as tape:
            logits = self._body(pictures, training=True)
            loss = batch_loss(logits, labels, smoothing=self._smoothing)
        variables = self._body.trainable_variables
        gradients = tape.gradient(loss, variables)
        self._optimizer.learning_rate.assign(rate)
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss, count_hits(logits, labels)

    def _validate(self, photos: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = self._body(tf.cast(photos, tf.float32), training=False)
        return batch_loss(logits, labels, smoothing=0.0), count_hits(logits, labels)
