"""The time a training may take, and what its epochs cost."""

from collections.abc import Callable

from convlens.network.checkpoints import State
from convlens.network.plan import Plan, fit_plan, seconds_of
from convlens.params import TrainParams

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
