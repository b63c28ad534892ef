"""One of several machines, or one machine with several devices, in a process of its own: trains and prints JSON."""

import json
import os
import sys
from pathlib import Path
from typing import Any


def train_as_machine(folder: Path) -> dict[str, Any]:
    """As one of the machines of TF_CONFIG: train, cut off and go on, and lose the other machine."""
    from tiny_training import tiny_recipe, told, train_tiny

    from convlens.errors import ConvLensError
    from convlens.training.devices import Meeting
    from convlens.training.runtime import prepare_runtime

    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    recipe = tiny_recipe(max_minutes=60)
    runtime = prepare_runtime(recipe.train, Meeting("the same", is_chief=index == 0, seconds=60))
    devices = runtime.devices
    message = devices.from_chief(lambda: b"thirteen byte" if devices.is_chief else b"never made")
    answers: dict[str, Any] = {"devices": devices.describe("cpu"), "message": message.decode()}
    answers["whole"] = told(train_tiny(recipe, runtime, folder / "whole"))
    try:
        train_tiny(recipe, runtime, folder / "cut", stop_after=3)
    except KeyboardInterrupt:
        answers["resumed"] = told(train_tiny(recipe, runtime, folder / "cut"))
    answers["files"] = sorted(path.name for path in folder.rglob("*"))
    if index:
        print(json.dumps(answers), flush=True)
        os._exit(9)  # as if its power had failed
    try:
        train_tiny(recipe, runtime, folder / "lost")
    except ConvLensError as error:
        answers["error"] = str(error)
    return answers


def train_mirrored(folder: Path) -> dict[str, Any]:
    """On this machine's processor as one device, then as two."""
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    from tiny_training import tiny_recipe, told, train_tiny

    from convlens.training.devices import Meeting
    from convlens.training.runtime import prepare_runtime

    single, mirrored = (tiny_recipe(strategy=name) for name in ("single", "mirrored"))
    one, two = (prepare_runtime(recipe.train, Meeting("")) for recipe in (single, mirrored))
    return {
        "devices": [one.devices.describe("cpu"), two.devices.describe("cpu")],
        "single": told(train_tiny(single, one, folder / "single")),
        "mirrored": told(train_tiny(mirrored, two, folder / "mirrored")),
        "dropout": dropout_masks(two.devices),
    }


def dropout_masks(devices: Any) -> dict[str, list[list[float]]]:
    """What a dropout layer lets through on each device, in two epochs and in the first one again."""
    import keras
    import tensorflow as tf

    from convlens.params import load_params
    from convlens.training.steps import ReplicatedSteps

    with devices.scope():
        body = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5)])
        steps = ReplicatedSteps(body, keras.optimizers.SGD(), load_params().augment, 0.0, devices)

    def masks(epoch: int) -> list[list[float]]:
        steps.reseed(seed=0, epoch=epoch)
        answers = devices.strategy.run(lambda: body(tf.ones((1, 64)), training=True))
        return [answer[0].numpy().tolist() for answer in devices.strategy.experimental_local_results(answers)]

    return {"first": masks(0), "second": masks(1), "first again": masks(0)}


if __name__ == "__main__":
    kind, target = sys.argv[1:]
    print(json.dumps({"machine": train_as_machine, "mirrored": train_mirrored}[kind](Path(target))))
