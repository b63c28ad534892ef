"""Training steps: loss, gradient and update, on one device or several."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from convlens.models.transfer import Phase
from convlens.params import TrainingRecipe
from convlens.training.augmentation import augment, cut_and_mix
from convlens.training.devices import SINGLE, CompiledStep, Devices, Step
from convlens.training.optimizers import build_optimizer

# --- Loss and hits of a batch from its logits, for one sigmoid output or a softmax ---


def make_targets(labels: tf.Tensor, *, num_outputs: int, smoothing: float) -> tf.Tensor:
    """Make what the outputs of a network should be: one row per photo, in 0..1.

    Args:
        labels: int64 (N,).
        num_outputs: 1 for two classes, else the number of classes.
        smoothing: share of certainty taken from the targets (Szegedy et al. 2016, arXiv:1512.00567).

    Returns:
        float32 (N, num_outputs).
    """
    if num_outputs == 1:
        return tf.cast(labels, tf.float32)[:, None] * (1 - smoothing) + smoothing / 2
    return tf.one_hot(labels, num_outputs) * (1 - smoothing) + smoothing / num_outputs


def batch_loss(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Compute the mean cross-entropy in nats of logits float32 (N, num_outputs) against targets of the same shape."""
    if logits.shape[-1] == 1:
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))


def count_hits(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Count the photos of a batch that are classified correctly: int32 scalar."""
    if logits.shape[-1] == 1:
        predicted = tf.cast(logits[:, 0] > 0, labels.dtype)
    else:
        predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    return tf.reduce_sum(tf.cast(predicted == labels, tf.int32))


# --- The steps of one training ---


@dataclass(frozen=True)
class Batch:
    """What a training step takes.

    Attributes:
        pictures: augmented photos, uint8 (N, size, size, 3).
        targets: float32 (N, num_outputs), as `make_targets` makes them; mixed where pictures are.
        labels: int64 (N,).
    """

    pictures: np.ndarray
    targets: np.ndarray
    labels: np.ndarray


class Steps:
    """A network with its optimizer, and the steps that train and validate it, compiled once per picture size.

    On several devices a batch is augmented as a whole, on each machine in the same way, so that the pictures do not
    depend on the number of devices; then every device learns from its own share of it, and the gradients are added up.
    """

    def __init__(self, body: keras.Model, recipe: TrainingRecipe, devices: Devices = SINGLE) -> None:
        self.body = body
        self.optimizer = build_optimizer(recipe.train, body)
        self.optimizer.build(body.trainable_variables)
        self._recipe, self._devices = recipe, devices
        self._num_outputs = int(body.output_shape[-1])
        layers = list(body._flatten_layers(include_self=False, recursive=True))
        devices.synchronize(layers)
        # The states of random layers, by the number of the layer.
        self._states = {
            number: layer.seed_generator.state
            for number, layer in enumerate(layers)
            if getattr(layer, "seed_generator", None)
        }
        self._vary = devices.compile_variation(list(self._states.values()))
        self._train_steps: dict[str, CompiledStep] = {}
        self._validate_step = devices.compile(self._evaluate_batch)

    def prepare(self, photos: np.ndarray, labels: np.ndarray, seed: Sequence[int], *, size: int) -> Batch:
        """Augment photos; may run in a thread, beside the training step of the batch before."""
        params = self._recipe.augment
        pictures = augment(photos, seed=seed, size=size, params=params)
        smoothing = self._recipe.train.label_smoothing
        targets = make_targets(labels, num_outputs=self._num_outputs, smoothing=smoothing).numpy()
        if params.cutmix:
            pictures, targets = cut_and_mix(pictures, targets, seed=seed, probability=params.cutmix)
        return Batch(pictures, targets, labels)

    def train(self, batch: Batch, *, rate: float, phase: Phase) -> tuple[float, int]:
        """Update the weights of the phase; gives loss and number of hits of the whole batch."""
        if phase.name not in self._train_steps:
            self._train_steps[phase.name] = self._devices.compile(self._make_train_step(phase))
        self.optimizer.learning_rate.assign(rate)
        loss, hits = self._train_steps[phase.name]([batch.pictures, batch.targets, batch.labels])
        return float(loss), int(hits)

    def validate(self, photos: np.ndarray, labels: np.ndarray, *, size: int) -> tuple[float, int]:
        """Give loss (without smoothing) and number of hits; the photos are only brought to the size."""
        loss, hits = self._validate_step([photos, labels], size=size)
        return float(loss), int(hits)

    def get_variables(self) -> list[np.ndarray]:
        """Give the values of all variables of network and optimizer."""
        return [variable.numpy() for variable in (*self.body.variables, *self.optimizer.variables)]

    def set_variables(self, values: Sequence[np.ndarray]) -> None:
        """Set what `get_variables` gave."""
        for variable, value in zip((*self.body.variables, *self.optimizer.variables), values, strict=True):
            variable.assign(value)

    def reseed(self, *, seed: int, epoch: int) -> None:
        """Set the state of every random layer from seed and epoch, so that a resumed training draws the same."""
        for number, state in self._states.items():
            drawn = np.random.SeedSequence([seed, epoch, number]).generate_state(2)
            state.assign(drawn.astype(state.dtype))
        self._vary()

    def _make_train_step(self, phase: Phase) -> Step:
        def step(pictures: tf.Tensor, targets: tf.Tensor, labels: tf.Tensor, *, num_photos: int) -> tf.Tensor:
            with tf.GradientTape() as tape:
                logits = self.body(tf.cast(pictures, tf.float32), training=True)
                loss = batch_loss(logits, targets) * (labels.shape[0] / num_photos)
            gradients = tape.gradient(loss, phase.variables)
            self.optimizer.apply_gradients(zip(gradients, phase.variables, strict=True))
            return tf.stack([loss, tf.cast(count_hits(logits, labels), tf.float32)])

        return step

    def _evaluate_batch(self, photos: tf.Tensor, labels: tf.Tensor, *, num_photos: int, size: int) -> tf.Tensor:
        pictures = tf.cast(photos, tf.float32)
        if size != photos.shape[1]:
            pictures = tf.image.resize(pictures, (size, size), antialias=True)
        logits = self.body(pictures, training=False)
        targets = make_targets(labels, num_outputs=self._num_outputs, smoothing=0.0)
        loss = batch_loss(logits, targets) * (labels.shape[0] / num_photos)
        return tf.stack([loss, tf.cast(count_hits(logits, labels), tf.float32)])
