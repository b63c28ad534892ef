"""Training: an epoch loop of its own, so that a run can be killed and goes on bit by bit as if it had not been."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from convlens.errors import ConvLensError
from convlens.network.architectures import build_body
from convlens.network.batches import Images, count_steps, iterate_batches, order_photos
from convlens.network.checkpoints import Checkpoint, State
from convlens.network.optimizers import build_optimizer
from convlens.network.runtime import Runtime
from convlens.network.schedules import learning_rate_at, size_at
from convlens.network.steps import Steps
from convlens.params import AugmentParams, ModelParams, TrainingSize, TrainParams

VALIDATION_BATCH = 128
History = list[dict[str, float]]


class NotFiniteError(ConvLensError):
    """The loss of a batch is NaN or infinite; `rows` are the rows of its photos in the training split."""

    def __init__(self, message: str, rows: np.ndarray) -> None:
        super().__init__(message)
        self.rows = rows


@dataclass(frozen=True)
class Photos:
    """One split: photos uint8 (n, size, size, 3), and labels int64 (n,)."""

    images: Images
    labels: np.ndarray

    @property
    def image_size(self) -> int:
        """Side of the photos in pixels."""
        return int(self.images[np.arange(1)].shape[1])


@dataclass(frozen=True)
class Recipe:
    """What to train and how."""

    model: ModelParams
    augment: AugmentParams
    train: TrainParams
    num_classes: int


@dataclass(frozen=True)
class EpochReport:
    """What is told after every epoch.

    Attributes:
        values: epoch (from 1), image_size, learning_rate, losses and accuracies of training and validation.
        num_epochs: of the whole training.
        seconds: wall-clock time of this epoch.
        photos_per_second: training photos over the time of the training steps.
        seconds_left: what the epochs to come will take, by the pixels they have.
    """

    values: dict[str, float]
    num_epochs: int
    seconds: float
    photos_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class FitResult:
    """A finished training: the body with the weights that were kept, the history, and the epoch (from 1) kept."""

    body: keras.Model
    history: History
    best_epoch: int


def fit(
    recipe: Recipe,
    train: Photos,
    *,
    validation: Photos,
    runtime: Runtime,
    checkpoint: Checkpoint,
    on_epoch: Callable[[EpochReport], None],
) -> FitResult:
    """Train a network, from the last finished epoch if there is a checkpoint.

    Args:
        recipe: what to train and how.
        train: photos to learn from.
        validation: photos to choose the best weights by.
        runtime: device and precision.
        checkpoint: where the state is kept after each epoch.
        on_epoch: called after every epoch that is run here.

    Raises:
        NotFiniteError: the loss is NaN or infinite.
    """
    keras.utils.set_random_seed(recipe.train.seed)
    size = None if recipe.model.architecture == "residual" else train.image_size
    body = build_body(recipe.model, num_classes=recipe.num_classes, image_size=size, dtype=runtime.dtype_policy)
    run = _Run(recipe, body, train, validation)
    run.restore(checkpoint.load())
    while not run.is_over():
        on_epoch(run.run_epoch())
        checkpoint.save(run.state())
    return run.result()


class _Run:
    """The moving parts of one training."""

    def __init__(self, recipe: Recipe, body: keras.Model, train: Photos, validation: Photos) -> None:
        self._recipe, self._body, self._train, self._validation = recipe, body, train, validation
        params = recipe.train
        self._batch_size = min(params.batch_size, len(train.labels))
        self._num_steps = count_steps(len(train.labels), self._batch_size)
        self._optimizer = build_optimizer(params, body)
        self._optimizer.build(body.trainable_variables)
        self._steps = Steps(body, self._optimizer, recipe.augment, params.label_smoothing)
        self._history: History = []
        self._best: list[np.ndarray] = []
        self._best_epoch = 0

    def restore(self, state: State | None) -> None:
        """Take up the state of an earlier process."""
        if state is None:
            return
        self._history, self._best, self._best_epoch = state.history, state.best, state.best_epoch
        for variable, value in zip(self._variables(), state.variables, strict=True):
            variable.assign(value)

    def state(self) -> State:
        """Everything that the next epoch depends on."""
        values = [variable.numpy() for variable in self._variables()]
        return State(self._history, values, self._best, self._best_epoch)

    def is_over(self) -> bool:
        """Whether all epochs are run, or patience has run out."""
        params = self._recipe.train
        waited = len(self._history) - self._best_epoch
        return len(self._history) >= params.epochs or bool(params.patience and waited >= params.patience)

    def run_epoch(self) -> EpochReport:
        """Train one epoch, then validate."""
        epoch, started = len(self._history), time.monotonic()
        reseed(self._body, seed=self._recipe.train.seed, epoch=epoch)
        size = self._size(epoch)
        loss, accuracy = self._train_epoch(epoch, size)
        trained = time.monotonic() - started
        validation_loss, validation_accuracy = self._validate()
        values = {
            "epoch": epoch + 1,
            "image_size": size,
            "learning_rate": self._rate((epoch + 1) * self._num_steps - 1),
            "train_loss": loss,
            "train_accuracy": accuracy,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
        }
        self._remember(values)
        photos, seconds = self._num_steps * self._batch_size, time.monotonic() - started
        return EpochReport(values, self._recipe.train.epochs, seconds, photos / trained, self._seconds_left(seconds))

    def result(self) -> FitResult:
        """The body with the weights of the best or the last epoch, as `train.keep` says."""
        if self._recipe.train.keep == "best":
            for variable, value in zip(self._body.variables, self._best, strict=True):
                variable.assign(value)
            return FitResult(self._body, self._history, self._best_epoch)
        return FitResult(self._body, self._history, len(self._history))

    def _variables(self) -> list[keras.Variable]:
        return [*self._body.variables, *self._optimizer.variables]

    def _size(self, epoch: int) -> int:
        sizes: tuple[TrainingSize, ...] = ()
        if self._recipe.model.architecture == "residual":
            sizes = self._recipe.model.residual.training_sizes
        full = self._train.image_size
        return size_at(epoch, num_epochs=self._recipe.train.epochs, sizes=sizes) if sizes else full

    def _seconds_left(self, seconds: float) -> float:
        done, total = len(self._history), self._recipe.train.epochs
        pixels = [self._size(epoch) ** 2 for epoch in range(done - 1, total)]
        return seconds * sum(pixels[1:]) / pixels[0]

    def _rate(self, step: int) -> float:
        params = self._recipe.train
        return learning_rate_at(step, num_steps=params.epochs * self._num_steps, params=params)

    def _train_epoch(self, epoch: int, size: int) -> tuple[float, float]:
        """Mean loss and accuracy over the augmented photos."""
        seed = self._recipe.train.seed
        order = order_photos(len(self._train.labels), seed=seed, epoch=epoch)
        batches = iterate_batches(self._train.images, self._train.labels, batch_size=self._batch_size, order=order)
        losses, hits = [], 0
        for number, (photos, labels) in enumerate(batches):
            step = epoch * self._num_steps + number
            draw = tf.constant([seed, step], tf.int32)
            loss, right = self._steps.train(photos, labels, draw, rate=self._rate(step), size=size)
            losses.append(float(loss))
            hits += int(right)
            if not math.isfinite(losses[-1]):
                raise _not_finite(losses[-1], epoch, order[number * self._batch_size :][: self._batch_size])
        return float(np.mean(losses)), hits / (self._num_steps * self._batch_size)

    def _validate(self) -> tuple[float, float]:
        """Loss without smoothing, and accuracy, on photos as they are."""
        rows = np.arange(len(self._validation.labels))
        loss, hits = 0.0, 0
        for start in range(0, len(rows), VALIDATION_BATCH):
            batch = rows[start : start + VALIDATION_BATCH]
            values = self._steps.validate(self._validation.images[batch], self._validation.labels[batch])
            loss, hits = loss + float(values[0]) * len(batch), hits + int(values[1])
        return loss / len(rows), hits / len(rows)

    def _remember(self, values: dict[str, float]) -> None:
        self._history = [*self._history, values]
        earlier = [row["validation_loss"] for row in self._history[:-1]]
        if not earlier or values["validation_loss"] < min(earlier):
            self._best_epoch = len(self._history)
            if self._recipe.train.keep == "best":
                self._best = [variable.numpy() for variable in self._body.variables]


def reseed(network: keras.Model, *, seed: int, epoch: int) -> None:
    """Set the state of every random layer from seed and epoch, so that a restart draws the same numbers."""
    for number, layer in enumerate(network._flatten_layers(include_self=False, recursive=True)):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            state = np.random.SeedSequence([seed, epoch, number]).generate_state(2)
            generator.state.assign(state.astype(generator.state.dtype))


def _not_finite(loss: float, epoch: int, rows: np.ndarray) -> NotFiniteError:
    return NotFiniteError(
        f"Expected a finite loss. Received: {loss} in epoch {epoch + 1}. No model was written. Lower "
        "train.learning_rate, or set train.precision to float32.",
        rows,
    )
