"""Training: an epoch loop of its own, so that a run can be killed and goes on bit by bit as if it had not been."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import psutil

from convlens.network.architectures import build_body
from convlens.network.budget import Budget
from convlens.network.checkpoints import Checkpoint, State, decode_state
from convlens.network.determinism import require_determinism
from convlens.network.devices import Devices
from convlens.network.epochs import Epochs, History, Photos, Recipe
from convlens.network.plan import Plan
from convlens.network.pretrained import load_pretrained
from convlens.network.runtime import Runtime


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
