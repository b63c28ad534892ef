"""Train finished networks: one on given photos, or one per fold, to predict photos it was not trained on."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from convlens.data.loader import Images
from convlens.data.prepared import Prepared
from convlens.data.split import deal_folds
from convlens.environment import repository_root
from convlens.models.architectures import finish_model
from convlens.models.inference import OperatingPoint, predict_probabilities
from convlens.params import TrainingRecipe
from convlens.progress import say
from convlens.training.checkpoints import Checkpoint
from convlens.training.fit import EpochReport, History, Photos, fit
from convlens.training.runtime import Runtime

SPLIT = "train"
CHECKPOINTS = Path(".convlens/checkpoints")  # below the repository's root


# --- one training ---


class Part:
    """Some rows of photos, read when asked for."""

    def __init__(self, images: Images, rows: np.ndarray) -> None:
        self._images, self._rows = images, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self._images[self._rows[rows]]


def train_network(
    recipe: TrainingRecipe,
    photos: Photos,
    *,
    validation: Photos,
    num_classes: int,
    runtime: Runtime,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> tuple[keras.Model, History]:
    """Train a network as `fit` does, and finish it: from uint8 photos to probabilities."""
    result = fit(
        recipe,
        photos,
        validation=validation,
        num_classes=num_classes,
        runtime=runtime,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    network = finish_model(result.body, recipe.model, num_classes=num_classes, image_size=photos.image_size)
    return network, result.history


def train_fold(
    recipe: TrainingRecipe,
    photos: Photos,
    held_out: np.ndarray,
    *,
    num_classes: int,
    runtime: Runtime,
    validation: Photos | None = None,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> tuple[keras.Model, History]:
    """Train a network on all photos but those held out.

    Args:
        recipe: what to train and how.
        photos: of all folds.
        held_out: rows of the photos of this fold, int64 (n,).
        num_classes: at least 2.
        runtime: device and precision.
        validation: photos to validate on; None takes those held out.
        checkpoint: to resume an interrupted training from.
        on_epoch: called after every epoch.
    """
    others = np.setdiff1d(np.arange(len(photos.labels)), held_out)
    train, rest = (Photos(Part(photos.images, rows), photos.labels[rows]) for rows in (others, held_out))
    return train_network(
        recipe,
        train,
        validation=validation or rest,
        num_classes=num_classes,
        runtime=runtime,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )


# --- all folds of the training photos ---


def assign_folds(data: Prepared, count: int, *, seed: int) -> np.ndarray:
    """Deal the training photos out, int64 (N,): every class spread evenly, near-duplicates in one fold."""
    first = {path: group[0] for group in data.duplicates["groups"] for path in group}
    leaders = np.array([first.get(path, path) for path in data.photos(SPLIT)["path"]], dtype=object)
    return deal_folds(data.labels(SPLIT), leaders, count=count, seed=seed)


def predict_out_of_fold(
    data: Prepared, recipe: TrainingRecipe, assigned: np.ndarray, *, key: str, point: OperatingPoint, runtime: Runtime
) -> tuple[np.ndarray, pd.DataFrame]:
    """Predict the training photos, each by a network that was not trained on it.

    An interrupted run is resumed when repeated: all checkpoints are kept until the last fold is done.

    Args:
        data: the prepared photos.
        recipe: the run's own.
        assigned: the fold of each training photo, int64 (N,), from 0.
        key: training key of the run; names the checkpoints.
        point: the operating point of the run's network.
        runtime: with the run's precision, so that folds learn as it did.

    Returns:
        Probabilities float64 (N, K), and the history of the trainings: fold and epoch, from 1, and the values of each.
    """
    photos, validation = (Photos(data.images(split), data.labels(split)) for split in (SPLIT, "validation"))
    count, num_classes = int(assigned.max()) + 1, len(data.classes)
    checkpoints = [_checkpoint(f"{key}/{count}/{fold}") for fold in range(count)]
    probabilities, histories = np.empty((len(assigned), num_classes)), []
    for fold, checkpoint in enumerate(checkpoints):
        held_out = np.flatnonzero(assigned == fold)
        network, history = train_fold(
            recipe,
            photos,
            held_out,
            num_classes=num_classes,
            runtime=runtime,
            validation=validation,
            checkpoint=checkpoint,
            on_epoch=partial(_tell_epoch, f"label_errors: fold {fold + 1} of {count}"),
        )
        probabilities[held_out] = predict_probabilities(network, Part(photos.images, held_out), point)
        histories.append(pd.DataFrame(history).astype({"epoch": int, "image_size": int}).assign(fold=fold + 1))
    for checkpoint in checkpoints:
        checkpoint.remove()
    table = pd.concat(histories)
    return probabilities, table[["fold", *table.columns.drop("fold")]]


def _tell_epoch(title: str, report: EpochReport) -> None:
    say(f"{title}, {report}")


def _checkpoint(name: str) -> Checkpoint:
    return Checkpoint(Path(repository_root()) / CHECKPOINTS / hashlib.sha256(name.encode()).hexdigest())
