"""Figures of an evaluation: confusion matrix, ROC curve, reliability, probabilities per class."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from convlens.report.figures_style import COLOURS, INK, MUTED, PAPER, SERIES, SQUARE_HEIGHT, WIDTH, new_axes, styled
from convlens.report.wording import shorten, show_number

FEW_CLASSES = 4
MANY_CLASSES = 12
NUM_BINS = 20
SHARES = PercentFormatter(1, decimals=0, symbol=" %")


@styled
def plot_confusion_matrix(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Photos by actual class (row) and answer (column), with each row's shares.

    Args:
        counts: int (K, K).
        classes: K names.
    """
    side = float(np.clip(2.2 + 0.75 * len(classes), SQUARE_HEIGHT, 12.0))
    figure, axes = new_axes(max(side + 0.6, WIDTH), side)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in np.ndindex(*counts.shape):
        few = len(classes) <= FEW_CLASSES
        _draw_cell(axes, (row, column), int(counts[row, column]), float(shares[row, column]), few=few)
    names = [shorten(name, 18) for name in classes]
    rotation = 0 if len(names) <= 4 and max(map(len, names)) <= 12 else 45
    axes.set_xticks(range(len(names)), names, rotation=rotation, ha="right" if rotation else "center", color=INK)
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set(xlabel="answer", ylabel="truth", aspect="equal", title="Confusion matrix")
    axes.set(xlim=(-0.52, len(names) - 0.48), ylim=(len(names) - 0.48, -0.52))
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


def _draw_cell(axes: Axes, place: tuple[int, int], count: int, share: float, *, few: bool) -> None:
    row, column = place
    colour = COLOURS["blue"] if row == column else COLOURS["vermilion"]
    strength = 0.06 + 0.84 * share if count else 0.03
    axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=colour, alpha=strength, linewidth=0))
    ink = PAPER if share > 0.55 else INK
    if count or few:
        axes.text(column, row, f"{count:,}", ha="center", va="bottom" if few else "center", color=ink,
                  fontsize=16 if few else 8, fontweight="bold")  # fmt: skip
    if few:
        axes.text(column, row + 0.06, f"{share:.1%}".replace("%", " %"), ha="center", va="top", color=ink)


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
    axes.text(0.97, 0.05, _describe_area(auc), ha="right", va="bottom", fontsize=10, fontweight="bold")
    axes.set(xlim=(0, 1), ylim=(0, 1.0), aspect="equal", title="ROC curve")
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.xaxis.set_major_formatter(SHARES)
    axes.yaxis.set_major_formatter(SHARES)
    return figure


def _describe_area(auc: tuple[float | None, float | None, float | None]) -> str:
    value, low, high = auc
    if value is None:
        return "area undefined:\nphotos of one class only"
    interval = "" if low is None or high is None else f"\n{show_number(low)} to {show_number(high)}"
    return f"area {show_number(value)}{interval}"


@styled
def plot_reliability(reliability: pd.DataFrame, num_classes: int, title: str = "Reliability") -> Figure:
    """How often answers given with some probability are right; on the diagonal, probabilities mean what they say.

    Args:
        reliability: columns num_photos, confidence, accuracy, low, high; one row per bin.
        num_classes: K; an answer has at least probability 1 / K.
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
    axes.set(xlabel="probability of the answer", ylabel="share of answers that are right")
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
