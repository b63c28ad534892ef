"""How a model on other photos is told: the same words in the terminal and on the page."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from convlens.report.wording import interval_of, join_words, show_number, show_share

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
