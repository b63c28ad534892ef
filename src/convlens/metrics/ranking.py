"""How well probabilities put photos in order: ROC curve, area under it, average precision.

Photos with equal probabilities enter a curve together, so their order in the file does not matter. With two classes
the curves are those of the second class; with more, each class is held against the rest and the mean is taken over
the classes that have photos.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RocCurve:
    """A ROC curve from (0, 0) to (1, 1).

    Attributes:
        false_positive_rate: share of the other photos that pass, rising (M,).
        true_positive_rate: share of the class's photos that pass, rising (M,).
        thresholds: a photo passes with this probability or more, falling (M,); the first is infinite.
    """

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision over recall, from the surest photo down.

    Attributes:
        recall: share of the class's photos that pass, rising (M,).
        precision: share of the passing photos that are of the class, (M,).
        thresholds: a photo passes with this probability or more, falling (M,).
    """

    recall: np.ndarray
    precision: np.ndarray
    thresholds: np.ndarray


def curve_classes(labels: np.ndarray, num_classes: int) -> tuple[int, ...]:
    """The classes that a curve can be drawn for: some photos are of it, some are not."""
    candidates = (1,) if num_classes == 2 else range(num_classes)
    return tuple(index for index in candidates if 0 < np.count_nonzero(labels == index) < len(labels))


def roc_curve(positive: np.ndarray, scores: np.ndarray) -> RocCurve:
    """The ROC curve without points that lie on a straight line between their neighbours.

    Args:
        positive: bool (N,), with both values in it.
        scores: float (N,), higher for positive.
    """
    passed, right, thresholds = _count_passing(positive, scores)
    wrong = passed - right
    corners = np.r_[True, np.diff(right, 2).astype(bool) | np.diff(wrong, 2).astype(bool), True]
    corners = corners if len(right) > 2 else np.ones(len(right), dtype=bool)
    return RocCurve(
        false_positive_rate=np.r_[0.0, wrong[corners] / wrong[-1]],
        true_positive_rate=np.r_[0.0, right[corners] / right[-1]],
        thresholds=np.r_[np.inf, thresholds[corners]],
    )


def precision_recall_curve(positive: np.ndarray, scores: np.ndarray) -> PrecisionRecallCurve:
    """Precision and recall at every distinct score; equal scores enter together.

    Args:
        positive: bool (N,), with both values in it.
        scores: float (N,), higher for positive.
    """
    passed, right, thresholds = _count_passing(positive, scores)
    return PrecisionRecallCurve(right / right[-1], right / passed, thresholds)


def roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Chance that a photo of the class gets a higher probability than another photo; ties count half."""
    return _mean_over_classes(_area_under_roc, labels, probabilities)


def average_precision(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Mean of the precision at each photo of the class found, from the most probable down."""
    return _mean_over_classes(_average_precision, labels, probabilities)


def _mean_over_classes(
    measure: Callable[[np.ndarray, np.ndarray], float], labels: np.ndarray, probabilities: np.ndarray
) -> float | None:
    classes = curve_classes(labels, probabilities.shape[1])
    if not classes:
        return None
    return float(np.mean([measure(labels == index, probabilities[:, index]) for index in classes]))


def _area_under_roc(positive: np.ndarray, scores: np.ndarray) -> float:
    passed, right, _ = _count_passing(positive, scores)
    wrong = passed - right
    steps = np.diff(np.r_[0, wrong])
    return float(np.sum(steps * (right - np.diff(np.r_[0, right]) / 2)) / (right[-1] * wrong[-1]))


def _average_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    passed, right, _ = _count_passing(positive, scores)
    return float(np.sum(np.diff(np.r_[0, right]) * right / passed) / right[-1])


def _count_passing(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photos, and photos of the class, at or above each distinct score, from the highest score down."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    ends = np.r_[np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1]
    return ends + 1, np.cumsum(positive[order])[ends], sorted_scores[ends]
