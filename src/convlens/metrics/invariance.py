"""How far photos may be changed before the answers change: accuracy and consistency, with intervals.

Answers are int64 class indices. A disturbance may have several variants (directions, say): answers (V, N), one row
each. Photos, not variants, are what is drawn at random, so an interval counts every photo once, however many variants
it was answered in. As a photo's share of hits lies in 0..1, the mean over photos varies at most as much as a share of
N single answers: the intervals hold the truth at least as often as they say.
"""

from dataclasses import dataclass

import numpy as np

from convlens.errors import ConvLensError
from convlens.metrics.intervals import Interval, wilson_interval


@dataclass(frozen=True)
class Invariance:
    """What a disturbance does to the answers.

    Attributes:
        accuracy: share of right answers to the disturbed photos, mean over variants and photos.
        consistency: share of answers that are the same as to the undisturbed photo, right or wrong.
    """

    accuracy: Interval
    consistency: Interval


def measure_invariance(
    labels: np.ndarray, undisturbed: np.ndarray, answers: np.ndarray, *, confidence: float = 0.95
) -> Invariance:
    """Compare answers to disturbed photos with the truth and with the answers to the photos as they are.

    Args:
        labels: true classes, int64 (N,).
        undisturbed: answers to the photos as they are, int64 (N,).
        answers: answers to the disturbed photos, int64 (V, N).
        confidence: coverage of the intervals, 0..1.

    Raises:
        ConvLensError: no photos, or shapes that do not fit.
    """
    _check(labels, undisturbed, answers)
    return Invariance(
        accuracy=share_of_photos(answers == labels, confidence=confidence),
        consistency=share_of_photos(answers == undisturbed, confidence=confidence),
    )


def measure_agreement(answers: np.ndarray, *, confidence: float = 0.95) -> Interval:
    """The share of photos that get one and the same answer in all variants, from answers int64 (V, N)."""
    _check(answers[0], answers[0], answers)
    return share_of_photos((answers == answers[0]).all(axis=0)[np.newaxis], confidence=confidence)


def share_of_photos(hits: np.ndarray, *, confidence: float = 0.95) -> Interval:
    """The share of hits among booleans (V, N), with Wilson's interval for N independent photos."""
    num_photos = hits.shape[1]
    share = float(hits.mean())
    return Interval(share, *wilson_interval(share * num_photos, num_photos, confidence=confidence))


def _check(labels: np.ndarray, undisturbed: np.ndarray, answers: np.ndarray) -> None:
    fits = labels.shape == undisturbed.shape == answers.shape[1:] and answers.ndim == 2
    if not (fits and answers.size):
        raise ConvLensError(
            "Expected labels (N,), answers (N,) and answers to disturbed photos (V, N) of at least one photo. "
            f"Received: {labels.shape}, {undisturbed.shape} and {answers.shape}."
        )
