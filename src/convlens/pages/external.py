"""The page of an external evaluation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from convlens.pages.engine import Drawing, draw, fill_template, picture_source
from convlens.pages.report_evaluation import name_task
from convlens.plots.data import KNOWN, plot_two_groups
from convlens.plots.evaluation import plot_confusion_matrix, plot_reliability, plot_roc_curve
from convlens.wording import interval_of, join_words, show_count, show_number, show_share

# --- How a model on other photos is told: the same words in the terminal and on the page ---

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
    "confidence": ("confidence", "probability of the answer"),
    "features": ("features", "what the network makes of them"),
}
FEATURES = "features"
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
        "reference": _plain(row.get("reference_median")),
        "observed": _plain(row.get("median")),
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


def _plain(value: Any) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3g}"


# --- overview outside ---
# The page of `convlens evaluate`: a model on photos from outside its data set, in one self-contained HTML file.

MAX_MISTAKES = 24
MAX_UNSURE = 12
MAX_UNLIKE = 12
MAX_FAILURES = 100


@dataclass(frozen=True, kw_only=True)
class OutsideInputs:
    """Everything the page shows, as plain values.

    Attributes:
        model: as the user named it.
        card: of the model.
        classes: of the model.
        metrics: `metrics.json` of the folder.
        test_metrics: of the model's test split; empty without reference statistics.
        predictions: one row per photo: path, label, predicted, correct, probability_<class> …, unsure, distance,
            unlike, error.
        class_scores: one row per class; None without labels, as the next two.
        roc: points of the ROC curve.
        reliability: photos in bins of similar probability.
        drift: `drift.csv`; empty without reference statistics.
        statistics: values of training photos and of these photos, by name.
        confidence: of intervals and tests.
        note: why something is missing; empty if nothing is.
        pictures: PNG or JPEG bytes by path, of `photos_shown`.
    """

    model: str
    card: Mapping[str, Any]
    classes: tuple[str, ...]
    metrics: Mapping[str, Any]
    test_metrics: Mapping[str, Any]
    predictions: pd.DataFrame
    class_scores: pd.DataFrame | None
    roc: pd.DataFrame | None
    reliability: pd.DataFrame | None
    drift: pd.DataFrame
    statistics: Mapping[str, tuple[np.ndarray, np.ndarray]]
    confidence: float
    note: str
    pictures: Mapping[str, bytes]


def photos_shown(predictions: pd.DataFrame) -> list[str]:
    """The paths of the photos that the page shows, each once."""
    read = _readable(predictions)
    mistakes = list(_choose_mistakes(read)["path"]) if _is_labeled(read) else []
    return list(dict.fromkeys([*mistakes, *_choose_unsure(read)["path"], *_choose_unlike(read)["path"]]))


def render_outside(inputs: OutsideInputs) -> str:
    """The whole page as HTML text; the same inputs give the same bytes."""
    read = _readable(inputs.predictions)
    labeled = _is_labeled(read)
    values = {
        "title": name_task(inputs.classes),
        "model": inputs.model,
        "card": inputs.card,
        "note": inputs.note,
        "labeled": labeled,
        "num_photos": len(read),
        "accuracy": interval_of(inputs.metrics, "accuracy"),
        "confidence": show_share(inputs.confidence, 0),
        "verdict": say_verdict(inputs.metrics, inputs.test_metrics) if labeled else None,
        "rows": list_rows(inputs.metrics, inputs.test_metrics) if labeled else [],
        "answers": _count_predicted(read, inputs.classes),
        "drift": _describe_drift(inputs),
        "figures": _draw_answers(inputs, read) if labeled else [],
        "scores": _describe_classes(inputs.class_scores),
        "num_mistakes": int((~read["correct"]).sum()) if labeled else 0,
        "mistakes": _describe(_choose_mistakes(read)) if labeled else [],
        "unsure": _describe(_choose_unsure(read)),
        "unlike": _describe(_choose_unlike(read)),
        "failures": _list_failures(inputs.predictions),
        "num_failures": len(inputs.predictions) - len(read),
        "picture": lambda path: picture_source(inputs.pictures.get(path)),
    }
    return fill_template("external/external.html", values)


def _readable(predictions: pd.DataFrame) -> pd.DataFrame:
    read = predictions[predictions["error"] == ""]
    return read.assign(correct=read["correct"].astype(bool)) if _is_labeled(read) else read


def _is_labeled(predictions: pd.DataFrame) -> bool:
    return bool((predictions["label"] != "").all())


def _choose_mistakes(read: pd.DataFrame) -> pd.DataFrame:
    """The wrong answers, the most confident first; at most 24."""
    wrong = _add_confidence(read[~read["correct"]])
    return wrong.sort_values(["confidence", "path"], ascending=[False, True]).head(MAX_MISTAKES)


def _choose_unsure(read: pd.DataFrame) -> pd.DataFrame:
    """The least confident answers, right or wrong; at most 12."""
    return _add_confidence(read).sort_values(["confidence", "path"]).head(MAX_UNSURE)


def _add_confidence(read: pd.DataFrame) -> pd.DataFrame:
    """The photos with the probability of their answer."""
    given = [row[f"probability_{row['predicted']}"] for row in read.to_dict("records")]
    return read.assign(confidence=np.array(given, dtype=float))


def _choose_unlike(read: pd.DataFrame) -> pd.DataFrame:
    """The photos that are furthest from the training photos, the furthest first; at most 12."""
    unlike = _add_confidence(read[read["unlike"].fillna(False).astype(bool)])
    return unlike.sort_values(["distance", "path"], ascending=[False, True]).head(MAX_UNLIKE)


def _describe(answers: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "path": row["path"],
            "file": PurePosixPath(row["path"]).name,
            "label": row["label"],
            "predicted": row["predicted"],
            "correct": bool(row["correct"]) if row["label"] else None,
            "probability": show_share(float(row["confidence"])),
        }
        for row in answers.to_dict("records")
    ]


def _count_predicted(read: pd.DataFrame, classes: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """For photos without labels: each class with the photos answered with it."""
    counts = [(name, int((read["predicted"] == name).sum())) for name in classes]
    return [(name, f"{count:,}", show_share(count / len(read))) for name, count in counts]


def _describe_drift(inputs: OutsideInputs) -> dict[str, Any] | None:
    if inputs.drift.empty:
        return None
    figures: list[Drawing] = []
    for name, (reference, observed) in inputs.statistics.items():
        if name in KNOWN and np.ptp(np.concatenate([reference, observed])) > 0:
            caption = f"{KNOWN[name].title} of training photos and of these."
            figures.append(draw(plot_two_groups(name, reference, observed), "Two histograms", caption, alone=False))
    share, low, high = (inputs.metrics[f"share_unlike{end}"] for end in ("", "_low", "_high"))
    return {
        "sentence": say_drift(inputs.drift),
        "rows": [describe_statistic(row) for row in inputs.drift.to_dict("records")],
        "figures": figures,
        "unlike": f"{show_share(share)} ({show_share(low)} to {show_share(high)})",
        "num_unlike": show_count(inputs.metrics["num_unlike"], "photo"),
        "found": bool(inputs.drift["differs"].any()),
        "features": FEATURES,
    }


def _draw_answers(inputs: OutsideInputs, read: pd.DataFrame) -> list[Drawing]:
    counts = _count_answers(read, inputs.classes)
    drawings = [
        draw(plot_confusion_matrix(counts, inputs.classes), "Confusion matrix", "Rows: truth. Columns: answer.")
    ]
    if inputs.roc is not None and len(inputs.roc):
        area = interval_of(inputs.metrics, "roc_auc")
        drawings.append(draw(plot_roc_curve(inputs.roc, area), "ROC curve", f"Area: {show_number(area[0])}."))
    if inputs.reliability is not None:
        error = show_share(inputs.metrics.get("expected_calibration_error"))
        figure = plot_reliability(inputs.reliability, len(inputs.classes))
        drawings.append(draw(figure, "Reliability diagram", f"Mean gap between probability and truth: {error}."))
    return drawings


def _count_answers(read: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    """The confusion matrix, int (K, K): rows are the truth, columns the answers."""
    table = pd.crosstab(read["label"], read["predicted"])
    counts: np.ndarray = table.reindex(index=list(classes), columns=list(classes), fill_value=0).to_numpy()
    return counts


def _describe_classes(scores: pd.DataFrame | None) -> list[dict[str, str]]:
    if scores is None:
        return []
    return [
        {
            "name": str(row["class"]),
            "num_photos": f"{row['num_photos']:,}",
            **{name: _show_with_ends(row, name) for name in ("recall", "precision")},
        }
        for row in scores.to_dict("records")
    ]


def _show_with_ends(row: Mapping[Any, Any], name: str) -> str:
    if row[name] is None or pd.isna(row[name]):
        return "undefined"
    return f"{show_share(row[name])} ({show_share(row[f'{name}_low'])} to {show_share(row[f'{name}_high'])})"


def _list_failures(predictions: pd.DataFrame) -> list[tuple[str, str]]:
    failed = predictions[predictions["error"] != ""].head(MAX_FAILURES)
    return list(zip(failed["path"], failed["error"], strict=True))
