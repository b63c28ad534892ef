"""The page of an external evaluation."""

import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from convlens.metrics.external import FEATURES, ExternalEvaluation
from convlens.pages.engine import Drawing, draw, fill_template, picture_source
from convlens.pages.report_evaluation import name_task
from convlens.plots.data import KNOWN, plot_two_groups
from convlens.plots.evaluation import plot_confusion_matrix, plot_reliability, plot_roc_curve
from convlens.wording import interval_of, join_words, show_count, show_number, show_share

# --- the results in words: the same in the terminal and on the page ---

TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "log_loss": "Log loss (less is better)",
    "brier": "Brier score (less is better)",
}
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
    rows = []
    for name, title in TITLES.items():
        if name not in metrics:
            continue
        rows.append(
            (
                title,
                _show(name, *interval_of(metrics, name)),
                _show(name, *interval_of(test_metrics, name)) if test_metrics else "",
                _show_change(name, *interval_of(metrics, f"difference_{name}")),
            )
        )
    return rows


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
    word = "differs" if differs else "alike"
    if differs and row["effect"] < SMALL_EFFECT:
        word = "differs a little"
    return {
        "name": name,
        "unit": unit,
        "reference": _show_median(row.get("reference_median")),
        "observed": _show_median(row.get("median")),
        "effect": f"{row['effect']:.2f}",
        "p_value": show_p_value(float(row["p_value"])),
        "word": word,
        "mark": "warning" if differs else "met",
    }


def show_p_value(value: float) -> str:
    """A p-value with as many digits as say something."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _show(name: str, value: float | None, low: float | None, high: float | None) -> str:
    show = show_share if name in SHARES else show_number
    return show(value) if low is None or high is None else f"{show(value)} ({show(low)} to {show(high)})"


def _show_change(name: str, value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return ""
    show = _points if name in SHARES else _signed
    unit = " points" if name in SHARES else ""
    return f"{show(value)}{unit}" + ("" if low is None or high is None else f" ({show(low)} to {show(high)})")


def _points(value: float) -> str:
    return f"{POINT * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _show_median(value: Any) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3g}"


# --- one self-contained HTML file ---

MAX_ERRORS = 24
MAX_UNSURE = 12
MAX_UNLIKE = 12
MAX_FAILURES = 100


def choose_photos_shown(result: ExternalEvaluation) -> list[str]:
    """The paths of the photos that the page shows, each once."""
    read = result.readable
    errors = list(_choose_errors(read)["path"]) if result.labeled else []
    return list(dict.fromkeys([*errors, *_choose_unsure(read)["path"], *_choose_unlike(read)["path"]]))


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
        "scores": _describe_classes(result),
        "num_errors": int((~read["correct"]).sum()) if labeled else 0,
        "errors": _describe_photos(_choose_errors(read)) if labeled else [],
        "unsure": _describe_photos(_choose_unsure(read)),
        "unlike": _describe_photos(_choose_unlike(read)),
        "failures": list(result.failures.head(MAX_FAILURES)[["path", "error"]].itertuples(index=False)),
        "num_failures": len(result.failures),
        "picture": lambda path: picture_source(pictures.get(path)),
    }
    return fill_template("external/external.html", values)


def _choose_errors(read: pd.DataFrame) -> pd.DataFrame:
    """The misclassified photos, the most confident first; at most 24."""
    wrong = _add_confidence(read[~read["correct"]])
    return wrong.sort_values(["confidence", "path"], ascending=[False, True]).head(MAX_ERRORS)


def _choose_unsure(read: pd.DataFrame) -> pd.DataFrame:
    """The least confident predictions; at most 12."""
    return _add_confidence(read).sort_values(["confidence", "path"]).head(MAX_UNSURE)


def _add_confidence(read: pd.DataFrame) -> pd.DataFrame:
    """The photos with the probability of their prediction."""
    given = [row[f"probability_{row['predicted']}"] for row in read.to_dict("records")]
    return read.assign(confidence=np.array(given, dtype=float))


def _choose_unlike(read: pd.DataFrame) -> pd.DataFrame:
    """The photos that are furthest from the training photos, the furthest first; at most 12."""
    unlike = _add_confidence(read[read["unlike"].fillna(False).astype(bool)])
    return unlike.sort_values(["distance", "path"], ascending=[False, True]).head(MAX_UNLIKE)


def _describe_photos(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "path": row["path"],
            "file": PurePosixPath(row["path"]).name,
            "label": row["label"],
            "predicted": row["predicted"],
            "correct": bool(row["correct"]) if row["label"] else None,
            "probability": show_share(float(row["confidence"])),
        }
        for row in table.to_dict("records")
    ]


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
    table = pd.crosstab(read["label"], read["predicted"])
    classes = list(result.classes)
    counts = table.reindex(index=classes, columns=classes, fill_value=0).to_numpy()
    caption = "Rows: truth. Columns: prediction."
    drawings = [draw(plot_confusion_matrix(counts, classes), "Confusion matrix", caption)]
    if len(evaluation.roc):
        area = interval_of(result.metrics, "roc_auc")
        drawings.append(draw(plot_roc_curve(evaluation.roc, area), "ROC curve", f"Area: {show_number(area[0])}."))
    error = show_share(result.metrics.get("expected_calibration_error"))
    figure = plot_reliability(evaluation.reliability, len(classes))
    drawings.append(draw(figure, "Reliability diagram", f"Mean gap between probability and truth: {error}."))
    return drawings


def _describe_classes(result: ExternalEvaluation) -> list[dict[str, str]]:
    if result.evaluation is None:
        return []
    return [
        {
            "name": str(row["class"]),
            "num_photos": f"{row['num_photos']:,}",
            **{name: _show_with_ends(row, name) for name in ("recall", "precision")},
        }
        for row in result.evaluation.class_scores.to_dict("records")
    ]


def _show_with_ends(row: Mapping[Any, Any], name: str) -> str:
    if row[name] is None or pd.isna(row[name]):
        return "undefined"
    return f"{show_share(row[name])} ({show_share(row[f'{name}_low'])} to {show_share(row[f'{name}_high'])})"
