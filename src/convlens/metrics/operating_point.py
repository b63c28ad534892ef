"""Choose the operating point: temperature, decision threshold, least confidence."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from convlens.errors import ConvLensError
from convlens.files import round_array
from convlens.metrics.calibration import fit_temperature
from convlens.models.inference import (
    EVEN,
    OperatingPoint,
    apply_temperature,
    apply_threshold,
    prediction_confidence,
)
from convlens.params import InferenceParams, PrecisionTarget

# --- the decision threshold of a binary classifier ---
#
# Thresholds lie in the middle between two neighboring probabilities, so a photo that is nearly like one seen before
# falls on the same side. They are chosen on photos that are neither trained nor tested on.

ThresholdRule = Literal["fixed", "max_f1", "precision"]


@dataclass(frozen=True)
class ThresholdCurve:
    """Precision, recall and F1 of the second class at every threshold that makes a difference.

    Attributes:
        thresholds: the second class is predicted above this, rising (M,).
        precision: NaN where the class is never predicted, (M,).
        recall: (M,).
        f1: (M,).
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


@dataclass(frozen=True)
class Threshold:
    """A decision threshold and how it was chosen.

    Attributes:
        value: the second class is predicted above this probability, 0..1.
        reached: whether the rule could be met on the photos it was chosen on.
        note: how it was chosen, for people.
    """

    value: float
    reached: bool
    note: str


def threshold_curve(positive: np.ndarray, scores: np.ndarray) -> ThresholdCurve:
    """Compute precision, recall and F1 of the second class over the threshold.

    Args:
        positive: bool (N,), photos of the second class; at least one.
        scores: float (N,), probability of the second class.
    """
    values, counts = np.unique(scores, return_counts=True)
    found = np.bincount(np.searchsorted(values, scores), weights=positive, minlength=len(values))
    edges = np.r_[0.0, values, 1.0]
    thresholds = (edges[:-1] + edges[1:]) / 2
    passed = np.r_[np.cumsum(counts[::-1])[::-1], 0]  # above each threshold
    correct = np.r_[np.cumsum(found[::-1])[::-1], 0]
    with np.errstate(invalid="ignore"):
        precision = np.where(passed > 0, correct / np.maximum(passed, 1), np.nan)
    total = np.count_nonzero(positive)
    first = int(values[0] == 0)  # nothing lies below a probability of 0
    columns = (thresholds, precision, correct / total, 2 * correct / (passed + total))
    return ThresholdCurve(*(column[first:] for column in columns))


def choose_threshold(positive: np.ndarray, scores: np.ndarray, rule: ThresholdRule, target: float = EVEN) -> Threshold:
    """Choose the decision threshold of a binary classifier.

    Args:
        positive: bool (N,), photos of the second class.
        scores: float (N,), probability of the second class.
        rule: `fixed` takes `target`; `max_f1` the threshold of the largest F1; `precision` the one that finds most of
            the second class with at least `target` as precision, or, if none has, the one of the largest precision.
        target: a probability, or a precision.
    """
    if rule == "fixed":
        return Threshold(target, True, "fixed beforehand")
    if not 0 < np.count_nonzero(positive) < len(positive):
        return Threshold(EVEN, False, "not chosen: the validation photos are not of both classes")
    curve, count = threshold_curve(positive, scores), f"{len(positive):,} validation photos"

    def best(worth: np.ndarray) -> float:
        """Of equally good thresholds the one nearest to the middle, which is the least surprising."""
        equals = np.flatnonzero(worth >= worth.max() - SAME)
        return float(curve.thresholds[equals[np.argmin(np.abs(curve.thresholds[equals] - EVEN))]])

    if rule == "max_f1":
        return Threshold(best(curve.f1), True, f"largest F1 on {count}")
    precise = np.nan_to_num(curve.precision, nan=-1.0)
    if precise.max() >= target:
        value = best(np.where(precise >= target, curve.recall, -1.0))
        return Threshold(value, True, f"largest recall with a precision of {target:g} or more on {count}")
    note = f"no threshold reaches a precision of {target:g} on {count}; this one reaches {precise.max():.3f}, the most"
    return Threshold(best(precise), False, note)


# --- selective prediction: risk–coverage curve ---
#
# Coverage is the share of the photos that the network does not abstain on, risk the share it misclassifies of these
# (El-Yaniv and Wiener, JMLR 11, 2010).

SAME = 1e-12


@dataclass(frozen=True)
class RiskCoverage:
    """The curve, from the most confident prediction to all of them; equally confident ones enter together.

    Attributes:
        confidence: least confidence among the predictions so far, falling (M,).
        num_predicted: predictions so far, rising (M,).
        num_wrong: wrong ones among them, (M,).
    """

    confidence: np.ndarray
    num_predicted: np.ndarray
    num_wrong: np.ndarray

    @property
    def coverage(self) -> np.ndarray:
        """Share of the photos predicted, (M,)."""
        return np.asarray(self.num_predicted / self.num_predicted[-1])

    @property
    def risk(self) -> np.ndarray:
        """Share of wrong ones among the predictions, (M,)."""
        return np.asarray(self.num_wrong / self.num_predicted)


def risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> RiskCoverage:
    """Compute the curve from the confidence of predictions, float (N,), and whether they are correct, bool (N,)."""
    order = np.argsort(-confidence, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(confidence[order])), len(order) - 1]
    return RiskCoverage(confidence[order][ends], ends + 1, np.cumsum(~correct[order])[ends])


def choose_min_confidence(confidence: np.ndarray, correct: np.ndarray, max_error: float) -> float:
    """Choose the confidence above which the network predicts, so that it abstains as seldom as the error allows.

    0 never abstains, 1 always. The error expected of n predictions of which w are wrong is (w + 1) / (n + 2), by
    Laplace's rule of succession: the best of many thresholds looks better than it is, and 20 correct predictions do not
    promise that only one in a hundred will be wrong.

    Args:
        confidence: of each prediction, float (N,), for photos that are neither trained nor tested on.
        correct: whether it is correct, bool (N,).
        max_error: share of wrong ones tolerated among the predictions it does not abstain on.
    """
    if len(correct) == 0 or max_error == 1:
        return 0.0
    curve = risk_coverage(confidence, correct)
    expected = (curve.num_wrong + 1) / (curve.num_predicted + 2)
    fitting = np.flatnonzero(expected <= max_error + SAME)
    if not len(fitting):
        return 1.0
    last = int(fitting[-1])
    if last == len(curve.confidence) - 1:
        return 0.0
    return float((curve.confidence[last] + curve.confidence[last + 1]) / 2)


# --- the operating point, chosen on the validation photos ---


def choose_operating_point(
    logits: np.ndarray, labels: np.ndarray, classes: Sequence[str], settings: InferenceParams, *, key: str = ""
) -> OperatingPoint:
    """Fit the temperature, then choose threshold and least confidence, all on the validation photos.

    Args:
        logits: of the validation photos, the mean over the views that `settings` names, float64 (N, K).
        labels: their true classes, int64 (N,).
        classes: names, K.
        settings: the group `inference`.
        key: training key of the network.

    Raises:
        ConvLensError: a threshold other than 0.5 for more than two classes.
    """
    rule, target = _read_rule(settings)
    if len(classes) != 2 and (rule != "fixed" or target != EVEN):
        raise ConvLensError(
            f"Expected inference.threshold to be 0.5 for {len(classes)} classes: only two have one threshold between "
            f"them. Received: {describe_rule(settings)}. Set inference.threshold: 0.5 in params.yaml."
        )
    temperature = fit_temperature(logits, labels)
    probabilities = round_array(apply_temperature(logits, temperature.value))
    found = choose_threshold(labels == 1, probabilities[:, 1], rule, target)
    threshold = float(f"{found.value:.7g}")
    predicted = apply_threshold(probabilities, threshold)
    least = choose_min_confidence(
        prediction_confidence(probabilities, predicted), predicted == labels, settings.max_error
    )
    even = rule == "fixed" and target == EVEN
    return OperatingPoint(
        key=key,
        mirror=settings.mirror,
        center_crop=settings.center_crop,
        temperature=temperature.value,
        calibration={name: value for name, value in asdict(temperature).items() if name != "value"},
        threshold=threshold,
        threshold_rule=describe_rule(settings),
        threshold_reached=found.reached,
        threshold_note=OperatingPoint.threshold_note if even else found.note,
        min_confidence=float(f"{least:.7g}"),
        max_error=settings.max_error,
        num_validation=len(labels),
    )


def describe_rule(settings: InferenceParams) -> str:
    """Describe `inference.threshold`: `0.5`, `max_f1`, `precision 0.95`."""
    given = settings.threshold
    if isinstance(given, PrecisionTarget):
        return f"precision {given.precision:g}"
    return given if isinstance(given, str) else f"{given:g}"


def _read_rule(settings: InferenceParams) -> tuple[ThresholdRule, float]:
    given = settings.threshold
    if isinstance(given, PrecisionTarget):
        return "precision", given.precision
    return ("max_f1", EVEN) if isinstance(given, str) else ("fixed", given)
