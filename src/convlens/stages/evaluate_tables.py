"""Answers to labelled photos as numbers and tables: what stage `evaluate` writes, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from convlens.metrics.calibration import measure_calibration, reliability_bins
from convlens.metrics.class_intervals import bootstrap_class_f1
from convlens.metrics.classification import ClassScores, confusion_matrix, score_classes
from convlens.metrics.intervals import Interval, bootstrap_intervals, wilson_interval
from convlens.metrics.slices import Feature, measure_slices
from convlens.params import EvaluateParams
from convlens.stages.evaluate_curves import (
    Labelled,
    list_precision_recall,
    list_reliability,
    list_risk_coverage,
    list_roc,
)
from convlens.stages.evaluate_decision import Decision
from convlens.stages.evaluate_metrics import Measured, list_metrics
from convlens.stages.rounding import round_array, round_table

__all__ = ["Answers", "Evaluation", "count_table", "measure_answers", "round_array"]

SLICES = (
    "feature", "slice", "num_photos", "num_correct", "accuracy", "low", "high", "rest_accuracy", "p_value", "worse",
)  # fmt: skip


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
        metrics: one level of names and numbers, for DVC and MLflow; undefined numbers are None, and a text by the
            number's name and `_undefined` says why.
        predictions: one row per photo: path, label, predicted, correct, probability_<class> …, unsure.
        class_scores: one row per class: counts, precision, recall and F1 with their intervals.
        counts: confusion matrix, int64 (K, K).
        roc: points of the ROC curve of each class that has one: class, the two rates, threshold.
        reliability: one row per bin of similar probability: num_photos, confidence, accuracy, low, high.
        reliability_before: the same without temperature; empty if these answers were not given.
        precision_recall: points of the precision-recall curve of each class: class, recall, precision, threshold.
        risk_coverage: wrong answers over answers given, from the surest on, with intervals.
        slices: one row per slice of the photos, with accuracy, interval, and whether it is worse than the rest.
    """

    metrics: dict[str, Any]
    predictions: pd.DataFrame
    class_scores: pd.DataFrame
    counts: np.ndarray
    roc: pd.DataFrame
    reliability: pd.DataFrame
    reliability_before: pd.DataFrame = field(default_factory=pd.DataFrame)
    precision_recall: pd.DataFrame = field(default_factory=pd.DataFrame)
    risk_coverage: pd.DataFrame = field(default_factory=pd.DataFrame)
    slices: pd.DataFrame = field(default_factory=pd.DataFrame)


def measure_answers(
    answers: Answers,
    settings: EvaluateParams,
    *,
    decision: Decision | None = None,
    plain: np.ndarray | None = None,
    features: Mapping[str, Feature] | None = None,
) -> Evaluation:
    """Compute every number about answers.

    Args:
        answers: photos, labels and probabilities.
        settings: says how intervals are made.
        decision: threshold and least probability; without it the most probable class is the answer, always given.
        plain: the probabilities without temperature, float64 (N, K), to be held against those of the answers.
        features: what the photos can be sorted by.

    Raises:
        ConvLensError: no photos, or probabilities that are none.
    """
    decision, labels = decision or Decision(), answers.labels
    given = Labelled(labels, answers.probabilities, tuple(answers.classes))
    predicted = decision.answer(given.probabilities) if len(labels) else labels
    resampling: dict[str, Any] = {
        "num_resamples": settings.num_resamples,
        "confidence": settings.confidence,
        "seed": settings.seed,
    }
    intervals = bootstrap_intervals(labels, given.probabilities, predicted=predicted, **resampling)
    counts = confusion_matrix(labels, predicted, len(given.classes))
    scores = score_classes(counts)
    f1 = bootstrap_class_f1(labels, predicted, len(given.classes), **resampling)
    class_scores = _list_classes(given.classes, scores, f1, settings.confidence)
    slices = _list_slices(features or {}, predicted == labels, settings.confidence)
    measured = Measured(
        intervals=intervals,
        calibration=measure_calibration(labels, given.probabilities, **resampling),
        plain=None if plain is None else bootstrap_intervals(labels, plain, **resampling),
        plain_calibration=None if plain is None else measure_calibration(labels, plain, **resampling),
        class_scores=class_scores,
        slices=slices,
    )
    predictions = list_predictions(answers, decision)
    return Evaluation(
        metrics=list_metrics(measured, predictions, decision, settings.confidence),
        predictions=predictions,
        class_scores=class_scores,
        counts=counts,
        roc=list_roc(given),
        reliability=_list_bins(labels, given.probabilities, settings.confidence),
        reliability_before=pd.DataFrame() if plain is None else _list_bins(labels, plain, settings.confidence),
        precision_recall=list_precision_recall(given),
        risk_coverage=list_risk_coverage(given, predicted, settings.confidence),
        slices=slices,
    )


def count_table(counts: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """The confusion matrix as a table: actual, then one column per answer."""
    table = pd.DataFrame(counts, columns=list(classes))
    table.insert(0, "actual", list(classes), allow_duplicates=True)
    return table


def list_predictions(answers: Answers, decision: Decision) -> pd.DataFrame:
    """One row per photo: path, label, predicted, correct, probability_<class> …, unsure."""
    names = np.array(answers.classes, dtype=object)
    predicted = decision.answer(answers.probabilities)
    columns = {
        "path": list(answers.paths),
        "label": names[answers.labels],
        "predicted": names[predicted],
        "correct": answers.labels == predicted,
    }
    given = {f"probability_{name}": answers.probabilities[:, index] for index, name in enumerate(answers.classes)}
    return pd.DataFrame({**columns, **given, "unsure": decision.is_unsure(answers.probabilities)})


def _list_bins(labels: np.ndarray, probabilities: np.ndarray, confidence: float) -> pd.DataFrame:
    return list_reliability(reliability_bins(labels, probabilities, confidence=confidence))


def _list_classes(
    classes: Sequence[str], scores: tuple[ClassScores, ...], f1: tuple[Interval, ...], confidence: float
) -> pd.DataFrame:
    rows = []
    for name, score, interval in zip(classes, scores, f1, strict=True):
        row = {"class": name, **asdict(score)}
        row["precision_low"], row["precision_high"] = _share_range(score.num_correct, score.num_predicted, confidence)
        row["recall_low"], row["recall_high"] = _share_range(score.num_correct, score.num_photos, confidence)
        row["f1_low"], row["f1_high"] = interval.low, interval.high
        rows.append(row)
    floats = [f"{name}{end}" for name in ("precision", "recall", "f1") for end in ("", "_low", "_high")]
    return round_table(pd.DataFrame(rows).astype(dict.fromkeys(floats, float)))


def _share_range(part: int, whole: int, confidence: float) -> tuple[float, float]:
    return wilson_interval(part, whole, confidence=confidence) if whole else (np.nan, np.nan)


def _list_slices(features: Mapping[str, Feature], right: np.ndarray, confidence: float) -> pd.DataFrame:
    rows = [asdict(part) for part in measure_slices(features, right, confidence=confidence)]
    table = pd.DataFrame(rows).rename(columns={"name": "slice"}) if rows else pd.DataFrame(columns=list(SLICES))
    return round_table(table.astype({"p_value": float}))
