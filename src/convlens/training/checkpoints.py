"""Checkpoints of unfinished trainings, and snapshots of weights."""

import io
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convlens.errors import ConvLensError
from convlens.files import encode_arrays

# --- checkpoints ---
# Checkpoints of a running training: all state after each epoch, so that a killed run goes on as if nothing happened.
#
# `keras.callbacks.BackupAndRestore` does not restore the state of random layers and of the data order. Here both are
# derived from seed and epoch, so weights, optimizer and history are all the state there is.

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


# --- A few snapshots of the weights over a training, so that a reader can see how its filters came to be ---
#
# Kernels are stored as float16 with one power of two per tensor, good to one part in 2,000; vectors, statistics of
# normalization among them, as float32. The default network takes 2 MB a snapshot. The network that is kept in the end
# is no snapshot: it has its own file.

NAME = "epoch_{:05d}.npz"
PATTERN = re.compile(r"epoch_(\d{5,})\.npz")


def kept_epochs(num_done: int, most: int) -> tuple[int, ...]:
    """The epochs whose snapshots are held after `num_done` epochs: powers of two, thinned to at most `most`.

    Nobody needs to know where the training ends: what is held after an epoch was held before it or is that epoch. Where
    there are too many, the one goes whose neighbors are nearest to each other, as a ratio; the first always stays.
    """
    kept: list[int] = []
    epoch = 1
    while epoch <= num_done and most > 0:
        kept.append(epoch)
        if len(kept) > most:
            del kept[_most_crowded(kept)]
        epoch *= 2
    return tuple(kept)


class Snapshots:
    """The snapshots of one running training, in a folder of its own."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most

    def keep(self, epoch: int, weights: Callable[[], Sequence[np.ndarray]]) -> None:
        """Keep the weights after an epoch if they are among those to hold, and drop what no longer is.

        A training that was cut off repeats epochs, and finds or makes the very same files.
        """
        wanted = kept_epochs(epoch, self._most)
        if epoch in wanted:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = self._folder / f"{NAME.format(epoch)}.part"
            temporary.write_bytes(encode_weights(weights()))
            os.replace(temporary, self._folder / NAME.format(epoch))
        for known, path in _find(self._folder).items():
            if known not in wanted:
                path.unlink()

    def read(self) -> dict[int, bytes]:
        """Content of the snapshots by epoch, the earliest first."""
        return {epoch: path.read_bytes() for epoch, path in _find(self._folder).items()}


def encode_weights(weights: Sequence[np.ndarray]) -> bytes:
    """Weights as the content of a file, byte for byte the same for the same weights."""
    arrays: dict[str, np.ndarray] = {}
    exponents = np.zeros(len(weights), np.int16)
    for number, values in enumerate(weights):
        exponents[number] = _exponent(values)
        arrays[f"weights_{number:05d}"] = _shrink(values, int(exponents[number]))
    return encode_arrays({"exponents": exponents, **arrays})


def decode_weights(content: bytes) -> list[np.ndarray]:
    """The weights in the content of a file, float32 where they are no whole numbers."""
    with np.load(io.BytesIO(content)) as arrays:
        exponents = arrays["exponents"]
        stored = [arrays[name] for name in sorted(arrays.files) if name.startswith("weights_")]
    return [_grow(values, int(exponents[number])) for number, values in enumerate(stored)]


def load_snapshots(folder: Path) -> dict[int, list[np.ndarray]]:
    """Weights by epoch, as `train` wrote them; none where it kept none.

    Raises:
        ConvLensError: a file cannot be read.
    """
    found: dict[int, list[np.ndarray]] = {}
    for epoch, path in _find(folder).items():
        try:
            found[epoch] = decode_weights(path.read_bytes())
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise ConvLensError(f"Expected weights in {path}. Received: {error}. Run `dvc repro train`.") from error
    return found


def _most_crowded(kept: Sequence[int]) -> int:
    """The place, neither first nor last, whose neighbors are nearest to each other; where only two are, the second."""
    inner = range(1, len(kept) - 1)
    return min(inner, key=lambda place: kept[place + 1] / kept[place - 1], default=len(kept) - 1)


def _find(folder: Path) -> dict[int, Path]:
    files = ((PATTERN.fullmatch(path.name), path) for path in folder.glob("epoch_*.npz"))
    return dict(sorted((int(match[1]), path) for match, path in files if match))


def _exponent(values: np.ndarray) -> int:
    """The power of two that brings the largest magnitude of a kernel below 2; float16 would else end at 65,504."""
    largest = float(np.max(np.abs(values))) if values.ndim > 1 and values.size else 0.0
    return int(np.floor(np.log2(largest))) if 0 < largest < np.inf else 0


def _shrink(values: np.ndarray, exponent: int) -> np.ndarray:
    if values.ndim < 2 or values.dtype.kind != "f":
        return values
    return np.ldexp(values.astype(np.float32), -exponent).astype(np.float16)


def _grow(values: np.ndarray, exponent: int) -> np.ndarray:
    return np.ldexp(values.astype(np.float32), exponent) if values.dtype == np.float16 else values
