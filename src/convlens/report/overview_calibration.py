"""Whether probabilities mean what they say, before and after the temperature: part of the evaluation section."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from convlens.report.figures_evaluation import plot_reliability
from convlens.report.overview_page import draw
from convlens.report.wording import interval_of, show_number, show_share

ROWS = (
    ("expected_calibration_error", "Calibration error", show_share),
    ("log_loss", "Log loss", show_number),
    ("brier", "Brier score", show_number),
)


def describe_calibration(
    metrics: Mapping[str, Any],
    model_card: Mapping[str, Any],
    *,
    before: pd.DataFrame,
    after: pd.DataFrame,
    num_classes: int,
) -> dict[str, Any]:
    """Both reliability diagrams, the numbers of both, and what to think of them.

    Args:
        metrics: `reports/evaluation/metrics.json`.
        model_card: `data/model/card.json`.
        before: bins of similar probability without temperature; empty shows one diagram only.
        after: the same as the network answers.
        num_classes: K.
    """
    tables = [("Without temperature", before), ("With temperature", after)] if len(before) else [("Reliability", after)]
    return {
        "figures": [_draw(title, table, num_classes) for title, table in tables],
        "rows": [_describe_row(metrics, *row) for row in ROWS],
        "has_before": len(before) > 0,
        "temperature": f"{model_card.get('temperature', 1.0):.2f}",
        "fit": _describe_fit(model_card),
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


def _describe_fit(model_card: Mapping[str, Any]) -> str:
    facts = model_card.get("calibration", {})
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
