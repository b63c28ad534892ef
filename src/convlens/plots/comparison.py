"""Figures of a comparison: courses of the trainings on one scale, and differences with their intervals."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from convlens.metrics.intervals import Interval
from convlens.plots.style import INK, MUTED, SERIES, WIDTH, new_axes, styled
from convlens.wording import shorten

BASE, HEAD = SERIES[1], SERIES[0]
LOOKS = ((BASE, (0, (4, 2))), (HEAD, "-"))  # told apart without color, too


@styled
def plot_courses(runs: Sequence[tuple[str, pd.DataFrame]], measure: str, title: str) -> Figure:
    """A measure of two trainings by epoch: validation in strong lines, training in thin ones.

    Args:
        runs: name and history of the base and of the run.
        measure: `loss` or `accuracy`.
        title: of the figure.
    """
    figure, axes = new_axes()
    for (name, history), (color, dashes) in zip(runs, LOOKS, strict=True):
        marker = "o" if len(history) == 1 else ""
        for split, width, strength in (("train", 0.9, 0.55), ("validation", 2.0, 1.0)):
            if f"{split}_{measure}" in history:
                label = shorten(name, 24) if split == "validation" else None
                axes.plot(history["epoch"], history[f"{split}_{measure}"], color=color, linestyle=dashes,
                          marker=marker, linewidth=width, alpha=strength, label=label)  # fmt: skip
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.02)
    axes.legend(loc="best")
    if measure == "accuracy":
        axes.set_ylim(top=1)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    else:
        axes.set_ylim(bottom=0)
    return figure


@styled
def plot_differences(
    differences: Mapping[str, Interval], title: str, unit: str, *, limit: float | None = None
) -> Figure:
    """Differences with their intervals, one below the other; what lies right of 0 is better.

    Args:
        differences: by their names, in the unit of the axis; those without an interval are left out.
        title: of the figure.
        unit: of the axis.
        limit: where a loss starts to be a regression; drawn as a dotted line.
    """
    shown = [(name, found) for name, found in differences.items() if None not in (found.value, found.low, found.high)]
    figure, axes = new_axes(WIDTH, 1.1 + 0.42 * len(shown))
    axes.axvline(0, color=INK, linewidth=1)
    for place, (_, found) in enumerate(shown):
        value, low, high = float(found.value or 0), float(found.low or 0), float(found.high or 0)
        color = MUTED if low <= 0 <= high else HEAD if value > 0 else SERIES[5]
        axes.plot([low, high], [place, place], color=color, linewidth=2.4)
        axes.plot([value], [place], "o", color=color, markersize=7)
    if limit is not None:
        axes.axvline(limit, color=SERIES[5], linewidth=1.2, linestyle=(0, (1, 2)))
        start, end = axes.get_xlim()
        side = "right" if limit - start > end - limit else "left"  # of the words, which stand where there is room
        axes.text(limit, len(shown) - 0.45, " tolerated ", color=MUTED, fontsize=7.5, va="center", ha=side)
    axes.set_yticks(range(len(shown)), [name for name, _ in shown], color=INK)
    axes.set_ylim(len(shown) - 0.3, -0.6)
    axes.set_title(title)
    axes.set_xlabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(5))  # long numbers side by side
    axes.grid(axis="y", visible=False)
    return figure
