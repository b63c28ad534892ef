"""Means over photos, and areas under ROC curves, with their intervals."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimates:
    """Means with intervals, float64 arrays of one shape; NaN where there is no number.

    Attributes:
        value: mean over photos.
        low: lower end of the interval.
        high: upper end.
        num: photos behind each mean.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    num: np.ndarray

    def __getitem__(self, index: int) -> tuple[float, float, float]:
        """Value, low and high of one of them."""
        return float(self.value[index]), float(self.low[index]), float(self.high[index])


def estimate(samples: np.ndarray, *, confidence: float = CONFIDENCE) -> Estimates:
    """Mean over the first axis with Student's interval; NaN among the samples is left out.

    Args:
        samples: (photos, …).
        confidence: coverage of the interval.
    """
    values = np.asarray(samples, dtype=np.float64)
    known = np.isfinite(values)
    num = known.sum(axis=0)
    filled = np.where(known, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(num > 0, filled.sum(axis=0) / num, np.nan)
        squares = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)
        error = np.where(num > 1, np.sqrt(squares / (num - 1) / num), np.nan)
    width = student.ppf((1 + confidence) / 2, np.maximum(num - 1, 1)) * error
    return Estimates(mean, mean - width, mean + width, num)


def auc_interval(
    auc: np.ndarray, num_positive: np.ndarray, num_negative: np.ndarray, *, confidence: float = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of areas under the ROC curve, method 5 of Newcombe 2006 (Statistics in Medicine 25:559).

    It solves for the areas whose own standard error reaches the one found, so it has a width at 0 and at 1 too. Where a
    class lacks, it is 0..1.
    """
    pairs = np.maximum(num_positive * num_negative, 1)
    extra = (num_positive + num_negative) / 2 - 1
    z = norm.ppf((1 + confidence) / 2)

    def reaches(area: np.ndarray) -> np.ndarray:
        variance = area * (1 - area) * (1 + extra * ((1 - area) / (2 - area) + area / (1 + area))) / pairs
        return np.asarray(np.abs(area - auc) <= z * np.sqrt(variance))

    ends = []
    for outer in (np.zeros_like(auc), np.ones_like(auc)):
        near, far = auc.astype(np.float64), outer.astype(np.float64)
        for _ in range(40):
            middle = (near + far) / 2
            inside = reaches(middle)
            near, far = np.where(inside, middle, near), np.where(inside, far, middle)
        ends.append(np.where(num_positive * num_negative > 0, near, outer))
    return ends[0], ends[1]
