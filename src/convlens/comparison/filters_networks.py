"""The networks of two runs, opened, and the photos that both are shown. Loads TensorFlow."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convlens.comparison.snapshot import Snapshot, read_snapshot
from convlens.errors import ConvLensError
from convlens.lens.atlas import spread_places
from convlens.lens.forward import Scorer
from convlens.lens.lens import Lens, open_lens
from convlens.network.inference import answer_settings
from convlens.network.model_files import FILE, load_trained_model
from convlens.photos.prepared import ShardedImages

NUM_SAMPLE = 48


@dataclass(frozen=True)
class Network:
    """The network of one run.

    Attributes:
        run: what the run left behind.
        lens: its network, opened.
    """

    run: Snapshot
    lens: Lens

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the network's answers; empty where its card is not here."""
        return tuple(self.run.card.get("classes", ()))

    @property
    def side(self) -> tuple[int, int]:
        """Rows and columns of the photos it takes."""
        rows, columns = self.lens.model.inputs[0].shape[1:3]
        return int(rows), int(columns)

    @cached_property
    def scorer(self) -> Scorer:
        """What gives its probabilities."""
        return Scorer(self.lens, answer_settings(self.run.card)["temperature"])


@dataclass(frozen=True)
class Networks:
    """Two networks, and the test photos of the second.

    Attributes:
        base: the one to compare with.
        head: the one that is compared.
        photos: all test photos of the head, as prepared for it.
        sample: rows of them that filters are matched on.
    """

    base: Network
    head: Network
    photos: ShardedImages
    sample: Sequence[int]

    @property
    def resized(self) -> bool:
        """Whether the base takes photos of another size."""
        return self.base.side != self.head.side

    def photos_of(self, network: Network, rows: Sequence[int]) -> np.ndarray:
        """Test photos, uint8 (n, rows, columns, 3), at the size a network takes."""
        photos = self.photos[np.array(rows, dtype=np.int64)]
        return photos if photos.shape[1:3] == network.side else _resize(photos, network.side)


def open_networks(root: Path, base: str, head: str) -> Networks:
    """Open the networks of two revisions, and the second's test photos.

    Raises:
        ConvLensError: a revision has no results, or its network or photos are not on this disk.
    """
    runs = [read_snapshot(root, name) for name in (base, head)]
    shards = runs[1].files.test_shards
    if not shards:
        raise ConvLensError(_lacks(runs[1], "the prepared test photos"))
    photos = ShardedImages([np.load(path, mmap_mode="r") for path in shards])
    opened = [Network(run, open_lens(_load(run))) for run in runs]
    return Networks(opened[0], opened[1], photos, spread_places(len(photos), NUM_SAMPLE))


def _load(run: Snapshot) -> Any:
    """The network's file under its own name, which Keras asks for; in DVC's cache it has another."""
    if run.files.model is None:
        raise ConvLensError(_lacks(run, "the network"))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(run.files.model, Path(folder) / FILE)
        return load_trained_model(Path(folder))


def _resize(photos: np.ndarray, side: tuple[int, int]) -> np.ndarray:
    size = side[1], side[0]
    return np.stack([np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC)) for photo in photos])


def _lacks(run: Snapshot, what: str) -> str:
    start = f"Expected {what} of {run.name} on this disk. Received: neither in the workspace nor in DVC's cache."
    if not run.commit:
        return f"{start} Bring them with `dvc pull`, or make them with `dvc repro`."
    return (
        f"{start} Bring them with `dvc fetch --all-commits` (an experiment: `dvc exp pull origin {run.name}`), or make "
        f"them again: `git switch --detach {run.name}` (an experiment: `dvc exp apply {run.name}`), then `dvc repro`."
    )
