"""Answers to labelled photos as numbers and tables: what stage `evaluate` writes, as plain values."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from convlens.metrics.calibration import ReliabilityBin, expected_calibration_error, reliability_bins
from convlens.metrics.classification import ClassScores, confusion_matrix, predicted_classes, score_classes
from convlens.metrics.intervals import Interval, bootstrap_intervals, wilson_interval
from convlens.metrics.naming import class_keys
from convlens.metrics.ranking import curve_classes, roc_curve
from convlens.params import EvaluateParams

DIGITS = 7  # what float32 holds; more would turn one machine's rounding into a difference between runs


@dataclass(frozen=True)
class Answers:
    """Labelled photos and what a network says about them.

    Attributes:
        paths: path of each photo, N.
        classes: names of the classes, K.
        labels: true classes, int64 (N,).
        probabilities: float64 (N, K).
    """

    paths: Sequence[str]
    classes: Sequence[str]
    labels: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """Everything about some answers.

    Attributes:
        metrics: one level of names and numbers, for DVC and MLflow; undefined numbers are None.
        predictions: one row per photo: path, label, predicted, correct, probability_<class> ….
        class_scores: one row per class: counts, precision and recall with Wilson's interval, F1.
        counts: confusion matrix, int64 (K, K).
        roc: points of the ROC curve of each class that has one: class, the two rates, threshold.
        reliability: one row per bin of similar probability: num_photos, confidence, accuracy, low, high.
    """

    metrics: dict[str, Any]
    predictions: pd.DataFrame
    class_scores: pd.DataFrame
    counts: np.ndarray
    roc: pd.DataFrame
    reliability: pd.DataFrame


def measure_answers(answers: Answers, settings: EvaluateParams) -> Evaluation:
    """Compute every number about answers.

    Raises:
        ConvLensError: no photos, or probabilities that are none.
    """
    labels, probabilities = answers.labels, answers.probabilities
    intervals = bootstrap_intervals(
        labels,
        probabilities,
        num_resamples=settings.num_resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    counts = confusion_matrix(labels, predicted_classes(probabilities), len(answers.classes))
    scores = score_classes(counts)
    bins = reliability_bins(labels, probabilities, confidence=settings.confidence)
    return Evaluation(
        metrics=_list_metrics(answers, intervals, bins, scores),
        predictions=_list_predictions(answers),
        class_scores=_list_classes(answers.classes, scores, settings.confidence),
        counts=counts,
        roc=_list_roc_points(answers),
        reliability=_round_table(pd.DataFrame([asdict(row) for row in bins])),
    )


def count_table(counts: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """The confusion matrix as a table: actual, then one column per answer."""
    table = pd.DataFrame(counts, columns=list(classes))
    table.insert(0, "actual", list(classes), allow_duplicates=True)
    return table


def round_array(values: np.ndarray) -> np.ndarray:
    """Numbers with the digits that files keep."""
    return np.array([_round_number(float(value)) for value in values.ravel()]).reshape(values.shape)


def _list_metrics(
    answers: Answers, intervals: dict[str, Interval], bins: tuple[ReliabilityBin, ...], scores: tuple[ClassScores, ...]
) -> dict[str, Any]:
    numbers: dict[str, float | None] = {}
    for name, interval in intervals.items():
        numbers |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    numbers["expected_calibration_error"] = expected_calibration_error(bins)
    for key, score in zip(class_keys(answers.classes), scores, strict=True):
        numbers |= {f"precision_{key}": score.precision, f"recall_{key}": score.recall, f"f1_{key}": score.f1}
    rounded = {name: None if value is None else _round_number(value) for name, value in numbers.items()}
    return {"num_photos": len(answers.labels), **rounded}


def _list_predictions(answers: Answers) -> pd.DataFrame:
    names = np.array(answers.classes, dtype=object)
    predicted = predicted_classes(answers.probabilities)
    columns = {
        "path": list(answers.paths),
        "label": names[answers.labels],
        "predicted": names[predicted],
        "correct": answers.labels == predicted,
    }
    given = {f"probability_{name}": answers.probabilities[:, index] for index, name in enumerate(answers.classes)}
    return pd.DataFrame({**columns, **given})


def _list_classes(classes: Sequence[str], scores: tuple[ClassScores, ...], confidence: float) -> pd.DataFrame:
    rows = []
    for name, score in zip(classes, scores, strict=True):
        row = {"class": name, **asdict(score)}
        row["precision_low"], row["precision_high"] = _share_range(score.num_correct, score.num_predicted, confidence)
        row["recall_low"], row["recall_high"] = _share_range(score.num_correct, score.num_photos, confidence)
        rows.append(row)
    return _round_table(pd.DataFrame(rows))


def _share_range(part: int, whole: int, confidence: float) -> tuple[float, float]:
    return wilson_interval(part, whole, confidence=confidence) if whole else (np.nan, np.nan)


def _list_roc_points(answers: Answers) -> pd.DataFrame:
    columns = ["class", "false_positive_rate", "true_positive_rate", "threshold"]
    tables = []
    for index in curve_classes(answers.labels, len(answers.classes)):
        curve = roc_curve(answers.labels == index, answers.probabilities[:, index])
        values = (answers.classes[index], curve.false_positive_rate, curve.true_positive_rate, curve.thresholds)
        tables.append(pd.DataFrame(dict(zip(columns, values, strict=True))))
    return _round_table(pd.concat(tables, ignore_index=True)) if tables else pd.DataFrame(columns=columns)


def _round_number(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _round_table(table: pd.DataFrame) -> pd.DataFrame:
    """Rounded floats; what is undefined becomes an empty cell."""
    numbers = table.select_dtypes("number").columns.difference(table.select_dtypes("integer").columns)
    return table.assign(**{str(name): round_array(table[name].to_numpy(dtype=float)) for name in numbers})
