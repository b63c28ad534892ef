"""A network of a few hundred weights with everything that several devices must agree on, and ways to train it."""

import json
import socket
from pathlib import Path

import keras
import numpy as np
import pytest

from convlens.params import AugmentParams, ModelParams, TrainParams, load_params
from convlens.training import fit as fitting
from convlens.training.checkpoints import Checkpoint
from convlens.training.fit import FitResult, Photos, Recipe
from convlens.training.runtime import Runtime

SIDE = 32


def tiny_body(*_: object, **__: object) -> keras.Model:
    layers = [
        keras.Input((SIDE, SIDE, 3)),
        keras.layers.Rescaling(1 / 64, offset=-2),
        keras.layers.Conv2D(4, 3, strides=4, use_bias=False),
        keras.layers.BatchNormalization(momentum=0.5),
        keras.layers.ReLU(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(1, name="logits"),
    ]
    return keras.Sequential(layers)


def tiny_photos(count: int, seed: int = 0) -> Photos:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 128, (count, SIDE, SIDE, 3), dtype=np.uint8)
    images[labels == 1, :, :, 0] += 100
    return Photos(images, labels)


def tiny_recipe(*, batch_size: int = 9, **changes: object) -> Recipe:
    params = load_params()
    model = params.model.model_dump(mode="json") | {"architecture": "classic"}
    train = params.train.model_dump(mode="json") | {
        **{"epochs": 4, "batch_size": batch_size, "optimizer": "sgd", "learning_rate": 0.1, "precision": "float32"},
        **changes,
    }
    augment = params.augment.model_dump(mode="json") | {"cutmix": 0.5}
    return Recipe(
        ModelParams.model_validate_json(json.dumps(model)),
        AugmentParams.model_validate_json(json.dumps(augment)),
        TrainParams.model_validate_json(json.dumps(train)),
        2,
    )


def train_tiny(recipe: Recipe, runtime: Runtime, folder: Path, *, stop_after: int | None = None) -> FitResult:
    """Train `tiny_body`; `stop_after` cuts the training off after an epoch, before its checkpoint is written."""

    def on_epoch(report: fitting.EpochReport) -> None:
        if report.values["epoch"] == stop_after:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "build_body", tiny_body)
        return fitting.fit(
            recipe,
            tiny_photos(37),
            validation=tiny_photos(17, seed=1),
            runtime=runtime,
            checkpoint=Checkpoint(folder),
            on_epoch=on_epoch,
        )


def told(result: FitResult) -> dict[str, object]:
    """What is compared between processes: history and weights, as JSON takes them."""
    return {"history": result.history, "weights": [weight.tolist() for weight in result.body.get_weights()]}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
