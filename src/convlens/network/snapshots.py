"""A few snapshots of the weights over a training, so that a reader can see how its filters came to be.

Kernels are stored as float16 with one power of two per tensor, good to one part in 2,000; vectors, statistics of
normalisation among them, as float32. The default network takes 2 MB a snapshot. The network that is kept in the end is
no snapshot: it has its own file.
"""

import io
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from convlens.arrays import encode_arrays
from convlens.errors import ConvLensError

NAME = "epoch_{:05d}.npz"
PATTERN = re.compile(r"epoch_(\d{5,})\.npz")


def kept_epochs(num_done: int, most: int) -> tuple[int, ...]:
    """The epochs whose snapshots are held after `num_done` epochs: powers of two, thinned to at most `most`.

    Nobody needs to know where the training ends: what is held after an epoch was held before it or is that epoch. Where
    there are too many, the one goes whose neighbours are nearest to each other, as a ratio; the first always stays.
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
    """The place, neither first nor last, whose neighbours are nearest to each other; where only two are, the second."""
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
