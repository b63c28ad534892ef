"""Pictures for MLflow's grid of images, where runs are compared side by side and a slider goes through the steps.

MLflow's `log_image` gives each picture a new random name, so a repeated record would double them; here the same
picture of a run always has the same name.
"""

import re
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES
from PIL import Image

FOLDER = "images"
THUMBNAIL_SIDE = 256  # pixels, as MLflow makes them
PICTURES_TAG = {MLFLOW_LOGGED_IMAGES: "True"}


@dataclass(frozen=True)
class Picture:
    """One picture of a series.

    Attributes:
        series: what the pictures of all steps show; runs are compared by it.
        step: place in the series.
        path: PNG file.
    """

    series: str
    step: int
    path: Path


def stage_pictures(pictures: Iterable[Picture], folder: Path, moment: int) -> None:
    """Copy pictures into `folder`, under names that MLflow's page reads, each with a small copy for the grid.

    Args:
        pictures: of a run.
        folder: the run's artifact folder, or one to be uploaded as such.
        moment: part of the names, in milliseconds since 1970; the same for all calls about one run.
    """
    for picture in pictures:
        target = folder / FOLDER / _name(picture, moment)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture.path, target.with_name(f"{target.name}.png"))
        with Image.open(picture.path) as image:
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            small.save(target.with_name(f"{target.name}+compressed.webp"))


def _name(picture: Picture, moment: int) -> str:
    """As MLflow's `log_image` builds it: a `/` becomes `~`, and only plain letters stay."""
    series = re.sub(r"[^A-Za-z0-9_.~ -]", "_", picture.series.replace("/", "~"))
    same = uuid.uuid5(uuid.NAMESPACE_OID, f"{picture.series} {picture.step}")
    return f"{series}+step+{picture.step}+timestamp+{moment}+{same}"
