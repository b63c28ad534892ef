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

FILE = "state.npz"


@dataclass(frozen=True)
class State:
    """Everything a training is after some epochs.

    Attributes:
        history: one row of values per finished epoch.
        variables: values of the network's and the optimizer's variables, in their order.
        best: values of the network's variables after the best epoch so far; empty if they are not kept.
        best_epoch: that epoch, counted from 1.
    """

    history: list[dict[str, float]]
    variables: list[np.ndarray]
    best: list[np.ndarray]
    best_epoch: int


class Checkpoint:
    """The checkpoint of one training, in a folder of its own that is named by the digest of the training's inputs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, state: State) -> None:
        """Write the state whole, in place of the one before."""
        facts: dict[str, Any] = {"history": state.history, "best_epoch": state.best_epoch}
        arrays = {f"variable_{index:05d}": value for index, value in enumerate(state.variables)}
        arrays |= {f"best_{index:05d}": value for index, value in enumerate(state.best)}
        buffer = io.BytesIO()
        np.savez(buffer, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f"{FILE}.part"
        temporary.write_bytes(buffer.getbuffer())
        os.replace(temporary, self._folder / FILE)

    def load(self) -> State | None:
        """The state of the last finished epoch, or None where there is none."""
        path = self._folder / FILE
        if not path.is_file():
            return None
        with np.load(path) as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            groups = {
                kind: [arrays[name] for name in sorted(arrays.files) if name.startswith(kind)]
                for kind in ("variable_", "best_")
            }
        return State(facts["history"], groups["variable_"], groups["best_"], facts["best_epoch"])

    def remove(self) -> None:
        """Remove the checkpoint: the training has ended well."""
        shutil.rmtree(self._folder, ignore_errors=True)
