"""Figures about decisions: precision over recall, thresholds, and wrong answers over answers given."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from convlens.report.figures_style import COLOURS, MUTED, SERIES, SQUARE_HEIGHT, WIDTH, new_axes, styled
from convlens.report.wording import shorten

MANY_CLASSES = 12
SHARES = PercentFormatter(1, decimals=0, symbol=" %")
FINE_SHARES = PercentFormatter(1, symbol=" %")
DOTTED = (0, (2, 3))
DASHES = ("-", (0, (6, 2)), (0, (1.5, 1.5)))


@styled
def plot_precision_recall(curves: pd.DataFrame) -> Figure:
    """Precision over recall of each class in the table.

    Args:
        curves: columns class, recall, precision; empty where no class has a curve.
    """
    figure, axes = new_axes(WIDTH, SQUARE_HEIGHT)
    for index, (name, curve) in enumerate(curves.groupby("class", sort=False)):
        axes.plot(curve["recall"], curve["precision"], color=SERIES[index % len(SERIES)], drawstyle="steps-pre",
                  label=shorten(str(name), 24), clip_on=False, zorder=3)  # fmt: skip
    if 1 < curves["class"].nunique() <= MANY_CLASSES:
        axes.legend(loc="lower left")
    _say_if_empty(axes, curves, "undefined:\nphotos of one class only")
    axes.set(xlim=(0, 1), ylim=(0, 1), title="Precision and recall", xlabel="recall", ylabel="precision")
    axes.xaxis.set_major_formatter(SHARES)
    axes.yaxis.set_major_formatter(SHARES)
    return figure


@styled
def plot_thresholds(curve: pd.DataFrame, threshold: float, positive: str) -> Figure:
    """Precision, recall and F1 of the second class over the threshold, and the threshold that was taken.

    Args:
        curve: columns threshold, precision, recall, f1; empty for more than two classes.
        threshold: the chosen one.
        positive: name of the second class.
    """
    figure, axes = new_axes(WIDTH, SQUARE_HEIGHT)
    for index, (name, title) in enumerate((("precision", "precision"), ("recall", "recall"), ("f1", "F1"))):
        values = pd.to_numeric(curve[name], errors="coerce").to_numpy(float)
        axes.plot(curve["threshold"].to_numpy(float), values, color=SERIES[index], label=title,
                  linestyle=DASHES[index], clip_on=False, zorder=3)  # fmt: skip
    if len(curve):
        axes.axvline(threshold, color=MUTED, linewidth=1, linestyle=DOTTED)
        axes.text(threshold, 1.02, f"{threshold:.3f}", ha="center", va="bottom", fontsize=8, color=MUTED)
        axes.legend(loc="lower center")
    _say_if_empty(axes, curve, "only two classes\nhave one threshold")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_title("Thresholds", pad=16)
    axes.set(xlabel=f"“{shorten(positive, 24)}” is answered above this probability", ylabel="on the validation photos")
    axes.xaxis.set_major_formatter(SHARES)
    axes.yaxis.set_major_formatter(SHARES)
    return figure


@styled
def plot_risk_coverage(curve: pd.DataFrame, *, share_unsure: float | None, max_error: float) -> Figure:
    """Wrong answers among those given, from the surest answers to all of them, with intervals.

    Args:
        curve: columns coverage, error, low, high, from the surest on.
        share_unsure: share of the photos left to people.
        max_error: share of wrong answers tolerated.
    """
    figure, axes = new_axes(WIDTH, SQUARE_HEIGHT)
    x, error, low, high = (curve[name].to_numpy(float) for name in ("coverage", "error", "low", "high"))
    axes.fill_between(x, low, high, color=SERIES[0], alpha=0.16, linewidth=0, step=None)
    axes.plot(x, error, color=SERIES[0], zorder=3, marker="o" if len(x) < 3 else None)
    top = max(float(high[len(high) // 4 :].max()), 2 * max_error if max_error < 0.5 else 0.0, 0.01)
    if max_error < top:
        axes.axhline(max_error, color=COLOURS["vermilion"], linewidth=1, linestyle=DOTTED)
        axes.text(0.02, max_error, "tolerated", va="bottom", fontsize=8, color=COLOURS["vermilion"])
    if share_unsure is not None and share_unsure < 1:
        axes.axvline(1 - share_unsure, color=MUTED, linewidth=1, linestyle=DOTTED)
    axes.set(xlim=(0, 1), ylim=(0, min(top, 1.0)), title="Risk and coverage")
    axes.set(xlabel="share of the photos answered, the surest first", ylabel="wrong among the answers given")
    axes.xaxis.set_major_formatter(SHARES)
    axes.yaxis.set_major_formatter(FINE_SHARES)
    return figure


def _say_if_empty(axes: Axes, table: pd.DataFrame, text: str) -> None:
    if table.empty:
        axes.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=axes.transAxes)
