"""Devices: CPU, GPUs, and several machines that train together."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convlens.errors import ConvLensError
from convlens.params import TrainParams
from convlens.progress import say

# --- The machines of `TF_CONFIG`: who they are, and how they wait for each other before TensorFlow starts ---
#
# TensorFlow itself waits an hour for a machine that is missing, and trains on different data without a word. So the
# machines meet first: each tells the chief over its own port what it is about to train, and the chief lets all of them
# go together or says to each what is wrong. Only the standard library is needed here.

VARIABLE = "TF_CONFIG"
EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:5000", "10.0.0.2:5000"]}, "task": {"type": "worker", "index": 0}}'
LONGEST_LINE = 4096
ANSWER_SECONDS = 5.0
RETRY_SECONDS = 0.2


@dataclass(frozen=True)
class Cluster:
    """The machines of one training.

    Attributes:
        addresses: `host:port` of each; the first one is the chief's.
        index: which of them this process is.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this machine writes the files."""
        return self.index == 0


def read_cluster(environment: Mapping[str, str]) -> Cluster | None:
    """The machines that `TF_CONFIG` names; None where it is not set or names one machine only.

    Raises:
        ConvLensError: it is no such JSON, or has tasks that a mirrored training does not know.
    """
    text = environment.get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        config = json.loads(text)
        jobs, task = config.get("cluster", {}), config.get("task", {})
        addresses = [*jobs.get("chief", ()), *jobs.get("worker", ())]
        index = len(jobs.get("chief", ())) * (task.get("type") == "worker") + int(task.get("index", 0))
        _check(jobs, task, addresses, index)
    except (ValueError, AttributeError, TypeError) as error:
        raise ConvLensError(
            f"Expected {VARIABLE} like {EXAMPLE}. Received: {text[:200]!r} ({error}). Correct it, or unset it."
        ) from error
    return Cluster(tuple(addresses), index) if len(addresses) > 1 else None


def _check(jobs: Any, task: Any, addresses: list[Any], index: int) -> None:
    unknown = sorted({*jobs, *([task["type"]] if "type" in task else [])} - {"chief", "worker"})
    if unknown:
        raise ValueError(f"tasks are chief or worker, not {', '.join(unknown)}")
    if len(set(addresses)) != len(addresses):
        raise ValueError("each machine has an address of its own")
    for address in addresses:
        host, _, port = str(address).rpartition(":")
        if not (host and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"an address is host:port, not {address!r}")
    if addresses and not (task.get("type", "worker") in jobs and 0 <= index < len(addresses)):
        raise ValueError(f"the task is none of the {len(addresses)} machines of the cluster")


def meet(cluster: Cluster, *, purpose: str, seconds: float) -> None:
    """Return on all machines once all of them are there for the same purpose, or raise on each.

    Args:
        cluster: the machines.
        purpose: digest of what is to be trained.
        seconds: how long to wait for the others.

    Raises:
        ConvLensError: the port is taken, a machine does not come in time, or it is about to train something else.
    """
    deadline = time.monotonic() + seconds
    (_gather_machines if cluster.is_chief else _join_chief)(cluster, purpose, deadline)


def _gather_machines(cluster: Cluster, purpose: str, deadline: float) -> None:
    """Wait, as the chief, for a report of every other machine; whoever speaks otherwise is no machine of ours."""
    missing, arrived = dict(enumerate(cluster.addresses[1:], start=1)), []
    say(f"train: waiting for {', '.join(missing.values())}.")
    with _listen(cluster.addresses[0]) as server, ExitStack() as connections:
        while missing:
            server.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                connection = connections.enter_context(server.accept()[0])
            except TimeoutError:
                raise ConvLensError(
                    f"Expected all machines of {VARIABLE}. Received: nothing from {', '.join(missing.values())}. Start "
                    "`convlens worker` there, and see that this machine's port can be reached from it."
                ) from None
            report = _receive(connection, ANSWER_SECONDS)
            index, error = report.get("index"), ""
            if not isinstance(index, int) or not 0 < index < len(cluster.addresses):
                continue
            if report.get("addresses") != list(cluster.addresses):
                error = f"the chief's {VARIABLE} names other machines: {', '.join(cluster.addresses)}"
            elif report.get("purpose") != purpose:
                say(f"train: {cluster.addresses[index]} has other data, parameters or code; still waiting for it.")
                error = "the chief trains with other data, parameters or code"
            elif index not in missing:
                error = f"machine {index} is there already"
            if error:
                _send(connection, {"error": error})
            else:
                arrived.append(connection)
                del missing[index]
        for connection in arrived:
            _send(connection, {"go": True})


def _join_chief(cluster: Cluster, purpose: str, deadline: float) -> None:
    """Report to the chief, and wait until it lets all machines go."""
    chief = cluster.addresses[0]
    say(f"train: waiting for the chief, {chief}.")
    with _listen(cluster.addresses[cluster.index]):  # taken until TensorFlow needs it, so that a clash shows now
        host, _, port = chief.rpartition(":")
        while True:
            try:
                connection = socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ConvLensError(
                        f"Expected the chief at {chief}. Received: {error.strerror or error}. Start `dvc repro` there, "
                        "and see that its port can be reached from here."
                    ) from error
            time.sleep(RETRY_SECONDS)
        with connection:
            _send(connection, {"index": cluster.index, "addresses": list(cluster.addresses), "purpose": purpose})
            answer = _receive(connection, max(ANSWER_SECONDS, deadline - time.monotonic()))
    if not answer.get("go"):
        reason = answer.get("error", "it ended, or the other machines did not come in time")
        raise ConvLensError(
            f"Expected to train together with the chief, {chief}. Received: {reason}. Bring this machine to the same "
            "commit, params.yaml and data/prepared, then start both again."
        )


def _listen(address: str) -> socket.socket:
    port = int(address.rpartition(":")[2])
    try:
        return socket.create_server(("", port))
    except OSError as error:
        raise ConvLensError(
            f"Expected port {port} of this machine to be free ({VARIABLE} says {address}). Received: "
            f"{error.strerror}. End the process that holds it, or name another port on every machine."
        ) from error


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    with suppress(OSError):  # whoever is gone will be missed soon enough
        connection.sendall(json.dumps(message).encode() + b"\n")


def _receive(connection: socket.socket, seconds: float) -> dict[str, Any]:
    """Read one line of JSON; nothing from whoever does not speak like us, such as a port scanner."""
    connection.settimeout(seconds)
    try:
        message = json.loads(connection.makefile("rb").readline(LONGEST_LINE))
    except (OSError, ValueError):
        return {}
    return message if isinstance(message, dict) else {}


# --- Several devices, one network: every GPU of a machine, or several machines, through `tf.distribute` ---
#
# All devices hold the same weights. Each computes the gradients of its share of a batch, the gradients are added up,
# and every device makes the same update. `train.batch_size` is the whole batch, however many devices share it.

PIECE = 2**23  # numbers sent at a time, 64 MiB
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)

Step = Callable[..., tf.Tensor]
CompiledStep = Callable[..., np.ndarray]


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
        """Give for example `cpu`, `4 x gpu`, or `4 x gpu on 2 machines`."""
        count = kind if self.num_replicas == 1 else f"{self.num_replicas} x {kind}"
        return count if self.num_machines == 1 else f"{count} on {self.num_machines} machines"

    def compile(self, step: Step) -> CompiledStep:
        """Compile a step so that it runs on all devices, each with its share of a batch.

        Args:
            step: takes tensors of one photo per row, the labels last, and `num_photos`, those of the whole batch; gives
                float32 values that add up over the devices.

        Returns:
            A function of the arrays of a batch and of further settings by name; it gives the sums, on every machine.
        """
        if self.strategy is None:
            compiled = tf.function(step)
            return lambda arrays, **settings: compiled(
                *map(tf.constant, arrays), num_photos=len(arrays[-1]), **settings
            ).numpy()

        def run_everywhere(shares: tuple[tf.Tensor, ...], **settings: Any) -> tf.Tensor:
            def run(*share: tf.Tensor) -> tf.Tensor:
                values = step(*share, **settings)
                return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)

            return self.strategy.experimental_local_results(self.strategy.run(run, args=shares))[0]

        compiled_everywhere = tf.function(run_everywhere)

        def run_compiled(arrays: Sequence[np.ndarray], **settings: Any) -> np.ndarray:
            num_photos, num_replicas = len(arrays[-1]), self.num_replicas
            rows = np.arange(num_photos)
            # Too few for all: every device takes all of them, which leaves means as they are.
            shares = np.array_split(rows, num_replicas) if num_photos >= num_replicas else [rows] * num_replicas
            total = sum(len(share) for share in shares)
            given = tuple(self._distribute(values, shares) for values in arrays)
            loss, hits = compiled_everywhere(given, num_photos=total, **settings).numpy()
            return np.array([loss, hits * num_photos / total])

        return run_compiled

    def _distribute(self, values: np.ndarray, shares: Sequence[np.ndarray]) -> tf.distribute.DistributedValues:
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(values[shares[context.replica_id_in_sync_group]])
        )

    def synchronize(self, layers: Sequence[keras.Layer]) -> None:
        """Have normalization layers take the statistics of the whole batch instead of a share."""
        for layer in layers if self.strategy else ():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True

    def compile_variation(self, states: Sequence[keras.Variable]) -> Callable[[], None]:
        """Compile what has every device but the first draw random numbers of its own, from states as on the first."""
        if not (self.strategy and states):
            return lambda: None

        def vary() -> None:
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in states:
                state.assign(state + tf.cast([0, number], state.dtype))

        compiled: Callable[[], None] = tf.function(lambda: self.strategy.run(vary))
        return compiled

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Make variables that all devices hold, and tell the loss of a machine in one line."""
        if self.strategy is None:
            yield
            return
        with self._telling_losses(), self.strategy.scope():
            yield

    def from_chief(self, make: Callable[[], bytes]) -> bytes:
        """Give on every machine what the chief makes; the others make nothing."""
        if self.num_machines == 1:
            return make()
        with self._telling_losses():
            content = make() if self.is_chief else b""
            length = int(self._add(np.array([len(content)], np.int64))[0])
            numbers = np.zeros(-(-length // 8), np.int64)
            numbers.view(np.uint8)[: len(content)] = np.frombuffer(content, np.uint8)
            pieces = [self._add(numbers[start : start + PIECE]) for start in range(0, len(numbers), PIECE)]
            return np.concatenate([np.zeros(0, np.int64), *pieces]).tobytes()[:length]

    def _add(self, numbers: np.ndarray) -> np.ndarray:
        """Give on every machine the numbers of the chief."""
        values: np.ndarray = self._compiled_add(tf.constant(numbers)).numpy()
        return values

    @cached_property
    def _compiled_add(self) -> Callable[[tf.Tensor], tf.Tensor]:
        def add(numbers: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            own = tf.where(tf.equal(context.replica_id_in_sync_group, 0), numbers, tf.zeros_like(numbers))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        def add_all(numbers: tf.Tensor) -> tf.Tensor:
            return self.strategy.experimental_local_results(self.strategy.run(add, args=(numbers,)))[0]

        compiled: Callable[[tf.Tensor], tf.Tensor] = tf.function(
            add_all, input_signature=[tf.TensorSpec([None], tf.int64)]
        )
        return compiled

    @contextmanager
    def _telling_losses(self) -> Iterator[None]:
        """Tell the end of another machine in one line; TensorFlow notices it within seconds."""
        try:
            yield
        except LOST as error:
            if self.num_machines == 1:
                raise
            raise ConvLensError(
                f"Expected all {self.num_machines} machines until the end of the training. Received: one of them ended "
                f"or cannot be reached any more ({type(error).__name__}). Start the same commands on all machines "
                "again: the training resumes after its last finished epoch."
            ) from error


SINGLE = Devices()


@dataclass(frozen=True)
class Rendezvous:
    """On what terms machines come together.

    Attributes:
        key: digest of what is to be trained, the same on all of them.
        is_chief: whether this process is to write the files.
        seconds: how long to wait for the others.
    """

    key: str
    is_chief: bool = True
    seconds: float = 600.0


def open_devices(params: TrainParams, rendezvous: Rendezvous) -> Devices:
    """Open the devices that `train.strategy` asks for. With several machines: before anything else runs TensorFlow.

    Raises:
        ConvLensError: there are not as many as asked for, other machines do not come, or a batch is too small for all.
    """
    strategy = params.strategy
    cluster = None if strategy in ("single", "mirrored") else read_cluster(os.environ)
    if cluster is None and (strategy == "multiworker" or not rendezvous.is_chief):
        found = "one machine in it" if os.environ.get(VARIABLE, "").strip() else "no TF_CONFIG"
        raise ConvLensError(
            "Expected the machines of the training in the environment variable TF_CONFIG, and train.strategy auto or "
            f"multiworker. Received: train.strategy {strategy}, and {found}. Set TF_CONFIG on each machine; the README "
            "shows how."
        )
    if cluster:
        if cluster.is_chief != rendezvous.is_chief:
            commands = ("`convlens worker`", "`dvc repro`")[:: 1 if cluster.index else -1]
            raise ConvLensError(
                f"Expected {commands[0]} on machine {cluster.index} of TF_CONFIG. Received: {commands[1]}. Only "
                "machine 0, the chief, runs the pipeline and writes files."
            )
        _check_batch(params.batch_size, len(cluster.addresses))
        meet(cluster, purpose=rendezvous.key, seconds=rendezvous.seconds)
        devices = Devices(tf.distribute.MultiWorkerMirroredStrategy(), len(cluster.addresses), cluster.is_chief)
    else:
        devices = _open_machine(strategy)
    _check_batch(params.batch_size, devices.num_replicas)
    return devices


def _open_machine(strategy: str) -> Devices:
    gpus = tf.config.list_physical_devices("GPU")
    if strategy == "single" or (strategy == "auto" and not gpus):
        return SINGLE
    kind = "GPU" if gpus else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
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
