"""Curves of a training: loss, accuracy and learning rate by epoch; speed and memory."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convlens.plots.style import MUTED, SERIES, SHARES, new_axes, styled

FEW_EPOCHS = 12  # that many are marked by points


@styled
def plot_training_curves(history: pd.DataFrame) -> Figure:
    """Plot loss, accuracy and learning rate, one below the other.

    Args:
        history: columns epoch, image_size, learning_rate, train_loss, train_accuracy, validation_loss,
            validation_accuracy; one row per epoch.
    """
    figure = Figure(figsize=(7.5, 8.5))
    panels = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 2])
    for panel, measure in zip(panels, ("loss", "accuracy", "learning_rate"), strict=True):
        _draw_curves(panel, history, measure)
    for panel in panels[:-1]:
        panel.set_xlabel("")
    return figure


@styled
def plot_training_curve(history: pd.DataFrame, measure: str) -> Figure:
    """Plot `loss`, `accuracy` (training and validation) or `learning_rate` by epoch; see `plot_training_curves`."""
    figure, axes = new_axes()
    _draw_curves(axes, history, measure)
    return figure


def _draw_curves(axes: Axes, history: pd.DataFrame, measure: str) -> None:
    axes.set_title(measure.capitalize().replace("_", " "))
    look, epochs = _mark_epochs(axes, history), history["epoch"]
    if measure == "learning_rate":
        axes.plot(epochs, history[measure], color=SERIES[2], **look)
    else:
        axes.plot(epochs, history[f"train_{measure}"], "--", color=SERIES[1], label="training", **look)
        axes.plot(epochs, history[f"validation_{measure}"], color=SERIES[0], label="validation", **look)
    _name_image_sizes(axes, history)
    if measure == "accuracy":
        axes.set_ylim(top=1)
        axes.yaxis.set_major_formatter(SHARES)
    else:
        axes.set_ylim(bottom=0)
    if measure != "learning_rate":
        axes.legend(loc="best")


@styled
def plot_speed(timing: pd.DataFrame) -> Figure:
    """Plot photos per second and memory, one below the other.

    Args:
        timing: columns epoch, photos_per_second, memory_megabytes; one row per epoch.
    """
    figure = Figure(figsize=(5.2, 4.0))
    panels = figure.subplots(2, 1, sharex=True)
    titles = {"photos_per_second": "Training photos per second", "memory_megabytes": "Memory of the process in MB"}
    for panel, (column, title) in zip(panels, titles.items(), strict=True):
        panel.set_title(title)
        panel.plot(timing["epoch"], timing[column], color=SERIES[0], **_mark_epochs(panel, timing))
        panel.set_ylim(bottom=0)
    panels[0].set_xlabel("")
    return figure


def _mark_epochs(axes: Axes, table: pd.DataFrame) -> dict[str, Any]:
    """Label the axis of epochs; returns how its points are marked."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.02)
    return {"marker": "o" if len(table) <= FEW_EPOCHS else "", "markersize": 3}


def _name_image_sizes(axes: Axes, history: pd.DataFrame) -> None:
    """Separate the epochs of different image sizes, where training grows them."""
    sizes = history["image_size"]
    steps = history[sizes != sizes.shift()]
    if len(steps) < 2:
        return
    axes.set_title(axes.get_title(loc="left"), pad=20)  # room for the sizes below it
    for index, (epoch, size) in enumerate(zip(steps["epoch"], steps["image_size"], strict=True)):
        place = epoch - 0.5 if index else epoch
        if index:
            axes.axvline(place, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.text(
            place, 1.02, f" {size} px", transform=axes.get_xaxis_transform(), color=MUTED, fontsize=7.5, va="bottom"
        )
