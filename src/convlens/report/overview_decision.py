"""How probabilities become answers: threshold, and which answers are left to people; part of the evaluation section."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from convlens.report.figures_decision import plot_risk_coverage, plot_thresholds
from convlens.report.overview_page import Drawing, draw
from convlens.report.wording import interval_of, show_count, show_share

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


def describe_decision(
    metrics: Mapping[str, Any],
    decision: Mapping[str, Any],
    *,
    thresholds: pd.DataFrame,
    risk_coverage: pd.DataFrame,
    positive: str,
) -> dict[str, Any]:
    """What the page says of threshold and unsure answers; empty if nothing was decided.

    Args:
        metrics: `reports/evaluation/metrics.json`.
        decision: `data/decision.json`.
        thresholds: `reports/evaluation/thresholds.csv`; empty for more than two classes.
        risk_coverage: `reports/evaluation/risk_coverage.csv`.
        positive: name of the second class.
    """
    if not decision or risk_coverage.empty:
        return {}
    return {
        "threshold": _describe_threshold(decision, positive) if len(thresholds) else "",
        "reached": decision["threshold_reached"],
        "threshold_figure": _draw_thresholds(thresholds, decision, positive) if len(thresholds) else None,
        "unsure": _describe_unsure(metrics, decision),
        "risk_figure": _draw_risk(risk_coverage, metrics, decision),
        "points": [_describe_point(risk_coverage, coverage) for coverage in COVERAGES],
    }


def _describe_threshold(decision: Mapping[str, Any], positive: str) -> str:
    return f"“{positive}” is answered above a probability of {decision['threshold']:.3f}: {decision['threshold_note']}."


def _draw_thresholds(curve: pd.DataFrame, decision: Mapping[str, Any], positive: str) -> Drawing:
    values = curve.assign(f1=pd.to_numeric(curve["f1"], errors="coerce"))
    place = int(values["f1"].fillna(-1).to_numpy().argmax())
    best, line = (values[name].to_numpy(float)[place] for name in ("f1", "threshold"))
    caption = (
        f"On the validation photos F1 of “{positive}” is largest, {show_share(best)}, at a threshold of {line:.3f}."
    )
    return draw(plot_thresholds(curve, float(decision["threshold"]), positive), "Thresholds", caption)


def _describe_unsure(metrics: Mapping[str, Any], decision: Mapping[str, Any]) -> str:
    limit = show_share(decision["max_error"])
    count, photos = metrics["num_unsure"], show_count(metrics["num_photos"], "test photo")
    if not count:
        return (
            f"All answers are given: on the {decision['num_validation']:,} validation photos no more than {limit} of "
            f"them are wrong. Of {photos} {_show(metrics, 'error_when_sure')} are answered wrong."
        )
    least = show_share(decision["min_probability"])
    start = (
        f"For no more than {limit} wrong answers, those with a probability of {least} or less are left to people, as "
        f"the validation photos suggest. That is {count:,} of {photos}, {_show(metrics, 'share_unsure')}."
    )
    if metrics.get("error_when_sure") is None:
        return f"{start} No answer is sure enough to be given."
    return f"{start} Of the other answers {_show(metrics, 'error_when_sure')} are wrong."


def _show(metrics: Mapping[str, Any], name: str) -> str:
    value, low, high = interval_of(metrics, name)
    return (
        show_share(value)
        if low is None or high is None
        else f"{show_share(value)} ({show_share(low)} to {show_share(high)})"
    )


def _draw_risk(curve: pd.DataFrame, metrics: Mapping[str, Any], decision: Mapping[str, Any]) -> Drawing:
    share, error = metrics.get("share_unsure"), float(curve["error"].iloc[-1])
    figure = plot_risk_coverage(curve, share_unsure=share, max_error=float(decision["max_error"]))
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
        "min_probability": show_share(float(row["min_probability"])),
        "error": show_share(float(row["error"])),
        "interval": f"{low} to {high}",
    }
