"""The state of an unfinished training on disk, and the snapshots of weights it has kept so far."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from convlens.files import decode_arrays, encode_arrays, write_bytes
from convlens.models.files import encode_weights, find_snapshots, snapshot_name

FILE = "state.npz"
FACTS = ("history", "timing", "best_epoch", "plan", "seconds", "costs")


@dataclass
class State:
    """Everything that the next epoch of a training depends on.

    `keras.callbacks.BackupAndRestore` restores neither random layers nor the order of the photos. Here both are derived
    from seed and epoch, so weights, optimizer and history are all the state there is.

    Attributes:
        history: a row of values per finished epoch, the columns of history.csv.
        timing: a row per finished epoch of what differs from run to run: seconds, photos per second, memory.
        variables: values of the network's and the optimizer's variables, in their order.
        best: values of the network's variables after the best epoch so far; empty if they are not kept.
        best_epoch: that epoch, counted from 1; 0 before the first.
        plan: progress of the training at the end of each epoch, finished and to come; see `Plan`.
        seconds: time the training has taken so far.
        costs: seconds that an epoch takes, by picture size.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    timing: list[dict[str, float]] = field(default_factory=list)
    variables: list[np.ndarray] = field(default_factory=list)
    best: list[np.ndarray] = field(default_factory=list)
    best_epoch: int = 0
    plan: tuple[float, ...] = ()
    seconds: float = 0.0
    costs: dict[int, float] = field(default_factory=dict)


class Checkpoint:
    """The checkpoint of one training, in a folder of its own that is named by the digest of the training's inputs.

    Snapshots of the weights are kept after some epochs, so that a reader can see how filters came to be.
    """

    def __init__(self, folder: Path, max_snapshots: int = 0) -> None:
        self._folder, self._snapshots, self._max_snapshots = folder, folder / "snapshots", max_snapshots

    def save(self, state: State, get_weights: Callable[[], Sequence[np.ndarray]]) -> None:
        """Write the state whole, in place of the one before, and the snapshots that are due.

        A training that was interrupted in between repeats the epoch, and makes the very same snapshot again.
        """
        epoch = len(state.history)
        wanted = kept_epochs(epoch, self._max_snapshots)
        if epoch in wanted:
            write_bytes(self._snapshots / snapshot_name(epoch), encode_weights(get_weights()))
        for known, path in find_snapshots(self._snapshots).items():
            if known not in wanted:
                path.unlink()
        write_bytes(self._folder / FILE, encode_state(state))

    def read(self) -> bytes:
        """Give the file of the last finished epoch, for `decode_state`; empty where there is none."""
        path = self._folder / FILE
        return path.read_bytes() if path.is_file() else b""

    def load(self) -> State | None:
        """Give the state of the last finished epoch, or None where there is none."""
        return decode_state(self.read())

    def read_snapshots(self) -> dict[int, bytes]:
        """Give the content of the snapshots by epoch, the earliest first."""
        return {epoch: path.read_bytes() for epoch, path in find_snapshots(self._snapshots).items()}

    def remove(self) -> None:
        """Remove all of it: the training has ended."""
        shutil.rmtree(self._folder, ignore_errors=True)


def kept_epochs(num_done: int, most: int) -> tuple[int, ...]:
    """Choose the epochs whose snapshots are held after `num_done` epochs: powers of two, thinned to at most `most`.

    Nobody needs to know where the training ends: what is held after an epoch was held before it or is that epoch. Where
    there are too many, the one goes whose neighbors are nearest to each other, as a ratio; the first always stays.
    """
    kept: list[int] = []
    epoch = 1
    while epoch <= num_done and most > 0:
        kept.append(epoch)
        if len(kept) > most:
            inner = range(1, len(kept) - 1)
            del kept[min(inner, key=lambda place: kept[place + 1] / kept[place - 1], default=len(kept) - 1)]
        epoch *= 2
    return tuple(kept)


def encode_state(state: State) -> bytes:
    """Encode a state as the content of a file."""
    facts = json.dumps({name: getattr(state, name) for name in FACTS}).encode()
    arrays = {f"variable_{index:05d}": value for index, value in enumerate(state.variables)}
    arrays |= {f"best_{index:05d}": value for index, value in enumerate(state.best)}
    return encode_arrays({"facts": np.frombuffer(facts, np.uint8), **arrays})


def decode_state(content: bytes) -> State | None:
    """Read the state in the content of a file; None if that is empty."""
    if not content:
        return None
    arrays = decode_arrays(content)
    state = State(**json.loads(arrays["facts"].tobytes()))
    state.variables = [arrays[name] for name in sorted(arrays) if name.startswith("variable_")]
    state.best = [arrays[name] for name in sorted(arrays) if name.startswith("best_")]
    state.plan = tuple(state.plan)
    state.costs = {int(size): seconds for size, seconds in state.costs.items()}
    return state
