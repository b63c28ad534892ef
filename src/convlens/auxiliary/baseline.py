"""The dense baseline of stage `robustness`: a fully connected network, trained beside the convolutional one."""

import tempfile
from typing import IO

import keras
import numpy as np

from convlens.auxiliary.cross_validation import train_network
from convlens.data.loader import Images
from convlens.data.perturbations import resize
from convlens.data.prepared import Prepared
from convlens.params import (
    NO_AUGMENTATION,
    PLAIN_TRAINING,
    BaselineParams,
    ModelParams,
    TrainingRecipe,
    TrainParams,
)
from convlens.training.fit import Photos
from convlens.training.runtime import Runtime

CHUNK = 256  # photos resized at once


def baseline_recipe(params: BaselineParams, model: ModelParams, train: TrainParams, *, seed: int) -> TrainingRecipe:
    """Make the recipe of the baseline: Adam at a constant rate, no augmentation.

    Args:
        params: units, epochs, batch size and learning rate.
        model: the group `model`, of which nothing but the form is used.
        train: the group `train`, of which device and threads are used.
        seed: of weights and order.
    """
    dense = model.dense.model_copy(update={"units": params.units})
    return TrainingRecipe(
        model=model.model_copy(update={"architecture": "dense", "dense": dense}),
        augment=NO_AUGMENTATION,
        train=train.changed(
            **PLAIN_TRAINING,
            precision="float32",
            deterministic=False,
            strategy="single",
            optimizer="adam",
            schedule="constant",
            seed=seed,
            epochs=params.epochs,
            batch_size=params.batch_size,
            learning_rate=params.learning_rate,
        ),
    )


def train_baseline(data: Prepared, recipe: TrainingRecipe, size: int, *, runtime: Runtime) -> keras.Model:
    """Train the baseline on the training photos made smaller, to `size` pixels; takes seconds."""
    with tempfile.TemporaryFile() as first, tempfile.TemporaryFile() as second:
        train, validation = (
            Photos(_resize_once(data.images(split), size, data.loader.resampling, file), data.labels(split))
            for split, file in (("train", first), ("validation", second))
        )
        network, _ = train_network(recipe, train, validation=validation, num_classes=len(data.classes), runtime=runtime)
    return network


def _resize_once(images: Images, size: int, resampling: str, file: IO[bytes]) -> np.ndarray:
    """Resize photos into a file without a name: every epoch reads them, and there may be more than memory holds."""
    small = np.memmap(file, np.uint8, "w+", shape=(len(images), size, size, 3))
    for start in range(0, len(images), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(images)))
        small[rows] = resize(images[rows], size, resampling)
    return small
