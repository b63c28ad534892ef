"""Fit a network: an epoch loop of our own, so that a killed training resumes bit by bit as if nothing had happened."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import psutil

from convlens.data.cache import cache_folder
from convlens.data.prepared import Images, count_steps, iterate_batches, order_photos
from convlens.errors import ConvLensError
from convlens.files import decode_arrays, encode_arrays
from convlens.models.architectures import build_body
from convlens.models.transfer import HEAD, Phase, load_pretrained, phase_at
from convlens.params import TrainingRecipe, TrainingSize, TrainParams
from convlens.training.checkpoints import Checkpoint, State, decode_state
from convlens.training.devices import Devices
from convlens.training.features import extract_features
from convlens.training.head import fit_head, measure_logits
from convlens.training.runtime import Runtime, require_determinism
from convlens.training.steps import Batch, Steps

# --- What changes over a training, by the share of it that is done: the learning rate and the picture size ---

FIRST_SHARE = 0.05


def learning_rate_at(progress: float, params: TrainParams) -> float:
    """Give the learning rate after a share (0..1) of the training: a linear rise, then a cosine to 0 or a constant.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983; warm-up as in Goyal et al. 2017, arXiv:1706.02677.
    """
    warmup = params.warmup_fraction
    if progress < warmup:
        return params.learning_rate * (FIRST_SHARE + (1 - FIRST_SHARE) * progress / warmup)
    if params.schedule == "constant":
        return params.learning_rate
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def size_at(progress: float, sizes: Sequence[TrainingSize], full: int) -> int:
    """Give the side in pixels of the pictures of an epoch that starts after a share (0..1) of the training.

    Args:
        progress: the share.
        sizes: steps of progressive resizing; without any the size is always the full one.
        full: side of the prepared photos.
    """
    return next((step.size for step in sizes if progress < step.until - 1e-9 or step is sizes[-1]), full)


def validation_size(size: int, sizes: Sequence[TrainingSize], full: int) -> int:
    """Give the side in pixels at which to validate while training at a size.

    Networks see best a little above the size they are trained at (Touvron et al. 2019, arXiv:1906.06423), and the last
    training size goes with the full one; earlier sizes keep the same ratio, rounded to 8 pixels.
    """
    return min(full, 8 * round(size * full / sizes[-1].size / 8)) if sizes and size != sizes[-1].size else full


# --- The epochs of a training, fitted to the time there is ---

MAX_EPOCHS = 100_000
MARGIN = 0.99  # of the time is planned for; the rest is for writing the model and for surprises
TOLERANCE = 0.05  # share of the epochs to come that measured times must call for before the plan is changed


@dataclass(frozen=True)
class Plan:
    """The progress of a training at the end of each of its epochs: rising numbers, the last one 1.

    Learning rate and picture size follow the progress, not the number of the epoch. So the plan may change on the way
    and the schedule still passes smoothly through all of its values and ends where it should.
    """

    ends: tuple[float, ...]

    @classmethod
    def even(cls, num_epochs: int) -> "Plan":
        """Make a plan of epochs of equal progress."""
        return cls(tuple((epoch + 1) / num_epochs for epoch in range(num_epochs)))

    @property
    def num_epochs(self) -> int:
        """Epochs in all."""
        return len(self.ends)

    def span(self, epoch: int) -> tuple[float, float]:
        """Give the progress at the start and at the end of an epoch (counted from 0)."""
        return (self.ends[epoch - 1] if epoch else 0.0), self.ends[epoch]

    def change(self, num_done: int, num_left: int) -> "Plan":
        """Keep the epochs done, and have `num_left` (at least 1) epochs of equal progress to the end."""
        done = self.ends[:num_done]
        start = done[-1] if done else 0.0
        coming = (start + (1 - start) * (number + 1) / num_left for number in range(num_left - 1))
        return Plan((*done, *coming, 1.0))


class Budget:
    """The plan of a training and its clock: keeps to `train.max_minutes`, and guesses how long the training will take.

    Attributes:
        plan: the epochs, finished and to come.
        costs: seconds an epoch takes, by picture size in pixels.
    """

    def __init__(
        self,
        params: TrainParams,
        size_of: Callable[[float], int],
        *,
        state: State | None = None,
        agree: Callable[[Plan], Plan] = lambda plan: plan,
    ) -> None:
        """Start the clock.

        Args:
            params: the group `train`.
            size_of: picture size by progress.
            state: of the interrupted training that is resumed.
            agree: gives the chief's plan on all machines, for each has a clock of its own.
        """
        self.plan = Plan(state.plan) if state and state.plan else Plan.even(params.epochs or 1)
        self.costs = dict(state.costs) if state else {}
        self._limit = None if params.max_minutes is None else 60 * MARGIN * params.max_minutes
        self._max_epochs = params.epochs or MAX_EPOCHS
        self._size_of, self._agree = size_of, agree
        self._started = time.monotonic() - (state.seconds if state else 0.0)
        self._told = self.spent()

    def spent(self) -> float:
        """Seconds of the training so far, those before an interruption included."""
        return time.monotonic() - self._started

    def start(self, measure: Callable[[], dict[int, float]]) -> None:
        """Make the first plan of a training that is to keep to a time, from what `measure` says epochs will take."""
        if self._limit is not None:
            self.costs = measure()
            self.plan = self._agree(self._fit(0, self.spent()))
        self._told = self.spent()

    def end_epoch(self, num_done: int, size: int | None) -> None:
        """Note what an epoch took, what came before it included, and change the plan where times are not as thought.

        Half of a surprise is believed, for the other sizes too.

        Args:
            num_done: epochs that have been run.
            size: of the pictures of this one; None if no other epoch is like it.
        """
        now = self.spent()
        seconds, self._told = now - self._told, now
        if size is None:
            return
        factor = 0.5 + 0.5 * seconds / (self._cost(size) if self.costs else seconds)
        self.costs = {known: cost * factor for known, cost in self.costs.items()}
        self.costs.setdefault(size, seconds)
        num_left = self.plan.num_epochs - num_done
        if self._limit is not None and num_left:
            fitted = self._fit(num_done, now)
            changes = abs(fitted.num_epochs - self.plan.num_epochs) > TOLERANCE * num_left
            self.plan = self._agree(fitted if changes else self.plan)

    def seconds_left(self, num_done: int, plan: Plan | None = None) -> float:
        """Guess how long the epochs to come will take."""
        plan = plan or self.plan
        return sum(self._cost(self._size_of(plan.span(epoch)[0])) for epoch in range(num_done, plan.num_epochs))

    def _fit(self, num_done: int, spent: float) -> Plan:
        """Plan as many epochs as end in time, at least one and at most `train.epochs`; those done stay as they were."""

        def fits(num_left: int) -> bool:
            left = self.seconds_left(num_done, self.plan.change(num_done, num_left))
            return spent + left <= (self._limit or 0.0)

        low, high = 1, 2  # low fits, or is the least there can be
        while high < MAX_EPOCHS and fits(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return self.plan.change(num_done, max(1, min(low, self._max_epochs - num_done)))

    def _cost(self, size: int) -> float:
        """Give the seconds of an epoch; of a size not seen yet by its pixels, and 0 before any was seen."""
        if size in self.costs or not self.costs:
            return self.costs.get(size, 0.0)
        nearest = min(self.costs, key=lambda known: abs(known - size))
        return self.costs[nearest] * size**2 / nearest**2


# --- The loop ---

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
        """Side in pixels."""
        return int(self.images[np.array([0])].shape[1])


@dataclass(frozen=True)
class EpochReport:
    """What is told after every epoch.

    Attributes:
        values: epoch (from 1), image_size, learning_rate, losses and accuracies of training and validation.
        timing: a row per epoch so far, this one the last: epoch, seconds, photos_per_second, memory_megabytes.
        num_epochs: of the whole training, as planned now.
        seconds_left: what the epochs to come will take.
    """

    values: dict[str, float]
    timing: list[dict[str, float]]
    num_epochs: int
    seconds_left: float

    def __str__(self) -> str:
        """Describe the epoch in one line."""
        values, (minutes, seconds) = self.values, divmod(round(self.seconds_left), 60)
        return (
            f"epoch {int(values['epoch']):>3}/{self.num_epochs}  {int(values['image_size'])} px  "
            f"loss {values['train_loss']:.3f}  accuracy {values['train_accuracy']:.1%}  "
            f"validation {values['validation_loss']:.3f} {values['validation_accuracy']:.1%}  "
            f"{self.timing[-1]['photos_per_second']:,.0f} photos/s  {minutes}:{seconds:02d} left"
        )


@dataclass(frozen=True)
class FitResult:
    """A finished training: the body with the weights that were kept, the history, and the epoch (from 1) kept."""

    body: keras.Model
    history: History
    best_epoch: int


def fit(
    recipe: TrainingRecipe,
    train: Photos,
    *,
    validation: Photos,
    num_classes: int,
    runtime: Runtime,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> FitResult:
    """Train a network, from the last finished epoch if there is a checkpoint.

    Args:
        recipe: what to train and how.
        train: photos to learn from.
        validation: photos to choose the best weights by.
        num_classes: at least 2.
        runtime: device and precision.
        checkpoint: where the state is kept after each epoch; None keeps none.
        on_epoch: called after every epoch that is run here, before its state is kept.

    Raises:
        NotFiniteError: the loss is NaN or infinite.
        ConvLensError: `train.deterministic` is asked of a layer that cannot be, or pretrained weights cannot be had.
    """
    params, devices, full_size = recipe.schedule, runtime.devices, train.image_size
    sizes = recipe.model.residual.training_sizes if recipe.model.architecture == "residual" else ()
    keras.utils.set_random_seed(params.seed)
    with devices.scope():
        # --- the network, new or as the last finished epoch left it ---
        fixed_size = None if sizes else full_size
        body = build_body(recipe.model, num_classes=num_classes, image_size=fixed_size, dtype=runtime.dtype_policy)
        saved = decode_state(devices.from_chief(lambda: checkpoint.read() if checkpoint else b""))
        if saved is None:
            load_pretrained(body, recipe.model)
        if params.deterministic:
            require_determinism(body)
        steps, state = Steps(body, recipe, devices), saved or State()
        if saved:
            steps.set_variables(saved.variables)

        # --- the plan of its epochs ---
        def agree(plan: Plan) -> Plan:
            ends = devices.from_chief(lambda: np.array(plan.ends, np.float64).tobytes())
            return Plan(tuple(np.frombuffer(ends, np.float64).tolist()))

        budget = Budget(params, lambda progress: size_at(progress, sizes, full_size), state=saved, agree=agree)
        if saved is None:
            budget.start(lambda: measure_epochs(steps, train, validation, recipe, num_machines=devices.num_machines))

        # --- one epoch after the other ---
        while not _is_over(state, budget.plan, params):
            epoch, began = len(state.history), time.monotonic()
            span = budget.plan.span(epoch)
            size, phase = size_at(span[0], sizes, full_size), phase_at(span[0], recipe.model, body)
            steps.reseed(seed=params.seed, epoch=epoch)
            values: dict[str, float] = {"epoch": epoch + 1, "image_size": size}
            is_fit = phase.name == "fitted"
            if is_fit:
                values |= _fit_last_layer(body, train, validation, recipe, devices)
            else:
                values |= _train_epoch(steps, train, params, epoch=epoch, span=span, size=size, phase=phase)
            trained = time.monotonic() - began
            if not is_fit:
                values |= _validate(steps, validation, validation_size(size, sizes, full_size))
            seconds = time.monotonic() - began
            if not epoch or values["validation_loss"] < min(row["validation_loss"] for row in state.history):
                state.best_epoch = epoch + 1
                state.best = [variable.numpy() for variable in body.variables] if params.keep == "best" else []

            budget.end_epoch(epoch + 1, None if is_fit else size)
            timing = {
                "epoch": epoch + 1,
                "seconds": seconds,
                "photos_per_second": count_photos(train, params) / trained,
            }
            timing["memory_megabytes"] = round(psutil.Process().memory_info().rss / 1e6)
            state.history.append(values)
            state.timing.append(timing)
            if on_epoch:
                left = budget.seconds_left(epoch + 1)
                on_epoch(EpochReport(values, state.timing, budget.plan.num_epochs, left))
            if checkpoint and devices.is_chief:
                state.variables, state.plan = steps.get_variables(), budget.plan.ends
                state.seconds, state.costs = budget.spent(), budget.costs
                checkpoint.save(state, body.get_weights)

        return _keep_weights(body, state, params)


def _keep_weights(body: keras.Model, state: State, params: TrainParams) -> FitResult:
    """Give the network with the weights that `train.keep` names."""
    if params.keep == "last":
        return FitResult(body, state.history, len(state.history))
    for variable, value in zip(body.variables, state.best, strict=True):
        variable.assign(value)
    return FitResult(body, state.history, state.best_epoch)


def _is_over(state: State, plan: Plan, params: TrainParams) -> bool:
    """Tell whether all epochs are run, or patience has run out."""
    num_done = len(state.history)
    return num_done >= plan.num_epochs or bool(params.patience and num_done - state.best_epoch >= params.patience)


def count_photos(train: Photos, params: TrainParams) -> int:
    """Count the photos that an epoch sees, in full batches unless there are fewer photos than that."""
    batch_size = min(params.batch_size, len(train.labels))
    return count_steps(len(train.labels), batch_size) * batch_size


def _train_epoch(
    steps: Steps, photos: Photos, params: TrainParams, *, epoch: int, span: tuple[float, float], size: int, phase: Phase
) -> dict[str, float]:
    """Train one epoch (counted from 0) from one progress to another; loss and accuracy are those of augmented photos.

    Raises:
        NotFiniteError: the loss is NaN or infinite.
    """
    batch_size = min(params.batch_size, len(photos.labels))
    num_steps = count_steps(len(photos.labels), batch_size)
    order = order_photos(len(photos.labels), seed=params.seed, epoch=epoch)
    losses, num_hits, rate = [], 0, 0.0
    for step, batch in enumerate(_batches(steps, photos, params, order=order, first=epoch * num_steps, size=size)):
        progress = span[0] + (span[1] - span[0]) * step / num_steps
        rate = learning_rate_at(progress, params) * phase.rate_factor
        loss, hits = steps.train(batch, rate=rate, phase=phase)
        if not math.isfinite(loss):
            raise NotFiniteError(
                f"Expected a finite loss. Received: {loss} in epoch {epoch + 1}. No model was written. Lower "
                "train.learning_rate, or set train.precision to float32.",
                order[step * batch_size :][:batch_size],
            )
        losses.append(loss)
        num_hits += hits
    accuracy = num_hits / (num_steps * batch_size)
    return {"learning_rate": rate, "train_loss": float(np.mean(losses)), "train_accuracy": accuracy}


def _batches(
    steps: Steps, photos: Photos, params: TrainParams, *, order: np.ndarray, first: int, size: int
) -> Iterator[Batch]:
    """Yield the photos of an order, augmented by the seed and the number of the batch in the whole training."""

    def prepare(number: int, images: np.ndarray, labels: np.ndarray) -> Batch:
        return steps.prepare(images, labels, (params.seed, first + number), size=size)

    batch_size = min(params.batch_size, len(photos.labels))
    return iterate_batches(photos.images, photos.labels, batch_size=batch_size, order=order, prepare=prepare)


def _fit_last_layer(
    body: keras.Model, train: Photos, validation: Photos, recipe: TrainingRecipe, devices: Devices
) -> dict[str, float]:
    """Fit the last layer to features of the photos, on the chief; gives loss and accuracy of both splits.

    Mirror images to learn from changed nothing that 2,000 photos could show, and take as long again.

    Raises:
        NotFiniteError: features are NaN or infinite.
    """
    layer = body.get_layer(HEAD)
    content = devices.from_chief(lambda: _make_last_layer(body, train, validation, recipe))
    fitted = decode_arrays(content)
    layer.set_weights([fitted["kernel"], fitted["bias"]])
    names = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    return {"learning_rate": 0.0, **dict(zip(names, fitted["values"].tolist(), strict=True))}


def _make_last_layer(body: keras.Model, train: Photos, validation: Photos, recipe: TrainingRecipe) -> bytes:
    features = [
        extract_features(body, recipe.model.transfer, photos.images, folder=cache_folder())
        for photos in (train, validation)
    ]
    if len(rows := np.flatnonzero(~np.isfinite(features[0]).all(axis=(0, 2)))):
        raise NotFiniteError("Expected finite features. Received: NaN or infinite ones. No model was written.", rows)
    labels = train.labels, validation.labels
    num_classes = max(2, body.output_shape[-1])
    head = fit_head(features[0], labels[0], features[1], labels[1], num_classes=num_classes, seed=recipe.train.seed)
    values: list[float] = []
    for given, expected in zip(features, labels, strict=True):
        values += measure_logits(given[0] @ head.kernel + head.bias, expected)
    return encode_arrays({"kernel": head.kernel, "bias": head.bias, "values": np.array(values)})


def _validate(steps: Steps, photos: Photos, size: int) -> dict[str, float]:
    """Give loss, without smoothing, and accuracy on photos as they are."""
    num_photos, loss, num_hits = len(photos.labels), 0.0, 0
    for start in range(0, num_photos, VALIDATION_BATCH):
        rows = np.arange(start, min(start + VALIDATION_BATCH, num_photos))
        batch_loss, hits = steps.validate(photos.images[rows], photos.labels[rows], size=size)
        loss, num_hits = loss + batch_loss * len(rows), num_hits + hits
    return {"validation_loss": loss / num_photos, "validation_accuracy": num_hits / num_photos}


# --- What an epoch will take, measured before the first one ---

MEASURED_SECONDS = 0.5
FEWEST_MEASURED, MOST_MEASURED = 3, 30


def measure_epochs(
    steps: Steps, train: Photos, validation: Photos, recipe: TrainingRecipe, *, num_machines: int
) -> dict[int, float]:
    """Measure the seconds that an epoch takes, by picture size, from some steps whose effect is undone."""
    kept, params, full_size = steps.get_variables(), recipe.train, train.image_size
    phase = phase_at(1.0, recipe.model, steps.body)
    sizes = recipe.model.residual.training_sizes if recipe.model.architecture == "residual" else ()
    batch_size = min(params.batch_size, len(train.labels))
    few = Photos(validation.images, validation.labels[:VALIDATION_BATCH])
    # Machines that measure for a time would not make the same steps, and wait for each other for ever.
    fixed_count = None if num_machines == 1 else FEWEST_MEASURED
    costs = {}
    for size in sorted({step.size for step in sizes} or {full_size}):

        def train_steps(count: int, size: int = size) -> None:
            order = np.resize(np.arange(len(train.labels)), count * batch_size)
            for batch in _batches(steps, train, params, order=order, first=0, size=size):
                steps.train(batch, rate=0.0, phase=phase)

        def validate(count: int, size: int = size) -> None:
            for _ in range(count):
                _validate(steps, few, validation_size(size, sizes, full_size))

        costs[size] = count_photos(train, params) / batch_size * _time(train_steps, fixed_count)
        costs[size] += len(validation.labels) / len(few.labels) * _time(validate, fixed_count)
    steps.set_variables(kept)
    return costs


def _time(action: Callable[[int], None], fixed_count: int | None) -> float:
    """Measure the seconds of an action done some times in a row; the first time, which compiles, is left out."""
    action(1)
    started = time.monotonic()
    action(FEWEST_MEASURED)
    each = (time.monotonic() - started) / FEWEST_MEASURED
    count = fixed_count or min(MOST_MEASURED, max(FEWEST_MEASURED, round(MEASURED_SECONDS / max(each, 1e-6))))
    started = time.monotonic()
    action(count)
    return (time.monotonic() - started) / count
