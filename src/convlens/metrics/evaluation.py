"""Evaluation: metrics, curves and tables of predictions, saved to and loaded from one folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.data.sources import PREFIX
from convlens.files import (
    csv_bytes,
    evenly_spaced,
    json_bytes,
    read_csv,
    read_json,
    round_number,
    round_table,
    write_together,
)
from convlens.metrics.calibration import CalibrationError, measure_calibration, reliability_bins
from convlens.metrics.classification import (
    confusion_matrix,
    curve_classes,
    precision_recall_curve,
    roc_curve,
    score_classes,
)
from convlens.metrics.intervals import (
    Interval,
    bootstrap_class_f1,
    bootstrap_intervals,
    wilson_interval,
    wilson_intervals,
)
from convlens.metrics.operating_point import risk_coverage, threshold_curve
from convlens.metrics.slices import Feature, cut_evenly, measure_slices
from convlens.models.inference import OperatingPoint, prediction_confidence
from convlens.params import EvaluateParams
from convlens.wording import class_keys

# --- predictions ---

PROBABILITY = "probability_"  # and the class: names of columns


@dataclass(frozen=True)
class Predictions:
    """Labeled photos and the probabilities a network predicts for them.

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

    def tabulate(self, point: OperatingPoint) -> pd.DataFrame:
        """List one row per photo: path, label, predicted, correct, probability_<class> …, unsure."""
        names = np.array(self.classes, dtype=object)
        predicted = point.predict(self.probabilities)
        columns = {
            "path": list(self.paths),
            "label": names[self.labels],
            "predicted": names[predicted],
            "correct": self.labels == predicted,
        }
        given = {f"{PROBABILITY}{name}": self.probabilities[:, index] for index, name in enumerate(self.classes)}
        return pd.DataFrame({**columns, **given, "unsure": point.is_unsure(self.probabilities)})


def count_predictions(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Count the confusion matrix of a table of predictions, int (K, K): rows are the labels."""
    table = pd.crosstab(predictions["label"], predictions["predicted"])
    counts: np.ndarray = table.reindex(index=list(classes), columns=list(classes), fill_value=0).to_numpy()
    return counts


# --- the evaluation ---

METRICS = "metrics.json"
BEFORE, AFTER = "before", "after"  # the temperature
TABLES = {  # file, and the columns that are text whatever they hold
    "predictions": ("predictions.csv", ("path", "label", "predicted")),
    "validation_predictions": ("validation_predictions.csv", ("path", "label", "predicted")),
    "class_scores": ("classes.csv", ("class",)),
    "confusion_matrix": ("confusion_matrix.csv", ("actual",)),
    "roc": ("plots/roc.csv", ("class",)),
    "precision_recall": ("plots/precision_recall.csv", ("class",)),
    "reliability": ("plots/reliability.csv", ("temperature",)),
    "thresholds": ("plots/thresholds.csv", ()),
    "risk_coverage": ("plots/risk_coverage.csv", ()),
    "slices": ("plots/slices.csv", ("feature", "slice")),
}
CONFUSION = "plots/confusion.csv"  # for DVC's template, which counts by itself


@dataclass(frozen=True)
class Evaluation:
    """Everything known about predictions for labeled photos.

    Attributes:
        metrics: one level of names and numbers, for DVC and MLflow; undefined numbers are None, and a text by the
            number's name and `_undefined` says why.
        predictions: one row per photo: path, label, predicted, correct, probability_<class> …, unsure.
        class_scores: one row per class: counts, precision, recall and F1 with their intervals.
        confusion_matrix: one row per actual class, one column per predicted class; the first column is `actual`.
        roc: points of the ROC curve of each class that has one: class, the two rates, threshold.
        precision_recall: points of the precision-recall curve of each class: class, recall, precision, threshold.
        reliability: bins of similar confidence: num_photos, confidence, accuracy, low, high, and temperature: `after`,
            or `before` for the probabilities without temperature, if these were given.
        risk_coverage: misclassified photos over photos predicted, from the most confident on, with intervals.
        slices: one row per slice of the photos, with accuracy, interval, and whether it is worse than the rest.
        validation_predictions: as `predictions`, of the photos that the operating point was chosen on.
        thresholds: precision, recall and F1 over the threshold on the validation photos; two classes only.
    """

    metrics: dict[str, Any]
    predictions: pd.DataFrame
    class_scores: pd.DataFrame
    confusion_matrix: pd.DataFrame
    roc: pd.DataFrame
    precision_recall: pd.DataFrame
    reliability: pd.DataFrame
    risk_coverage: pd.DataFrame
    slices: pd.DataFrame
    validation_predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    thresholds: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def measure(
        cls,
        given: Predictions,
        settings: EvaluateParams,
        point: OperatingPoint | None = None,
        *,
        uncalibrated: np.ndarray | None = None,
        validation: Predictions | None = None,
        features: Mapping[str, Feature] | None = None,
    ) -> "Evaluation":
        """Compute every number about predictions.

        Args:
            given: photos, labels and probabilities.
            settings: says how intervals are made.
            point: the operating point; without it the most probable class is predicted, never abstaining.
            uncalibrated: the probabilities without temperature, float64 (N, K), to compare with.
            validation: predictions for the photos that the operating point was chosen on.
            features: what the photos can be sliced by.

        Raises:
            ConvLensError: no photos, or probabilities that are none.
        """
        point, labels, confidence = point or OperatingPoint(), given.labels, settings.confidence
        resampling: dict[str, Any] = settings.model_dump(include={"num_resamples", "confidence", "seed"})
        predicted = point.predict(given.probabilities) if len(labels) else labels
        found: dict[str, Interval] = bootstrap_intervals(labels, given.probabilities, predicted=predicted, **resampling)
        calibration = measure_calibration(labels, given.probabilities, **resampling)
        found["expected_calibration_error"] = calibration.interval
        if uncalibrated is not None:
            before = bootstrap_intervals(labels, uncalibrated, **resampling)
            found |= {f"{name}_before": before[name] for name in ("log_loss", "brier")}
            error = measure_calibration(labels, uncalibrated, **resampling)
            found["expected_calibration_error_before"] = error.interval
        class_scores = _score_classes(given.classes, labels, predicted, resampling)
        found |= _class_intervals(class_scores)
        predictions = given.tabulate(point)
        found |= _abstention_intervals(predictions, confidence)
        slices = _list_slices(features or {}, predicted == labels, confidence)
        counts = confusion_matrix(labels, predicted, len(given.classes))
        table = pd.DataFrame(counts, columns=list(given.classes))
        table.insert(0, "actual", list(given.classes), allow_duplicates=True)
        return cls(
            metrics=_list_metrics(found, calibration, point, predictions, slices),
            predictions=predictions,
            class_scores=class_scores,
            confusion_matrix=table,
            roc=_list_curves(given, ("class", "false_positive_rate", "true_positive_rate", "threshold"), roc_curve),
            precision_recall=_list_precision_recall(given),
            reliability=_list_reliability(labels, given.probabilities, uncalibrated, confidence),
            risk_coverage=_list_risk_coverage(given, predicted, confidence),
            slices=slices,
            validation_predictions=pd.DataFrame() if validation is None else validation.tabulate(point),
            thresholds=pd.DataFrame() if validation is None else _list_thresholds(validation),
        )

    def save(self, folder: Path, figures: Mapping[str, bytes] | None = None) -> None:
        """Write everything into a folder, whole or not at all.

        Args:
            folder: gets metrics.json, tables, and `plots/` with the tables of curves.
            figures: content of pictures by name, for `plots/`.
        """
        pairs = self.predictions[["label", "predicted"]].rename(columns={"label": "actual"})
        tables = {file: getattr(self, name) for name, (file, _) in TABLES.items()} | {CONFUSION: pairs}
        contents = {folder / file: csv_bytes(table) for file, table in tables.items()}
        contents |= {folder / "plots" / name: content for name, content in (figures or {}).items()}
        write_together({**contents, folder / METRICS: json_bytes(self.metrics)})

    @classmethod
    def load(cls, folder: Path) -> "Evaluation":
        """Read what `save` wrote; names of classes, slices and photos stay text.

        Raises:
            ConvLensError: a file is missing or cannot be read.
        """
        tables = {name: read_csv(folder / file, text) for name, (file, text) in TABLES.items()}
        return cls(metrics=read_json(folder / METRICS), **tables)

    def reliability_bins(self, temperature: str = AFTER) -> pd.DataFrame:
        """Select the bins of similar confidence with (`after`) or without (`before`) temperature."""
        return self.reliability[self.reliability["temperature"] == temperature].reset_index(drop=True)


def load_metrics(folder: Path) -> dict[str, Any]:
    """Read the metrics of a saved evaluation alone, which are in Git where the tables are not.

    Raises:
        ConvLensError: they are missing or cannot be read.
    """
    return dict(read_json(folder / METRICS))


def load_predictions(folder: Path, split: str = "test") -> pd.DataFrame:
    """Read the predictions of a saved evaluation alone, for stages that depend on nothing else of it.

    Args:
        folder: of the evaluation.
        split: `test` or `validation`.

    Raises:
        ConvLensError: they are missing or cannot be read.
    """
    file, text = TABLES["predictions" if split == "test" else "validation_predictions"]
    return read_csv(folder / file, text)


# --- metrics on one level of names, as DVC, MLflow and CI read them ---

SCORES = ("precision", "recall", "f1")
ONE_CLASS = "all photos are of one class"
NO_SPREAD = "no interval: resamples do not differ"
REASONS = {
    "roc_auc": ONE_CLASS,
    "average_precision": ONE_CLASS,
    "precision": "the class was never predicted",
    "recall": "no photo is of the class",
    "f1": "no photo is of the class, and it was never predicted",
    "error_when_sure": "the network abstains on every photo",
}


def _list_metrics(
    found: Mapping[str, Interval],
    calibration: CalibrationError,
    point: OperatingPoint,
    predictions: pd.DataFrame,
    slices: pd.DataFrame,
) -> dict[str, Any]:
    """All numbers: name, `name_low`, `name_high`; what is undefined is None, and `name_undefined` says why."""
    numbers: dict[str, Any] = {"num_photos": len(predictions)}
    undefined = {}
    for name, interval in found.items():
        ends = {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        numbers |= {key: None if value is None else round_number(value) for key, value in ends.items()}
        if interval.value is None:
            undefined[f"{name}_undefined"] = REASONS.get(name) or REASONS[name.split("_")[0]]
        elif interval.low is None:
            undefined[f"{name}_undefined"] = NO_SPREAD
    numbers |= {
        "expected_calibration_error_by_chance": round_number(calibration.by_chance),
        "threshold": point.threshold,
        "threshold_reached": point.threshold_reached,
        "min_confidence": point.min_confidence,
        "max_error": point.max_error,
        "num_unsure": int(predictions["unsure"].sum()),
        "num_slices": len(slices),
        "num_worse_slices": int(slices["worse"].sum()),
        "temperature": point.temperature,
    }
    return numbers | undefined


def _class_intervals(class_scores: pd.DataFrame) -> dict[str, Interval]:
    """The rows of `class_scores` as metrics: `precision_<class>` and so on."""
    found = {}
    rows = class_scores.to_dict("records")
    for key, row in zip(class_keys([str(row["class"]) for row in rows]), rows, strict=True):
        for name in SCORES:
            ends = (row[name], row[f"{name}_low"], row[f"{name}_high"])
            found[f"{name}_{key}"] = Interval(*(None if pd.isna(end) else float(end) for end in ends))
    return found


def _abstention_intervals(predictions: pd.DataFrame, confidence: float) -> dict[str, Interval]:
    """How often the network abstains, and how often it misclassifies the other photos."""
    unsure = predictions["unsure"].to_numpy(bool)
    wrong = ~predictions["correct"].to_numpy(bool)[~unsure]
    found = {}
    for name, part in (("share_unsure", unsure), ("error_when_sure", wrong)):
        ends = wilson_interval(part.sum(), len(part), confidence=confidence) if len(part) else (None, None)
        found[name] = Interval(float(part.mean()) if len(part) else None, *ends)
    return found


# --- tables of classes, curves and slices, with the digits that files keep ---

MAX_POINTS = 500  # of a curve


def _score_classes(
    classes: Sequence[str], labels: np.ndarray, predicted: np.ndarray, resampling: Mapping[str, Any]
) -> pd.DataFrame:
    """One row per class: counts, precision, recall and F1 with their intervals."""
    confidence, scores = resampling["confidence"], score_classes(confusion_matrix(labels, predicted, len(classes)))
    f1 = bootstrap_class_f1(labels, predicted, len(classes), **resampling)
    rows = []
    for name, score, interval in zip(classes, scores, f1, strict=True):
        row = {"class": name, **asdict(score)}
        for share, whole in (("precision", score.num_predicted), ("recall", score.num_photos)):
            known = wilson_interval(score.num_correct, whole, confidence=confidence) if whole else (None, None)
            row[f"{share}_low"], row[f"{share}_high"] = known
        rows.append({**row, "f1_low": interval.low, "f1_high": interval.high})
    floats = [f"{name}{end}" for name in SCORES for end in ("", "_low", "_high")]
    return round_table(pd.DataFrame(rows).astype(dict.fromkeys(floats, float)))


def _list_curves(
    given: Predictions,
    columns: tuple[str, ...],
    points: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]],
) -> pd.DataFrame:
    """The points of each class that has a curve, from a function of (positive, scores)."""
    tables = []
    for index in curve_classes(given.labels, len(given.classes)):
        values = points(given.labels == index, given.probabilities[:, index])
        tables.append(pd.DataFrame(dict(zip(columns, (given.classes[index], *values), strict=True))))
    return round_table(pd.concat(tables, ignore_index=True)) if tables else pd.DataFrame(columns=list(columns))


def _list_precision_recall(given: Predictions) -> pd.DataFrame:
    def points(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, ...]:
        curve = precision_recall_curve(positive, scores)
        return tuple(values[evenly_spaced(len(values), MAX_POINTS)] for values in curve)

    return _list_curves(given, ("class", "recall", "precision", "threshold"), points)


def _list_reliability(
    labels: np.ndarray, probabilities: np.ndarray, uncalibrated: np.ndarray | None, confidence: float
) -> pd.DataFrame:
    """One row per bin of similar confidence: num_photos, confidence, accuracy, low, high, temperature."""
    rows = [
        {**asdict(found), "temperature": name}
        for name, each in ((BEFORE, uncalibrated), (AFTER, probabilities))
        if each is not None
        for found in reliability_bins(labels, each, confidence=confidence)
    ]
    return round_table(pd.DataFrame(rows))


def _list_risk_coverage(given: Predictions, predicted: np.ndarray, confidence: float) -> pd.DataFrame:
    """Misclassified photos over photos predicted, from the most confident on, with Wilson's interval at each point."""
    curve = risk_coverage(prediction_confidence(given.probabilities, predicted), predicted == given.labels)
    low, high = wilson_intervals(curve.num_wrong, curve.num_predicted, confidence)
    table = pd.DataFrame({
        "coverage": curve.coverage, "error": curve.risk, "low": low, "high": high,
        "num_predicted": curve.num_predicted, "num_wrong": curve.num_wrong, "min_confidence": curve.confidence,
    })  # fmt: skip
    return round_table(table.iloc[evenly_spaced(len(table), MAX_POINTS)])


def _list_thresholds(given: Predictions) -> pd.DataFrame:
    """What every threshold between two classes gives; empty for more classes."""
    columns, positive = ["threshold", "precision", "recall", "f1"], given.labels == 1
    if len(given.classes) != 2 or not 0 < np.count_nonzero(positive) < len(positive):
        return pd.DataFrame(columns=columns)
    curve = threshold_curve(positive, given.probabilities[:, 1])
    values = (curve.thresholds, curve.precision, curve.recall, curve.f1)
    table = pd.DataFrame(dict(zip(columns, values, strict=True)))
    return round_table(table.iloc[evenly_spaced(len(table), MAX_POINTS)])


def _list_slices(features: Mapping[str, Feature], correct: np.ndarray, confidence: float) -> pd.DataFrame:
    columns = ["feature", "slice", "num_photos", "num_correct", "accuracy", "low", "high", "rest_accuracy", "p_value",
               "worse"]  # fmt: skip
    rows = [asdict(part) for part in measure_slices(features, correct, confidence=confidence)]
    table = pd.DataFrame(rows).rename(columns={"name": "slice"}) if rows else pd.DataFrame(columns=columns)
    return round_table(table.astype({"p_value": float}))


# --- what photos are sliced by: facts from the data checks, and columns of `labels.csv` ---

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
    aspects = facts["aspect"].to_numpy(float)
    codes = np.where(aspects < 1 / SQUARE, 0, np.where(aspects <= SQUARE, 1, 2))
    known = np.isfinite(aspects) & (aspects > 0)
    extra = photos.drop_duplicates("path").set_index("path").reindex(list(paths)).filter(regex=f"^{PREFIX}")
    own = {str(name).removeprefix(PREFIX): _sort_column(extra[name]) for name in extra.columns}
    return {
        "brightness": _sort_numbers(facts["brightness"], "{:.2f}"),
        "sharpness": _sort_numbers(facts["sharpness"], "{:,.0f}"),
        "size": _sort_numbers(facts[["width", "height"]].min(axis=1), "{:,.0f}", unit=" px"),
        "aspect": Feature(np.where(known, codes, -1).astype(np.int64), ("portrait", "square", "landscape")),
        "format": _sort_names(facts["format"]),
        **own,
    }


def _sort_numbers(values: pd.Series, form: str, unit: str = "") -> Feature:
    """Bins of about as many photos, named by their smallest and largest value."""
    numbers = values.to_numpy(float)
    known = np.isfinite(numbers)
    codes = np.full(len(numbers), -1, dtype=np.int64)
    if not known.any():
        return Feature(codes, ())
    codes[known] = cut_evenly(numbers[known])
    names = []
    for code in range(codes.max() + 1):
        low, high = (form.format(end) for end in (numbers[codes == code].min(), numbers[codes == code].max()))
        names.append(f"{low}{unit}" if low == high else f"{low} to {high}{unit}")
    return Feature(codes, tuple(names))


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
