"""The files of a trained network: `data/model` with network, card and snapshots, and the history of its training."""

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from convlens.errors import ConvLensError
from convlens.files import decode_arrays, encode_arrays, new_folder, read_csv, read_json, write_csv, write_json

if TYPE_CHECKING:  # whoever wants no more than card or history does not load TensorFlow
    import keras

FILE, CARD, SNAPSHOTS = "model.keras", "card.json", "snapshots"
HISTORY, TIMING = "history.csv", "timing.csv"

# --- What `train` leaves ---


@dataclass(frozen=True)
class TrainingRun:
    """A finished training.

    Attributes:
        folder: with network, card and snapshots.
        card: key, architecture, classes, settings of the loader, num_parameters, what it ran on, epochs, best_epoch,
            data_digest, validation_loss and validation_accuracy.
        history: a row per epoch: epoch (from 1), image_size, learning_rate, losses and accuracies of training and
            validation.
        timing: a row per epoch, with its seconds, photos per second and memory, if this very training ran in this
            folder; they differ from run to run and are no result. Else no rows.
    """

    folder: Path
    card: dict[str, Any]
    history: pd.DataFrame
    timing: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"epoch": []}))

    @classmethod
    def load(cls, folder: Path, training: Path) -> "TrainingRun":
        """Read what `train` wrote; network and snapshots are read when asked for.

        Args:
            folder: `data/model`.
            training: `reports/training`.

        Raises:
            ConvLensError: a file is missing or broken.
        """
        run = cls(folder, load_card(folder), load_history(training))
        if (training / TIMING).is_file():
            timing = read_csv(training / TIMING, ["key"])
            run = replace(run, timing=timing[timing["key"] == run.card["key"]].drop(columns="key"))
        return run

    @classmethod
    def save(
        cls,
        folder: Path,
        training: Path,
        *,
        network: "keras.Model",
        card: Mapping[str, Any],
        history: Sequence[Mapping[str, float]],
        snapshots: Mapping[int, bytes],
    ) -> None:
        """Write a finished training, the model's folder whole or not at all.

        Args:
            folder: `data/model`.
            training: `reports/training`.
            network: with the weights that were kept.
            card: see the attributes.
            history: see the attributes.
            snapshots: encoded weights by epoch; that of the network itself is left out.
        """
        with new_folder(folder) as fresh:
            (fresh / FILE).write_bytes(encode_model(network, fresh))
            write_json(fresh / CARD, dict(card))
            (fresh / SNAPSHOTS).mkdir()
            for epoch, content in snapshots.items():
                if epoch != card["best_epoch"]:
                    (fresh / SNAPSHOTS / snapshot_name(epoch)).write_bytes(content)
        write_csv(training / HISTORY, pd.DataFrame(history).astype({"epoch": int, "image_size": int}))

    @cached_property
    def network(self) -> "keras.Model":
        """The network, uint8 photos to probabilities."""
        return load_trained_model(self.folder)

    @cached_property
    def snapshots(self) -> dict[int, list[np.ndarray]]:
        """Weights by epoch, without the network itself; none where none were kept."""
        return load_snapshots(self.folder)


def load_trained_model(folder: Path) -> "keras.Model":
    """Load the network that `train` wrote into `folder`, with `safe_mode=True`.

    Raises:
        ConvLensError: there is none, or it cannot be read.
    """
    import keras

    path = folder / FILE
    if not path.is_file():
        raise ConvLensError(f"Expected a trained network at {path}. Received: nothing there. Run `dvc repro`.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise ConvLensError(f"Expected a Keras model in {path}. Received: {error}") from error


def load_card(folder: Path) -> dict[str, Any]:
    """Read what `train` wrote about the network in `folder`.

    Raises:
        ConvLensError: there is none, or it is not JSON.
    """
    card: dict[str, Any] = read_json(folder / CARD)
    return card


def load_history(training: Path) -> pd.DataFrame:
    """Read the history of a training alone, which is in Git where the network is not.

    Raises:
        ConvLensError: it is missing or cannot be read.
    """
    return read_csv(training / HISTORY)


def save_timing(training: Path, key: str, timing: Sequence[Mapping[str, float]]) -> None:
    """Write how long the epochs of a training took so far, for `TrainingRun.timing`."""
    table = pd.DataFrame(timing).round(3)
    table.insert(0, "key", key)
    write_csv(training / TIMING, table)


def load_snapshots(folder: Path) -> dict[int, list[np.ndarray]]:
    """Read the weights by epoch that `train` wrote into `folder`; none where it kept none.

    Raises:
        ConvLensError: a file cannot be read.
    """
    found: dict[int, list[np.ndarray]] = {}
    for epoch, path in find_snapshots(folder / SNAPSHOTS).items():
        try:
            found[epoch] = decode_weights(path.read_bytes())
        except (OSError, ValueError, KeyError) as error:
            raise ConvLensError(f"Expected weights in {path}. Received: {error}. Run `dvc repro train`.") from error
    return found


# --- A `.keras` file, byte for byte the same for the same weights ---

FIXED_DATE = "2000-01-01@00:00:00"
SHARED = re.compile(r'("shared_object_id": )(\d+)')


def encode_model(model: "keras.Model", folder: Path) -> bytes:
    """Encode a model as a `.keras` file without the time of saving and without addresses in memory.

    Args:
        model: any Keras model.
        folder: where a temporary file may be written.
    """
    path = folder / "unsettled.keras"
    model.save(path)
    buffer, numbers = io.BytesIO(), dict[str, int]()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in sorted(source.namelist()):
            data = source.read(name)
            if name == "metadata.json":
                data = json.dumps({**json.loads(data), "date_saved": FIXED_DATE}).encode()
            if name == "config.json":  # objects that layers share, such as a dtype policy, are counted instead
                data = SHARED.sub(
                    lambda found: f"{found[1]}{numbers.setdefault(found[2], len(numbers) + 1)}", data.decode()
                ).encode()
            target.writestr(zipfile.ZipInfo(name), data)
    path.unlink()
    return buffer.getvalue()


# --- Snapshots: weights after an epoch ---
#
# Kernels are stored as float16 with one power of two per tensor, good to one part in 2,000; vectors, statistics of
# normalization among them, as float32. The default network takes 2 MB a snapshot.

PATTERN = re.compile(r"epoch_(\d{5,})\.npz")


def snapshot_name(epoch: int) -> str:
    """Name the file of the weights after an epoch."""
    return f"epoch_{epoch:05d}.npz"


def find_snapshots(folder: Path) -> dict[int, Path]:
    """Find the files of snapshots by epoch, the earliest first."""
    files = ((PATTERN.fullmatch(path.name), path) for path in folder.glob("epoch_*.npz"))
    return dict(sorted((int(match[1]), path) for match, path in files if match))


def encode_weights(weights: Sequence[np.ndarray]) -> bytes:
    """Encode weights as the content of a file, byte for byte the same for the same weights."""
    arrays: dict[str, np.ndarray] = {}
    exponents = np.zeros(len(weights), np.int16)
    for number, values in enumerate(weights):
        stored = values
        if values.ndim > 1 and values.dtype.kind == "f":
            # The power of two that brings the largest magnitude below 2; float16 would else end at 65,504.
            largest = float(np.max(np.abs(values))) if values.size else 0.0
            exponents[number] = int(np.floor(np.log2(largest))) if 0 < largest < np.inf else 0
            stored = np.ldexp(values.astype(np.float32), -int(exponents[number])).astype(np.float16)
        arrays[f"weights_{number:05d}"] = stored
    return encode_arrays({"exponents": exponents, **arrays})


def decode_weights(content: bytes) -> list[np.ndarray]:
    """Read the weights in the content of a file, float32 where they are no whole numbers."""
    arrays = decode_arrays(content)
    exponents = arrays.pop("exponents")
    return [
        np.ldexp(values.astype(np.float32), int(exponent)) if values.dtype == np.float16 else values
        for values, exponent in zip((arrays[name] for name in sorted(arrays)), exponents, strict=True)
    ]
