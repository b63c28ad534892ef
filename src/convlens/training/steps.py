"""Training steps: loss, gradient and update, on one device or several."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from convlens.errors import ConvLensError
from convlens.models.transfer import Phase
from convlens.params import AugmentParams
from convlens.training.augmentation import augment, cut_and_mix
from convlens.training.devices import Devices

# --- Loss and hits of a batch from its logits, for one sigmoid output or a softmax ---


def make_targets(labels: tf.Tensor, *, num_outputs: int, smoothing: float) -> tf.Tensor:
    """What the outputs of a network should be: one row per photo, in 0..1.

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
    """Mean cross-entropy in nats of logits float32 (N, num_outputs) against targets of the same shape."""
    if logits.shape[-1] == 1:
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))


def count_hits(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """How many answers of a batch are right, int32 scalar."""
    if logits.shape[-1] == 1:
        answers = tf.cast(logits[:, 0] > 0, labels.dtype)
    else:
        answers = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    return tf.reduce_sum(tf.cast(answers == labels, tf.int32))


# --- One training step and one validation step, compiled once per picture size ---

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


# --- The steps of a training on several devices: the same as on one, up to rounding ---
#
# A batch is changed at random as a whole, on each machine in the same way, so that the pictures do not depend on the
# number of devices; then every device learns from its own share of it. Normalization layers take the statistics of the
# whole batch.


def build_steps(
    body: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    *,
    augmentation: AugmentParams,
    smoothing: float,
    devices: Devices,
) -> Steps:
    """The steps of a training on some devices; a single one does without `tf.distribute`."""
    if devices.strategy is None:
        return Steps(body, optimizer, augmentation, smoothing)
    return ReplicatedSteps(body, optimizer, augmentation, smoothing, devices)


class ReplicatedSteps(Steps):
    """The compiled steps of a training on several devices."""

    def __init__(
        self,
        body: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        augmentation: AugmentParams,
        smoothing: float,
        devices: Devices,
    ) -> None:
        super().__init__(body, optimizer, augmentation, smoothing)
        self._devices, self._strategy = devices, devices.strategy
        self._validate_shares = tf.function(self._validate_all, reduce_retracing=True)
        self._vary_states = tf.function(self._vary_all)
        layers = list(body._flatten_layers(include_self=False, recursive=True))
        self._states = [layer.seed_generator.state for layer in layers if getattr(layer, "seed_generator", None)]
        for layer in layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True

    def train(self, batch: Batch, *, rate: float, phase: Phase) -> Pair:
        """As on one device; the results are those of the whole batch, on every machine."""
        count = len(batch.labels)
        shares = split_evenly(count, self._devices.num_replicas)
        given = tuple(self._give(values, shares) for values in (batch.pictures, batch.targets, batch.labels))
        rate = tf.constant(rate * phase.rate_factor, tf.float32)
        step: Callable[..., tf.Tensor] = self._step_of(phase)
        values = step(given, rate, num_photos=count).numpy()
        return values[0], values[1]

    def validate(self, photos: np.ndarray, labels: np.ndarray, *, size: int) -> Pair:
        """As on one device; the results are those of the whole batch, on every machine."""
        num_replicas, count = self._devices.num_replicas, len(labels)
        rows = np.arange(count)
        # Too few for all: every device answers for all of them, which leaves the mean as it is.
        shares = np.array_split(rows, num_replicas) if count >= num_replicas else [rows] * num_replicas
        total = sum(len(share) for share in shares)
        batch = self._give(photos, shares), self._give(labels, shares)
        values = self._validate_shares(batch, tf.constant(total, tf.float32), size=size).numpy()
        return values[0], values[1] * count / total

    def reseed(self, *, seed: int, epoch: int) -> None:
        """As on one device for the first one; the others draw numbers of their own."""
        super().reseed(seed=seed, epoch=epoch)
        if self._states:
            self._vary_states()

    def _vary_all(self) -> None:
        def vary() -> None:
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in self._states:
                state.assign(state + tf.cast([0, number], state.dtype))

        self._strategy.run(vary)

    def _give(self, values: np.ndarray, shares: Sequence[np.ndarray]) -> tf.distribute.DistributedValues:
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(values[shares[context.replica_id_in_sync_group]])
        )

    def _compile(self, variables: Sequence[keras.Variable]) -> Step:
        def step(batch: tuple[tf.Tensor, ...], rate: tf.Tensor, *, num_photos: int) -> tf.Tensor:
            self._optimizer.learning_rate.assign(rate)

            def learn(pictures: tf.Tensor, targets: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
                loss, gradients, logits = self._learn(pictures, targets, variables, labels.shape[0] / num_photos)
                self._optimizer.apply_gradients(zip(gradients, variables, strict=True))  # adds them up over devices
                return _add_up(loss, count_hits(logits, labels))

            return self._first(self._strategy.run(learn, args=batch))

        compiled: Step = tf.function(step)
        return compiled

    def _validate_all(self, batch: tuple[tf.Tensor, ...], total: tf.Tensor, *, size: int) -> tf.Tensor:
        def answer(photos: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            loss, hits = self._validate(photos, labels, size=size)
            return _add_up(loss * tf.cast(tf.shape(labels)[0], tf.float32) / total, hits)

        return self._first(self._strategy.run(answer, args=batch))

    def _first(self, values: tf.distribute.DistributedValues) -> tf.Tensor:
        return self._strategy.experimental_local_results(values)[0]


def _add_up(loss: tf.Tensor, hits: tf.Tensor) -> tf.Tensor:
    """Loss and hits over all devices, float32 (2,)."""
    values = tf.stack([loss, tf.cast(hits, tf.float32)])
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def split_evenly(count: int, num_shares: int) -> list[np.ndarray]:
    """Positions of a batch in as equal shares as can be.

    Raises:
        ConvLensError: there is not a photo for each share.
    """
    if count < num_shares:
        raise ConvLensError(
            f"Expected a batch of at least a photo per device, {num_shares}. Received: {count}. Use more photos, a "
            "larger train.batch_size, or fewer devices."
        )
    return np.array_split(np.arange(count), num_shares)
