"""What a training has reached at which second: time to an accuracy, speed, and the share of the machine's peak."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """The end of an epoch.

    Attributes:
        seconds: of training since its start, without the time for answering held-out photos.
        num_photos: trained on so far; a photo counts once per epoch.
        accuracy: share of the held-out photos answered rightly, 0..1.
    """

    seconds: float
    num_photos: int
    accuracy: float


@dataclass(frozen=True)
class Training:
    """What one contestant has done.

    Attributes:
        name: of the contestant.
        precision: `float32` or `bfloat16`, of the multiplications.
        ready_seconds: from the start, TensorFlow being loaded, to the first step of training.
        points: one per epoch.
        step_seconds: of `points[-1].seconds`, what the training steps took, compiling included.
        flops: floating-point operations of all training steps.
        memory_megabytes: peak of the process.
    """

    name: str
    precision: str
    ready_seconds: float
    points: tuple[Point, ...]
    step_seconds: float
    flops: float
    memory_megabytes: float

    @property
    def photos_per_second(self) -> float:
        """Of the training steps."""
        return self.points[-1].num_photos / self.step_seconds

    @property
    def flops_per_second(self) -> float:
        """Of the training steps."""
        return self.flops / self.step_seconds

    @property
    def accuracy(self) -> float:
        """At the end."""
        return self.points[-1].accuracy


def time_to_accuracy(points: Sequence[Point], target: float) -> float | None:
    """Seconds of training after which the accuracy was first at `target` (0..1) or above; None if it never was.

    Epochs end seldom: the answer is the end of the first epoch that got there, never a time between two epochs.
    """
    return next((point.seconds for point in points if point.accuracy >= target), None)
