"""Several devices, one network: every GPU of a machine, or several machines, through `tf.distribute`.

All devices hold the same weights. Each computes the gradients of its share of a batch, the gradients are added up, and
every device makes the same update. `train.batch_size` is the whole batch, however many devices share it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from convlens.errors import ConvLensError
from convlens.network.cluster import Cluster, describe_cluster, meet, read_cluster
from convlens.params import TrainParams

PIECE = 2**23  # numbers sent at a time, 64 MiB
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


@dataclass(frozen=True)
class Devices:
    """What a network is trained on.

    Attributes:
        strategy: the `tf.distribute.Strategy`; None for a single device, which needs none.
        num_machines: processes that train together.
        is_chief: whether this process is the one that writes files.
    """

    strategy: Any = None
    num_machines: int = 1
    is_chief: bool = True

    @property
    def num_replicas(self) -> int:
        """Devices that hold a copy of the network, on all machines."""
        return int(self.strategy.num_replicas_in_sync) if self.strategy else 1

    def describe(self, kind: str) -> str:
        """For example `cpu`, `4 x gpu`, or `4 x gpu on 2 machines`."""
        count = kind if self.num_replicas == 1 else f"{self.num_replicas} x {kind}"
        return count if self.num_machines == 1 else f"{count} on {self.num_machines} machines"

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Where variables are made that all devices hold, and where the loss of a machine is told in one line."""
        if self.strategy is None:
            yield
            return
        with self.tell_losses(), self.strategy.scope():
            yield

    def from_chief(self, make: Callable[[], bytes]) -> bytes:
        """What the chief makes, on every machine; the others make nothing."""
        if self.num_machines == 1:
            return make()
        with self.tell_losses():
            return self._send(make() if self.is_chief else b"")

    @contextmanager
    def tell_losses(self) -> Iterator[None]:
        """Tell the end of another machine in one line; TensorFlow notices it within seconds."""
        try:
            yield
        except LOST as error:
            if self.num_machines == 1:
                raise
            raise ConvLensError(
                f"Expected all {self.num_machines} machines until the end of the training. Received: one of them ended "
                f"or cannot be reached any more ({type(error).__name__}). Start the same commands on all machines "
                "again: the training goes on from its last finished epoch."
            ) from error

    def _send(self, content: bytes) -> bytes:
        length = int(self._add(np.array([len(content)], np.int64))[0])
        numbers = np.zeros(-(-length // 8), np.int64)
        numbers.view(np.uint8)[: len(content)] = np.frombuffer(content, np.uint8)
        pieces = [self._add(numbers[start : start + PIECE]) for start in range(0, len(numbers), PIECE)]
        return np.concatenate([np.zeros(0, np.int64), *pieces]).tobytes()[:length]

    def _add(self, numbers: np.ndarray) -> np.ndarray:
        """The sum over all machines, of which only the chief has anything but zeros."""
        values: np.ndarray = self._compiled_add(tf.constant(numbers)).numpy()
        return values

    @cached_property
    def _compiled_add(self) -> Callable[[tf.Tensor], tf.Tensor]:
        def add(numbers: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group, 0)
            own = tf.where(is_first, numbers, tf.zeros_like(numbers))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        def add_all(numbers: tf.Tensor) -> tf.Tensor:
            return self.strategy.experimental_local_results(self.strategy.run(add, args=(numbers,)))[0]

        compiled: Callable[[tf.Tensor], tf.Tensor] = tf.function(
            add_all, input_signature=[tf.TensorSpec([None], tf.int64)]
        )
        return compiled


@dataclass(frozen=True)
class Meeting:
    """On what terms machines come together.

    Attributes:
        key: digest of what is to be trained, the same on all of them.
        is_chief: whether this process is to write the files.
        seconds: how long to wait for the others.
    """

    key: str
    is_chief: bool = True
    seconds: float = 600.0


SINGLE = Devices()


def open_devices(params: TrainParams, meeting: Meeting) -> Devices:
    """The devices that `train.strategy` asks for. With several machines: before anything else runs TensorFlow.

    Raises:
        ConvLensError: there are not as many as asked for, other machines do not come, or a batch is too small for all.
    """
    cluster = None if params.strategy in ("single", "mirrored") else read_cluster(os.environ)
    if cluster is None and (params.strategy == "multiworker" or not meeting.is_chief):
        raise ConvLensError(
            "Expected the machines of the training in the environment variable TF_CONFIG, and train.strategy auto or "
            f"multiworker. Received: train.strategy {params.strategy}, and {describe_cluster(os.environ)}. Set "
            "TF_CONFIG on each machine; the README shows how."
        )
    devices = _open_machines(cluster, meeting, params) if cluster else _open_machine(params.strategy)
    _check_batch(params.batch_size, devices.num_replicas)
    return devices


def _open_machines(cluster: Cluster, meeting: Meeting, params: TrainParams) -> Devices:
    if cluster.is_chief != meeting.is_chief:
        commands = ("`convlens worker`", "`dvc repro`")[:: 1 if cluster.index else -1]
        raise ConvLensError(
            f"Expected {commands[0]} on machine {cluster.index} of TF_CONFIG. Received: {commands[1]}. Only machine 0, "
            "the chief, runs the pipeline and writes files."
        )
    _check_batch(params.batch_size, len(cluster.addresses))
    meet(cluster, purpose=meeting.key, seconds=meeting.seconds)
    return Devices(tf.distribute.MultiWorkerMirroredStrategy(), len(cluster.addresses), cluster.is_chief)


def _open_machine(strategy: str) -> Devices:
    if strategy == "single" or (strategy == "auto" and not tf.config.list_physical_devices("GPU")):
        return SINGLE
    names = _local_devices()
    if len(names) > 1:
        return Devices(tf.distribute.MirroredStrategy(names))
    if strategy == "auto":
        return SINGLE
    raise ConvLensError(
        "Expected several GPUs (train.strategy: mirrored). Received: one device. Set train.strategy to auto."
    )


def _check_batch(batch_size: int, num_replicas: int) -> None:
    """Each device gets a photo of a batch at least."""
    if batch_size < num_replicas:
        raise ConvLensError(
            f"Expected train.batch_size of at least a photo per device, {num_replicas}. Received: {batch_size}. "
            "Raise it, or use fewer devices."
        )


def _local_devices() -> list[str]:
    gpus = tf.config.list_logical_devices("GPU")
    return [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
