"""Named boxes of photos, such as an ear, brought from the pixels of the photo to those that the network gets."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from convlens.photos.listing import REGIONS_FILE, read_regions
from convlens.photos.loader import LoaderSettings, PhotoError, open_photo, read_orientation

Box = tuple[float, float, float, float]
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
