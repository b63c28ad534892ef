"""What one would write instead of ConvLens: the lecture's code with Keras, and nothing else."""

from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

from convlens.bench.clock import Clock, is_spent
from convlens.bench.curves import Point, Training
from convlens.bench.flops import TRAINING, count_flops
from convlens.bench.processes import peak_memory
from convlens.bench.training_task import TITLES, TrainingTask
from convlens.progress import say
from convlens.training.runtime import prepare_runtime

BATCH_SIZE = 32  # also the default of `image_dataset_from_directory`
MAX_EPOCHS = 10_000


def train(task: TrainingTask, *, cached: bool) -> Training:
    """Train the lecture's network with `model.fit` until the budget is spent.

    Args:
        task: photos and budget.
        cached: keep the decoded photos in memory, `.cache().prefetch()`.
    """
    prepare_runtime(task.params.train)
    keras.utils.set_random_seed(task.params.train.seed)
    clock, num_classes = Clock(), len(task.photos.classes)
    photos, held_out = (_read(task.links / part, task, shuffle=part == "train") for part in ("train", "held_out"))
    if cached:
        photos, held_out = (part.cache().prefetch(tf.data.AUTOTUNE) for part in (photos, held_out))
    network = build_lecture_network(task.lecture_size, num_classes)
    ready = clock.seconds
    name = "keras-cached" if cached else "keras"
    watch = _Watch(name, held_out, num_photos=len(task.photos.train), budget=task.seconds)
    # The data set shuffles itself; saying so only avoids Keras' warning.
    network.fit(photos, epochs=MAX_EPOCHS, callbacks=[watch], verbose=0, shuffle=False)
    memory = peak_memory()
    flops = TRAINING * count_flops(network, task.lecture_size) * watch.points[-1].num_photos
    points = tuple(watch.points)
    return Training(name, "float32", ready, points, points[-1].seconds, flops, memory)


def build_lecture_network(image_size: int, num_classes: int) -> keras.Model:
    """Three convolutions with pooling and a dense layer of 512, compiled with Adam; ten lines in every course."""
    two = num_classes == 2
    network = keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dense(1, activation="sigmoid") if two else layers.Dense(num_classes, activation="softmax"),
        ]
    )
    loss = "binary_crossentropy" if two else "sparse_categorical_crossentropy"
    network.compile("adam", loss=loss, metrics=["accuracy"])
    return network


def _read(folder: Path, task: TrainingTask, *, shuffle: bool) -> tf.data.Dataset:
    dataset: tf.data.Dataset = keras.utils.image_dataset_from_directory(
        folder,
        label_mode="binary" if len(task.photos.classes) == 2 else "int",
        class_names=list(task.photos.classes),
        batch_size=BATCH_SIZE,
        image_size=(task.lecture_size, task.lecture_size),
        shuffle=shuffle,
        verbose=False,
    )
    return dataset


class _Watch(keras.callbacks.Callback):
    """Answers the held-out photos after every epoch, off the clock, and ends the training when the budget is spent."""

    def __init__(self, name: str, held_out: tf.data.Dataset, *, num_photos: int, budget: float) -> None:
        super().__init__()
        self._name, self._held_out, self._num_photos, self._budget = name, held_out, num_photos, budget
        self._clock = Clock()
        self.points: list[Point] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self._clock.pause()
        accuracy = float(self.model.evaluate(self._held_out, verbose=0, return_dict=True)["accuracy"])
        seconds = self._clock.seconds
        self.points.append(Point(seconds, (epoch + 1) * self._num_photos, accuracy))
        say(f"{TITLES[self._name]}: epoch {epoch + 1}, {seconds:.1f} s, {accuracy:.1%} of held-out photos right")
        self.model.stop_training = is_spent([point.seconds for point in self.points], self._budget)
        self._clock.resume()
