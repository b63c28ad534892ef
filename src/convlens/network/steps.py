"""One training step and one validation step, compiled once per picture size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from convlens.network.augmentation import augment, cut_and_mix
from convlens.network.losses import batch_loss, count_hits, make_targets
from convlens.network.transfer import Phase
from convlens.params import AugmentParams

Pair = tuple[tf.Tensor, tf.Tensor]
Step = Callable[..., Pair]


@dataclass(frozen=True)
class Batch:
    """What a training step takes.

    Attributes:
        pictures: changed photos, uint8 (N, size, size, 3).
        targets: float32 (N, num_outputs), as `make_targets` makes them; mixed where pictures are.
        labels: int64 (N,).
    """

    pictures: np.ndarray
    targets: np.ndarray
    labels: np.ndarray


class Steps:
    """The compiled steps of one training."""

    def __init__(
        self, body: keras.Model, optimizer: keras.optimizers.Optimizer, augmentation: AugmentParams, smoothing: float
    ) -> None:
        self._body = body
        self._optimizer = optimizer
        self._augmentation = augmentation
        self._smoothing = smoothing
        self._num_outputs = int(body.output_shape[-1])
        self._compiled_train: dict[str, Step] = {}
        self._compiled_validate = tf.function(self._validate, reduce_retracing=True)

    def prepare(self, photos: np.ndarray, labels: np.ndarray, seed: Sequence[int], *, size: int) -> Batch:
        """Change the photos at random; may run in a thread, beside the training step of the batch before."""
        pictures = augment(photos, seed=seed, size=size, params=self._augmentation)
        targets = make_targets(labels, num_outputs=self._num_outputs, smoothing=self._smoothing).numpy()
        if probability := self._augmentation.cutmix:
            pictures, targets = cut_and_mix(pictures, targets, seed=seed, probability=probability)
        return Batch(pictures, targets, labels)

    def train(self, batch: Batch, *, rate: float, phase: Phase) -> Pair:
        """Update the weights of the phase; returns loss and number of right answers."""
        values = tf.constant(batch.pictures), tf.constant(batch.targets), tf.constant(batch.labels)
        return self._step_of(phase)(*values, tf.constant(rate * phase.rate_factor, tf.float32))

    def validate(self, photos: np.ndarray, labels: np.ndarray, *, size: int) -> Pair:
        """Loss (without smoothing) and number of right answers; the photos are only brought to the size."""
        result: Pair = self._compiled_validate(tf.constant(photos), tf.constant(labels), size=size)
        return result

    def reseed(self, *, seed: int, epoch: int) -> None:
        """Set the state of every random layer from seed and epoch, so that a restart draws the same numbers."""
        for number, layer in enumerate(self._body._flatten_layers(include_self=False, recursive=True)):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                state = np.random.SeedSequence([seed, epoch, number]).generate_state(2)
                generator.state.assign(state.astype(generator.state.dtype))

    def _step_of(self, phase: Phase) -> Step:
        if phase.name not in self._compiled_train:
            self._compiled_train[phase.name] = self._compile(phase.variables)
        return self._compiled_train[phase.name]

    def _compile(self, variables: Sequence[keras.Variable]) -> Step:
        def step(pictures: tf.Tensor, targets: tf.Tensor, labels: tf.Tensor, rate: tf.Tensor) -> Pair:
            loss, gradients, logits = self._learn(pictures, targets, variables)
            self._optimizer.learning_rate.assign(rate)
            self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return loss, count_hits(logits, labels)

        compiled: Step = tf.function(step, reduce_retracing=False)
        return compiled

    def _learn(
        self, pictures: tf.Tensor, targets: tf.Tensor, variables: Sequence[keras.Variable], weight: float = 1.0
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """Loss, gradients and logits; loss and gradients are multiplied with a weight."""
        with tf.GradientTape() as tape:
            logits = self._body(tf.cast(pictures, tf.float32), training=True)
            loss = batch_loss(logits, targets) * weight
        return loss, tape.gradient(loss, variables), logits

    def _validate(self, photos: tf.Tensor, labels: tf.Tensor, *, size: int) -> Pair:
        pictures = tf.cast(photos, tf.float32)
        if size != photos.shape[1]:
            pictures = tf.image.resize(pictures, (size, size), antialias=True)
        logits = self._body(pictures, training=False)
        targets = make_targets(labels, num_outputs=self._num_outputs, smoothing=0.0)
        return batch_loss(logits, targets), count_hits(logits, labels)
