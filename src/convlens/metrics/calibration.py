"""Whether probabilities mean what they say: reliability by bins, expected calibration error."""

from dataclasses import dataclass

import numpy as np

from convlens.metrics.classification import predicted_classes
from convlens.metrics.intervals import wilson_interval


@dataclass(frozen=True)
class ReliabilityBin:
    """Photos answered with similar probability.

    Attributes:
        num_photos: photos in the bin.
        confidence: mean probability of their answers.
        accuracy: share of them answered right.
        low: lower end of the accuracy's Wilson interval.
        high: upper end.
    """

    num_photos: int
    confidence: float
    accuracy: float
    low: float
    high: float


def reliability_bins(
    labels: np.ndarray, probabilities: np.ndarray, *, num_bins: int = 10, confidence: float = 0.95
) -> tuple[ReliabilityBin, ...]:
    """Sort photos by the probability of their answer into bins of even size, rising.

    Photos with equal probabilities share a bin, so there may be fewer bins than asked for.

    Args:
        labels: int64 (N,).
        probabilities: float64 (N, K).
        num_bins: bins at most.
        confidence: coverage of the Wilson intervals.
    """
    given = probabilities.max(axis=1)
    right = predicted_classes(probabilities) == labels
    bins = _even_bins(given, num_bins)
    members = [bins == index for index in range(bins.max() + 1)]
    return tuple(_describe_bin(given[member], right[member], confidence) for member in members)


def expected_calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Mean gap between probability and accuracy, weighted by photos (Naeini et al., 2015)."""
    gaps = [group.num_photos * abs(group.accuracy - group.confidence) for group in bins]
    return sum(gaps) / sum(group.num_photos for group in bins)


def _even_bins(values: np.ndarray, num_bins: int) -> np.ndarray:
    """The number of each value's bin, 0.. without gaps, int64 (N,)."""
    last_places = -(-np.arange(1, num_bins) * len(values) // num_bins) - 1
    edges = np.unique(np.sort(values)[last_places])
    _, bins = np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)
    return bins


def _describe_bin(given: np.ndarray, right: np.ndarray, confidence: float) -> ReliabilityBin:
    low, high = wilson_interval(int(right.sum()), len(right), confidence=confidence)
    return ReliabilityBin(len(given), float(given.mean()), float(right.mean()), low, high)
