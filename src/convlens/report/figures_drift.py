"""Figures of drift: one statistic of two groups of photos, over one another."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from convlens.report.figures_data import MEASURES, Measure
from convlens.report.figures_style import SERIES, WIDTH, new_axes, styled

NUM_BINS = 25
SMALLEST_MEGAPIXELS, LARGEST_MEGAPIXELS = 1e-3, 1e2
MEGAPIXELS = Measure(
    "megapixels", "Size", "millions of pixels", SMALLEST_MEGAPIXELS, LARGEST_MEGAPIXELS, in_powers=True
)
KNOWN = {measure.column: measure for measure in (*MEASURES, MEGAPIXELS)}


@styled
def plot_two_groups(name: str, reference: np.ndarray, observed: np.ndarray) -> Figure:
    """Histograms of a statistic of training photos, filled, and of the photos at hand, as a line.

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
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol="\N{NO-BREAK SPACE}%"))
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
