"""How far a training has come at the end of each epoch, so that its schedule can be fitted to the time there is."""

from collections.abc import Callable
from dataclasses import dataclass

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
