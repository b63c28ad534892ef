"""Where to draw the line between two classes: the probability above which the second one is the answer.

Lines lie in the middle between two neighbouring probabilities, so a photo that is nearly like one seen before falls on
the same side. They are chosen on photos that are neither trained nor tested on.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

EVEN = 0.5
Rule = Literal["fixed", "max_f1", "precision"]


@dataclass(frozen=True)
class ThresholdCurve:
    """What every possible line gives, from the lowest to the highest.

    Attributes:
        thresholds: the second class is answered above this, rising (M,).
        precision: of the second class; NaN where it is never answered, (M,).
        recall: of the second class, (M,).
        f1: of the second class, (M,).
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


@dataclass(frozen=True)
class Threshold:
    """A line and how it was drawn.

    Attributes:
        value: the second class is answered above this probability, 0..1.
        reached: whether it does what was asked of it on the photos it was chosen on.
        note: how it was chosen, for people.
    """

    value: float
    reached: bool
    note: str


def apply_threshold(probabilities: np.ndarray, threshold: float = EVEN) -> np.ndarray:
    """The answers, int64 (N,): of two classes the second above the threshold, of more the most probable one."""
    if probabilities.shape[1] == 2 and threshold != EVEN:
        return (probabilities[:, 1] > threshold).astype(np.int64)
    answers: np.ndarray = np.argmax(probabilities, axis=1).astype(np.int64)
    return answers


def threshold_curve(positive: np.ndarray, scores: np.ndarray) -> ThresholdCurve:
    """Precision, recall and F1 of the second class for every line that makes a difference.

    Args:
        positive: bool (N,), photos of the second class; at least one.
        scores: float (N,), probability of the second class.
    """
    values, counts = np.unique(scores, return_counts=True)
    found = np.bincount(np.searchsorted(values, scores), weights=positive, minlength=len(values))
    edges = np.r_[0.0, values, 1.0]
    thresholds = (edges[:-1] + edges[1:]) / 2
    passed = np.r_[np.cumsum(counts[::-1])[::-1], 0]  # above each line
    right = np.r_[np.cumsum(found[::-1])[::-1], 0]
    with np.errstate(invalid="ignore"):
        precision = np.where(passed > 0, right / np.maximum(passed, 1), np.nan)
    total = np.count_nonzero(positive)
    first = int(values[0] == 0)  # nothing lies below a probability of 0
    columns = (thresholds, precision, right / total, 2 * right / (passed + total))
    return ThresholdCurve(*(column[first:] for column in columns))


def choose_threshold(positive: np.ndarray, scores: np.ndarray, rule: Rule, target: float = EVEN) -> Threshold:
    """Draw the line.

    Args:
        positive: bool (N,), photos of the second class.
        scores: float (N,), probability of the second class.
        rule: `fixed` takes `target`; `max_f1` the line of the largest F1; `precision` the line that finds most of the
            second class with at least `target` as precision, or, if none has, the one of the largest precision.
        target: a probability, or a precision.
    """
    if rule == "fixed":
        return Threshold(target, True, "fixed beforehand")
    if not 0 < np.count_nonzero(positive) < len(positive):
        return Threshold(EVEN, False, "not chosen: the validation photos are not of both classes")
    curve = threshold_curve(positive, scores)
    count = f"{len(positive):,} validation photos"
    if rule == "max_f1":
        return Threshold(_pick(curve, curve.f1), True, f"largest F1 on {count}")
    precise = np.nan_to_num(curve.precision, nan=-1.0)
    if precise.max() >= target:
        value = _pick(curve, np.where(precise >= target, curve.recall, -1.0))
        return Threshold(value, True, f"most photos found with a precision of {target:g} or more on {count}")
    note = f"no line reaches a precision of {target:g} on {count}; this one reaches {precise.max():.3f}, the most"
    return Threshold(_pick(curve, precise), False, note)


def _pick(curve: ThresholdCurve, worth: np.ndarray) -> float:
    """The best line; of equals the one nearest to the middle, which is the least surprising."""
    best = np.flatnonzero(worth >= worth.max() - 1e-12)
    return float(curve.thresholds[best[np.argmin(np.abs(curve.thresholds[best] - EVEN))]])
