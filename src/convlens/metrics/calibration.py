"""Calibration: reliability, its error, and the temperature that mends it."""

import math
from dataclasses import dataclass

import numpy as np

from convlens.metrics.classification import predicted_classes
from convlens.metrics.intervals import VALUES_AT_ONCE, Interval, draw_weights, wilson_interval

# --- reliability by bins, expected calibration error ---

FACTORS = np.linspace(0, 2, 81)


@dataclass(frozen=True)
class ReliabilityBin:
    """Photos predicted with similar confidence.

    Attributes:
        num_photos: photos in the bin.
        confidence: mean confidence of their predictions.
        accuracy: share of them classified correctly.
        low: lower end of the accuracy's Wilson interval.
        high: upper end.
    """

    num_photos: int
    confidence: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class CalibrationError:
    """The mean gap between probability and accuracy.

    Attributes:
        interval: of the expected calibration error.
        by_chance: what nineteen in twenty networks whose probabilities are honest stay below with as many photos (at
            a confidence of 95 %): a smaller error says nothing against the probabilities.
    """

    interval: Interval
    by_chance: float


def reliability_bins(
    labels: np.ndarray, probabilities: np.ndarray, *, num_bins: int = 10, confidence: float = 0.95
) -> tuple[ReliabilityBin, ...]:
    """Sort photos by confidence into bins of even size, rising.

    Photos with equal probabilities share a bin, so there may be fewer bins than asked for.

    Args:
        labels: int64 (N,).
        probabilities: float64 (N, K).
        num_bins: bins at most.
        confidence: coverage of the Wilson intervals.
    """
    given, correct, bins = _sort_predictions(labels, probabilities, num_bins)
    members = [bins == index for index in range(bins.max() + 1)]
    return tuple(_describe_bin(given[member], correct[member], confidence) for member in members)


def expected_calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Mean gap between probability and accuracy, weighted by photos (Naeini et al., 2015)."""
    gaps = [group.num_photos * abs(group.accuracy - group.confidence) for group in bins]
    return sum(gaps) / sum(group.num_photos for group in bins)


def measure_calibration(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    num_bins: int = 10,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> CalibrationError:
    """The expected calibration error in bins of even size, with its interval and what chance alone would show.

    Chance opens gaps where there are none, so the error found in few photos is too large, and so are its resamples.
    The interval therefore holds the true errors under which the one found is not surprising: the gaps found, times a
    factor, plus what resampling moves them by. It reaches down to 0 where honest probabilities are not ruled out.

    Source: Bröcker and Smith, Increasing the reliability of reliability diagrams, Weather and Forecasting 22 (2007),
    for the error by chance; the interval inverts a test, as Efron and Tibshirani (1993), chapter 12, explain.
    """
    given, correct, bins = _sort_predictions(labels, probabilities, num_bins)
    members = np.eye(bins.max() + 1)[bins] / len(labels)
    spread = (correct - given)[:, None] * members
    gaps = spread.sum(axis=0)
    blocks = draw_weights(np.zeros_like(labels), num_resamples=num_resamples, seed=seed)
    moved = np.concatenate([weights @ spread for weights in blocks]) - gaps
    honest = _errors_by_chance(given, members, num_resamples, seed)
    interval = _invert(gaps, moved, confidence) if len(labels) > 1 else Interval(float(np.abs(gaps).sum()), None, None)
    return CalibrationError(interval, float(np.quantile(honest, confidence)))


def _invert(gaps: np.ndarray, moved: np.ndarray, confidence: float) -> Interval:
    """The errors under which the one found lies between the ends of what is to be expected."""
    value = float(np.abs(gaps).sum())
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    expected = np.array([np.quantile(np.abs(factor * gaps + moved).sum(axis=1), tails) for factor in FACTORS])
    low = FACTORS[int((expected[:, 1] >= value).argmax())] if (expected[:, 1] >= value).any() else 1.0
    fitting = FACTORS[expected[:, 0] <= value]
    high = max(float(fitting[-1]) if len(fitting) else 1.0, 1.0)
    return Interval(value, min(low, 1.0) * value, min(high * value, 1.0)) if value else Interval(value, None, None)


def _errors_by_chance(given: np.ndarray, members: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Errors of networks that give the same probabilities and are correct as often as these say, (R,)."""
    generator = np.random.default_rng([seed, 1])
    block = max(1, VALUES_AT_ONCE // len(given))
    errors = []
    for start in range(0, num_resamples, block):
        correct = generator.random((min(block, num_resamples - start), len(given))) < given
        errors.append(np.abs((correct - given) @ members).sum(axis=1))
    return np.concatenate(errors)


def _sort_predictions(
    labels: np.ndarray, probabilities: np.ndarray, num_bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence of each prediction, whether it is correct, and the number of its bin."""
    given = probabilities.max(axis=1)
    return given, predicted_classes(probabilities) == labels, _even_bins(given, num_bins)


def _even_bins(values: np.ndarray, num_bins: int) -> np.ndarray:
    """The number of each value's bin, 0.. without gaps, int64 (N,)."""
    last_places = -(-np.arange(1, num_bins) * len(values) // num_bins) - 1
    edges = np.unique(np.sort(values)[last_places])
    _, bins = np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)
    return bins


def _describe_bin(given: np.ndarray, correct: np.ndarray, confidence: float) -> ReliabilityBin:
    low, high = wilson_interval(int(correct.sum()), len(correct), confidence=confidence)
    return ReliabilityBin(len(given), float(given.mean()), float(correct.mean()), low, high)


# --- temperature scaling ---
#
# One number divides all logits, so the order of the predictions stays as it is and only their confidence changes (Guo
# et al. 2017, arXiv:1706.04599). It is the number of the least log loss on photos that were not trained on.
#
# A network that classifies all of these photos correctly would get ever more certain: the temperature would go to 0. So
# every photo is taken to be of its class with the probability (N + 1) / (N + 2), as Laplace's rule of succession says
# of N photos all alike, and Platt (1999) does class by class: as if there were one correct and one wrong prediction
# more. With 180 photos a perfect network then says 99.5 % and not 100 %; with thousands the rule changes nothing.
#
# The rule keeps few photos from making a network surer than they can show; it must not make one less sure that is right
# to be. Where its temperature raises the log loss of the photos, it is that of the least log loss instead, at least 1.

SMALLEST, LARGEST = 0.05, 20.0
DIGITS = 4
NUM_HALVINGS = 60
RULE = "least log loss on the validation photos, each taken to be of its class with probability (N + 1) / (N + 2)"
PLAIN_RULE = "least log loss on the validation photos, at least 1: what so few allow would have raised their loss"


@dataclass(frozen=True)
class Temperature:
    """A temperature and how it was found.

    Attributes:
        value: what logits are divided by, 0.05 to 20.
        num_photos: that it was fitted on.
        loss_before: log loss of these photos at temperature 1; None without photos.
        loss_after: at the temperature.
        note: how it was found, or why it is 1, for people.
    """

    value: float
    num_photos: int
    loss_before: float | None
    loss_after: float | None
    note: str


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """Find the temperature of photos that were not trained on; the same photos always give the same number.

    Args:
        logits: float64 (N, K), of both views already if the network looks at mirror images.
        labels: int64 (N,), indices of the true classes.
    """
    reason = _find_obstacle(logits, labels)
    if reason:
        loss = _mean_loss(logits, labels, 1.0) if len(labels) else None
        return Temperature(1.0, len(labels), loss, loss, f"not fitted: {reason}")
    value, rule = round(1 / _find_sharpness(logits, _soften(labels, logits.shape[1])), DIGITS), RULE
    before, after = (_mean_loss(logits, labels, each) for each in (1.0, value))
    if before is not None and (after is None or after > before):
        sharpest = _find_sharpness(logits, np.eye(logits.shape[1])[labels])
        value, rule = max(1.0, round(1 / sharpest, DIGITS)), PLAIN_RULE
        after = _mean_loss(logits, labels, value)
    note = rule if SMALLEST < value < LARGEST else f"{rule}; held at the end of {SMALLEST:g} to {LARGEST:g}"
    return Temperature(value, len(labels), before, after, note)


def _find_obstacle(logits: np.ndarray, labels: np.ndarray) -> str:
    if len(labels) == 0:
        return "there are no validation photos"
    if len(np.unique(labels)) == 1:
        return "all validation photos are of one class"
    if not np.isfinite(logits).all():
        return "the network's logits are not finite"
    return "the network's logits are alike for every class" if np.ptp(logits, axis=1).max() == 0 else ""


def _find_sharpness(logits: np.ndarray, targets: np.ndarray) -> float:
    """One over the temperature. The loss is convex in it, so halving an interval finds where its slope is 0."""
    centered = logits - logits.mean(axis=1, keepdims=True)
    low, high = 1 / LARGEST, 1 / SMALLEST
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        slope = float(np.sum((_softmax(centered * middle) - targets) * centered))
        low, high = (low, middle) if slope > 0 else (middle, high)
    return (low + high) / 2


def _soften(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """What the probabilities should be, (N, K): not 0 and 1, but as certain as N photos allow."""
    doubt = 1 / (len(labels) + 2)
    targets = np.full((len(labels), num_classes), doubt / (num_classes - 1))
    targets[np.arange(len(labels)), labels] = 1 - doubt
    return targets


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def _mean_loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float | None:
    scaled = logits / temperature
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    loss = float(losses.mean())
    return float(f"{loss:.7g}") if math.isfinite(loss) else None
