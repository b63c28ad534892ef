"""Figures of data and drift."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

from convlens.files import evenly_spaced
from convlens.plots.style import COLORS, SERIES, SHARES, WIDTH, new_axes, styled
from convlens.wording import shorten

# --- Figures of a data set: photos per class and split, sizes, and histograms of what was measured ---

MARKERS = "osD^vP"
MAX_POINTS = 500


@dataclass(frozen=True)
class Measure:
    """A column of the manifest as a histogram shows it: its axis, and edges from `low` to `high`, perhaps in powers."""

    column: str
    title: str
    axis: str
    low: float
    high: float
    in_powers: bool = False


MEASURES = (
    Measure("brightness", "Brightness", "mean brightness (0 black, 1 white)", 0.0, 1.0),
    Measure("contrast", "Contrast", "standard deviation of brightness", 0.0, 0.5),
    Measure("sharpness", "Sharpness", "variance of the Laplacian (lower is blurrier)", 1.0, 1e5, in_powers=True),
    Measure("aspect", "Aspect", "width over height", 0.125, 8.0, in_powers=True),
)
NUM_BINS = 25


@styled
def plot_sizes(manifest: pd.DataFrame) -> Figure:
    """Plot width against height: each size once per class, and of very many sizes an even choice.

    Args:
        manifest: columns label, width, height (pixels).
    """
    figure, axes = new_axes()
    sizes = manifest[["label", "width", "height"]].drop_duplicates().sort_values(["width", "height", "label"])
    shown = sizes.iloc[evenly_spaced(len(sizes), MAX_POINTS)]
    for index, (label, photos) in enumerate(shown.groupby("label", sort=True)):
        axes.scatter(
            photos["width"], photos["height"], s=12, alpha=0.5, linewidths=0, color=SERIES[index % len(SERIES)],
            marker=MARKERS[index % len(MARKERS)], label=shorten(str(label), 18),
        )  # fmt: skip
    axes.set(xlabel="width in pixels", ylabel="height in pixels", title="Sizes")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    _add_legend(axes)
    return figure


@styled
def plot_measure(manifest: pd.DataFrame, measure: Measure, *, limits: Sequence[float] = ()) -> Figure:
    """Plot the histogram of one measure per class; values beyond the axis stand at its ends.

    Args:
        manifest: the column `label` and that of the measure.
        measure: what is shown.
        limits: where dashed lines stand.
    """
    figure, axes = new_axes()
    space = np.geomspace if measure.in_powers else np.linspace
    bins = space(measure.low, measure.high, NUM_BINS + 1).tolist()
    for index, (label, photos) in enumerate(manifest.groupby("label", sort=True)):
        color = SERIES[index % len(SERIES)]
        style = ("-", "--", ":", "-.")[index % 4]
        values = photos[measure.column].dropna().clip(measure.low, measure.high)
        axes.hist(values, bins=bins, histtype="step", color=color, linewidth=1.8, linestyle=style,
                  label=shorten(str(label), 18))  # fmt: skip
        axes.hist(values, bins=bins, color=color, alpha=0.08)
    axes.set(xlabel=measure.axis, ylabel="photos", title=measure.title, xlim=(measure.low, measure.high))
    if measure.in_powers:
        base = 2 if measure.high / measure.low <= 64 else 10
        axes.set_xscale("log", base=base)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.4g}" if base == 2 else "{x:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    for limit in limits:
        axes.axvline(limit, color=COLORS["vermilion"], linewidth=1.2, linestyle=(0, (4, 3)))
    _add_legend(axes)
    return figure


def _add_legend(axes: Axes) -> None:
    _, labels = axes.get_legend_handles_labels()
    if 1 < len(labels) <= len(SERIES):
        axes.legend(loc="best")


# --- Figures of drift: one statistic of two groups of photos, over one another ---

SMALLEST_MEGAPIXELS, LARGEST_MEGAPIXELS = 1e-3, 1e2
MEGAPIXELS = Measure(
    "megapixels", "Size", "millions of pixels", SMALLEST_MEGAPIXELS, LARGEST_MEGAPIXELS, in_powers=True
)
KNOWN = {measure.column: measure for measure in (*MEASURES, MEGAPIXELS)}


@styled
def plot_two_groups(name: str, reference: np.ndarray, observed: np.ndarray) -> Figure:
    """Plot histograms of a statistic of training photos, filled, and of the photos at hand, as a line.

    Args:
        name: of the statistic.
        reference: of training photos, float (N,).
        observed: of the photos at hand, float (M,).
    """
    measure = KNOWN[name]
    figure, axes = new_axes(WIDTH, 2.6)
    edges = _place_edges(measure, reference, observed)
    filled: dict[str, Any] = {"color": SERIES[0], "alpha": 0.35, "histtype": "stepfilled"}
    line: dict[str, Any] = {"color": SERIES[1], "linewidth": 2.0, "histtype": "step"}
    for values, label, style in ((reference, "training photos", filled), (observed, "these photos", line)):
        shares = np.full(len(values), 1 / len(values))
        axes.hist(np.clip(values, edges[0], edges[-1]), bins=list(edges), weights=shares, label=label, **style)
    if measure.in_powers:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set(title=measure.title, xlabel=measure.axis, xlim=(edges[0], edges[-1]))
    axes.yaxis.set_major_formatter(SHARES)
    axes.margins(y=0.2)
    axes.legend(loc="upper right", ncols=2)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 1])
    return figure


def _place_edges(measure: Measure, reference: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Edges around all values, within what the statistic can be."""
    values = np.concatenate([reference, observed])
    low, high = float(values.min()), float(values.max())
    if measure.in_powers:
        low, high = max(low * 0.9, measure.low), min(max(high * 1.1, low * 1.5), measure.high)
        return np.geomspace(low, max(high, low * 1.5), NUM_BINS + 1)
    room = 0.05 * max(high - low, 0.02)
    return np.linspace(max(low - room, measure.low), min(high + room, measure.high), NUM_BINS + 1)
