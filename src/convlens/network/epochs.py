"""The epochs of a training: its network, its optimizer and its photos, one epoch at a time."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np

from convlens.errors import ConvLensError
from convlens.network.batches import Images, count_steps, iterate_batches, order_photos
from convlens.network.checkpoints import State
from convlens.network.devices import SINGLE, Devices
from convlens.network.optimizers import build_optimizer
from convlens.network.plan import Plan
from convlens.network.replicated import build_steps
from convlens.network.schedules import learning_rate_at, size_at
from convlens.network.steps import Batch
from convlens.network.transfer import Phase, phase_at
from convlens.params import AugmentParams, ModelParams, TrainingSize, TrainParams

VALIDATION_BATCH = 128
MEASURED_SECONDS = 0.5
FEWEST_MEASURED, MOST_MEASURED = 3, 30
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


class Epochs:
    """The moving parts of one training."""

    def __init__(
        self, recipe: Recipe, body: keras.Model, train: Photos, validation: Photos, *, devices: Devices = SINGLE
    ) -> None:
        self.recipe, self.body, self._train, self._validation = recipe, body, train, validation
        params = recipe.train
        self._batch_size = min(params.batch_size, len(train.labels))
        self._num_steps = count_steps(len(train.labels), self._batch_size)
        self._optimizer = build_optimizer(params, body)
        self._optimizer.build(body.trainable_variables)
        self._steps = build_steps(
            body, self._optimizer, augmentation=recipe.augment, smoothing=params.label_smoothing, devices=devices
        )
        # Machines that measure for a time would not make the same steps, and wait for each other for ever.
        self._fixed_count = None if devices.num_machines == 1 else FEWEST_MEASURED
        self._full = train.image_size
        self._sizes = recipe.model.residual.training_sizes if recipe.model.architecture == "residual" else ()
        self._history: History = []
        self._best: list[np.ndarray] = []
        self._best_epoch = 0

    @property
    def num_done(self) -> int:
        """Finished epochs."""
        return len(self._history)

    def size_at(self, progress: float) -> int:
        """The side in pixels of the pictures of an epoch that starts after a share (0..1) of the training."""
        return size_at(progress, self._sizes) if self._sizes else self._full

    def restore(self, state: State | None) -> None:
        """Take up the state of an earlier process."""
        if state is None:
            return
        self._history, self._best, self._best_epoch = state.history, state.best, state.best_epoch
        self._assign(state.variables)

    def state(self, plan: Plan, seconds: float, costs: dict[int, float]) -> State:
        """Everything that the next epoch depends on."""
        values = [variable.numpy() for variable in self._variables()]
        return State(self._history, values, self._best, self._best_epoch, plan.ends, seconds, costs)

    def is_over(self, num_epochs: int) -> bool:
        """Whether all epochs are run, or patience has run out."""
        patience = self.recipe.train.patience
        return self.num_done >= num_epochs or bool(patience and self.num_done - self._best_epoch >= patience)

    def run(self, start: float, end: float) -> tuple[dict[str, float], float]:
        """Train one epoch from one progress to another, then validate.

        Returns:
            The values of `EpochReport`, and training photos per second.
        """
        size, started = self.size_at(start), time.monotonic()
        phase = phase_at(start, self.recipe.model, self.body)
        self._steps.reseed(seed=self.recipe.train.seed, epoch=self.num_done)
        loss, accuracy = self._train_epoch(start, end, size=size, phase=phase)
        trained = time.monotonic() - started
        validation_loss, validation_accuracy = self._validate(size)
        values = {
            "epoch": self.num_done + 1,
            "image_size": size,
            "learning_rate": self._rate(start, end, self._num_steps - 1) * phase.rate_factor,
            "train_loss": loss,
            "train_accuracy": accuracy,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
        }
        self._remember(values)
        return values, self._num_steps * self._batch_size / trained

    def result(self) -> tuple[keras.Model, History, int]:
        """The body with the weights of the best or the last epoch, as `train.keep` says; history; that epoch."""
        if self.recipe.train.keep == "best":
            for variable, value in zip(self.body.variables, self._best, strict=True):
                variable.assign(value)
            return self.body, self._history, self._best_epoch
        return self.body, self._history, len(self._history)

    def measure(self) -> dict[int, float]:
        """Seconds that an epoch takes, by picture size, from some steps whose effect is undone."""
        kept = [variable.numpy() for variable in self._variables()]
        sizes = sorted({step.size for step in self._sizes} or {self._full})
        costs = {size: self._measure_epoch(size) for size in sizes}
        self._assign(kept)
        return costs

    def _measure_epoch(self, size: int) -> float:
        phase = phase_at(1.0, self.recipe.model, self.body)
        rows = np.arange(min(VALIDATION_BATCH, len(self._validation.labels)))

        def steps(count: int) -> None:
            order = np.resize(np.arange(len(self._train.labels)), count * self._batch_size)
            for batch in self._batches(order, size):
                float(self._steps.train(batch, rate=0.0, phase=phase)[0])

        def validate(count: int) -> None:
            for _ in range(count):
                self._validate_batch(rows, size)

        validation = _time(validate, self._fixed_count) * len(self._validation.labels) / len(rows)
        return self._num_steps * _time(steps, self._fixed_count) + validation

    def _variables(self) -> list[keras.Variable]:
        return [*self.body.variables, *self._optimizer.variables]

    def _assign(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self._variables(), values, strict=True):
            variable.assign(value)

    def _rate(self, start: float, end: float, step: int) -> float:
        return learning_rate_at(start + (end - start) * step / self._num_steps, self.recipe.train)

    def _train_epoch(self, start: float, end: float, *, size: int, phase: Phase) -> tuple[float, float]:
        """Mean loss and accuracy over the augmented photos."""
        order = order_photos(len(self._train.labels), seed=self.recipe.train.seed, epoch=self.num_done)
        losses, hits = [], 0
        for number, batch in enumerate(self._batches(order, size)):
            loss, right = self._steps.train(batch, rate=self._rate(start, end, number), phase=phase)
            losses.append(float(loss))
            hits += int(right)
            if not math.isfinite(losses[-1]):
                raise _not_finite(losses[-1], self.num_done, order[number * self._batch_size :][: self._batch_size])
        return float(np.mean(losses)), hits / (self._num_steps * self._batch_size)

    def _batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        """The photos of an order, changed at random as the number of the epoch says."""
        seed, first = self.recipe.train.seed, self.num_done * self._num_steps

        def prepare(number: int, photos: np.ndarray, labels: np.ndarray) -> Batch:
            return self._steps.prepare(photos, labels, (seed, first + number), size=size)

        images, labels = self._train.images, self._train.labels
        return iterate_batches(images, labels, batch_size=self._batch_size, order=order, prepare=prepare)

    def _validate(self, size: int) -> tuple[float, float]:
        """Loss without smoothing, and accuracy, on photos as they are."""
        rows = np.arange(len(self._validation.labels))
        loss, hits = 0.0, 0
        for start in range(0, len(rows), VALIDATION_BATCH):
            batch = rows[start : start + VALIDATION_BATCH]
            batch_loss, batch_hits = self._validate_batch(batch, size)
            loss, hits = loss + batch_loss * len(batch), hits + batch_hits
        return loss / len(rows), hits / len(rows)

    def _validate_batch(self, rows: np.ndarray, size: int) -> tuple[float, int]:
        size = validation_size(size, self._sizes, self._full)
        loss, hits = self._steps.validate(self._validation.images[rows], self._validation.labels[rows], size=size)
        return float(loss), int(hits)

    def _remember(self, values: dict[str, float]) -> None:
        self._history = [*self._history, values]
        earlier = [row["validation_loss"] for row in self._history[:-1]]
        if not earlier or values["validation_loss"] < min(earlier):
            self._best_epoch = len(self._history)
            if self.recipe.train.keep == "best":
                self._best = [variable.numpy() for variable in self.body.variables]


def validation_size(size: int, sizes: tuple[TrainingSize, ...], full: int) -> int:
    """The side in pixels at which to validate while training at a size.

    Networks see best a little above the size they are trained at (Touvron et al. 2019, arXiv:1906.06423), and the last
    training size goes with the full one; earlier sizes keep the same ratio, rounded to 8 pixels.
    """
    return min(full, 8 * round(size * full / sizes[-1].size / 8)) if sizes and size != sizes[-1].size else full


def _time(action: Callable[[int], None], fixed_count: int | None) -> float:
    """Seconds that an action takes when it is done some times in a row; the first time, which compiles, is left out."""
    action(1)
    started = time.monotonic()
    action(FEWEST_MEASURED)
    each = (time.monotonic() - started) / FEWEST_MEASURED
    count = fixed_count or min(MOST_MEASURED, max(FEWEST_MEASURED, round(MEASURED_SECONDS / max(each, 1e-6))))
    started = time.monotonic()
    action(count)
    return (time.monotonic() - started) / count


def _not_finite(loss: float, epoch: int, rows: np.ndarray) -> NotFiniteError:
    return NotFiniteError(
        f"Expected a finite loss. Received: {loss} in epoch {epoch + 1}. No model was written. Lower "
        "train.learning_rate, or set train.precision to float32.",
        rows,
    )
