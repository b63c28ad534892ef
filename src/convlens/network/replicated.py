"""The steps of a training on several devices: the same as on one, up to rounding.

A batch is split so that every device augments, and learns from, its own photos; the random numbers are drawn for the
whole batch, so that the pictures do not depend on the number of devices. Normalisation layers take the statistics of
the whole batch. A photo and its mirror in the batch stay together, for CutMix pastes one into the other.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from convlens.errors import ConvLensError
from convlens.network.augmentation import Share
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

    def prepare(self, photos: np.ndarray, labels: np.ndarray, seed: tf.Tensor, *, size: int) -> Batch:
        """The photos as they are: each device changes its own."""
        return Batch((photos, labels, seed), size)

    def train(self, batch: Batch, *, rate: float, phase: Phase) -> Pair:
        """As on one device; the results are those of the whole batch, on every machine."""
        photos, labels, seed = batch.values
        rows = np.arange(len(labels), dtype=np.int32)
        shares = split_pairs(len(labels), self._devices.num_replicas)
        given = tuple(self._give(values, shares) for values in (photos, labels, rows))
        rate = tf.constant(rate * phase.rate_factor, tf.float32)
        step: Callable[..., tf.Tensor] = self._step_of(phase)
        values = step(given, seed, rate, size=batch.size, num_photos=len(labels)).numpy()
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
        def step(
            batch: tuple[tf.Tensor, ...], seed: tf.Tensor, rate: tf.Tensor, *, size: int, num_photos: int
        ) -> tf.Tensor:
            self._optimizer.learning_rate.assign(rate)

            def learn(photos: tf.Tensor, labels: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
                pictures, targets, _ = self._change(photos, labels, seed, size=size, share=Share(rows, num_photos))
                loss, gradients, logits = self._learn(pictures, targets, variables, rows.shape[0] / num_photos)
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


def split_pairs(count: int, num_shares: int) -> list[np.ndarray]:
    """Positions of a batch, in as equal shares as can be; position i and its mirror, count - 1 - i, stay together.

    A share lies mirrored too, so that reversing it pairs the same photos as reversing the batch.

    Raises:
        ConvLensError: there is not a pair for each share.
    """
    if count < 2 * num_shares:
        raise ConvLensError(
            f"Expected a batch of 2 photos per device at least, {2 * num_shares}. Received: {count}. Use more photos, "
            "a larger train.batch_size, or fewer devices."
        )
    shares = [
        np.concatenate([part, count - 1 - part[::-1]]) for part in np.array_split(np.arange(count // 2), num_shares)
    ]
    if count % 2:  # the middle is its own mirror; the last share has no more pairs than any other
        shares[-1] = np.insert(shares[-1], len(shares[-1]) // 2, count // 2)
    return shares
