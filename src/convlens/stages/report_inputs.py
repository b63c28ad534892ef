"""What the stage `report` reads of the stages before it."""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from convlens.errors import ConvLensError
from convlens.photos.prepared import Prepared

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
