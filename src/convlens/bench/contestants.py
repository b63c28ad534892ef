"""The contestants by name. Light to import: what a contestant needs is loaded in its own process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from convlens.bench.curves import Training
from convlens.bench.photo_lists import BenchPhotos
from convlens.environment import hold_stderr
from convlens.params import Params

LECTURE_SIZE = 150


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


def measure_peaks(params: Params) -> dict[str, float]:
    """The machine's peak by precision, with the threads that training may use."""
    with hold_stderr():
        from convlens.bench import peak
        from convlens.network.runtime import prepare_runtime

    prepare_runtime(params.train)
    return peak.measure_peaks()


def train_keras(task: TrainingTask) -> Training:
    """The lecture's code: photos decoded anew in every epoch."""
    with hold_stderr():
        from convlens.bench.keras_training import train

    return train(task, cached=False)


def train_keras_cached(task: TrainingTask) -> Training:
    """The lecture's code with `.cache().prefetch()`: photos decoded once, all kept in memory as float32."""
    with hold_stderr():
        from convlens.bench.keras_training import train

    return train(task, cached=True)


def train_classic(task: TrainingTask) -> Training:
    """ConvLens with the lecture's network and recipe."""
    with hold_stderr():
        from convlens.bench.convlens_training import train_classic

    return train_classic(task)


def train_residual(task: TrainingTask) -> Training:
    """ConvLens with its own network and recipe, those of params.yaml."""
    with hold_stderr():
        from convlens.bench.convlens_training import train_residual

    return train_residual(task)


CONTESTANTS: dict[str, Callable[[TrainingTask], Training]] = {
    "keras": train_keras,
    "keras-cached": train_keras_cached,
    "classic": train_classic,
    "residual": train_residual,
}
TITLES = {
    "keras": "Keras, lecture code",
    "keras-cached": "Keras with cache()",
    "classic": "ConvLens classic",
    "residual": "ConvLens residual",
}
