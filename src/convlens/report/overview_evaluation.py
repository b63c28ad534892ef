"""The evaluation section of the overview page: figures and per-class table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from convlens.report.figures_decision import plot_precision_recall
from convlens.report.figures_evaluation import (
    plot_confusion_matrix,
    plot_probabilities,
    plot_roc_curve,
)
from convlens.report.overview_page import Drawing, draw
from convlens.report.wording import interval_of, show_count, show_number, show_share

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
