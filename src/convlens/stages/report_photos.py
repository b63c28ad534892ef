"""Which photos the feature-map page shows, and the sample behind the facts about filters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from convlens.params import ReportParams
from convlens.photos.loader import LoaderSettings, PhotoError, load_photo
from convlens.photos.prepared import Prepared

Box = tuple[float, float, float, float]
HELD_OUT = ("test", "validation")
MAX_SAMPLE = 400
IGNORED_SUFFIXES = frozenset({".csv", ".md", ".txt", ".json", ".yaml", ".yml", ".dvc"})


@dataclass(frozen=True)
class Choice:
    """A photo to show.

    Attributes:
        name: what to call it.
        group: `own`, `mistake` or `correct`.
        truth: its class if known.
        pixels: as the loader gives them, uint8 (rows, columns, 3).
        regions: named boxes in these pixels: left, top, right, bottom.
    """

    name: str
    group: str
    truth: str | None
    pixels: np.ndarray
    regions: Mapping[str, Box] = field(default_factory=dict)


@dataclass(frozen=True)
class Unreadable:
    """A photo of the user that could not be read, and why."""

    name: str
    reason: str


class HeldOut:
    """Held-out photos, evenly taken from the test and validation splits; slices read pixels when asked for."""

    def __init__(self, prepared: Prepared, max_photos: int = MAX_SAMPLE) -> None:
        rows = [(split, row) for split in HELD_OUT for row in range(len(prepared.images(split)))]
        places = np.unique(np.linspace(0, len(rows) - 1, min(max_photos, len(rows))).round().astype(int))
        self._rows = [rows[place] for place in places]
        paths = {split: prepared.photos(split)["path"].tolist() for split in HELD_OUT}
        self.paths = [paths[split][row] for split, row in self._rows]
        self._images = {split: prepared.images(split) for split in HELD_OUT}
        known = {split: prepared.labels(split) for split in HELD_OUT}
        self.labels = np.array([known[split][row] for split, row in self._rows], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, places: slice) -> np.ndarray:
        return np.stack([self._images[split][row] for split, row in self._rows[places]])


def read_own(folder: Path, settings: LoaderSettings, classes: Sequence[str]) -> tuple[list[Choice], list[Unreadable]]:
    """Every photo under the user's folder; a folder named as a class tells the truth about the photos in it."""
    read: list[Choice] = []
    failed: list[Unreadable] = []
    for path in _own_files(folder):
        name = path.relative_to(folder).as_posix()
        truth = path.parent.name if path.parent != folder and path.parent.name in classes else None
        try:
            read.append(Choice(name, "own", truth, load_photo(path, settings)))
        except PhotoError as error:
            failed.append(Unreadable(name, str(error).replace(str(path), name)))
    return read, failed


def choose_test_photos(predictions: pd.DataFrame, prepared: Prepared, params: ReportParams) -> Iterator[Choice]:
    """The most confident mistakes first, then right answers spread over the classes and over confidence."""
    images = prepared.images("test")
    confidence = predictions[[f"probability_{name}" for name in prepared.classes]].max(axis=1)
    # Predictions stand in the order of the test arrays, so a row number is the place of the pixels.
    table = predictions.assign(confidence=confidence, row=range(len(predictions)))
    ranked = table.sort_values(["confidence", "path"], ascending=[False, True])
    mistakes = ranked[~ranked["correct"]].head(params.num_mistakes)
    right = _spread(ranked[ranked["correct"]], prepared.classes, params.num_correct)
    for group, rows in (("mistake", mistakes), ("correct", right)):
        for row in rows.itertuples():
            yield Choice(str(row.path), group, str(row.label), images[int(str(row.row))])


def _own_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if not _is_ignored(path.relative_to(folder)))


def _is_ignored(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return hidden or path.suffix.lower() in IGNORED_SUFFIXES or path.stem.upper() == "README"


def _spread(right: pd.DataFrame, classes: Sequence[str], count: int) -> pd.DataFrame:
    """`count` rows, as evenly over the classes as can be, from the surest to the least sure answer of each."""
    groups = [right[right["label"] == name] for name in classes]
    wanted = [0] * len(groups)
    for _ in range(min(count, len(right))):
        open_groups = [i for i, rows in enumerate(groups) if wanted[i] < len(rows)]
        wanted[min(open_groups, key=lambda i: wanted[i])] += 1
    places = [np.linspace(0, len(rows) - 1, num).round().astype(int) for rows, num in zip(groups, wanted, strict=True)]
    return pd.concat([rows.iloc[place] for rows, place in zip(groups, places, strict=True)])
