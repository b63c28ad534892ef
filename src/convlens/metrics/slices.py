"""Slices: which photos are classified worse than the rest, with accuracy by brightness, size, camera and the like.

Each slice is held against all other photos that its feature is known of, by Fisher's exact test, one-sided: is it
worse? There are many slices, so some look bad by chance. P-values are corrected by Holm's method and not by
Benjamini's and Hochberg's: slices overlap and exclude each other, so the tests depend on one another in ways the
latter does not allow for, and a flag sends a person to work: all flags are correct with the chosen confidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from convlens.metrics.drift import correct_by_holm
from convlens.metrics.intervals import wilson_interval

MIN_PHOTOS = 10  # fewer are shown and not tested: they would only make the correction harder on the others
MAX_BINS = 4


@dataclass(frozen=True)
class Feature:
    """What photos can be sorted by.

    Attributes:
        codes: number of each photo's slice, int64 (N,); -1 where the feature is not known.
        names: of the slices, in the order they are shown.
    """

    codes: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Slice:
    """Photos that have something in common.

    Attributes:
        feature: what they are sorted by.
        name: of the slice.
        num_photos: in it.
        num_correct: classified correctly.
        accuracy: share of them, with the ends of Wilson's interval.
        low: lower end.
        high: upper end.
        rest_accuracy: of all other photos.
        p_value: chance of doing so much worse than the rest if the slice did not matter, corrected; None: not tested.
        worse: whether it is, beyond chance.
    """

    feature: str
    name: str
    num_photos: int
    num_correct: int
    accuracy: float
    low: float
    high: float
    rest_accuracy: float
    p_value: float | None
    worse: bool


def measure_slices(
    features: Mapping[str, Feature], correct: np.ndarray, *, confidence: float = 0.95
) -> tuple[Slice, ...]:
    """Accuracy of every slice, held against the rest.

    Args:
        features: what the photos are sorted by; features with one slice only are left out.
        correct: whether each photo is classified correctly, bool (N,).
        confidence: coverage of the intervals, and of all flags together.
    """
    parts = [part for title, feature in features.items() for part in _split(title, feature)]
    chances = [_compare(correct[part.inside], correct[part.rest]) for part in parts]
    tested = [index for index, chance in enumerate(chances) if chance is not None]
    corrected = dict(zip(tested, correct_by_holm([chances[index] or 0.0 for index in tested]), strict=True))
    return tuple(_describe_slice(part, correct, corrected.get(index), confidence) for index, part in enumerate(parts))


@dataclass(frozen=True)
class _Part:
    feature: str
    name: str
    inside: np.ndarray
    rest: np.ndarray


def _split(title: str, feature: Feature) -> list[_Part]:
    known = feature.codes >= 0
    inside = [(name, feature.codes == code) for code, name in enumerate(feature.names)]
    parts = [_Part(title, name, members, known & ~members) for name, members in inside if members.any()]
    return parts if len(parts) > 1 else []


def cut_evenly(values: np.ndarray, *, max_bins: int = MAX_BINS, min_photos: int = MIN_PHOTOS) -> np.ndarray:
    """The number (0..) of each value's bin of about as many photos, int64 (N,); equal values share one."""
    num_bins = min(max_bins, len(values) // min_photos)
    if num_bins < 2:
        return np.zeros(len(values), dtype=np.int64)
    edges = np.quantile(values, np.arange(1, num_bins) / num_bins, method="inverted_cdf")
    _, bins = np.unique(np.searchsorted(np.unique(edges), values, side="left"), return_inverse=True)
    return np.asarray(bins, dtype=np.int64)


def _compare(inside: np.ndarray, rest: np.ndarray) -> float | None:
    """One-sided p-value that the slice is worse; None if there are too few photos to say."""
    if min(len(inside), len(rest)) < MIN_PHOTOS:
        return None
    return fisher_worse(int(inside.sum()), len(inside), int(rest.sum()), len(rest))


def fisher_worse(correct: int, num_photos: int, rest_correct: int, num_rest: int) -> float:
    """Compute Fisher's exact test, one-sided: the chance of so few correct ones if they were dealt blindly."""
    total = num_photos + num_rest
    return float(min(1.0, hypergeom.cdf(correct, total, correct + rest_correct, num_photos)))


def _describe_slice(part: _Part, correct: np.ndarray, p_value: float | None, confidence: float) -> Slice:
    num_photos, num_correct = int(part.inside.sum()), int(correct[part.inside].sum())
    low, high = wilson_interval(num_correct, num_photos, confidence=confidence)
    return Slice(
        feature=part.feature,
        name=part.name,
        num_photos=num_photos,
        num_correct=num_correct,
        accuracy=num_correct / num_photos,
        low=low,
        high=high,
        rest_accuracy=float(correct[part.rest].mean()),
        p_value=p_value,
        worse=p_value is not None and p_value < 1 - confidence,
    )
