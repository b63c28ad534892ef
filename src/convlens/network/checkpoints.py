"""Checkpoints of a running training: all state after each epoch, so that a killed run goes on as if nothing happened.

`keras.callbacks.BackupAndRestore` does not restore the state of random layers and of the data order. Here both are
derived from seed and epoch, so weights, optimizer and history are all the state there is.
"""

import io
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convlens.arrays import encode_arrays

FILE = "state.npz"
FACTS = ("history", "best_epoch", "plan", "seconds", "costs")


@dataclass(frozen=True)
class State:
    """Everything a training is after some epochs.

    Attributes:
        history: one row of values per finished epoch.
        variables: values of the network's and the optimizer's variables, in their order.
        best: values of the network's variables after the best epoch so far; empty if they are not kept.
        best_epoch: that epoch, counted from 1.
        plan: progress of the training at the end of each epoch, finished and to come; see `Plan`.
        seconds: time the training has taken so far.
        costs: seconds that an epoch takes, by picture size; empty where no time is kept to.
    """

    history: list[dict[str, float]]
    variables: list[np.ndarray]
    best: list[np.ndarray]
    best_epoch: int
    plan: tuple[float, ...]
    seconds: float
    costs: dict[int, float]


class Checkpoint:
    """The checkpoint of one training, in a folder of its own that is named by the digest of the training's inputs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, state: State) -> None:
        """Write the state whole, in place of the one before."""
        content = encode_state(state)
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f"{FILE}.part"
        temporary.write_bytes(content)
        os.replace(temporary, self._folder / FILE)

    def read(self) -> bytes:
        """The file of the last finished epoch, for `decode_state`; empty where there is none."""
        path = self._folder / FILE
        return path.read_bytes() if path.is_file() else b""

    def load(self) -> State | None:
        """The state of the last finished epoch, or None where there is none."""
        return decode_state(self.read())

    def remove(self) -> None:
        """Remove the checkpoint: the training has ended well."""
        shutil.rmtree(self._folder, ignore_errors=True)


def encode_state(state: State) -> bytes:
    """A state as the content of a file."""
    facts: dict[str, Any] = {name: getattr(state, name) for name in FACTS}
    arrays = {f"variable_{index:05d}": value for index, value in enumerate(state.variables)}
    arrays |= {f"best_{index:05d}": value for index, value in enumerate(state.best)}
    return encode_arrays({"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays})


def decode_state(content: bytes) -> State | None:
    """The state in the content of a file; None if that is empty."""
    if not content:
        return None
    with np.load(io.BytesIO(content)) as arrays:
        facts = json.loads(arrays["facts"].tobytes())
        groups = {
            kind: [arrays[name] for name in sorted(arrays.files) if name.startswith(kind)]
            for kind in ("variable_", "best_")
        }
    return State(
        facts["history"],
        groups["variable_"],
        groups["best_"],
        facts["best_epoch"],
        tuple(facts["plan"]),
        facts["seconds"],
        {int(size): seconds for size, seconds in facts["costs"].items()},
    )
