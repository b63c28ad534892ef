"""A clock that stands still while held-out photos are answered, and the budget it is read against."""

import time


class Clock:
    """Seconds of training: runs from its making on, except while it is paused."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._started: float | None = time.perf_counter()

    @property
    def seconds(self) -> float:
        """What has passed so far."""
        return self._passed + (0.0 if self._started is None else time.perf_counter() - self._started)

    def pause(self) -> None:
        """Stand still; nothing happens if it does already."""
        self._passed, self._started = self.seconds, None

    def resume(self) -> None:
        """Run on."""
        self._passed, self._started = self.seconds, time.perf_counter()

    def forget(self, seconds: float) -> None:
        """Take off what was spent on something else than training."""
        self._passed -= seconds


def is_spent(ends: list[float], budget: float) -> bool:
    """Whether one more epoch, as long as the last, would end after the budget.

    Args:
        ends: seconds at which the epochs so far ended.
        budget: seconds in all.
    """
    last = ends[-1] - ends[-2] if len(ends) > 1 else ends[-1]
    return ends[-1] + last > budget
