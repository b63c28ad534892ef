"""What every contestant of `convlens bench train` gets, and what it is called. Light to import."""

from dataclasses import dataclass
from pathlib import Path

from convlens.bench.photo_lists import BenchPhotos
from convlens.params import Params

LECTURE_SIZE = 150
TITLES = {
    "keras": "Keras, lecture code",
    "keras-cached": "Keras with cache()",
    "classic": "ConvLens classic",
    "residual": "ConvLens residual",
}


@dataclass(frozen=True)
class TrainingTask:
    """What every contestant of `bench train` gets.

    Attributes:
        photos: the files and their split.
        links: folder with `train` and `held_out`, class folders of links to the same files.
        workspace: folder for what a contestant writes.
        params: all of params.yaml.
        seconds: of training, the budget.
        lecture_size: side of the photos in pixels for the lecture's network.
    """

    photos: BenchPhotos
    links: Path
    workspace: Path
    params: Params
    seconds: float
    lecture_size: int = LECTURE_SIZE
