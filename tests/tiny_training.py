"""A network of a few hundred weights, and ways to train it: in this process, or as one of several machines.

As a program it trains as a machine of TF_CONFIG, or on several devices of this one, and prints JSON.
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from convlens.params import TrainingRecipe, load_params
from convlens.training import fit as fitting
from convlens.training.checkpoints import Checkpoint
from convlens.training.devices import Devices, Rendezvous
from convlens.training.fit import EpochReport, FitResult, Photos
from convlens.training.runtime import Runtime, prepare_runtime
from convlens.training.steps import Steps

SIDE = 40
CPU = Runtime("cpu", "float32", 0)


def tiny_photos(count: int = 32, side: int = SIDE, seed: int = 0) -> Photos:
    """Noise; photos of the second class are redder."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 128, (count, side, side, 3), dtype=np.uint8)
    images[labels == 1, :, :, 0] += 100
    return Photos(images, labels)


def tiny_recipe(
    architecture: str = "residual", *, cutmix: float = 0.0, model: dict[str, Any] | None = None, **train: Any
) -> TrainingRecipe:
    """The shipped recipe with a small network, four epochs, batches of eight and other changes of `train`."""
    values = load_params().recipe.model_dump(mode="json")
    values["model"]["architecture"] = architecture
    values["model"]["residual"] = {
        "width": 4,
        "training_sizes": [{"until": 0.5, "size": 32}, {"until": 1.0, "size": SIDE}],
    }
    values["model"]["classic"] |= {"num_blocks": 1, "filters": 4, "dense_units": 4, "dropout": 0.3}
    values["model"]["transfer"] |= model or {}
    values["augment"]["cutmix"] = cutmix
    values["train"] |= {"epochs": 4, "batch_size": 8, "precision": "float32", **train}
    return TrainingRecipe.model_validate_json(json.dumps(values))


def train_tiny(
    recipe: TrainingRecipe,
    folder: Path | None = None,
    *,
    runtime: Runtime = CPU,
    train: Photos | None = None,
    stop_after: int | None = None,
) -> tuple[FitResult, list[EpochReport]]:
    """Train, with checkpoints in `folder`; `stop_after` interrupts after so many epochs, before the state is saved."""
    told: list[EpochReport] = []

    def on_epoch(report: EpochReport) -> None:
        told.append(report)
        if len(told) == stop_after:
            raise KeyboardInterrupt

    checkpoint = Checkpoint(folder) if folder else None
    result = fitting.fit(
        recipe,
        train or tiny_photos(),
        validation=tiny_photos(17, seed=1),
        num_classes=2,
        runtime=runtime,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    return result, told


# --- Several devices ---


def tiny_body(*_: object, **__: object) -> keras.Model:
    """Everything that several devices must agree on."""
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


def shared_recipe(**train: Any) -> TrainingRecipe:
    """Batches of nine, which two devices share unevenly."""
    return tiny_recipe("classic", cutmix=0.5, batch_size=9, optimizer="sgd", learning_rate=0.1, **train)


def train_shared(recipe: TrainingRecipe, runtime: Runtime, folder: Path, **options: Any) -> dict[str, object]:
    """Train `tiny_body`; gives history and weights, as JSON takes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "build_body", tiny_body)
        result, _ = train_tiny(recipe, folder, runtime=runtime, train=tiny_photos(37), **options)
    return {"history": result.history, "weights": [weight.tolist() for weight in result.body.get_weights()]}


def train_as_machine(folder: Path) -> dict[str, Any]:
    """As one of the machines of TF_CONFIG: train, be interrupted and resume, and lose the other machine."""
    from convlens.errors import ConvLensError

    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    recipe = shared_recipe(max_minutes=60)
    runtime = prepare_runtime(recipe.train, Rendezvous("the same", is_chief=index == 0, seconds=60))
    devices = runtime.devices
    message = devices.from_chief(lambda: b"thirteen byte" if devices.is_chief else b"never made")
    answers: dict[str, Any] = {"devices": devices.describe("cpu"), "message": message.decode()}
    answers["whole"] = train_shared(recipe, runtime, folder / "whole")
    try:
        train_shared(recipe, runtime, folder / "cut", stop_after=3)
    except KeyboardInterrupt:
        answers["resumed"] = train_shared(recipe, runtime, folder / "cut")
    answers["files"] = sorted(path.name for path in folder.rglob("*"))
    if index:
        print(json.dumps(answers), flush=True)
        os._exit(9)  # as if its power had failed
    try:
        train_shared(recipe, runtime, folder / "lost")
    except ConvLensError as error:
        answers["error"] = str(error)
    return answers


def train_mirrored(folder: Path) -> dict[str, Any]:
    """On this machine's processor as one device, then as two."""
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    single, mirrored = (shared_recipe(strategy=name) for name in ("single", "mirrored"))
    one, two = (prepare_runtime(recipe.train, Rendezvous("")) for recipe in (single, mirrored))
    return {
        "devices": [one.devices.describe("cpu"), two.devices.describe("cpu")],
        "single": train_shared(single, one, folder / "single"),
        "mirrored": train_shared(mirrored, two, folder / "mirrored"),
        "too few": [train_few(shared_recipe(), devices) for devices in (one.devices, two.devices)],
        "dropout": dropout_masks(two.devices),
    }


def train_few(recipe: TrainingRecipe, devices: Devices) -> list[float]:
    """A step with a single photo, fewer than devices: loss, hits, and the sum of the weights afterwards."""
    from convlens.models.transfer import phase_at

    keras.utils.set_random_seed(0)
    with devices.scope():
        steps = Steps(tiny_body(), recipe, devices)
        batch = steps.prepare(tiny_photos(1).images, np.array([1]), (0, 0), size=SIDE)
        loss, hits = steps.train(batch, rate=0.1, phase=phase_at(0.0, recipe.model, steps.body))
    return [loss, hits, float(sum(abs(weight).sum() for weight in steps.body.get_weights()))]


def dropout_masks(devices: Devices) -> dict[str, list[list[float]]]:
    """What a dropout layer lets through on each device, in two epochs and in the first one again."""
    import tensorflow as tf

    with devices.scope():
        body = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
        steps = Steps(body, shared_recipe(), devices)
        dropout = body.layers[0]

    def masks(epoch: int) -> list[list[float]]:
        steps.reseed(seed=0, epoch=epoch)
        answers = devices.strategy.run(lambda: dropout(tf.ones((1, 64)), training=True))
        return [answer[0].numpy().tolist() for answer in devices.strategy.experimental_local_results(answers)]

    return {"first": masks(0), "second": masks(1), "first again": masks(0)}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    kind, target = sys.argv[1:]
    print(json.dumps({"machine": train_as_machine, "mirrored": train_mirrored}[kind](Path(target))))
