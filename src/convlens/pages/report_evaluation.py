"""The report's sections on the evaluation."""

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from convlens.models.inference import OperatingPoint
from convlens.pages.engine import Drawing, draw
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
from convlens.wording import interval_of, join_words, show_count, show_number, show_share

# --- The first screen of the overview page: what the network is worth, in one sentence and a few numbers ---

MAX_DOTS = 400
LECTURE_CLASSES = {"cats", "dogs"}
TILES = (
    ("balanced_accuracy", "Balanced accuracy", "Accuracy with every class counting alike."),
    ("roc_auc", "ROC AUC", "Chance that the right photo of a pair gets the higher probability."),
    ("macro_f1", "Macro F1", "Precision and recall in one number, mean of the classes."),
    ("average_precision", "Average precision", "Precision at every photo found, from the surest down."),
    ("log_loss", "Log loss", "Surprise at the truth; 0 is perfect, lower is better."),
    ("brier", "Brier score", "Squared error of the probabilities; 0 is perfect, lower is better."),
)
SHARES = ("accuracy", "balanced_accuracy")
LOWER_IS_BETTER = ("log_loss", "brier")


def describe_glance(
    metrics: Mapping[str, Any],
    model_card: Mapping[str, Any],
    prepared_card: Mapping[str, Any],
    class_scores: pd.DataFrame,
) -> dict[str, Any]:
    """What the first screen shows: title, baselines, numbers with intervals, one dot per test photo."""
    classes = list(prepared_card["classes"])
    num_photos = metrics["num_photos"]
    num_right = int(class_scores["num_correct"].sum())
    most = class_scores.iloc[int(class_scores["num_photos"].to_numpy().argmax())]
    return {
        "title": name_task(classes),
        "num_photos": num_photos,
        "num_right": num_right,
        "accuracy": interval_of(metrics, "accuracy"),
        "guess": {"class": most["class"], "share": most["num_photos"] / num_photos},
        "compares_with_lecture": is_lectures_task(classes, str(prepared_card.get("source", ""))),
        "dots": _place_dots(num_right, num_photos),
        "tiles": [_describe_tile(metrics, *tile, num_classes=len(classes)) for tile in TILES],
        "num_parameters": model_card["num_parameters"],
        "architecture": model_card["architecture"],
    }


def name_task(classes: Sequence[str]) -> str:
    """The question the network answers: `Cats or dogs?`."""
    if len(classes) > 4:
        return f"Which of {len(classes)} classes?"
    words = join_words(list(classes)).replace(" and ", " or ") if len(classes) == 2 else ", ".join(classes[:-1])
    question = words if len(classes) == 2 else f"{words} or {classes[-1]}"
    return question[:1].upper() + question[1:] + "?"


def is_lectures_task(classes: Sequence[str], source: str) -> bool:
    """Whether these are photos of cats and dogs, which the lecture's network answers right 69 % of the time."""
    return set(classes) == LECTURE_CLASSES and "synthetic" not in PurePosixPath(source).name


def _describe_tile(
    metrics: Mapping[str, Any], name: str, title: str, meaning: str, *, num_classes: int
) -> dict[str, Any]:
    value, low, high = interval_of(metrics, name)
    show = show_share if name in SHARES else show_number
    ends = [end for end in (low, value, high) if end is not None]
    defined = len(ends) == 3
    places = sorted(_place(end, name, num_classes) for end in ends) if defined else []
    return {
        "title": title,
        "meaning": meaning,
        "value": show(value),
        "interval": f"{show(low)} to {show(high)}" if defined else None,
        "places": places,
    }


def _place(value: float, name: str, num_classes: int) -> float:
    """How far a metric has come from guessing (0) to perfect (100)."""
    even = 1 / num_classes
    guess = {
        "roc_auc": 0.5,
        "log_loss": math.log(num_classes),
        "brier": 0.25 if num_classes == 2 else 1 - even,
    }.get(name, even)
    perfect = 0.0 if name in LOWER_IS_BETTER else 1.0
    return round(100 * min(max((value - guess) / (perfect - guess), 0.0), 1.0), 2)


def _place_dots(num_right: int, num_photos: int) -> dict[str, Any]:
    """A dot per photo; beyond 400 photos 200 dots, each for half a percent, and never a dot less than one mistake."""
    total = num_photos if num_photos <= MAX_DOTS else MAX_DOTS // 2
    wrong = num_photos - num_right
    num_wrong = wrong if total == num_photos else min(total, max(round(total * wrong / num_photos), int(wrong > 0)))
    columns = math.ceil(math.sqrt(1.7 * total))
    places = [(index % columns, index // columns) for index in range(total)]
    return {
        "right": places[: total - num_wrong],
        "wrong": places[total - num_wrong :],
        "columns": columns,
        "rows": math.ceil(total / columns),
        "one_per_photo": total == num_photos,
    }


# --- The evaluation section of the overview page: figures and per-class table ---

MAX_TABLE_CLASSES = 12
SCORES = (
    "precision",
    "precision_low",
    "precision_high",
    "recall",
    "recall_low",
    "recall_high",
    "f1",
    "f1_low",
    "f1_high",
)


def describe_evaluation(
    predictions: pd.DataFrame,
    class_scores: pd.DataFrame,
    roc: pd.DataFrame,
    precision_recall: pd.DataFrame,
    metrics: Mapping[str, Any],
) -> dict[str, Any]:
    """What the evaluation section shows of right and wrong answers."""
    classes = [str(name) for name in class_scores["class"]]
    counts = count_answers(predictions, classes)
    return {
        "classes": [_describe_class(row) for row in class_scores.to_dict("records")],
        "confusion": _draw_confusion(counts, classes),
        "counts": list(zip(classes, counts.tolist(), strict=True)) if len(classes) <= MAX_TABLE_CLASSES else [],
        "figures": [
            _draw_roc(roc, metrics),
            *([_draw_precision_recall(precision_recall, metrics)] if len(precision_recall) else []),
            _draw_probabilities(predictions, classes),
        ],
    }


def count_answers(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """The confusion matrix, int (K, K): rows are the truth, columns the answers."""
    table = pd.crosstab(predictions["label"], predictions["predicted"])
    counts: np.ndarray = table.reindex(index=list(classes), columns=list(classes), fill_value=0).to_numpy()
    return counts


def _describe_class(row: Mapping[Any, Any]) -> dict[str, Any]:
    # An undefined number is an empty cell, which a table of texts holds as "".
    values = {**row, **{name: _read_number(row.get(name)) for name in SCORES}}
    ends = {name: (values[f"{name}_low"], values[f"{name}_high"]) for name in ("precision", "recall", "f1")}
    return {
        "name": values["class"],
        "num_photos": values["num_photos"],
        **{name: show_share(values[name]) for name in ends},
        **{f"{name}_interval": _show_ends(*pair) for name, pair in ends.items()},
    }


def _read_number(cell: Any) -> float | None:
    return None if cell is None or cell == "" or pd.isna(cell) else float(cell)


def _show_ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{show_share(low)} to {show_share(high)}"


def _draw_confusion(counts: np.ndarray, classes: Sequence[str]) -> Drawing:
    errors = counts - np.diag(np.diag(counts))
    truth, answer = divmod(int(errors.argmax()), len(classes))
    caption = "No photo was taken for another class."
    if errors.any():
        often = show_count(int(errors.max()), "photo")
        caption = f"Most often confused: {classes[truth]} taken for {classes[answer]}, {often}."
    return draw(plot_confusion_matrix(counts, classes), "Confusion matrix", caption)


def _draw_roc(roc: pd.DataFrame, metrics: Mapping[str, Any]) -> Drawing:
    area = interval_of(metrics, "roc_auc")
    names = list(dict.fromkeys(roc["class"]))
    of = f"of “{names[0]}”" if len(names) == 1 else "of each class against the rest"
    caption = f"Area under the curve {of}: {show_number(area[0])}."
    return draw(plot_roc_curve(roc, area), "ROC curve", caption)


def _draw_precision_recall(curves: pd.DataFrame, metrics: Mapping[str, Any]) -> Drawing:
    value, low, high = interval_of(metrics, "average_precision")
    ends = "" if low is None or high is None else f" ({show_number(low)} to {show_number(high)})"
    return draw(
        plot_precision_recall(curves), "Precision-recall curve", f"Average precision: {show_number(value)}{ends}."
    )


def _draw_probabilities(predictions: pd.DataFrame, classes: Sequence[str]) -> Drawing:
    given = np.zeros(len(predictions))
    for name in classes:
        members = (predictions["label"] == name).to_numpy()
        given[members] = predictions.loc[members, f"probability_{name}"]
    sure = float(np.mean(given > 0.9))
    caption = f"{show_share(sure)} of the photos gave their own class more than {show_share(0.9, 0)}."
    return draw(plot_probabilities(list(predictions["label"]), given, classes), "Histograms by class", caption)


# --- Whether probabilities mean what they say, before and after the temperature: part of the evaluation section ---

ROWS = (
    ("expected_calibration_error", "Calibration error", show_share),
    ("log_loss", "Log loss", show_number),
    ("brier", "Brier score", show_number),
)


def describe_calibration(
    metrics: Mapping[str, Any],
    operating_point: OperatingPoint,
    *,
    before: pd.DataFrame,
    after: pd.DataFrame,
    num_classes: int,
) -> dict[str, Any]:
    """Both reliability diagrams, the numbers of both, and what to think of them.

    Args:
        metrics: `reports/evaluation/metrics.json`.
        operating_point: of the network.
        before: bins of similar probability without temperature; empty shows one diagram only.
        after: the same as the network answers.
        num_classes: K.
    """
    tables = [("Without temperature", before), ("With temperature", after)] if len(before) else [("Reliability", after)]
    return {
        "figures": [_draw(title, table, num_classes) for title, table in tables],
        "rows": [_describe_row(metrics, *row) for row in ROWS],
        "has_before": len(before) > 0,
        "temperature": f"{operating_point.temperature:.2f}",
        "fit": _describe_fit(operating_point.calibration),
        "verdict": _judge(metrics),
    }


def _draw(title: str, table: pd.DataFrame, num_classes: int) -> Any:
    figure = plot_reliability(table, num_classes, title)
    gaps = table["num_photos"] * (table["accuracy"] - table["confidence"])
    lean = float(gaps.sum() / table["num_photos"].sum())
    word = "more often than it says" if lean > 0 else "less often than it says"
    even = abs(lean) < 0.0005
    caption = (
        "On the whole as often right as it says." if even else f"On the whole right {word}, by {show_share(abs(lean))}."
    )
    return draw(figure, f"Reliability diagram, {title.lower()}", caption)


def _describe_row(metrics: Mapping[str, Any], name: str, title: str, show: Any) -> dict[str, Any]:
    return {
        "title": title,
        "before": _show(metrics, f"{name}_before", show),
        "after": _show(metrics, name, show),
    }


def _show(metrics: Mapping[str, Any], name: str, show: Any) -> tuple[str, str]:
    """A number and its interval."""
    value, low, high = interval_of(metrics, name)
    return show(value), "" if low is None or high is None else f"{show(low)} to {show(high)}"


def _describe_fit(facts: Mapping[str, Any]) -> str:
    note = str(facts.get("note", "not fitted: the model is from before there was one"))
    if note.startswith("not fitted"):
        return f"It is 1, {note}."
    return f"It was fitted on {facts['num_photos']:,} validation photos: {note}."


def _judge(metrics: Mapping[str, Any]) -> str:
    error, chance = metrics.get("expected_calibration_error"), metrics.get("expected_calibration_error_by_chance")
    if error is None or chance is None:
        return ""
    if error <= chance:
        return (
            f"Honest probabilities would show up to {show_share(chance)} on as many photos, by chance alone: these "
            "photos say nothing against them."
        )
    limit = f"Honest probabilities would show at most {show_share(chance)} on as many photos"
    return f"{limit}: these are off by more than chance."


# --- overview decision ---
# How probabilities become answers: threshold, and which answers are left to people; part of the evaluation section.

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


def describe_decision(
    metrics: Mapping[str, Any],
    point: OperatingPoint,
    *,
    thresholds: pd.DataFrame,
    risk_coverage: pd.DataFrame,
    positive: str,
) -> dict[str, Any]:
    """What the page says of threshold and unsure answers; empty if nothing was decided.

    Args:
        metrics: `reports/evaluation/metrics.json`.
        point: the operating point of the network.
        thresholds: `reports/evaluation/thresholds.csv`; empty for more than two classes.
        risk_coverage: `reports/evaluation/risk_coverage.csv`.
        positive: name of the second class.
    """
    if risk_coverage.empty:
        return {}
    return {
        "threshold": _describe_threshold(point, positive) if len(thresholds) else "",
        "reached": point.threshold_reached,
        "threshold_figure": _draw_thresholds(thresholds, point, positive) if len(thresholds) else None,
        "unsure": _describe_unsure(metrics, point),
        "risk_figure": _draw_risk(risk_coverage, metrics, point),
        "points": [_describe_point(risk_coverage, coverage) for coverage in COVERAGES],
    }


def _describe_threshold(point: OperatingPoint, positive: str) -> str:
    return f"“{positive}” is answered above a probability of {point.threshold:.3f}: {point.threshold_note}."


def _draw_thresholds(curve: pd.DataFrame, point: OperatingPoint, positive: str) -> Drawing:
    values = curve.assign(f1=pd.to_numeric(curve["f1"], errors="coerce"))
    place = int(values["f1"].fillna(-1).to_numpy().argmax())
    best, line = (values[name].to_numpy(float)[place] for name in ("f1", "threshold"))
    caption = (
        f"On the validation photos F1 of “{positive}” is largest, {show_share(best)}, at a threshold of {line:.3f}."
    )
    return draw(plot_thresholds(curve, point.threshold, positive), "Thresholds", caption)


def _describe_unsure(metrics: Mapping[str, Any], point: OperatingPoint) -> str:
    limit = show_share(point.max_error)
    count, photos = metrics["num_unsure"], show_count(metrics["num_photos"], "test photo")
    if not count:
        return (
            f"All answers are given: on the {point.num_validation:,} validation photos no more than {limit} of "
            f"them are wrong. Of {photos} {_show_decision(metrics, 'error_when_sure')} are answered wrong."
        )
    least = show_share(point.min_confidence)
    start = (
        f"For no more than {limit} wrong answers, those with a probability of {least} or less are left to people, as "
        f"the validation photos suggest. That is {count:,} of {photos}, {_show_decision(metrics, 'share_unsure')}."
    )
    if metrics.get("error_when_sure") is None:
        return f"{start} No answer is sure enough to be given."
    return f"{start} Of the other answers {_show_decision(metrics, 'error_when_sure')} are wrong."


def _show_decision(metrics: Mapping[str, Any], name: str) -> str:
    value, low, high = interval_of(metrics, name)
    return (
        show_share(value)
        if low is None or high is None
        else f"{show_share(value)} ({show_share(low)} to {show_share(high)})"
    )


def _draw_risk(curve: pd.DataFrame, metrics: Mapping[str, Any], point: OperatingPoint) -> Drawing:
    share, error = metrics.get("share_unsure"), float(curve["error"].iloc[-1])
    figure = plot_risk_coverage(curve, share_unsure=share, max_error=point.max_error)
    half = _describe_point(curve, 0.5)
    caption = f"Wrong answers: {show_share(error)} if all are given, {half['error']} if only the surest half is."
    return draw(figure, "Risk-coverage curve", caption)


def _describe_point(curve: pd.DataFrame, coverage: float) -> dict[str, str]:
    """The last point of the curve that covers no more than a share of the photos, or its first one."""
    reached = np.flatnonzero(curve["coverage"].to_numpy(float) <= coverage + 1e-9)
    row = curve.iloc[int(reached[-1]) if len(reached) else 0]
    low, high = (show_share(float(row[name])) for name in ("low", "high"))
    return {
        "coverage": show_share(float(row["coverage"])),
        "by_hand": show_share(1 - float(row["coverage"])),
        "min_confidence": show_share(float(row["min_confidence"])),
        "error": show_share(float(row["error"])),
        "interval": f"{low} to {high}",
    }


# --- Which photos are answered worse than the rest: part of the evaluation section ---

TITLES = {
    "brightness": "mean luminance, 0 is black and 1 white",
    "sharpness": "variance of the Laplacian; below about 50 photos are blurred",
    "size": "the photo's shorter side",
    "aspect": "width over height; square is within 5 %",
    "format": "of the file",
}


def describe_slices(slices: pd.DataFrame, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The figure, one row per slice, and the flagged ones in words; empty without slices.

    Args:
        slices: `reports/evaluation/slices.csv`.
        metrics: `reports/evaluation/metrics.json`.
    """
    if slices.empty:
        return {}
    table = slices.assign(worse=slices["worse"].astype(bool))
    flagged = [_describe_row_overview_slices(row) for row in table[table["worse"]].to_dict("records")]
    features = list(dict.fromkeys(table["feature"]))
    return {
        "figure": draw(plot_slices(table, float(metrics["accuracy"])), "Accuracy by kind of photo", _caption(table)),
        "rows": [_describe_row_overview_slices(row) for row in table.to_dict("records")],
        "flagged": flagged,
        "features": [(name, TITLES.get(name, "from labels.csv")) for name in features],
        "num_tested": int(pd.to_numeric(table["p_value"], errors="coerce").notna().sum()),
    }


def _caption(table: pd.DataFrame) -> str:
    lowest = table.to_dict("records")[int(table["accuracy"].to_numpy(float).argmin())]
    hidden = f" The first {MAX_ROWS} of {len(table)} are drawn." if len(table) > MAX_ROWS else ""
    return (
        f"Lowest: {lowest['feature']} {lowest['slice']}, {show_share(float(lowest['accuracy']))} of "
        f"{show_count(int(lowest['num_photos']), 'photo')}.{hidden}"
    )


def _describe_row_overview_slices(row: Mapping[Any, Any]) -> dict[str, Any]:
    p_value = pd.to_numeric(row["p_value"], errors="coerce")
    return {
        "feature": row["feature"],
        "slice": row["slice"],
        "num_photos": f"{int(row['num_photos']):,}",
        "accuracy": show_share(float(row["accuracy"])),
        "interval": f"{show_share(float(row['low']))} to {show_share(float(row['high']))}",
        "rest": show_share(float(row["rest_accuracy"])),
        "p_value": "too few photos" if pd.isna(p_value) else "< 0.001" if p_value < 0.001 else f"{p_value:.3f}",
        "worse": bool(row["worse"]),
    }
