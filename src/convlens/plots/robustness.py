"""Figures of robustness: accuracy and consistency over strength, and accuracy at nine places, of two networks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from convlens.plots.style import COLORS, INK, MUTED, PAPER, SERIES, SHARES, WIDTH, styled
from convlens.wording import show_share

PANEL_HEIGHT = 2.5
PAIRS_PER_ROW = 2
MEASURES = {"accuracy": "correct predictions", "consistency": "unchanged predictions"}
LINES = {"model": (SERIES[0], "-", "o"), "baseline": (SERIES[1], (0, (4, 2)), "s")}
NETWORKS = {"model": "this network", "baseline": "dense baseline"}


@dataclass(frozen=True)
class PerturbationStyle:
    """How a perturbation is titled and drawn.

    Attributes:
        title: of its panels.
        unit: of its strengths, for the axis.
        neutral: the strength that changes nothing; None if there is none.
        in_percent: whether the strength is a share.
        falling: whether a smaller strength changes more.
    """

    title: str
    unit: str
    neutral: float | None = 0.0
    in_percent: bool = False
    falling: bool = False


PERTURBATIONS = {
    "shift": PerturbationStyle("Shift", "pixels, mean of four directions"),
    "rotation": PerturbationStyle("Rotation", "degrees, mean of both ways"),
    "scale": PerturbationStyle("Scale", "factor", neutral=1.0),
    "brightness": PerturbationStyle("Brightness", "added share of the full range", in_percent=True),
    "contrast": PerturbationStyle("Contrast", "factor", neutral=1.0),
    "blur": PerturbationStyle("Blur", "radius in pixels"),
    "noise": PerturbationStyle("Noise", "deviation, share of the full range", in_percent=True),
    "jpeg": PerturbationStyle("JPEG", "quality", neutral=None, falling=True),
    "occlusion": PerturbationStyle("Occlusion", "hidden share of the photo", in_percent=True),
}


def drawn_perturbations(curves: pd.DataFrame) -> list[str]:
    """List the perturbations of a table that have strengths, in the order of drawing."""
    return [name for name in PERTURBATIONS if (curves["perturbation"] == name).any()]


@styled
def plot_perturbation(curves: pd.DataFrame, name: str) -> Figure:
    """Plot accuracy and consistency over the strength of one perturbation, with bands of their intervals.

    Args:
        curves: columns network, perturbation, strength, accuracy, consistency, each with `_low` and `_high`; the
            perturbation `none` is the photos as they are, whose accuracy is drawn as a thin line.
        name: a perturbation of `PERTURBATIONS`.
    """
    figure = Figure(figsize=(WIDTH, PANEL_HEIGHT + 0.2))
    panels = figure.subplots(1, 2, sharey=True)
    for panel, measure in zip(panels, MEASURES, strict=True):
        _draw(panel, curves, name, measure)
        panel.set_title(MEASURES[measure], fontsize=9, pad=6)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def plot_curves(curves: pd.DataFrame) -> Figure:
    """Plot all perturbations on one sheet, one scale for all."""
    names = drawn_perturbations(curves)
    rows = max(1, -(-len(names) // PAIRS_PER_ROW))
    figure = Figure(figsize=(2 * WIDTH + 1, 0.5 + PANEL_HEIGHT * rows))
    panels = figure.subplots(rows, 2 * PAIRS_PER_ROW, sharey=True, squeeze=False).ravel()
    for panel, (name, measure) in zip(panels, [(n, m) for n in names for m in MEASURES], strict=False):
        _draw(panel, curves, name, measure)
        panel.set_title(f"{PERTURBATIONS[name].title}: {MEASURES[measure]}", fontsize=9, pad=6)
    for panel in panels[2 * len(names) :]:
        panel.set_visible(False)
    if names:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def plot_places(places: pd.DataFrame) -> Figure:
    """Plot accuracy at nine places of a shrunken photo, a square of nine cells per network.

    Args:
        places: columns network, row, column (0..2), accuracy, accuracy_low, accuracy_high.
    """
    figure = Figure(figsize=(WIDTH, WIDTH / 2 + 0.3))
    names = [name for name in NETWORKS if (places["network"] == name).any()]
    for panel, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for cell in places[places["network"] == name].to_dict("records"):
            share, x, y = float(cell["accuracy"]), int(cell["column"]), int(cell["row"])
            strength, ink = float(np.clip(0.06 + 0.84 * share, 0, 1)), PAPER if share > 0.55 else INK
            panel.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, facecolor=COLORS["blue"], alpha=strength, lw=0))
            panel.text(x, y + 0.05, show_share(share, 0), ha="center", va="bottom", color=ink, fontsize=11,
                       fontweight="bold")  # fmt: skip
            ends = f"{100 * cell['accuracy_low']:.0f} to {100 * cell['accuracy_high']:.0f}"
            panel.text(x, y + 0.12, ends, ha="center", va="top", color=ink, fontsize=7.5)
        panel.set(xlim=(-0.5, 2.5), ylim=(2.5, -0.5), aspect="equal", xticks=[], yticks=[])
        panel.set_title(NETWORKS[name], fontsize=10, pad=6)
        panel.grid(False)
        panel.spines[:].set_visible(False)
    return figure


def _draw(panel: Axes, curves: pd.DataFrame, name: str, measure: str) -> None:
    style = PERTURBATIONS[name]
    for network, (color, line, marker) in LINES.items():
        table = curves[curves["network"] == network]
        if table.empty:
            continue
        points = table[table["perturbation"] == name]
        if style.neutral is not None:  # the photos as they are, where nothing is changed
            points = pd.concat([points, table[table["perturbation"] == "none"].assign(strength=style.neutral)])
        points = points.sort_values("strength")
        at = points["strength"]
        panel.fill_between(at, points[f"{measure}_low"], points[f"{measure}_high"], color=color, alpha=0.16, lw=0)
        panel.plot(at, points[measure], color=color, linestyle=line, marker=marker, markersize=4, zorder=3,
                   clip_on=False, label=NETWORKS[network])  # fmt: skip
        if measure == "accuracy":
            before = float(table.loc[table["perturbation"] == "none", measure].iloc[0])
            panel.axhline(before, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    panel.set(ylim=(0, 1), xlabel=style.unit)
    panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    panel.yaxis.set_major_formatter(SHARES)
    if style.in_percent:
        panel.xaxis.set_major_formatter(SHARES)
    if style.falling:
        panel.invert_xaxis()
