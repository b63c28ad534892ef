"""Devices: CPU, GPUs, and several machines that train together."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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


def describe_cluster(environment: Mapping[str, str]) -> str:
    """What `TF_CONFIG` says of the machines, in a few words."""
    return "one machine in it" if environment.get(VARIABLE, "").strip() else "no TF_CONFIG"


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
    if cluster.is_chief:
        _receive_all(cluster, purpose, deadline)
    else:
        _report_to_chief(cluster, purpose, deadline)


def _receive_all(cluster: Cluster, purpose: str, deadline: float) -> None:
    missing = dict(enumerate(cluster.addresses[1:], start=1))
    say(f"train: waiting for {_list(missing.values())}.")
    with _listen(cluster.addresses[0]) as server, ExitStack() as connections:
        arrived = []
        while missing:
            connection = connections.enter_context(_accept(server, deadline, missing))
            index, error = _read_report(connection, cluster, purpose)
            if index in missing and not error:
                arrived.append(connection)
                del missing[index]
            elif index:
                _send(connection, {"error": error or f"machine {index} is there already"})
        for connection in arrived:
            _send(connection, {"go": True})


def _listen(address: str) -> socket.socket:
    port = int(address.rpartition(":")[2])
    try:
        return socket.create_server(("", port))
    except OSError as error:
        raise ConvLensError(
            f"Expected port {port} of this machine to be free ({VARIABLE} says {address}). Received: "
            f"{error.strerror}. End the process that holds it, or name another port on every machine."
        ) from error


def _accept(server: socket.socket, deadline: float, missing: Mapping[int, str]) -> socket.socket:
    server.settimeout(max(0.01, deadline - time.monotonic()))
    try:
        return server.accept()[0]
    except TimeoutError:
        raise ConvLensError(
            f"Expected all machines of {VARIABLE}. Received: nothing from {_list(missing.values())}. Start "
            "`convlens worker` there, and see that this machine's port can be reached from it."
        ) from None


def _read_report(connection: socket.socket, cluster: Cluster, purpose: str) -> tuple[int, str]:
    """Which machine it is (0: none of ours), and what is wrong with it."""
    report = _read(connection)
    index = report.get("index")
    if not isinstance(index, int) or not 0 < index < len(cluster.addresses):
        return 0, ""
    if report.get("addresses") != list(cluster.addresses):
        return index, f"the chief's {VARIABLE} names other machines: {_list(cluster.addresses)}"
    if report.get("purpose") != purpose:
        say(f"train: {cluster.addresses[index]} has other data, parameters or code; still waiting for it.")
        return index, "the chief trains with other data, parameters or code"
    return index, ""


def _report_to_chief(cluster: Cluster, purpose: str, deadline: float) -> None:
    say(f"train: waiting for the chief, {cluster.addresses[0]}.")
    with _listen(cluster.addresses[cluster.index]):  # taken until TensorFlow needs it, so that a clash shows now
        report = {"index": cluster.index, "addresses": list(cluster.addresses), "purpose": purpose}
        with _connect(cluster.addresses[0], deadline) as connection:
            _send(connection, report)
            answer = _read(connection, max(ANSWER_SECONDS, deadline - time.monotonic()))
    if not answer.get("go"):
        reason = answer.get("error", "it ended, or the other machines did not come in time")
        raise ConvLensError(
            f"Expected to train together with the chief, {cluster.addresses[0]}. Received: {reason}. Bring this "
            "machine to the same commit, params.yaml and data/prepared, then start both again."
        )


def _connect(address: str, deadline: float) -> socket.socket:
    host, _, port = address.rpartition(":")
    while True:
        try:
            return socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS)
        except OSError as error:
            if time.monotonic() > deadline:
                raise ConvLensError(
                    f"Expected the chief at {address}. Received: {error.strerror or error}. Start `dvc repro` there, "
                    "and see that its port can be reached from here."
                ) from error
        time.sleep(RETRY_SECONDS)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    with suppress(OSError):  # whoever is gone will be missed soon enough
        connection.sendall(json.dumps(message).encode() + b"\n")


def _read(connection: socket.socket, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """One line of JSON; nothing from whoever does not speak like us, such as a port scanner."""
    connection.settimeout(seconds)
    try:
        message = json.loads(connection.makefile("rb").readline(LONGEST_LINE))
    except (OSError, ValueError):
        return {}
    return message if isinstance(message, dict) else {}


def _list(addresses: Any) -> str:
    return ", ".join(addresses)


# --- Several devices, one network: every GPU of a machine, or several machines, through `tf.distribute` ---
#
# All devices hold the same weights. Each computes the gradients of its share of a batch, the gradients are added up,
# and every device makes the same update. `train.batch_size` is the whole batch, however many devices share it.

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
