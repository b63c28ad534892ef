"""ConvLens as a contestant: photos decoded once, then its own epoch loop, by the functions the pipeline uses."""

import math
from contextlib import suppress
from pathlib import Path

import numpy as np

from convlens.bench.clock import Clock, is_spent
from convlens.bench.curves import Point, Training
from convlens.bench.flops import TRAINING, count_flops
from convlens.bench.photo_lists import Listed
from convlens.bench.processes import peak_memory
from convlens.bench.reading import open_array, write_array
from convlens.bench.training_task import TITLES, TrainingTask
from convlens.data.loader import LoaderSettings
from convlens.data.prepared import count_steps
from convlens.models.architectures import build_body
from convlens.params import NO_AUGMENTATION, PLAIN_TRAINING, ClassicParams
from convlens.progress import say
from convlens.training.checkpoints import Checkpoint
from convlens.training.fit import EpochReport, Photos, Recipe, fit
from convlens.training.runtime import prepare_runtime

LECTURE_NETWORK = ClassicParams(
    num_blocks=3, filters=16, kernel_size=3, stride=1, padding="valid", pooling="max", dense_units=512, dropout=0.0
)
# What `optimizer="adam"` means in Keras, and no end in sight: the bench stops when the budget is spent.
LECTURE_TRAINING = {
    **PLAIN_TRAINING,
    "epochs": 10_000,
    "batch_size": 32,
    "optimizer": "adam",
    "learning_rate": 0.001,
    "schedule": "constant",
}


class BudgetSpentError(Exception):
    """Ends a training whose recipe has no end of its own."""


def train_classic(task: TrainingTask) -> Training:
    """The lecture's network, optimizer and batch size, without augmentation, until the budget is spent."""
    params = task.params
    recipe = Recipe(
        params.model.model_copy(update={"architecture": "classic", "classic": LECTURE_NETWORK}),
        NO_AUGMENTATION,
        params.train.changed(**LECTURE_TRAINING),
        len(task.photos.classes),
    )
    return _run("classic", task, recipe, image_size=task.lecture_size)


def train_residual(task: TrainingTask) -> Training:
    """The recipe of params.yaml, with as many epochs as fit the budget."""
    params = task.params
    recipe = Recipe(
        params.model.model_copy(update={"architecture": "residual"}),
        params.augment,
        params.train.changed(epochs=None, max_minutes=task.seconds / 60),
        len(task.photos.classes),
    )
    return _run("residual", task, recipe, image_size=params.preprocess.image_size)


def _run(name: str, task: TrainingTask, recipe: Recipe, *, image_size: int) -> Training:
    runtime = prepare_runtime(recipe.train)
    clock = Clock()
    train, held_out = (
        _decode(part, task, image_size, task.workspace / f"{name}-{number}.npy")
        for number, part in enumerate((task.photos.train, task.photos.held_out))
    )
    ready, checkpoint = clock.seconds, Checkpoint(task.workspace / name)  # kept after each epoch, as in the pipeline
    budget = math.inf if recipe.train.max_minutes else task.seconds  # a limit of its own ends the schedule in time
    watch = _Watch(name, recipe, num_photos=len(train.labels), budget=budget)
    with suppress(BudgetSpentError):
        fit(recipe, train, validation=held_out, runtime=runtime, checkpoint=checkpoint, on_epoch=watch.on_epoch)
    points = tuple(watch.points)
    return Training(name, runtime.precision, ready, points, watch.step_seconds, watch.count_flops(), watch.memory)


def _decode(listed: Listed, task: TrainingTask, image_size: int, path: Path) -> Photos:
    params = task.params.preprocess
    settings = LoaderSettings(image_size, params.keep_aspect, params.resampling)
    write_array(path, listed.paths, settings, num_workers=params.num_workers)
    return Photos(open_array(path), np.array(listed.labels, np.int64))


class _Watch:
    """Takes note of every epoch, held-out photos off the clock; the clock runs from its making on."""

    def __init__(self, name: str, recipe: Recipe, *, num_photos: int, budget: float) -> None:
        batch_size = min(recipe.train.batch_size, num_photos)
        self._photos_per_epoch = count_steps(num_photos, batch_size) * batch_size
        self._name, self._recipe, self._budget = name, recipe, budget
        self._photos_at: dict[int, int] = {}
        self.points: list[Point] = []
        self.memory = self.step_seconds = 0.0
        self._clock = Clock()

    def on_epoch(self, report: EpochReport) -> None:
        """Note a point of the curve.

        Raises:
            BudgetSpentError: the budget is spent.
        """
        self._clock.pause()
        trained = self._photos_per_epoch / report.photos_per_second
        self._clock.forget(report.seconds - trained)
        self.step_seconds += trained
        size, accuracy = int(report.values["image_size"]), report.values["validation_accuracy"]
        self._photos_at[size] = self._photos_at.get(size, 0) + self._photos_per_epoch
        self.points.append(Point(self._clock.seconds, sum(self._photos_at.values()), accuracy))
        self.memory = peak_memory()
        shown = f"{self._clock.seconds:.1f} s, {accuracy:.1%} of held-out photos right"
        say(f"{TITLES[self._name]}: epoch {len(self.points)}, {size} px, {shown}")
        if is_spent([point.seconds for point in self.points], self._budget):
            raise BudgetSpentError
        self._clock.resume()

    def count_flops(self) -> int:
        """Operations of all training steps, at the sizes the pictures had."""
        return TRAINING * sum(count * self._count_forward(size) for size, count in self._photos_at.items())

    def _count_forward(self, size: int) -> int:
        return count_flops(build_body(self._recipe.model, num_classes=self._recipe.num_classes, image_size=size), size)
