"""The figure of slices: how often the network is right on photos that have something in common."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from convlens.report.figures_style import COLOURS, INK, MUTED, SERIES, WIDTH, new_axes, styled
from convlens.report.wording import shorten

MAX_ROWS = 40
ROW_HEIGHT = 0.24  # inches
SHARES = PercentFormatter(1, decimals=0, symbol=" %")


@styled
def plot_slices(slices: pd.DataFrame, accuracy: float) -> Figure:
    """Accuracy of each slice with its interval; those worse than the rest are squares in another colour.

    Args:
        slices: columns feature, slice, accuracy, low, high, worse, in the order to be shown; 40 rows are drawn.
        accuracy: of all photos.
    """
    shown = slices.head(MAX_ROWS)
    figure, axes = new_axes(WIDTH, max(1.6, 1.1 + ROW_HEIGHT * len(shown)))
    axes.axvline(accuracy, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    for worse, colour, marker in ((False, SERIES[0], "o"), (True, COLOURS["vermilion"], "s")):
        _draw_rows(axes, shown, worse=worse, colour=colour, marker=marker)
    names = [f"{row.feature}: {shorten(str(row.slice), 22)}" for row in shown.itertuples()]
    axes.set_yticks(range(len(names)), names, color=INK, fontsize=8)
    axes.set(ylim=(max(len(shown), 1) - 0.4, -0.6), xlim=_range(shown, accuracy), title="Accuracy by kind of photo")
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(SHARES)
    axes.set_xlabel("share of right answers; dotted: all photos" if len(shown) else "no slices: all photos are alike")
    return figure


def _draw_rows(axes: Axes, shown: pd.DataFrame, *, worse: bool, colour: str, marker: str) -> None:
    places = np.flatnonzero(shown["worse"].to_numpy(bool) == worse)
    rows = shown.iloc[places]
    value = rows["accuracy"].to_numpy(float)
    ends = np.array([value - rows["low"].to_numpy(float), rows["high"].to_numpy(float) - value])
    axes.errorbar(value, places, xerr=ends, fmt=marker, color=colour, markersize=5, elinewidth=1.2, zorder=3,
                  clip_on=False)  # fmt: skip


def _range(shown: pd.DataFrame, accuracy: float) -> tuple[float, float]:
    low = float(min(shown["low"].astype(float).min(), accuracy)) if len(shown) else accuracy
    return max(0.0, np.floor(10 * low) / 10 - 0.02), 1.0
