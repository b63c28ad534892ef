"""Answers to the training photos by networks that did not learn from them: the run's recipe, once per fold."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convlens.data.prepared import Images, Prepared
from convlens.data.split import deal_folds
from convlens.environment import repository_root
from convlens.models.architectures import finish_model
from convlens.models.inference import OperatingPoint, predict_probabilities
from convlens.params import TrainingRecipe, TrainParams
from convlens.progress import say
from convlens.training.checkpoints import Checkpoint
from convlens.training.fit import EpochReport, FitResult, History, Photos, fit
from convlens.training.runtime import Runtime, prepare_runtime

SPLIT = "train"


@dataclass(frozen=True)
class Folds:
    """What the trainings need.

    Attributes:
        count: number of folds.
        recipe: the run's own.
        card: of the run's network: key, precision.
        point: the operating point of the run's network.
        groups: paths of photos that show the same, which stay in one fold.
        checkpoints: folder below the repository's root for the state of unfinished trainings.
    """

    count: int
    recipe: TrainingRecipe
    card: dict[str, Any]
    point: OperatingPoint
    groups: Sequence[Sequence[str]]
    checkpoints: Path


def answer_out_of_fold(
    data: Prepared, folds: Folds, on_fold: Callable[[int, History], None] | None = None
) -> np.ndarray:
    """Probabilities float64 (N, K) of the training photos, each by the network that did not learn from it.

    A run that is cut off goes on where it was when repeated: all checkpoints are kept until the last fold is done.

    Args:
        data: the prepared photos.
        folds: what the trainings need.
        on_fold: gets number, from 1, and history of every fold's training.
    """
    assigned = assign_folds(data, folds)
    runtime = prepare_runtime(_single(folds.recipe.train, folds.card["precision"]))
    kept = [_checkpoint(folds, number) for number in range(folds.count)]
    answers = np.empty((len(assigned), len(data.classes)))
    for number in range(folds.count):
        held_out = np.flatnonzero(assigned == number)
        result = _train(data, folds, number, held_out, runtime=runtime, checkpoint=kept[number])
        if on_fold is not None:
            on_fold(number + 1, result.history)
        answers[held_out] = _answer(data, folds, held_out, result)
    for checkpoint in kept:
        checkpoint.remove()
    return answers


def assign_folds(data: Prepared, folds: Folds) -> np.ndarray:
    """The fold of each training photo, int64 (N,): every class spread evenly, photos that show the same together."""
    first = {path: group[0] for group in folds.groups for path in group}
    leaders = np.array([first.get(path, path) for path in data.photos(SPLIT)["path"]], dtype=object)
    return deal_folds(data.labels(SPLIT), leaders, count=folds.count, seed=folds.recipe.train.seed)


class Part:
    """Some rows of photos that lie on disk."""

    def __init__(self, images: Images, rows: np.ndarray) -> None:
        self._images, self._rows = images, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self._images[self._rows[rows]]


def _train(
    data: Prepared, folds: Folds, number: int, held_out: np.ndarray, *, runtime: Runtime, checkpoint: Checkpoint
) -> FitResult:
    """Train without the photos held out."""
    images, labels = data.images(SPLIT), data.labels(SPLIT)
    others = np.setdiff1d(np.arange(len(labels)), held_out)
    return fit(
        folds.recipe,
        Photos(Part(images, others), labels[others]),
        validation=Photos(data.images("validation"), data.labels("validation")),
        num_classes=len(data.classes),
        runtime=runtime,
        checkpoint=checkpoint,
        on_epoch=lambda report: _tell(report, number, folds.count),
    )


def _answer(data: Prepared, folds: Folds, held_out: np.ndarray, result: FitResult) -> np.ndarray:
    recipe, size = folds.recipe, data.card["image_size"]
    network = finish_model(result.body, recipe.model, num_classes=len(data.classes), image_size=size)
    return predict_probabilities(network, Part(data.images(SPLIT), held_out), folds.point)


def _single(params: TrainParams, precision: str) -> TrainParams:
    """The run's precision, so that folds learn as it did; on one device."""
    return params.model_copy(update={"precision": precision, "strategy": "single"})


def _checkpoint(folds: Folds, number: int) -> Checkpoint:
    name = f"{folds.card['key']}/{folds.count}/{number}"
    return Checkpoint(Path(repository_root()) / folds.checkpoints / hashlib.sha256(name.encode()).hexdigest())


def _tell(report: EpochReport, number: int, count: int) -> None:
    minutes, seconds = divmod(round(report.seconds_left), 60)
    say(
        f"label_errors: fold {number + 1} of {count}, epoch {int(report.values['epoch'])}/{report.num_epochs}, "
        f"{minutes}:{seconds:02d} left of this fold"
    )
