"""The steps of a training on several devices: the same as on one, up to rounding.

A batch is changed at random as a whole, on each machine in the same way, so that the pictures do not depend on the
number of devices; then every device learns from its own share of it. Normalisation layers take the statistics of the
whole batch.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from convlens.errors import ConvLensError
from convlens.network.devices import Devices
from convlens.network.losses import count_hits
from convlens.network.steps import Batch, Pair, Step, Steps
from convlens.network.transfer import Phase
from convlens.params import AugmentParams


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
