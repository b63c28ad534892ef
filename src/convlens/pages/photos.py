"""Which photos the pages show, and the regions drawn on them."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from convlens.data.loader import LoaderSettings, PhotoError, load_photo, open_photo, read_orientation
from convlens.data.prepared import Prepared
from convlens.data.sources import REGIONS_FILE, read_regions
from convlens.errors import ConvLensError
from convlens.params import ReportParams

# --- Which photos the feature-map page shows, and the sample behind the facts about filters ---

Box = tuple[float, float, float, float]
HELD_OUT = ("test", "validation")
MAX_SAMPLE = 400
IGNORED_SUFFIXES = frozenset({".csv", ".md", ".txt", ".json", ".yaml", ".yml", ".dvc"})


@dataclass(frozen=True)
class Choice:
    """A photo to show.

    Attributes:
        name: what to call it.
        group: `user`, `error` or `correct`.
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
            read.append(Choice(name, "user", truth, load_photo(path, settings)))
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
    mistakes = ranked[~ranked["correct"]].head(params.num_errors)
    right = _spread(ranked[ranked["correct"]], prepared.classes, params.num_correct)
    for group, rows in (("error", mistakes), ("correct", right)):
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


# --- Named boxes of photos, such as an ear, brought from the pixels of the photo to those that the network gets ---

SIDEWAYS = 5  # from this EXIF orientation on, width and height change places


def find_regions(manifest: pd.DataFrame, settings: LoaderSettings) -> dict[str, dict[str, Box]]:
    """Boxes of all photos that have some, by path and name, in pixels of the array the network gets."""
    known = manifest["regions"].map(lambda boxes: boxes is not None and len(boxes) > 0)
    rows = manifest[known.astype(bool)]
    return {
        str(row["path"]): scale_boxes(row["regions"], (int(row["width"]), int(row["height"])), settings)
        for row in rows.to_dict("records")
    }


def find_own_regions(own: Path, settings: LoaderSettings) -> dict[str, dict[str, Box]]:
    """Boxes of the user's own photos, from regions.csv beside them, by the photo's path below that folder.

    Raises:
        ConvLensError: regions.csv is none.
    """
    if not (own / REGIONS_FILE).is_file():
        return {}
    found: dict[str, dict[str, Box]] = {}
    for path, rows in read_regions(own).items():
        size = _upright_size(Path(path))
        if size:
            found[Path(path).relative_to(own).as_posix()] = scale_boxes(rows, size, settings)
    return found


def scale_boxes(rows: Iterable[Mapping[str, Any]], size: tuple[int, int], settings: LoaderSettings) -> dict[str, Box]:
    """Boxes by name in the square the network gets; a name that comes twice is numbered.

    Args:
        rows: name, left, top, right, bottom in pixels of the upright photo.
        size: its width and height.
        settings: of the loader.
    """
    side = settings.image_size
    across, down = side / size[0], side / size[1]
    if settings.keep_aspect:
        across = down = min(across, down)
    left, top = (side - size[0] * across) / 2, (side - size[1] * down) / 2
    boxes: dict[str, Box] = {}
    for row in rows:
        name, number = str(row["name"]), 2
        while name in boxes:
            name, number = f"{row['name']}_{number}", number + 1
        boxes[name] = (row["left"] * across + left, row["top"] * down + top,
                       row["right"] * across + left, row["bottom"] * down + top)  # fmt: skip
    return boxes


def _upright_size(photo: Path) -> tuple[int, int] | None:
    """Width and height of a photo once it is turned upright; None where it cannot be read."""
    try:
        with open_photo(photo) as image:
            width, height = image.size
            return (height, width) if read_orientation(image) >= SIDEWAYS else (width, height)
    except PhotoError:
        return None


# --- What the stage `report` reads of the stages before it ---

THUMBNAIL_QUALITY = 88


def make_thumbnails(data: Prepared, paths: list[str]) -> dict[str, bytes]:
    """JPEG bytes of photos as the network gets them, by path; photos outside the splits are left out."""
    places = data.splits.set_index("path")[["split", "row"]]
    found = places.loc[[path for path in paths if path in places.index]]
    images = {split: data.images(split) for split in found["split"].unique()}
    return {str(row.Index): _jpeg(images[str(row.split)][int(str(row.row))]) for row in found.itertuples()}


def _jpeg(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


def read_table(path: Path) -> pd.DataFrame:
    """A CSV of an earlier stage; names and labels stay texts.

    Raises:
        ConvLensError: it is not there.
    """
    _require(path)
    texts = dict.fromkeys(("path", "label", "predicted", "class", "feature", "slice"), str)  # a class may be called 001
    return pd.read_csv(path, keep_default_na=False, na_values={}, dtype=texts)


def read_facts(path: Path) -> Any:
    """A JSON file of an earlier stage.

    Raises:
        ConvLensError: it is not there.
    """
    _require(path)
    return json.loads(path.read_text(encoding="utf-8"))


def _require(path: Path) -> None:
    if not path.is_file():
        raise ConvLensError(f"Expected {path}. Received: nothing there. Run `dvc repro`.")
