"""Who is asked about disturbed photos: the trained network, and a fully connected one trained beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from convlens.data.perturbations import resize
from convlens.data.prepared import Images, Prepared
from convlens.models.architectures import finish_model
from convlens.models.files import load_card, load_trained_model
from convlens.models.inference import OperatingPoint, predict_probabilities
from convlens.params import NO_AUGMENTATION, PLAIN_TRAINING, ModelParams, RobustnessParams, TrainingRecipe, TrainParams
from convlens.training.fit import Photos, fit
from convlens.training.runtime import prepare_runtime

MODEL, BASELINE = "model", "baseline"
DENSE_TRAINING = {
    **PLAIN_TRAINING,
    "precision": "float32",
    "deterministic": False,
    "strategy": "single",
    "optimizer": "adam",
    "schedule": "constant",
}


@dataclass(frozen=True)
class Contestant:
    """A network that is asked.

    Attributes:
        name: `model` or `baseline`; names columns and metrics.
        num_parameters: weights of the network.
        answer: class indices int64 (N,) for prepared photos, uint8 (N, size, size, 3).
    """

    name: str
    num_parameters: int
    answer: Callable[[np.ndarray], np.ndarray]


def open_model(folder: Path, operating_point: Path) -> Contestant:
    """The trained network, predicting as everywhere: at its operating point.

    Raises:
        ConvLensError: there is none.
    """
    model, point = load_trained_model(folder), OperatingPoint.load(operating_point, key=load_card(folder)["key"])
    return Contestant(MODEL, model.count_params(), lambda photos: _classes(model, photos, point))


def train_baseline(
    prepared: Prepared, params: RobustnessParams, *, model: ModelParams, train: TrainParams
) -> Contestant:
    """A fully connected network, trained here on the same training photos made smaller; takes seconds.

    Args:
        prepared: the photos.
        params: the group `robustness`.
        model: the group `model`, of which nothing but the form is used.
        train: the group `train`, of which device and threads are used.
    """
    size, resampling = params.baseline.image_size, prepared.loader.resampling
    recipe, num_classes = _plan(params, model, train), len(prepared.classes)
    splits = [
        Photos(Resized(prepared.images(split), size, resampling), prepared.labels(split))
        for split in ("train", "validation")
    ]
    result = fit(
        recipe,
        splits[0],
        validation=splits[1],
        num_classes=num_classes,
        runtime=prepare_runtime(recipe.train),
    )
    network = finish_model(result.body, recipe.model, num_classes=num_classes, image_size=size)
    return Contestant(
        BASELINE,
        network.count_params(),
        lambda photos: _classes(network, Resized(photos, size, resampling), OperatingPoint()),
    )


class Resized:
    """Photos at another size, made when asked for."""

    def __init__(self, images: Images, size: int, resampling: str) -> None:
        self._images, self._size, self._resampling = images, size, resampling

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return resize(self._images[rows], self._size, self._resampling)


def _plan(params: RobustnessParams, model: ModelParams, train: TrainParams) -> TrainingRecipe:
    wanted = params.baseline
    dense = model.dense.model_copy(update={"units": wanted.units})
    changes = {
        **DENSE_TRAINING,
        "seed": params.seed,
        "epochs": wanted.epochs,
        "batch_size": wanted.batch_size,
        "learning_rate": wanted.learning_rate,
    }
    return TrainingRecipe(
        model=model.model_copy(update={"architecture": "dense", "dense": dense}),
        augment=NO_AUGMENTATION,
        train=train.changed(**changes),
    )


def _classes(model: keras.Model, photos: Images, point: OperatingPoint) -> np.ndarray:
    found: np.ndarray = predict_probabilities(model, photos, point).argmax(axis=1)
    return found
