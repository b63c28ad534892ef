"""Evaluation: metrics, curves and tables of predictions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from convlens.data.sources import PREFIX
from convlens.files import round_array, round_number, round_table
from convlens.metrics.calibration import CalibrationError, ReliabilityBin, measure_calibration, reliability_bins
from convlens.metrics.classification import (
    ClassScores,
    class_keys,
    confusion_matrix,
    curve_classes,
    precision_recall_curve,
    roc_curve,
    score_classes,
)
from convlens.metrics.intervals import Interval, bootstrap_class_f1, bootstrap_intervals, wilson_interval
from convlens.metrics.operating_point import risk_coverage, threshold_curve, wilson_ends
from convlens.metrics.slices import Feature, cut_evenly, measure_slices
from convlens.models.inference import OperatingPoint, prediction_confidence
from convlens.params import EvaluateParams

# --- The curves of an evaluation as tables, with the digits that files keep ---

MAX_POINTS = 500
ROC = ("class", "false_positive_rate", "true_positive_rate", "threshold")
PRECISION_RECALL = ("class", "recall", "precision", "threshold")
THRESHOLDS = ("threshold", "precision", "recall", "f1")
RISK = ("coverage", "error", "low", "high", "num_answered", "num_wrong", "min_confidence")


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
    curve = risk_coverage(prediction_confidence(answers.probabilities, predicted), predicted == answers.labels)
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


# --- The numbers of an evaluation on one level of names, as DVC, MLflow and CI read them ---

BEFORE = ("log_loss", "brier")
SCORES = ("precision", "recall", "f1")
ONE_CLASS = "all photos are of one class"
NO_SPREAD = "no interval: resamples do not differ"
REASONS = {
    "roc_auc": ONE_CLASS,
    "average_precision": ONE_CLASS,
    "precision": "the class was never the answer",
    "recall": "no photo is of the class",
    "f1": "no photo is of the class, and it was never the answer",
    "error_when_sure": "no answer is sure enough to be given",
}


@dataclass(frozen=True)
class Measured:
    """What has been measured.

    Attributes:
        intervals: headline metrics.
        calibration: the calibration error.
        plain: headline metrics without temperature; None if those answers were not given.
        plain_calibration: the calibration error without temperature.
        class_scores: one row per class.
        slices: one row per slice.
    """

    intervals: Mapping[str, Interval]
    calibration: CalibrationError
    plain: Mapping[str, Interval] | None
    plain_calibration: CalibrationError | None
    class_scores: pd.DataFrame
    slices: pd.DataFrame


def list_metrics(
    measured: Measured, predictions: pd.DataFrame, decision: OperatingPoint, confidence: float
) -> dict[str, Any]:
    """All numbers: name, `name_low`, `name_high`; what is undefined is None, and `name_undefined` says why."""
    found = dict(_list_intervals(measured, predictions, confidence))
    numbers: dict[str, Any] = {"num_photos": len(predictions)}
    for name, interval in found.items():
        ends = {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        numbers |= {key: None if value is None else round_number(value) for key, value in ends.items()}
    numbers["expected_calibration_error_by_chance"] = round_number(measured.calibration.by_chance)
    numbers |= {
        "threshold": decision.threshold,
        "threshold_reached": decision.threshold_reached,
        "min_confidence": decision.min_confidence,
        "max_error": decision.max_error,
        "num_unsure": int(predictions["unsure"].sum()),
        "num_slices": len(measured.slices),
        "num_worse_slices": int(measured.slices["worse"].sum()),
    }
    return numbers | dict(_explain(found))


def _list_intervals(measured: Measured, predictions: pd.DataFrame, confidence: float) -> Iterator[tuple[str, Interval]]:
    yield from measured.intervals.items()
    yield "expected_calibration_error", measured.calibration.interval
    if measured.plain is not None and measured.plain_calibration is not None:
        yield from ((f"{name}_before", measured.plain[name]) for name in BEFORE)
        yield "expected_calibration_error_before", measured.plain_calibration.interval
    rows = measured.class_scores.to_dict("records")
    for key, row in zip(class_keys([str(row["class"]) for row in rows]), rows, strict=True):
        yield from ((f"{name}_{key}", _read_interval(row, name)) for name in SCORES)
    unsure = predictions["unsure"].to_numpy(bool)
    wrong = ~predictions["correct"].to_numpy(bool)[~unsure]
    yield "share_unsure", _share(int(unsure.sum()), len(unsure), confidence)
    yield "error_when_sure", _share(int(wrong.sum()), len(wrong), confidence)


def _read_interval(row: Mapping[Any, Any], name: str) -> Interval:
    value, low, high = (None if pd.isna(row[key]) else float(row[key]) for key in (name, f"{name}_low", f"{name}_high"))
    return Interval(value, low, high)


def _share(part: int, whole: int, confidence: float) -> Interval:
    if not whole:
        return Interval(None, None, None)
    return Interval(part / whole, *wilson_interval(part, whole, confidence=confidence))


def _explain(found: Mapping[str, Interval]) -> Iterator[tuple[str, str]]:
    """Why numbers are undefined; only those that are have an entry."""
    for name, interval in found.items():
        if interval.value is None:
            yield f"{name}_undefined", REASONS.get(name) or REASONS[name.split("_")[0]]
        elif interval.low is None:
            yield f"{name}_undefined", NO_SPREAD


# --- What the photos of an evaluation are sorted by: facts from the data checks, and columns of `labels.csv` ---

MAX_VALUES = 20
FEW_NUMBERS = 8  # a column of numbers with fewer different values is one of names
SQUARE = 1.05
OTHERS = "all others"


def list_features(paths: Sequence[str], manifest: pd.DataFrame, photos: pd.DataFrame) -> dict[str, Feature]:
    """Features of photos, in the order of their paths.

    Args:
        paths: of the photos.
        manifest: one row per photo of the data set, with its facts.
        photos: the list that `ingest` wrote; columns that start with `extra_` are the data's own.
    """
    facts = manifest.drop_duplicates("path").set_index("path").reindex(list(paths))
    extra = photos.drop_duplicates("path").set_index("path").reindex(list(paths)).filter(regex=f"^{PREFIX}")
    own = {str(name).removeprefix(PREFIX): _sort_column(extra[name]) for name in extra.columns}
    return {**_sort_facts(facts), **own}


def _sort_facts(facts: pd.DataFrame) -> Mapping[str, Feature]:
    side = facts[["width", "height"]].min(axis=1)
    return {
        "brightness": _sort_numbers(facts["brightness"], "{:.2f}"),
        "sharpness": _sort_numbers(facts["sharpness"], "{:,.0f}"),
        "size": _sort_numbers(side, "{:,.0f}", unit=" px"),
        "aspect": _sort_aspects(facts["aspect"].to_numpy(float)),
        "format": _sort_names(facts["format"]),
    }


def _sort_numbers(values: pd.Series, form: str, unit: str = "") -> Feature:
    """Bins of about as many photos, named by their smallest and largest value."""
    numbers = values.to_numpy(float)
    known = np.isfinite(numbers)
    codes = np.full(len(numbers), -1, dtype=np.int64)
    if not known.any():
        return Feature(codes, ())
    codes[known] = cut_evenly(numbers[known])
    bins = [numbers[codes == code] for code in range(codes.max() + 1)]
    return Feature(codes, tuple(_name_bin(form.format(part.min()), form.format(part.max()), unit) for part in bins))


def _name_bin(low: str, high: str, unit: str) -> str:
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def _sort_aspects(aspects: np.ndarray) -> Feature:
    known = np.isfinite(aspects) & (aspects > 0)
    codes = np.where(aspects < 1 / SQUARE, 0, np.where(aspects <= SQUARE, 1, 2))
    return Feature(np.where(known, codes, -1).astype(np.int64), ("portrait", "square", "landscape"))


def _sort_column(values: pd.Series) -> Feature:
    """A column of the data's own: numbers in bins if there are many different ones, else names."""
    texts = values.fillna("").astype(str).str.strip()
    numbers = pd.to_numeric(texts.where(texts != ""), errors="coerce")
    if (numbers.notna() | (texts == "")).all() and numbers.nunique() >= FEW_NUMBERS:
        return _sort_numbers(numbers, "{:g}")
    return _sort_names(texts)


def _sort_names(values: pd.Series) -> Feature:
    """The most frequent names, by the alphabet, and one for all others."""
    texts = values.fillna("").astype(str).str.strip().to_numpy(dtype=object)
    names, counts = np.unique(texts[texts != ""].astype(str), return_counts=True)
    kept = sorted(names[np.argsort(-counts, kind="stable")[:MAX_VALUES]])
    codes = {name: code for code, name in enumerate(kept)}
    listed = (*kept, OTHERS) if len(names) > len(kept) else tuple(kept)
    found = [-1 if text == "" else codes.get(str(text), len(kept)) for text in texts]
    return Feature(np.array(found, dtype=np.int64), tuple(str(name) for name in listed))


# --- Answers to labeled photos as numbers and tables: what stage `evaluate` writes, as plain values ---

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
    decision: OperatingPoint | None = None,
    plain: np.ndarray | None = None,
    features: Mapping[str, Feature] | None = None,
) -> Evaluation:
    """Compute every number about answers.

    Args:
        answers: photos, labels and probabilities.
        settings: says how intervals are made.
        decision: the operating point; without it the most probable class is the answer, always given.
        plain: the probabilities without temperature, float64 (N, K), to be held against those of the answers.
        features: what the photos can be sorted by.

    Raises:
        ConvLensError: no photos, or probabilities that are none.
    """
    decision, labels = decision or OperatingPoint(), answers.labels
    given = Labelled(labels, answers.probabilities, tuple(answers.classes))
    predicted = decision.predict(given.probabilities) if len(labels) else labels
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


def list_predictions(answers: Answers, decision: OperatingPoint) -> pd.DataFrame:
    """One row per photo: path, label, predicted, correct, probability_<class> …, unsure."""
    names = np.array(answers.classes, dtype=object)
    predicted = decision.predict(answers.probabilities)
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
