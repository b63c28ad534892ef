"""The machines of `TF_CONFIG`: who they are, and how they wait for each other before TensorFlow starts.

TensorFlow itself waits an hour for a machine that is missing, and trains on different data without a word. So the
machines meet first: each tells the chief over its own port what it is about to train, and the chief lets all of them
go together or says to each what is wrong. Only the standard library is needed here.
"""

import json
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from convlens.errors import ConvLensError
from convlens.progress import say

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
