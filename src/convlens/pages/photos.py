"""Which photos the pages show, as the network gets them, and the regions drawn on them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from convlens.data.loader import LoaderSettings, PhotoError, load_photo, open_photo, read_orientation
from convlens.data.prepared import Prepared
from convlens.data.sources import REGIONS_FILE, read_regions
from convlens.errors import ConvLensError
from convlens.files import encode_jpeg, evenly_spaced
from convlens.lens.attribution import Box
from convlens.params import ReportParams
from convlens.wording import show_share

# --- Photos of the feature-map page ---


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


def read_user_photos(
    files: Sequence[tuple[str, Path]], settings: LoaderSettings, classes: Sequence[str]
) -> tuple[list[Choice], list[Unreadable]]:
    """Load photos of the user, with the boxes of a regions.csv beside them; a folder named as a class is their label.

    Args:
        files: name and path of each.
        settings: of the loader.
        classes: of the model.

    Raises:
        ConvLensError: not one of them can be read, or a regions.csv is not of that form.
    """
    boxes = {folder: find_user_regions(folder, settings) for folder in {path.parent for _, path in files}}
    read: list[Choice] = []
    failed: list[Unreadable] = []
    for name, path in files:
        truth = path.parent.name if path.parent.name in classes else None
        try:
            pixels = load_photo(path, settings)
        except PhotoError as error:
            failed.append(Unreadable(name, str(error)))
            continue
        read.append(Choice(name, "user", truth, pixels, boxes[path.parent].get(path.name, {})))
    if not read:
        raise ConvLensError(failed[0].reason)
    return read, failed


def choose_test_photos(predictions: pd.DataFrame, prepared: Prepared, params: ReportParams) -> Iterator[Choice]:
    """Choose the most confident errors, then correct predictions spread over the classes and over confidence.

    Raises:
        ConvLensError: the predictions are not those of the prepared test photos.
    """
    images, test = prepared.images("test"), prepared.photos("test")
    if set(predictions["path"]) != set(test["path"]):
        known = len(set(predictions["path"]) & set(test["path"]))
        raise ConvLensError(
            f"Expected predictions of the {len(test):,} test photos in {prepared.folder}. Received: "
            f"{len(predictions):,} predictions, {known:,} of them of these photos. Run `dvc repro`."
        )
    rows = dict(zip(test["path"], test["row"], strict=True))
    ranked = add_confidence(predictions).sort_values(["confidence", "path"], ascending=[False, True])
    correct = ranked["correct"].astype(bool)
    errors = ranked[~correct].head(params.num_errors)
    spread = _spread(ranked[correct], prepared.classes, params.num_correct)
    for group, chosen in (("error", errors), ("correct", spread)):
        for row in chosen.to_dict("records"):
            yield Choice(str(row["path"]), group, str(row["label"]), images[int(rows[row["path"]])])


def _spread(correct: pd.DataFrame, classes: Sequence[str], count: int) -> pd.DataFrame:
    """Choose `count` rows, evenly over the classes, from the most to the least confident of each."""
    groups = [correct[correct["label"] == name] for name in classes]
    wanted = [0] * len(groups)
    for _ in range(min(count, len(correct))):
        unfinished = [index for index, rows in enumerate(groups) if wanted[index] < len(rows)]
        wanted[min(unfinished, key=lambda index: wanted[index])] += 1
    return pd.concat([rows.iloc[evenly_spaced(len(rows), num)] for rows, num in zip(groups, wanted, strict=True)])


# --- Paths on pages that are passed on: below data.source, and nothing of the maker's machine ---


def shorten_path(path: str, source: str) -> str:
    """Shorten the path of a photo: below `data.source`, or its last two parts if it lies outside of the project."""
    whole = PurePosixPath(path)
    if whole.is_relative_to(source) and path != source:
        return str(whole.relative_to(source))
    outside = whole.is_absolute() or ".." in whole.parts
    return "/".join(whole.parts[-1 if path == source else -2 :]) if outside else path


# --- Galleries of predictions ---

MAX_ERRORS = 24
MAX_UNSURE = 12
THUMBNAIL_QUALITY = 88


def add_confidence(predictions: pd.DataFrame) -> pd.DataFrame:
    """Add the column `confidence`: the probability of the predicted class."""
    given = [row[f"probability_{row['predicted']}"] for row in predictions.to_dict("records")]
    return predictions.assign(confidence=np.array(given, dtype=float))


def choose_errors(predictions: pd.DataFrame) -> pd.DataFrame:
    """Choose misclassified photos, the most confident first; at most 24."""
    wrong = add_confidence(predictions[~predictions["correct"].astype(bool)])
    return wrong.sort_values(["confidence", "path"], ascending=[False, True]).head(MAX_ERRORS)


def choose_unsure(predictions: pd.DataFrame) -> pd.DataFrame:
    """Choose the least confident predictions, correct or not; at most 12."""
    return add_confidence(predictions).sort_values(["confidence", "path"]).head(MAX_UNSURE)


def describe_photos(chosen: pd.DataFrame) -> list[dict[str, Any]]:
    """Describe the photos of a gallery, a row each, with their label, prediction and its probability."""
    return [
        {
            "path": row["path"],
            "file": PurePosixPath(row["path"]).name,
            "label": row["label"],
            "predicted": row["predicted"],
            "correct": bool(row["correct"]) if row["label"] else None,
            "probability": show_share(float(row["confidence"])),
        }
        for row in chosen.to_dict("records")
    ]


def make_thumbnails(data: Prepared, paths: Sequence[str]) -> dict[str, bytes]:
    """Encode photos as the network gets them: JPEG by path; photos outside the splits are left out."""
    places = data.splits.set_index("path")[["split", "row"]]
    found = places.loc[[path for path in paths if path in places.index]]
    images = {split: data.images(split) for split in found["split"].unique()}
    return {
        str(row.Index): encode_jpeg(images[str(row.split)][int(str(row.row))], THUMBNAIL_QUALITY)
        for row in found.itertuples()
    }


# --- The sample behind the facts about filters ---

HELD_OUT = ("test", "validation")
MAX_SAMPLE = 400


class HeldOut:
    """Held-out photos, evenly taken from the test and validation splits; slices read pixels when asked for."""

    def __init__(self, prepared: Prepared, max_photos: int = MAX_SAMPLE) -> None:
        self._images = {split: prepared.images(split) for split in HELD_OUT}
        rows = [(split, row) for split in HELD_OUT for row in range(len(self._images[split]))]
        self._rows = [rows[place] for place in evenly_spaced(len(rows), max_photos)]
        paths = {split: prepared.photos(split)["path"].tolist() for split in HELD_OUT}
        self.paths = [paths[split][row] for split, row in self._rows]
        labels = {split: prepared.labels(split) for split in HELD_OUT}
        self.labels = np.array([labels[split][row] for split, row in self._rows], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, places: slice) -> np.ndarray:
        return np.stack([self._images[split][row] for split, row in self._rows[places]])


# --- Regions: named boxes, such as an ear, from the pixels of the photo to those that the network gets ---

SIDEWAYS = 5  # from this EXIF orientation on, width and height change places


def find_regions(manifest: pd.DataFrame, settings: LoaderSettings) -> dict[str, dict[str, Box]]:
    """List the boxes of photos that decode and have some, by path and name, in pixels of the array the network gets."""
    known = manifest["regions"].map(lambda boxes: boxes is not None and len(boxes) > 0) & (manifest["width"] > 0)
    return {
        str(row["path"]): scale_boxes(row["regions"], (int(row["width"]), int(row["height"])), settings)
        for row in manifest[known.astype(bool)].to_dict("records")
    }


def find_user_regions(folder: Path, settings: LoaderSettings) -> dict[str, dict[str, Box]]:
    """List the boxes of a user's photos, from regions.csv beside them, by the photo's path below that folder.

    Raises:
        ConvLensError: regions.csv is not of that form.
    """
    if not (folder / REGIONS_FILE).is_file():
        return {}
    found: dict[str, dict[str, Box]] = {}
    for path, rows in read_regions(folder).items():
        try:
            with open_photo(Path(path)) as image:
                width, height = image.size if read_orientation(image) < SIDEWAYS else image.size[::-1]
        except PhotoError:
            continue
        found[Path(path).relative_to(folder).as_posix()] = scale_boxes(rows, (width, height), settings)
    return found


def scale_boxes(rows: Iterable[Mapping[str, Any]], size: tuple[int, int], settings: LoaderSettings) -> dict[str, Box]:
    """Scale boxes to the square the network gets, by name; a name that comes twice is numbered.

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
