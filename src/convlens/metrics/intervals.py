"""How sure a number is: confidence intervals by bootstrap over photos, and Wilson's for shares."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from convlens.metrics.classification import (
    accuracy,
    balanced_accuracy,
    brier,
    check_predictions,
    confusion_matrix,
    log_loss,
    macro_f1,
    predicted_classes,
)
from convlens.metrics.ranking import average_precision, roc_auc
from convlens.metrics.resampling import HEADLINES, draw_weights, prepare_metrics

NORMAL = NormalDist()
SMALLEST_SPREAD = 1e-12
SHARES = ("accuracy", "balanced_accuracy")


@dataclass(frozen=True)
class Interval:
    """A number and the range that holds its true value with the chosen confidence; None where undefined."""

    value: float | None
    low: float | None
    high: float | None


def headline_values(
    labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray | None = None
) -> dict[str, float | None]:
    """The metrics of `HEADLINES` on the photos themselves; None where undefined."""
    answered = predicted_classes(probabilities) if predicted is None else predicted
    confusion = confusion_matrix(labels, answered, probabilities.shape[1])
    return {
        "accuracy": accuracy(confusion),
        "balanced_accuracy": balanced_accuracy(confusion),
        "log_loss": log_loss(labels, probabilities),
        "brier": brier(labels, probabilities),
        "roc_auc": roc_auc(labels, probabilities),
        "average_precision": average_precision(labels, probabilities),
        "macro_f1": macro_f1(confusion),
    }


def bootstrap_intervals(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    predicted: np.ndarray | None = None,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Bootstrap of all headline metrics: photos drawn with replacement within each class, BCa percentiles.

    Where all photos of each class are answered alike (accuracy 1, say), all resamples agree and the bootstrap would
    claim certainty. There shares get Wilson's interval, for as many photos as they rest on; the rest get none.

    Args:
        labels: int64 (N,).
        probabilities: float64 (N, K).
        predicted: answers, int64 (N,), where they are not simply the most probable classes.
        num_resamples: resamples; 2,000 of 2,000 photos take under a second.
        confidence: coverage, 0..1.
        seed: the same seed gives the same intervals.

    Raises:
        ConvLensError: see `check_predictions`.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 14.
    """
    check_predictions(labels, probabilities)
    measure = prepare_metrics(labels, probabilities, predicted)
    blocks = draw_weights(labels, num_resamples=num_resamples, seed=seed)
    resampled = np.concatenate([measure(weights) for weights in blocks])
    values = headline_values(labels, probabilities, predicted)
    support = _support(np.bincount(labels, minlength=probabilities.shape[1]))
    return {
        name: _interval(name, values[name], resampled[:, column], confidence=confidence, support=support.get(name))
        for column, name in enumerate(HEADLINES)
    }


def corrected_range(value: float, resampled: np.ndarray, confidence: float) -> tuple[float, float]:
    """Ends of the BCa interval: percentiles of resampled values (R,), shifted for their bias and skewness.

    Plain percentiles miss the truth too often near the ends of a scale: for an accuracy of 97 % on 180 photos they
    hold it 92 times in 100, these 96 times. The acceleration is a sixth of the resamples' skewness, which for a mean
    is what the jackknife gives.

    Source: Efron, Better bootstrap confidence intervals, JASA 82 (1987).
    """
    spread = float(resampled.std())
    if spread < SMALLEST_SPREAD:
        return value, value
    ties = np.abs(resampled - value) < SMALLEST_SPREAD
    below = float(np.mean(np.where(ties, 0.5, resampled < value)))
    bias = NORMAL.inv_cdf(min(max(below, 1e-3), 1 - 1e-3))
    acceleration = float(np.mean((resampled - resampled.mean()) ** 3)) / spread**3 / 6
    tail = NORMAL.inv_cdf((1 + confidence) / 2)
    shifted = [bias + sign * tail for sign in (-1, 1)]
    ranks = [NORMAL.cdf(bias + z / max(1 - acceleration * z, 0.1)) for z in shifted]
    low, high = np.quantile(resampled, ranks)
    return min(float(low), value), max(float(high), value)


def wilson_interval(successes: float, trials: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (JASA 22, 1927); the trials may be a fractional effective number."""
    z = NORMAL.inv_cdf((1 + confidence) / 2)
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    return (0.0 if share == 0 else float(centre - half)), (1.0 if share == 1 else float(centre + half))


def _interval(
    name: str, value: float | None, resampled: np.ndarray, *, confidence: float, support: float | None
) -> Interval:
    if value is None:
        return Interval(None, None, None)
    low, high = corrected_range(value, resampled, confidence)
    if high - low > SMALLEST_SPREAD:
        return Interval(value, low, high)
    if support is not None and (name in SHARES or value in (0.0, 1.0)):
        return Interval(value, *wilson_interval(value * support, support, confidence=confidence))
    # All resamples alike, as after a constant answer: that says nothing about other photos.
    return Interval(value, None, None)


def _support(counts: np.ndarray) -> dict[str, float]:
    """How many independent photos each share-like metric rests on, from the photos per class (K,).

    A mean of recalls has the variance of a share of K² / Σ 1/n photos; an ordering error needs a pair, and the rarest
    class bounds the number of independent pairs.
    """
    present = counts[counts > 0]
    even = float(len(present) ** 2 / np.sum(1 / present))
    rarest = float(present.min())
    return {
        "accuracy": float(counts.sum()),
        "balanced_accuracy": even,
        "macro_f1": even,
        "roc_auc": rarest,
        "average_precision": rarest,
    }
