"""The page of an external evaluation."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from convlens.metrics.evaluation import count_predictions
from convlens.metrics.external import FEATURES, ExternalEvaluation
from convlens.pages.engine import Drawing, draw, fill_template, picture_source
from convlens.pages.photos import add_confidence, choose_errors, choose_unsure, describe_photos
from convlens.pages.report_evaluation import name_task
from convlens.plots.data import KNOWN, plot_two_groups
from convlens.plots.evaluation import plot_confusion_matrix, plot_reliability, plot_roc_curve
from convlens.wording import (
    METRICS,
    interval_of,
    join_words,
    show_count,
    show_metric_of,
    show_number,
    show_share,
    show_share_of,
)

# --- the results in words: the same in the terminal and on the page ---

TITLES = METRICS | {name: f"{METRICS[name]} (less is better)" for name in ("log_loss", "brier")}
SHARES = ("accuracy", "balanced_accuracy")
STATISTICS = {
    "brightness": ("brightness", "0 black to 1 white"),
    "contrast": ("contrast", "standard deviation of brightness"),
    "sharpness": ("sharpness", "variance of the Laplacian"),
    "aspect": ("aspect", "width over height"),
    "megapixels": ("size", "millions of pixels"),
    "confidence": ("confidence", "probability of the prediction"),
    "features": ("features", "what the network makes of them"),
}
SMALL_EFFECT = 0.1
POINT = 100


def list_rows(metrics: Mapping[str, Any], test_metrics: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Title, value here, value on the test split and difference of every headline metric, each with its interval."""

    def show_change(name: str) -> str:
        value, low, high = interval_of(metrics, f"difference_{name}")
        show = _points if name in SHARES else lambda end: f"{end:+.3f}".replace("-", "\N{MINUS SIGN}")
        if value is None:
            return ""
        ends = "" if low is None or high is None else f" ({show(low)} to {show(high)})"
        return f"{show(value)}{' points' if name in SHARES else ''}{ends}"

    return [
        (title, show_metric_of(metrics, name), show_metric_of(test_metrics, name) if test_metrics else "",
         show_change(name))
        for name, title in TITLES.items()
        if name in metrics
    ]  # fmt: skip


def say_verdict(metrics: Mapping[str, Any], test_metrics: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict in one word (`worse`, `better`, `same`, or `unknown`), and in a sentence."""
    word = metrics.get("against_test_split")
    if word is None:
        return "unknown", "There is no test split to compare with."
    change, low, high = interval_of(metrics, "difference_accuracy")
    test = f"the test split ({show_share(test_metrics.get('accuracy'))})"
    ends = "" if low is None or high is None else f", interval {_points(low)} to {_points(high)}"
    by = f"{_points(change or 0)} points{ends}"
    if word == "same":
        return word, f"No difference to {test} that these photos can show: {by}."
    return str(word), f"{str(word).capitalize()} than on {test}: {by}."


def say_drift(drift: pd.DataFrame) -> str:
    """Whether the photos are like those of the training, in a sentence."""
    found = drift[drift["differs"].astype(bool)]
    if found.empty:
        return "No difference to the photos of the training that these photos can show."
    names = [name for name in found["statistic"] if name != FEATURES]
    words = f"They differ in {join_words([STATISTICS[name][0] for name in names])}. " if names else ""
    if FEATURES in set(found["statistic"]):
        return f"{words}The network, too, sees them differently from photos it was tested on."
    return f"{words}To the network they look like photos it was tested on."


def describe_statistic(row: Mapping[Any, Any]) -> dict[str, str]:
    """A row of `drift.csv` in words."""
    name, unit = STATISTICS[row["statistic"]]
    differs = bool(row["differs"])
    little = " a little" if row["effect"] < SMALL_EFFECT else ""
    medians = {"reference": row.get("reference_median"), "observed": row.get("median")}
    return {
        "name": name,
        "unit": unit,
        **{key: "" if value is None or math.isnan(value) else f"{value:.3g}" for key, value in medians.items()},
        "effect": f"{row['effect']:.2f}",
        "p_value": show_p_value(float(row["p_value"])),
        "word": f"differs{little}" if differs else "alike",
        "mark": "warning" if differs else "met",
    }


def show_p_value(value: float) -> str:
    """A p-value with as many digits as say something."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _points(value: float) -> str:
    return f"{POINT * value:+.1f}".replace("-", "\N{MINUS SIGN}")


# --- one self-contained HTML file ---

MAX_UNLIKE = 12
MAX_FAILURES = 100


def choose_photos_shown(result: ExternalEvaluation) -> list[str]:
    """The paths of the photos that the page shows, each once."""
    read = result.readable
    errors = list(choose_errors(read)["path"]) if result.labeled else []
    return list(dict.fromkeys([*errors, *choose_unsure(read)["path"], *_choose_unlike(read)["path"]]))


def render_external(result: ExternalEvaluation, pictures: Mapping[str, bytes]) -> str:
    """Render the page as HTML text; the same inputs give the same bytes.

    Args:
        result: what to show.
        pictures: PNG or JPEG bytes by path, of `choose_photos_shown`.
    """
    read, labeled, metrics = result.readable, result.labeled, result.metrics
    values = {
        "title": name_task(result.classes),
        "model": result.model,
        "card": result.card,
        "note": result.note,
        "labeled": labeled,
        "num_photos": len(read),
        "accuracy": interval_of(metrics, "accuracy"),
        "confidence": show_share(result.confidence, 0),
        "verdict": say_verdict(metrics, result.test_metrics) if labeled else None,
        "rows": list_rows(metrics, result.test_metrics) if labeled else [],
        "predicted": count_predicted(result),
        "drift": _describe_drift(result),
        "figures": _draw_predictions(result, read),
        "scores": [
            {"name": str(row["class"]), "num_photos": f"{row['num_photos']:,}",
             **{name: show_share_of(row, name) for name in ("recall", "precision")}}
            for row in ([] if result.evaluation is None else result.evaluation.class_scores.to_dict("records"))
        ],
        "num_errors": int((~read["correct"]).sum()) if labeled else 0,
        "errors": describe_photos(choose_errors(read)) if labeled else [],
        "unsure": describe_photos(choose_unsure(read)),
        "unlike": describe_photos(_choose_unlike(read)),
        "failures": list(result.failures.head(MAX_FAILURES)[["path", "error"]].itertuples(index=False)),
        "num_failures": len(result.failures),
        "picture": lambda path: picture_source(pictures.get(path)),
    }  # fmt: skip
    return fill_template("external/external.html", values)


def _choose_unlike(read: pd.DataFrame) -> pd.DataFrame:
    """The photos that are furthest from the training photos, the furthest first; at most 12."""
    unlike = add_confidence(read[read["unlike"].fillna(False).astype(bool)])
    return unlike.sort_values(["distance", "path"], ascending=[False, True]).head(MAX_UNLIKE)


def count_predicted(result: ExternalEvaluation) -> list[tuple[str, str, str]]:
    """Each class with the number and share of the photos that it is predicted for."""
    read = result.readable
    counts = [(name, int((read["predicted"] == name).sum())) for name in result.classes]
    return [(name, f"{count:,}", show_share(count / len(read))) for name, count in counts]


def _describe_drift(result: ExternalEvaluation) -> dict[str, Any] | None:
    if result.drift.empty:
        return None
    figures: list[Drawing] = []
    for name, (reference, observed) in result.statistics.items():
        if name in KNOWN and np.ptp(np.concatenate([reference, observed])) > 0:
            caption = f"{KNOWN[name].title} of training photos and of these."
            figures.append(draw(plot_two_groups(name, reference, observed), "Two histograms", caption, alone=False))
    share, low, high = interval_of(result.metrics, "share_unlike")
    return {
        "sentence": say_drift(result.drift),
        "rows": [describe_statistic(row) for row in result.drift.to_dict("records")],
        "figures": figures,
        "unlike": f"{show_share(share)} ({show_share(low)} to {show_share(high)})",
        "num_unlike": show_count(result.metrics["num_unlike"], "photo"),
        "found": bool(result.drift["differs"].any()),
    }


def _draw_predictions(result: ExternalEvaluation, read: pd.DataFrame) -> list[Drawing]:
    evaluation = result.evaluation
    if evaluation is None:
        return []
    classes, caption = list(result.classes), "Rows: truth. Columns: prediction."
    counts = count_predictions(read, classes)
    drawings = [draw(plot_confusion_matrix(counts, classes), "Confusion matrix", caption)]
    if len(evaluation.roc):
        area = interval_of(result.metrics, "roc_auc")
        drawings.append(draw(plot_roc_curve(evaluation.roc, area), "ROC curve", f"Area: {show_number(area[0])}."))
    error = show_share(result.metrics.get("expected_calibration_error"))
    figure = plot_reliability(evaluation.reliability, len(classes))
    drawings.append(draw(figure, "Reliability diagram", f"Mean gap between probability and truth: {error}."))
    return drawings
