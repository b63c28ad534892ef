"""Figures of an evaluation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from convlens.metrics.evaluation import Evaluation
from convlens.models.inference import OperatingPoint
from convlens.plots.style import (
    COLORS,
    INK,
    MUTED,
    PAPER,
    SERIES,
    SHARES,
    SQUARE_HEIGHT,
    WIDTH,
    new_axes,
    styled,
    to_png,
)
from convlens.wording import interval_of, shorten, show_number

# --- Figures of an evaluation: confusion matrix, ROC curve, reliability, probabilities per class ---

FEW_CLASSES = 4
MANY_CLASSES = 12
NUM_BINS = 20


@styled
def plot_confusion_matrix(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Photos by actual class (row) and predicted class (column), with each row's shares.

    Args:
        counts: int (K, K).
        classes: K names.
    """
    side = float(np.clip(2.2 + 0.75 * len(classes), SQUARE_HEIGHT, 12.0))
    figure, axes = new_axes(max(side + 0.6, WIDTH), side)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = len(classes) <= FEW_CLASSES
    for row, column in np.ndindex(*counts.shape):
        count, share = int(counts[row, column]), float(shares[row, column])
        color = COLORS["blue"] if row == column else COLORS["vermilion"]
        strength, ink = 0.06 + 0.84 * share if count else 0.03, PAPER if share > 0.55 else INK
        axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=color, alpha=strength, linewidth=0))
        if count or few:
            axes.text(column, row, f"{count:,}", ha="center", va="bottom" if few else "center", color=ink,
                      fontsize=16 if few else 8, fontweight="bold")  # fmt: skip
        if few:
            axes.text(column, row + 0.06, f"{share:.1%}".replace("%", " %"), ha="center", va="top", color=ink)
    names = [shorten(name, 18) for name in classes]
    rotation = 0 if len(names) <= 4 and max(map(len, names)) <= 12 else 45
    axes.set_xticks(range(len(names)), names, rotation=rotation, ha="right" if rotation else "center", color=INK)
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set(xlabel="predicted", ylabel="actual", aspect="equal", title="Confusion matrix")
    axes.set(xlim=(-0.52, len(names) - 0.48), ylim=(len(names) - 0.48, -0.52))
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


@styled
def plot_roc_curve(roc: pd.DataFrame, auc: tuple[float | None, float | None, float | None]) -> Figure:
    """The ROC curve of each class in the table, with the area under it.

    Args:
        roc: columns class, false_positive_rate, true_positive_rate.
        auc: area, lower and upper end of its interval; None where undefined.
    """
    figure, axes = new_axes(WIDTH, SQUARE_HEIGHT)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    for index, (name, curve) in enumerate(roc.groupby("class", sort=False)):
        x, y = curve["false_positive_rate"], curve["true_positive_rate"]
        axes.plot(x, y, color=SERIES[index % len(SERIES)], label=shorten(str(name), 24), clip_on=False, zorder=3)
        if index == 0 and roc["class"].nunique() == 1:
            axes.fill_between(x, y, color=SERIES[0], alpha=0.08, linewidth=0)
    if 1 < roc["class"].nunique() <= MANY_CLASSES:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.16))
    value, low, high = auc
    area = "area undefined:\nphotos of one class only" if value is None else f"area {show_number(value)}"
    if value is not None and low is not None and high is not None:
        area = f"{area}\n{show_number(low)} to {show_number(high)}"
    axes.text(0.97, 0.05, area, ha="right", va="bottom", fontsize=10, fontweight="bold")
    axes.set(xlim=(0, 1), ylim=(0, 1.0), aspect="equal", title="ROC curve")
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.xaxis.set_major_formatter(SHARES)
    axes.yaxis.set_major_formatter(SHARES)
    return figure


@styled
def plot_reliability(reliability: pd.DataFrame, num_classes: int, title: str = "Reliability") -> Figure:
    """Accuracy by confidence; on the diagonal, probabilities mean what they say.

    Args:
        reliability: columns num_photos, confidence, accuracy, low, high; one row per bin.
        num_classes: K; confidence is at least 1 / K.
        title: of the figure.
    """
    figure, axes = new_axes(WIDTH, SQUARE_HEIGHT)
    _draw_reliability(axes, reliability, 1 / num_classes)
    axes.set_title(title)
    return figure


@styled
def plot_reliability_change(before: pd.DataFrame, after: pd.DataFrame, num_classes: int) -> Figure:
    """Two reliability diagrams: what the network says of itself, and what its temperature makes of it.

    Args:
        before: bins without temperature, columns as for `plot_reliability`.
        after: bins with it.
        num_classes: K.
    """
    figure = Figure(figsize=(2 * WIDTH, SQUARE_HEIGHT))
    panels = figure.subplots(1, 2, sharey=True)
    for panel, table, title in zip(panels, (before, after), ("Without temperature", "With temperature"), strict=True):
        _draw_reliability(panel, table, 1 / num_classes)
        panel.set_title(title)
    panels[1].set_ylabel("")
    return figure


def _draw_reliability(axes: Axes, reliability: pd.DataFrame, start: float) -> None:
    axes.plot([start, 1], [start, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    middle = reliability["accuracy"]
    spread = np.array([middle - reliability["low"], reliability["high"] - middle])
    axes.errorbar(
        reliability["confidence"], middle, yerr=spread, fmt="o", color=SERIES[0], markersize=6, elinewidth=1.2,
        clip_on=False, zorder=3,
    )  # fmt: skip
    axes.set(xlim=(start, 1), ylim=(0, 1))
    axes.set(xlabel="confidence", ylabel="accuracy")
    axes.xaxis.set_major_formatter(SHARES)
    axes.yaxis.set_major_formatter(SHARES)


@styled
def plot_probabilities(truths: Sequence[str], given: np.ndarray, classes: Sequence[str]) -> Figure:
    """How much probability the photos of each class gave to the truth: one histogram per class.

    Args:
        truths: name of each photo's class, N.
        given: probability of that class, float (N,).
        classes: names in order; the first twelve that have photos are drawn.
    """
    shown = [name for name in classes if name in set(truths)][:MANY_CLASSES]
    figure = Figure(figsize=(WIDTH, max(SQUARE_HEIGHT, 0.8 + 0.9 * len(shown))))
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    names = np.asarray(truths, dtype=object)
    for index, (panel, name) in enumerate(zip(panels, shown, strict=True)):
        values = given[names == name]
        panel.hist(values, bins=np.linspace(0, 1, NUM_BINS + 1), color=SERIES[index % len(SERIES)], rwidth=0.92)
        panel.set_ylabel(shorten(name, 14), color=INK)
        panel.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        panel.grid(axis="x", visible=False)
        panel.axvline(1 / len(classes), color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    panels[0].set_title("Probability of the truth")
    panels[-1].set_xlabel("probability that the network gave to the photo's own class")
    panels[-1].xaxis.set_major_formatter(SHARES)
    return figure


# --- the operating point: precision over recall, thresholds, and risk over coverage ---

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
    axes.set(xlabel=f"“{shorten(positive, 24)}” is predicted above this probability", ylabel="on the validation photos")
    axes.xaxis.set_major_formatter(SHARES)
    axes.yaxis.set_major_formatter(SHARES)
    return figure


@styled
def plot_risk_coverage(curve: pd.DataFrame, *, share_unsure: float | None, max_error: float) -> Figure:
    """Plot risk over coverage, from the most confident predictions to all of them, with intervals.

    Args:
        curve: columns coverage, error, low, high, from the most confident on.
        share_unsure: share of the photos that the network abstains on.
        max_error: share of misclassified photos tolerated.
    """
    figure, axes = new_axes(WIDTH, SQUARE_HEIGHT)
    x, error, low, high = (curve[name].to_numpy(float) for name in ("coverage", "error", "low", "high"))
    axes.fill_between(x, low, high, color=SERIES[0], alpha=0.16, linewidth=0, step=None)
    axes.plot(x, error, color=SERIES[0], zorder=3, marker="o" if len(x) < 3 else None)
    top = max(float(high[len(high) // 4 :].max()), 2 * max_error if max_error < 0.5 else 0.0, 0.01)
    if max_error < top:
        axes.axhline(max_error, color=COLORS["vermilion"], linewidth=1, linestyle=DOTTED)
        axes.text(0.02, max_error, "tolerated", va="bottom", fontsize=8, color=COLORS["vermilion"])
    if share_unsure is not None and share_unsure < 1:
        axes.axvline(1 - share_unsure, color=MUTED, linewidth=1, linestyle=DOTTED)
    axes.set(xlim=(0, 1), ylim=(0, min(top, 1.0)), title="Risk and coverage")
    axes.set(xlabel="coverage: share of the photos, the most confident first", ylabel="risk: misclassified among them")
    axes.xaxis.set_major_formatter(SHARES)
    axes.yaxis.set_major_formatter(FINE_SHARES)
    return figure


def _say_if_empty(axes: Axes, table: pd.DataFrame, text: str) -> None:
    if table.empty:
        axes.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=axes.transAxes)


# --- slices ---

MAX_ROWS = 40
ROW_HEIGHT = 0.24  # inches


@styled
def plot_slices(slices: pd.DataFrame, accuracy: float) -> Figure:
    """Accuracy of each slice with its interval; those worse than the rest are squares in another color.

    Args:
        slices: columns feature, slice, accuracy, low, high, worse, in the order to be shown; 40 rows are drawn.
        accuracy: of all photos.
    """
    shown = slices.head(MAX_ROWS)
    figure, axes = new_axes(WIDTH, max(1.6, 1.1 + ROW_HEIGHT * len(shown)))
    axes.axvline(accuracy, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    for worse, color, marker in ((False, SERIES[0], "o"), (True, COLORS["vermilion"], "s")):
        places = np.flatnonzero(shown["worse"].to_numpy(bool) == worse)
        value, low, high = (shown[name].to_numpy(float)[places] for name in ("accuracy", "low", "high"))
        axes.errorbar(value, places, xerr=np.array([value - low, high - value]), fmt=marker, color=color,
                      markersize=5, elinewidth=1.2, zorder=3, clip_on=False)  # fmt: skip
    lowest = float(min(shown["low"].astype(float).min(), accuracy)) if len(shown) else accuracy
    start = max(0.0, np.floor(10 * lowest) / 10 - 0.02)
    names = [f"{row.feature}: {shorten(str(row.slice), 22)}" for row in shown.itertuples()]
    axes.set_yticks(range(len(names)), names, color=INK, fontsize=8)
    axes.set(ylim=(max(len(shown), 1) - 0.4, -0.6), xlim=(start, 1.0), title="Accuracy by slice")
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(SHARES)
    axes.set_xlabel("accuracy; dotted: all photos" if len(shown) else "no slices: all photos are alike")
    return figure


# --- the figures of an evaluation as PNG ---


def draw_evaluation(found: Evaluation, point: OperatingPoint, classes: Sequence[str]) -> dict[str, bytes]:
    """Draw confusion matrix, ROC, precision and recall, reliability, thresholds, risk and coverage, and slices."""
    numbers = found.metrics
    before, after = found.reliability_bins("before"), found.reliability_bins("after")
    figures = {
        "confusion_matrix": plot_confusion_matrix(found.confusion_matrix.iloc[:, 1:].to_numpy(), classes),
        "roc_curve": plot_roc_curve(found.roc, interval_of(numbers, "roc_auc")),
        "precision_recall": plot_precision_recall(found.precision_recall),
        "reliability": plot_reliability_change(before, after, len(classes)),
        "thresholds": plot_thresholds(found.thresholds, point.threshold, classes[-1]),
        "risk_coverage": plot_risk_coverage(
            found.risk_coverage, share_unsure=numbers["share_unsure"], max_error=point.max_error
        ),
        "slices": plot_slices(found.slices, numbers["accuracy"]),
    }
    return {f"{name}.png": to_png(figure) for name, figure in figures.items()}
