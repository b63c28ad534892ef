"""Fit a network: plan the epochs, run them, keep checkpoints."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import psutil

from convlens.data.prepared import Images, count_steps, iterate_batches, order_photos
from convlens.errors import ConvLensError
from convlens.models.architectures import build_body
from convlens.models.transfer import Phase, load_pretrained, phase_at
from convlens.params import AugmentParams, ModelParams, TrainingSize, TrainParams
from convlens.training.checkpoints import Checkpoint, State, decode_state
from convlens.training.devices import SINGLE, Devices
from convlens.training.optimizers import build_optimizer
from convlens.training.runtime import Runtime, require_determinism
from convlens.training.steps import Batch, build_steps

# --- What changes over a training, by the share of it that is done: the learning rate and the picture size ---

FIRST_SHARE = 0.05


def learning_rate_at(progress: float, params: TrainParams) -> float:
    """The learning rate after a share (0..1) of the training: a linear rise, then a cosine to 0 or a constant.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983; warm-up as in Goyal et al. 2017, arXiv:1706.02677.
    """
    warmup = params.warmup_fraction
    if progress < warmup:
        return params.learning_rate * (FIRST_SHARE + (1 - FIRST_SHARE) * progress / warmup)
    if params.schedule == "constant":
        return params.learning_rate
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def size_at(progress: float, sizes: Sequence[TrainingSize]) -> int:
    """The picture size of an epoch that starts after a share (0..1) of the training."""
    return next(step.size for step in sizes if progress < step.until - 1e-9 or step is sizes[-1])


# --- plan ---
# How far a training has come at the end of each epoch, so that its schedule can be fitted to the time there is.

MAX_EPOCHS = 100_000


@dataclass(frozen=True)
class Plan:
    """The progress of a training at the end of each of its epochs: rising numbers, the last one 1.

    Learning rate and picture size follow the progress, not the number of the epoch. So the plan may change on the way
    and the schedule still passes smoothly through all of its values and ends where it should.
    """

    ends: tuple[float, ...]

    @classmethod
    def even(cls, num_epochs: int) -> "Plan":
        """Epochs of equal progress."""
        return cls(tuple((epoch + 1) / num_epochs for epoch in range(num_epochs)))

    @property
    def num_epochs(self) -> int:
        """Epochs in all."""
        return len(self.ends)

    def span(self, epoch: int) -> tuple[float, float]:
        """Progress at the start and at the end of an epoch (counted from 0)."""
        return (self.ends[epoch - 1] if epoch else 0.0), self.ends[epoch]

    def change(self, num_done: int, num_left: int) -> "Plan":
        """The same up to now, then `num_left` (at least 1) epochs of equal progress to the end."""
        done = self.ends[:num_done]
        start = done[-1] if done else 0.0
        coming = (start + (1 - start) * (number + 1) / num_left for number in range(num_left - 1))
        return Plan((*done, *coming, 1.0))


def seconds_of(plan: Plan, epochs: range, seconds_at: Callable[[float], float]) -> float:
    """How long some epochs will take.

    Args:
        plan: progress of each epoch.
        epochs: which, counted from 0.
        seconds_at: length of an epoch that starts at a progress.
    """
    return sum(seconds_at(plan.span(epoch)[0]) for epoch in epochs)


def fit_plan(plan: Plan, num_done: int, *, seconds: float, seconds_at: Callable[[float], float]) -> Plan:
    """As many epochs as end within a time, at least one; the epochs done stay as they were.

    Args:
        plan: the plan so far.
        num_done: finished epochs.
        seconds: the time that is left.
        seconds_at: length of an epoch that starts at a progress.
    """

    def fits(num_left: int) -> bool:
        changed = plan.change(num_done, num_left)
        return seconds_of(changed, range(num_done, changed.num_epochs), seconds_at) <= seconds

    low, high = 1, 2  # low fits, or is the least there can be
    while high < MAX_EPOCHS and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return plan.change(num_done, low)


# --- The time a training may take, and what its epochs cost ---

MARGIN = 0.99  # of the time is planned for; the rest is for writing the model and for surprises
TOLERANCE = 0.05  # share of the epochs to come that measured times must call for before the plan is changed


class Budget:
    """Keeps a training to `train.max_minutes`, and guesses how long it will take.

    Attributes:
        costs: seconds an epoch takes, by picture size in pixels.
        spent_before: seconds the training took before it was cut off and taken up again.
    """

    def __init__(self, params: TrainParams, state: State | None) -> None:
        self._seconds = None if params.max_minutes is None else 60 * MARGIN * params.max_minutes
        self._max_epochs = params.epochs
        self.costs = dict(state.costs) if state else {}
        self.spent_before = state.seconds if state else 0.0

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self._seconds is not None

    def fit(self, plan: Plan, num_done: int, *, spent: float, size_at: Callable[[float], int]) -> Plan:
        """As many epochs as the time allows, and no more than `train.epochs`."""
        left = (self._seconds or 0.0) - spent
        fitted = fit_plan(plan, num_done, seconds=left, seconds_at=lambda progress: self._cost(size_at(progress)))
        if self._max_epochs is None or fitted.num_epochs <= self._max_epochs:
            return fitted
        return plan.change(num_done, max(1, self._max_epochs - num_done))

    def correct(self, plan: Plan, num_done: int, *, spent: float, size_at: Callable[[float], int]) -> Plan:
        """The plan, with more or fewer epochs to come where they take another time than was thought."""
        num_left = plan.num_epochs - num_done
        if not num_left:
            return plan
        fitted = self.fit(plan, num_done, spent=spent, size_at=size_at)
        return fitted if abs(fitted.num_epochs - plan.num_epochs) > TOLERANCE * num_left else plan

    def learn(self, size: int, seconds: float) -> None:
        """Take note of the time of an epoch; half of a surprise is believed, for the other sizes too."""
        expected = self._cost(size) if self.costs else seconds
        factor = 0.5 + 0.5 * seconds / expected
        self.costs = {known: cost * factor for known, cost in self.costs.items()}
        self.costs.setdefault(size, seconds)

    def seconds_left(self, plan: Plan, num_done: int, size_at: Callable[[float], int]) -> float:
        """What the epochs to come will take."""
        return seconds_of(plan, range(num_done, plan.num_epochs), lambda progress: self._cost(size_at(progress)))

    def _cost(self, size: int) -> float:
        """Seconds of an epoch; of a size not seen yet by its pixels."""
        if size in self.costs:
            return self.costs[size]
        nearest = min(self.costs, key=lambda known: abs(known - size))
        return self.costs[nearest] * size**2 / nearest**2


# --- The epochs of a training: its network, its optimizer and its photos, one epoch at a time ---

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


# --- Training: an epoch loop of its own, so that a run can be killed and goes on bit by bit as if it had not been ---


@dataclass(frozen=True)
class EpochReport:
    """What is told after every epoch.

    Attributes:
        values: epoch (from 1), image_size, learning_rate, losses and accuracies of training and validation.
        num_epochs: of the whole training, as planned now.
        seconds: wall-clock time of this epoch.
        photos_per_second: training photos over the time of the training steps.
        memory_megabytes: memory that this process holds after the epoch, in millions of bytes.
        seconds_left: what the epochs to come will take.
        weights: gives the network's weights after this epoch; to be called before the next one.
    """

    values: dict[str, float]
    num_epochs: int
    seconds: float
    photos_per_second: float
    memory_megabytes: float
    seconds_left: float
    weights: Callable[[], list[np.ndarray]]


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
        ConvLensError: `train.deterministic` is asked of a layer that cannot be, or pretrained weights cannot be had.
    """
    started = time.monotonic()
    keras.utils.set_random_seed(recipe.train.seed)
    size = None if recipe.model.architecture == "residual" else train.image_size
    with runtime.devices.scope():
        body = build_body(recipe.model, num_classes=recipe.num_classes, image_size=size, dtype=runtime.dtype_policy)
        state = decode_state(runtime.devices.from_chief(checkpoint.read))
        if state is None:
            load_pretrained(body, recipe.model)
        if recipe.train.deterministic:
            require_determinism(body)
        epochs = Epochs(recipe, body, train, validation, devices=runtime.devices)
        return _Training(epochs, checkpoint, state, started, runtime.devices).run(on_epoch)


class _Training:
    """One training: its epochs, its clock and its checkpoint."""

    def __init__(
        self, epochs: Epochs, checkpoint: Checkpoint, state: State | None, started: float, devices: Devices
    ) -> None:
        self._epochs, self._checkpoint, self._started, self._devices = epochs, checkpoint, started, devices
        epochs.restore(state)
        self._budget = Budget(epochs.recipe.train, state)
        self._plan = Plan(state.plan) if state else self._make_plan()
        self._told = self._spent()

    def run(self, on_epoch: Callable[[EpochReport], None]) -> FitResult:
        """Run the epochs that are left."""
        while not self._epochs.is_over(self._plan.num_epochs):
            on_epoch(self._run_epoch())
            if self._devices.is_chief:
                self._checkpoint.save(self._epochs.state(self._plan, self._spent(), self._budget.costs))
        return FitResult(*self._epochs.result())

    def _make_plan(self) -> Plan:
        if not self._budget.is_limited:
            return Plan.even(self._epochs.recipe.train.epochs or 1)
        self._budget.costs = self._epochs.measure()
        return self._agree(self._budget.fit(Plan.even(1), 0, spent=self._spent(), size_at=self._epochs.size_at))

    def _agree(self, plan: Plan) -> Plan:
        """The chief's plan on all machines, for each has a clock of its own."""
        ends = np.array(plan.ends, np.float64)
        return Plan(tuple(np.frombuffer(self._devices.from_chief(ends.tobytes), np.float64).tolist()))

    def _run_epoch(self) -> EpochReport:
        number, started = self._epochs.num_done, time.monotonic()
        start, end = self._plan.span(number)
        values, photos_per_second = self._epochs.run(start, end)
        seconds = time.monotonic() - started
        self._learn(int(values["image_size"]), number + 1)
        left = self._budget.seconds_left(self._plan, number + 1, self._epochs.size_at)
        memory = psutil.Process().memory_info().rss / 1e6
        weights = self._epochs.body.get_weights
        return EpochReport(values, self._plan.num_epochs, seconds, photos_per_second, memory, left, weights)

    def _learn(self, size: int, num_done: int) -> None:
        """Note what an epoch took, what came between it and the one before included, and correct the plan."""
        spent = self._spent()
        self._budget.learn(size, spent - self._told)
        self._told = spent
        if self._budget.is_limited:
            plan = self._budget.correct(self._plan, num_done, spent=spent, size_at=self._epochs.size_at)
            self._plan = self._agree(plan)

    def _spent(self) -> float:
        """Seconds of the training so far, those before a restart included."""
        return self._budget.spent_before + time.monotonic() - self._started
