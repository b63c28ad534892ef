"""Training side by side on the same photos and cores: the lecture's Keras code, and ConvLens.

    python benchmarks/train.py --photos FOLDER --minutes 5

Contestants train one after the other, each in a process of its own; ratios are to the first. Heavy imports stand in
their functions, so that each one's peak memory is its own.
"""

import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import harness

from convlens.environment import hold_stderr
from convlens.params import NO_AUGMENTATION, PLAIN_TRAINING, ClassicParams, Params, load_params
from convlens.progress import say
from convlens.wording import show_count, show_share

if TYPE_CHECKING:
    import keras

    from convlens.training.fit import EpochReport

TARGETS = (0.69, 0.83)  # where the lecture's network ends, and where the textbook's best without pretraining does
MAX_EPOCHS = 10_000  # no end in sight: the benchmark stops when the budget is spent
BATCH_SIZE = 32
LECTURE_NETWORK = ClassicParams(
    num_blocks=3, filters=16, kernel_size=3, stride=1, padding="valid", pooling="max", dense_units=512, dropout=0.0
)
ADAM = {"optimizer": "adam", "learning_rate": 0.001, "schedule": "constant"}  # what `optimizer="adam"` means in Keras
LECTURE_TRAINING = {**PLAIN_TRAINING, **ADAM, "epochs": MAX_EPOCHS, "batch_size": BATCH_SIZE}
NOTES = """\
Time to an accuracy: training until the end of the first epoch that reaches it, compiling included, evaluation not.
Ready after: what comes before the first step. Accuracy: on held-out photos, 95 % interval. ConvLens residual spends
its minutes on evaluation and on planning its epochs as well.
Share of peak: operations of training (3 x forward; multiply-adds of convolutions and dense layers x 2) per second,
over the fastest product of 2048 to 4096 wide matrices measured in this run, in the precision used."""


@dataclass(frozen=True)
class TrainingTask:
    """What every contestant gets: photos, a folder to write to, all of params.yaml, seconds of training, and pixels."""

    photos: harness.Contest
    workspace: Path
    params: Params
    seconds: float
    lecture_size: int = 150


# --- what is measured ---


class Curve:
    """Accuracy on held-out photos over seconds of training; the clock runs from its making on.

    Attributes:
        points: for the end of each epoch `seconds` of training, `num_photos` trained on so far (a photo counts once per
            epoch) and `accuracy`.
    """

    def __init__(self, title: str, budget: float) -> None:
        self.points: list[dict[str, float]] = []
        self._title, self._budget, self._untimed, self._started = title, budget, 0.0, time.perf_counter()

    def add(self, num_photos: int, accuracy: float, *, untimed: float) -> bool:
        """Note an epoch of so many photos; of the seconds since the last one, `untimed` were no training.

        Returns:
            Whether one more epoch, as long as this one, would end after the budget.
        """
        self._untimed += untimed
        seconds = time.perf_counter() - self._started - self._untimed
        before = self.points[-1] if self.points else {"seconds": 0.0, "num_photos": 0}
        point = {"seconds": seconds, "num_photos": before["num_photos"] + num_photos, "accuracy": float(accuracy)}
        self.points.append(point)
        say(f"{self._title}: epoch {len(self.points)}, {seconds:.1f} s, accuracy {accuracy:.1%} on held-out photos")
        return 2 * seconds - before["seconds"] > self._budget


def time_to_accuracy(points: Sequence[dict[str, float]], target: float) -> float | None:
    """Return the seconds at the end of the first epoch with this accuracy; never a time between two epochs."""
    return next((point["seconds"] for point in points if point["accuracy"] >= target), None)


def count_flops(network: "keras.Model", image_size: int) -> int:
    """Count the operations of one photo's forward pass, from TensorFlow's graph: multiply-adds x 2.

    Normalization, pooling, activations and offsets, mostly a few per cent, are left out; so are other kinds of
    convolutions, which no contestant has.
    """
    import tensorflow as tf

    pictures = tf.TensorSpec((1, image_size, image_size, 3), network.inputs[0].dtype)
    graph = tf.function(lambda batch: network(batch, training=False)).get_concrete_function(pictures).graph
    total = 0
    for operation in graph.get_operations():
        if operation.type == "Conv2D":  # each value is a sum over the kernel: filters (height, width, inputs, outputs)
            total += math.prod(operation.outputs[0].shape) * math.prod(operation.inputs[1].shape[:-1])
        elif operation.type == "MatMul":  # (rows, inner) by (inner, columns)
            total += math.prod(operation.outputs[0].shape) * int(operation.inputs[0].shape[-1])
    return 2 * total


def measure_peaks(params: Params, sizes: Sequence[int] = (2048, 3072, 4096), num_trials: int = 5) -> dict[str, float]:
    """Measure operations per second of the fastest product of matrices, by precision, with the threads of training."""
    with hold_stderr():
        import tensorflow as tf

        from convlens.training.runtime import prepare_runtime

    prepare_runtime(params.train)
    peaks = dict.fromkeys(("float32", "bfloat16"), 0.0)
    for dtype in peaks:
        for size in sizes:
            left, right = (tf.cast(tf.random.stateless_normal((size, size), (0, seed)), dtype) for seed in (1, 2))
            for trial in range(num_trials + 1):
                started = time.perf_counter()
                tf.matmul(left, right)[0, 0].numpy()  # asking for a value waits for the product, also on a GPU
                if trial:  # the first one is not counted
                    peaks[dtype] = max(peaks[dtype], 2 * size**3 / (time.perf_counter() - started))
    return peaks


# --- contestants ---


def train_keras(task: TrainingTask, *, cached: bool = False) -> dict[str, Any]:
    """Train the lecture's network as one would write it in Keras, until the budget is spent.

    With `cached` decoded photos are kept in memory as float32, `.cache().prefetch()`; else every epoch decodes anew.
    """
    with hold_stderr():
        import keras
        import tensorflow as tf

        from convlens.training.runtime import prepare_runtime

    prepare_runtime(task.params.train)
    keras.utils.set_random_seed(task.params.train.seed)
    started, classes = time.perf_counter(), task.photos.classes
    train, held_out = (
        keras.utils.image_dataset_from_directory(
            task.photos.links / part,
            label_mode="binary" if len(classes) == 2 else "int",
            class_names=classes,
            batch_size=BATCH_SIZE,
            image_size=(task.lecture_size, task.lecture_size),
            shuffle=part == "train",
            verbose=False,
        )
        for part in ("train", "held_out")
    )
    if cached:
        train, held_out = (part.cache().prefetch(tf.data.AUTOTUNE) for part in (train, held_out))
    network = build_lecture_network(task.lecture_size, len(classes))
    ready, curve = time.perf_counter() - started, Curve(TITLES["keras-cached" if cached else "keras"], task.seconds)

    def on_epoch_end(_: int, __: object) -> None:
        ended = time.perf_counter()
        accuracy = network.evaluate(held_out, verbose=0, return_dict=True)["accuracy"]
        num_photos = len(task.photos.paths["train"])
        network.stop_training = curve.add(num_photos, accuracy, untimed=time.perf_counter() - ended)

    callback = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
    # The data set shuffles itself; saying so only avoids Keras' warning.
    network.fit(train, epochs=MAX_EPOCHS, callbacks=[callback], verbose=0, shuffle=False)
    last, memory = curve.points[-1], harness.peak_memory()
    flops = 3 * count_flops(network, task.lecture_size) * last["num_photos"]
    measured = {"step_seconds": last["seconds"], "flops": flops, "memory_megabytes": memory}
    return {"precision": "float32", "ready_seconds": ready, **measured, "curve": curve.points}


def build_lecture_network(image_size: int, num_classes: int) -> "keras.Model":
    """Build three convolutions with pooling and a dense layer of 512, compiled with Adam; ten lines in every course."""
    import keras
    from keras import layers

    two = num_classes == 2
    network = keras.Sequential([keras.Input((image_size, image_size, 3)), layers.Rescaling(1 / 255)])
    for filters in (16, 32, 64):
        network.add(layers.Conv2D(filters, 3, activation="relu"))
        network.add(layers.MaxPooling2D())
    network.add(layers.Flatten())
    network.add(layers.Dense(512, activation="relu"))
    network.add(layers.Dense(1, activation="sigmoid") if two else layers.Dense(num_classes, activation="softmax"))
    loss = "binary_crossentropy" if two else "sparse_categorical_crossentropy"
    network.compile("adam", loss=loss, metrics=["accuracy"])
    return network


class BudgetSpentError(Exception):
    """Ends a training whose recipe has no end of its own."""


def train_convlens(task: TrainingTask, *, name: str) -> dict[str, Any]:
    """Train with ConvLens as the pipeline does: photos decoded once, then its own epoch loop.

    `classic` is the lecture's network, optimizer and batch size, without augmentation, until the budget is spent;
    `residual` is the recipe of params.yaml, with as many epochs as fit the budget.
    """
    with hold_stderr():
        import numpy as np

        from convlens.data.prepared import count_steps
        from convlens.models.architectures import build_body
        from convlens.params import TrainingRecipe
        from convlens.training.fit import Photos, fit
        from convlens.training.runtime import prepare_runtime

    params, photos, num_classes = task.params, task.photos, len(task.photos.classes)
    model, augment, budget = params.model.model_copy(update={"architecture": name}), params.augment, math.inf
    train, image_size = params.train.changed(epochs=None, max_minutes=task.seconds / 60), params.preprocess.image_size
    if name == "classic":
        model, augment, budget = model.model_copy(update={"classic": LECTURE_NETWORK}), NO_AUGMENTATION, task.seconds
        train, image_size = params.train.changed(**LECTURE_TRAINING), task.lecture_size
    runtime, started, parts = prepare_runtime(train), time.perf_counter(), []
    for part in ("train", "held_out"):
        path = task.workspace / f"{name}-{part}.npy"
        harness.write_array(path, photos.paths[part], params.preprocess, image_size=image_size)
        parts.append(Photos(harness.open_array(path), np.array(photos.labels[part], np.int64)))
    ready, curve = time.perf_counter() - started, Curve(TITLES[name], budget)
    batch_size = min(train.batch_size, len(photos.paths["train"]))
    per_epoch = batch_size * count_steps(len(photos.paths["train"]), batch_size)
    trained_at, measured = Counter[int](), {"step_seconds": 0.0, "memory_megabytes": 0.0}

    def on_epoch(epoch: "EpochReport") -> None:
        steps = per_epoch / epoch.timing[-1]["photos_per_second"]
        trained_at[int(epoch.values["image_size"])] += per_epoch
        measured["step_seconds"] += steps
        measured["memory_megabytes"] = harness.peak_memory()
        if curve.add(per_epoch, epoch.values["validation_accuracy"], untimed=epoch.timing[-1]["seconds"] - steps):
            raise BudgetSpentError

    recipe = TrainingRecipe(model=model, augment=augment, train=train)
    with suppress(BudgetSpentError):
        fit(recipe, parts[0], validation=parts[1], num_classes=num_classes, runtime=runtime, on_epoch=on_epoch)
    flops = 0
    for size, num_photos in trained_at.items():
        flops += 3 * num_photos * count_flops(build_body(model, num_classes=num_classes, image_size=size), size)
    return {"precision": runtime.precision, "ready_seconds": ready, "flops": flops, **measured, "curve": curve.points}


CONTESTANTS: dict[str, Callable[[TrainingTask], dict[str, Any]]] = {
    "keras": train_keras,
    "keras-cached": partial(train_keras, cached=True),
    "classic": partial(train_convlens, name="classic"),
    "residual": partial(train_convlens, name="residual"),
}
TITLES = {
    "keras": "Keras, lecture code",
    "keras-cached": "Keras with cache()",
    "classic": "ConvLens classic",
    "residual": "ConvLens residual",
}

# --- result ---


def compare_training(
    folder: Path | None, params: Params, *, minutes: float, names: Sequence[str], lecture_size: int = 150
) -> dict[str, Any]:
    """Measure the machine, then every contestant; return plain values: machine, photos, and a row for each.

    Raises:
        ConvLensError: no such folder, too few photos, or a contestant's process was killed.
    """
    with tempfile.TemporaryDirectory(prefix="convlens-benchmark-") as place:
        photos = harness.gather_photos(folder, params, Path(place))
        say("benchmark: measuring the machine's peak.")
        peaks = harness.in_new_process(measure_peaks, params)
        task, rows = TrainingTask(photos, Path(place), params, 60 * minutes, lecture_size), []
        for name in names:
            say(f"benchmark: {TITLES[name]}, {task.seconds:.0f} s of training.")
            measured = harness.in_new_process(CONTESTANTS[name], task)
            rows.append(summarize(name, measured, photos.values["num_held_out"], peaks))
    machine = {**harness.describe_machine(), "peak_flops_per_second": peaks}
    return {"benchmark": "train", "machine": machine, "photos": photos.values, "minutes": minutes, "contestants": rows}


def summarize(name: str, measured: dict[str, Any], num_held_out: int, peaks: dict[str, float]) -> dict[str, Any]:
    """Add what follows from a contestant's measurements: times to accuracies, interval, speeds, share of the peak."""
    from convlens.metrics.intervals import wilson_interval

    last, seconds = measured["curve"][-1], measured["step_seconds"]
    low, high = wilson_interval(last["accuracy"] * num_held_out, num_held_out)
    return {
        "name": name,
        "title": TITLES[name],
        **measured,
        "photos_per_second": last["num_photos"] / seconds,
        "seconds_to": {f"{target:.2f}": time_to_accuracy(measured["curve"], target) for target in TARGETS},
        "accuracy": last["accuracy"],
        "accuracy_low": low,
        "accuracy_high": high,
        "num_epochs": len(measured["curve"]),
        "seconds": last["seconds"],
        "share_of_peak": measured["flops"] / seconds / peaks[measured["precision"]],
    }


def format_training(result: dict[str, Any]) -> str:
    """Format all that a person reads."""
    rows = result["contestants"]
    first, peaks = rows[0], result["machine"]["peak_flops_per_second"]

    def show_seconds(value: float) -> str:
        return f"{value:.1f} s" if value < 10 else f"{value:,.0f} s"

    def show_time(row: dict[str, Any], target: str) -> str:
        seconds, base = row["seconds_to"][target], first["seconds_to"][target]
        if seconds is None:
            return "not reached"
        return show_seconds(seconds) + ("" if base is None or row is first else harness.show_ratio(base / seconds))

    def show_accuracy(row: dict[str, Any]) -> str:
        return f"{show_share(row['accuracy'])} ({100 * row['accuracy_low']:.1f} to {100 * row['accuracy_high']:.1f})"

    targets = [(f"time to {float(target):.0%} accuracy", target) for target in first["seconds_to"]]
    table = [
        ["", *(row["title"] for row in rows)],
        ["precision of multiplication", *(row["precision"] for row in rows)],
        ["ready after", *(show_seconds(row["ready_seconds"]) for row in rows)],
        ["photos per second, training", *(harness.show_speed(row, first) for row in rows)],
        *([title, *(show_time(row, target) for row in rows)] for title, target in targets),
        ["accuracy at the end", *map(show_accuracy, rows)],
        ["trained for", *(f"{show_seconds(row['seconds'])}, {show_count(row['num_epochs'], 'epoch')}" for row in rows)],
        ["peak memory", *(f"{row['memory_megabytes']:,.0f} MB" for row in rows)],
        ["share of the machine's peak", *(show_share(row["share_of_peak"], 0) for row in rows)],
    ]
    measured = ", ".join(f"{name} {peak / 1e9:,.0f}" for name, peak in peaks.items())
    head = f"Training for {result['minutes']:g} min each. {harness.show_photos(result['photos'])}"
    machine = f"{harness.show_machine(result['machine'])}\nMeasured peak in GFLOP/s: {measured}."
    notes = f"(2.0x): twice as fast as {first['title']}.\n{NOTES}"
    return f"{head}\n{machine}\n\n{harness.format_table(table)}\n\n{notes}"


@click.command()
@harness.photos_option
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=5, show_default=True,
              help="Time of training for each contestant.")  # fmt: skip
@click.option("--contestant", "names", type=click.Choice(list(CONTESTANTS)), multiple=True, show_default=True,
              default=("keras", "classic", "residual"),
              help="Who trains; can be given several times. Ratios are to the first.")  # fmt: skip
@harness.json_option
def main(photos: Path | None, minutes: float, names: Sequence[str], json_file: Path | None) -> None:
    """Train side by side: the lecture's Keras code, and ConvLens with the lecture's network and with its own.

    Needs idle cores.
    """
    result = compare_training(photos, load_params(), minutes=minutes, names=list(dict.fromkeys(names)))
    harness.report(result, format_training(result), json_file)


if __name__ == "__main__":
    harness.run(main)
