"""The report's sections on the evaluation: headline, errors by class, calibration, operating point, slices."""

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from convlens.metrics.evaluation import Evaluation, count_predictions
from convlens.models.inference import OperatingPoint
from convlens.pages.engine import MAX_CLASSES, Drawing, draw
from convlens.plots.evaluation import (
    MAX_ROWS,
    plot_confusion_matrix,
    plot_precision_recall,
    plot_probabilities,
    plot_reliability,
    plot_risk_coverage,
    plot_roc_curve,
    plot_slices,
    plot_thresholds,
)
from convlens.wording import (
    METRICS,
    interval_of,
    show_count,
    show_metric,
    show_metric_of,
    show_number,
    show_range,
    show_share,
    show_share_of,
)

# --- The first screen: what the network is worth, in one sentence and a few numbers ---

MAX_DOTS = 400
IMBALANCED = 1.5  # times the photos of the smallest class
LECTURE_CLASSES = {"cats", "dogs"}
TILES = {
    "balanced_accuracy": "Accuracy with every class counting alike.",
    "roc_auc": "Probability that, of two photos, the one of the class gets the higher score.",
    "macro_f1": "Precision and recall in one number, mean of the classes.",
    "average_precision": "Area under the precision-recall curve.",
    "log_loss": "Cross-entropy of the probabilities; 0 is perfect, lower is better.",
    "brier": "Squared error of the probabilities; 0 is perfect, lower is better.",
}


def describe_headline(
    evaluation: Evaluation, model_card: Mapping[str, Any], prepared_card: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe the first screen: title, baseline, numbers with intervals, one dot per test photo."""
    metrics, scores = evaluation.metrics, evaluation.class_scores
    classes, num_photos = list(prepared_card["classes"]), metrics["num_photos"]
    num_correct = int(scores["num_correct"].sum())
    largest = scores.iloc[int(scores["num_photos"].to_numpy().argmax())]
    return {
        "title": name_task(classes),
        "num_photos": num_photos,
        "num_correct": num_correct,
        "accuracy": interval_of(metrics, "accuracy"),
        "majority": {"class": largest["class"], "share": largest["num_photos"] / num_photos},
        "compares_with_lecture": is_lectures_task(classes, str(prepared_card.get("source", ""))),
        "dots": _place_dots(num_correct, num_photos),
        "tiles": [_describe_tile(metrics, name, len(classes)) for name in choose_tiles(scores["num_photos"])],
        "num_parameters": model_card["num_parameters"],
        "architecture": model_card["architecture"],
    }


def choose_tiles(counts: pd.Series) -> tuple[str, ...]:
    """Choose four metrics beside the accuracy; where classes are alike in size, balanced ones would repeat it."""
    if counts.max() > IMBALANCED * counts.min():
        return ("balanced_accuracy", "macro_f1", "roc_auc", "log_loss")
    return ("roc_auc", "average_precision", "log_loss", "brier")


def name_task(classes: Sequence[str]) -> str:
    """Ask the question that the network answers: `Cats or dogs?`."""
    if len(classes) > 4:
        return f"Which of {len(classes)} classes?"
    question = f"{', '.join(classes[:-1])} or {classes[-1]}"
    return question[:1].upper() + question[1:] + "?"


def is_lectures_task(classes: Sequence[str], source: str) -> bool:
    """Tell whether these are photos of cats and dogs, of which the lecture's network classifies 69 % correctly."""
    return set(classes) == LECTURE_CLASSES and "synthetic" not in PurePosixPath(source).name


def _describe_tile(metrics: Mapping[str, Any], name: str, num_classes: int) -> dict[str, Any]:
    """Describe a metric; places say how far value and interval are from guessing (0) to perfect (100)."""
    even = 1 / num_classes
    brier = 0.25 if num_classes == 2 else 1 - even
    guess = {"roc_auc": 0.5, "log_loss": math.log(num_classes), "brier": brier}.get(name, even)
    perfect = 0.0 if name in ("log_loss", "brier") else 1.0
    value, low, high = interval_of(metrics, name)
    shown, interval = show_metric(metrics, name)
    places = [] if value is None or low is None or high is None else sorted(
        round(100 * min(max((end - guess) / (perfect - guess), 0.0), 1.0), 2) for end in (low, value, high)
    )  # fmt: skip
    return {"title": METRICS[name], "meaning": TILES[name], "value": shown, "interval": interval, "places": places}


def _place_dots(num_correct: int, num_photos: int) -> dict[str, Any]:
    """Place a dot per photo; beyond 400 photos 200 dots, each for half a percent, one error is always seen."""
    total = num_photos if num_photos <= MAX_DOTS else MAX_DOTS // 2
    wrong = num_photos - num_correct
    num_wrong = wrong if total == num_photos else min(total, max(round(total * wrong / num_photos), int(wrong > 0)))
    columns = math.ceil(math.sqrt(1.7 * total))
    places = [(index % columns, index // columns) for index in range(total)]
    return {
        "correct": places[: total - num_wrong],
        "wrong": places[total - num_wrong :],
        "columns": columns,
        "rows": math.ceil(total / columns),
        "one_per_photo": total == num_photos,
    }


# --- Errors by class: confusion matrix, curves, scores ---


def describe_evaluation(evaluation: Evaluation) -> dict[str, Any]:
    """Describe correct and wrong predictions by class."""
    metrics, predictions = evaluation.metrics, evaluation.predictions
    classes = [str(name) for name in evaluation.class_scores["class"]]
    counts = count_predictions(predictions, classes)
    area, names = interval_of(metrics, "roc_auc"), list(dict.fromkeys(evaluation.roc["class"]))
    of = f"of “{names[0]}”" if len(names) == 1 else "of each class against the rest"
    caption = f"Area under the curve {of}: {show_number(area[0])}."
    figures = [draw(plot_roc_curve(evaluation.roc, area), "ROC curve", caption)]
    if len(evaluation.precision_recall):
        caption = f"Average precision: {show_metric_of(metrics, 'average_precision')}."
        figures.append(draw(plot_precision_recall(evaluation.precision_recall), "Precision-recall curve", caption))
    figures.append(_draw_probabilities(predictions, classes))
    return {
        "classes": [
            {"name": row["class"], "num_photos": row["num_photos"],
             **{name: (show_share(row[name]), show_range(row[f"{name}_low"], row[f"{name}_high"]))
                for name in ("precision", "recall", "f1")}}
            for row in evaluation.class_scores.to_dict("records")
        ],
        "confusion": _draw_confusion(counts, classes),
        "counts": list(zip(classes, counts.tolist(), strict=True)) if len(classes) <= MAX_CLASSES else [],
        "figures": figures,
    }  # fmt: skip


def _draw_confusion(counts: np.ndarray, classes: Sequence[str]) -> Drawing:
    errors = counts - np.diag(np.diag(counts))
    label, predicted = divmod(int(errors.argmax()), len(classes))
    caption = "No photo is misclassified."
    if errors.any():
        often = show_count(int(errors.max()), "photo")
        caption = f"Most often confused: “{classes[label]}” classified as “{classes[predicted]}”, {often}."
    return draw(plot_confusion_matrix(counts, classes), "Confusion matrix", caption)


def _draw_probabilities(predictions: pd.DataFrame, classes: Sequence[str]) -> Drawing:
    given = np.zeros(len(predictions))
    for name in classes:
        members = (predictions["label"] == name).to_numpy()
        given[members] = predictions.loc[members, f"probability_{name}"]
    sure = show_share(float(np.mean(given > 0.9)))
    caption = f"For {sure} of the photos the probability of their own class is above {show_share(0.9, 0)}."
    return draw(plot_probabilities(list(predictions["label"]), given, classes), "Histograms by class", caption)


# --- Calibration: whether probabilities mean what they say, before and after temperature scaling ---

CALIBRATION = {"expected_calibration_error": "Calibration error", "log_loss": "Log loss", "brier": "Brier score"}


def describe_calibration(evaluation: Evaluation, point: OperatingPoint) -> dict[str, Any]:
    """Describe calibration: reliability diagrams and numbers before and after, and what to think of them."""
    metrics, num_classes = evaluation.metrics, len(evaluation.class_scores)
    before, after = (evaluation.reliability_bins(when) for when in ("before", "after"))
    tables = {"Before calibration": before, "After calibration": after} if len(before) else {"Reliability": after}
    note = str(point.calibration.get("note", "not fitted: the model is from before there was one"))
    error, chance = metrics.get("expected_calibration_error"), metrics.get("expected_calibration_error_by_chance")
    verdict = ""
    if error is not None and chance is not None:
        limit = f"A perfectly calibrated network would show up to {show_share(chance)} on as many photos"
        word = "no evidence of miscalibration" if error <= chance else "this one is off by more"
        verdict = f"{limit}, by chance alone: {word}."
    fitted = f"It was fitted on {point.calibration.get('num_photos', 0):,} validation photos: {note}."
    return {
        "figures": [_draw_reliability(title, table, num_classes) for title, table in tables.items()],
        "rows": [
            {"title": title, "before": show_metric(metrics, f"{name}_before"), "after": show_metric(metrics, name)}
            for name, title in CALIBRATION.items()
        ],
        "has_before": len(before) > 0,
        "temperature": f"{point.temperature:.2f}",
        "fit": f"It is 1, {note}." if note.startswith("not fitted") else fitted,
        "verdict": verdict,
    }


def _draw_reliability(title: str, table: pd.DataFrame, num_classes: int) -> Drawing:
    gaps = table["num_photos"] * (table["accuracy"] - table["confidence"])
    mean = float(gaps.sum() / table["num_photos"].sum())
    word = "underconfident" if mean > 0 else "overconfident"
    caption = f"On average {word} by {show_share(abs(mean))}." if abs(mean) >= 0.0005 else "On average well calibrated."
    return draw(plot_reliability(table, num_classes, title), f"Reliability diagram, {title.lower()}", caption)


# --- Operating point: the decision threshold, and on which photos the network abstains ---

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


def describe_operating_point(evaluation: Evaluation, point: OperatingPoint) -> dict[str, Any]:
    """Describe threshold and abstention; empty if the evaluation knows none."""
    curve, metrics = evaluation.risk_coverage, evaluation.metrics
    if curve.empty:
        return {}
    figure = plot_risk_coverage(curve, share_unsure=metrics.get("share_unsure"), max_error=point.max_error)
    caption = (
        f"Error rate: {show_share(float(curve['error'].iloc[-1]))} over all photos, "
        f"{_find_coverage(curve, 0.5)['error']} over the most confident half."
    )
    return {
        **(_describe_threshold(evaluation, point) if len(evaluation.thresholds) else {"threshold_figure": None}),
        "abstention": _describe_abstention(metrics, point),
        "missed": (metrics.get("error_when_sure") or 0.0) > point.max_error,
        "risk_figure": draw(figure, "Risk-coverage curve", caption),
        "points": [_find_coverage(curve, coverage) for coverage in COVERAGES],
    }


def _describe_threshold(evaluation: Evaluation, point: OperatingPoint) -> dict[str, Any]:
    positive, curve = str(evaluation.class_scores["class"].iloc[-1]), evaluation.thresholds
    best = curve.iloc[int(curve["f1"].fillna(-1).to_numpy().argmax())]
    caption = (
        f"On the validation photos F1 of “{positive}” is largest, {show_share(best['f1'])}, at a threshold of "
        f"{best['threshold']:.3f}."
    )
    return {
        "threshold": f"“{positive}” is predicted above a probability of {point.threshold:.3f}: {point.threshold_note}.",
        "reached": point.threshold_reached,
        "threshold_figure": draw(plot_thresholds(curve, point.threshold, positive), "Thresholds", caption),
    }


def _describe_abstention(metrics: Mapping[str, Any], point: OperatingPoint) -> str:
    limit, photos = show_share(point.max_error), show_count(metrics["num_photos"], "test photo")
    wrong = show_share_of(metrics, "error_when_sure")
    if not metrics["num_unsure"]:
        return (
            f"The network never abstains: of the {point.num_validation:,} validation photos no more than {limit} are "
            f"misclassified. Of {photos} {wrong} are misclassified.{_judge_target(metrics, point)}"
        )
    start = (
        f"To misclassify no more than {limit} of the photos that it does classify, the network abstains at a "
        f"probability of {show_share(point.min_confidence)} or less, as chosen on the validation photos. It abstains "
        f"on {metrics['num_unsure']:,} of {photos}, {show_share_of(metrics, 'share_unsure')}."
    )
    if metrics.get("error_when_sure") is None:
        return f"{start} No prediction is confident enough."
    return f"{start} Of the others {wrong} are misclassified.{_judge_target(metrics, point)}"


def _judge_target(metrics: Mapping[str, Any], point: OperatingPoint) -> str:
    """Say whether the target of the error rate is missed on the test photos, and whether by more than chance."""
    reached, low = metrics["error_when_sure"], metrics.get("error_when_sure_low")
    if reached <= point.max_error:
        return ""
    target = f" The target of {show_share(point.max_error)} is missed"
    if low is not None and low > point.max_error:
        return f"{target} by more than chance: do not rely on it."
    return f"{target}, within chance of it: do not count on it."


def _find_coverage(curve: pd.DataFrame, coverage: float) -> dict[str, str]:
    """Find the last point of the curve that covers no more than a share of the photos, or its first one."""
    reached = np.flatnonzero(curve["coverage"].to_numpy(float) <= coverage + 1e-9)
    row = curve.iloc[int(reached[-1]) if len(reached) else 0]
    return {
        "abstained": show_share(1 - float(row["coverage"])),
        "min_confidence": show_share(float(row["min_confidence"])),
        "error": show_share(float(row["error"])),
        "interval": show_range(float(row["low"]), float(row["high"])),
    }


# --- Slices: on which groups of photos the accuracy is lower ---

FEATURES = {
    "brightness": "mean luminance, 0 is black and 1 white",
    "sharpness": "variance of the Laplacian; below about 50 photos are blurred",
    "size": "the photo's shorter side",
    "aspect": "width over height; square is within 5 %",
    "format": "of the file",
}


def describe_slices(slices: pd.DataFrame, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the accuracy by slice: figure, one row per slice, and those flagged; empty without slices."""
    if slices.empty:
        return {}
    rows = [_describe_slice(row) for row in slices.to_dict("records")]
    lowest = slices.iloc[int(slices["accuracy"].to_numpy(float).argmin())]
    caption = (
        f"Lowest: {lowest['feature']} {lowest['slice']}, {show_share(float(lowest['accuracy']))} of "
        f"{show_count(int(lowest['num_photos']), 'photo')}."
    ) + (f" The first {MAX_ROWS} of {len(slices)} are drawn." if len(slices) > MAX_ROWS else "")
    return {
        "figure": draw(plot_slices(slices, float(metrics["accuracy"])), "Accuracy by slice", caption),
        "rows": rows,
        "flagged": [row for row in rows if row["worse"]],
        "features": [(name, FEATURES.get(name, "from labels.csv")) for name in dict.fromkeys(slices["feature"])],
        "num_tested": int(slices["p_value"].notna().sum()),
    }


def _describe_slice(row: Mapping[Any, Any]) -> dict[str, Any]:
    p_value = row["p_value"]
    return {
        "feature": row["feature"],
        "slice": row["slice"],
        "num_photos": f"{int(row['num_photos']):,}",
        "accuracy": show_share(float(row["accuracy"])),
        "interval": show_range(row["low"], row["high"]),
        "rest": show_share(float(row["rest_accuracy"])),
        "p_value": "too few photos" if pd.isna(p_value) else "< 0.001" if p_value < 0.001 else f"{p_value:.3f}",
        "worse": bool(row["worse"]),
    }
