"""The curves of an evaluation as tables, with the digits that files keep."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from convlens.metrics.calibration import ReliabilityBin
from convlens.metrics.operating import threshold_curve
from convlens.metrics.ranking import curve_classes, precision_recall_curve, roc_curve
from convlens.metrics.selective import answer_confidence, risk_coverage, wilson_ends
from convlens.stages.rounding import round_table

MAX_POINTS = 500
ROC = ("class", "false_positive_rate", "true_positive_rate", "threshold")
PRECISION_RECALL = ("class", "recall", "precision", "threshold")
THRESHOLDS = ("threshold", "precision", "recall", "f1")
RISK = ("coverage", "error", "low", "high", "num_answered", "num_wrong", "min_probability")


@dataclass(frozen=True)
class Labelled:
    """Labels int64 (N,), probabilities float64 (N, K) and the names of the K classes."""

    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]


def list_roc(answers: Labelled) -> pd.DataFrame:
    """Points of the ROC curve of each class that has one: class, the two rates, threshold."""

    def points(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, ...]:
        curve = roc_curve(positive, scores)
        return curve.false_positive_rate, curve.true_positive_rate, curve.thresholds

    return _list_curves(answers, ROC, points)


def list_precision_recall(answers: Labelled) -> pd.DataFrame:
    """Points of the precision-recall curve of each class that has one: class, recall, precision, threshold."""

    def points(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, ...]:
        curve = precision_recall_curve(positive, scores)
        rows = thin(len(curve.recall))
        return curve.recall[rows], curve.precision[rows], curve.thresholds[rows]

    return _list_curves(answers, PRECISION_RECALL, points)


def list_thresholds(answers: Labelled) -> pd.DataFrame:
    """What every threshold between two classes gives: threshold, precision, recall, f1; empty for more classes."""
    positive = answers.labels == 1
    if len(answers.classes) != 2 or not 0 < np.count_nonzero(positive) < len(positive):
        return pd.DataFrame(columns=list(THRESHOLDS))
    curve = threshold_curve(positive, answers.probabilities[:, 1])
    rows = thin(len(curve.thresholds))
    return round_table(pd.DataFrame({name: values[rows] for name, values in zip(
        THRESHOLDS, (curve.thresholds, curve.precision, curve.recall, curve.f1), strict=True)}))  # fmt: skip


def list_risk_coverage(answers: Labelled, predicted: np.ndarray, confidence: float) -> pd.DataFrame:
    """Wrong answers over answers given, from the surest on, with Wilson's interval at each point."""
    curve = risk_coverage(answer_confidence(answers.probabilities, predicted), predicted == answers.labels)
    low, high = wilson_ends(curve.num_wrong, curve.num_answered, confidence)
    columns = (curve.coverage, curve.risk, low, high, curve.num_answered, curve.num_wrong, curve.confidence)
    rows = thin(len(curve.confidence))
    return round_table(pd.DataFrame({name: values[rows] for name, values in zip(RISK, columns, strict=True)}))


def list_reliability(bins: tuple[ReliabilityBin, ...]) -> pd.DataFrame:
    """One row per bin of similar probability: num_photos, confidence, accuracy, low, high."""
    return round_table(pd.DataFrame([asdict(row) for row in bins]))


def thin(count: int) -> np.ndarray:
    """At most 500 of so many rows, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, MAX_POINTS)).round().astype(np.int64))


def _list_curves(
    answers: Labelled, columns: tuple[str, ...], points: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]
) -> pd.DataFrame:
    tables = []
    for index in curve_classes(answers.labels, len(answers.classes)):
        values = points(answers.labels == index, answers.probabilities[:, index])
        tables.append(pd.DataFrame(dict(zip(columns, (answers.classes[index], *values), strict=True))))
    return round_table(pd.concat(tables, ignore_index=True)) if tables else pd.DataFrame(columns=list(columns))
