"""Curves of a training: loss, accuracy and learning rate by epoch; speed and memory."""

from collections.abc import Callable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from convlens.plots.style import MUTED, SERIES, new_axes, styled

FEW_EPOCHS = 12


@styled
def plot_training_curves(history: pd.DataFrame) -> Figure:
    """Loss, accuracy and learning rate, one below the other.

    Args:
        history: columns epoch, image_size, learning_rate, train_loss, train_accuracy, validation_loss,
            validation_accuracy; one row per epoch.
    """
    figure = Figure(figsize=(7.5, 8.5))
    panels = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 2])
    for panel, draw in zip(panels, (_draw_loss, _draw_accuracy, _draw_learning_rate), strict=True):
        draw(panel, history)
    for panel in panels[:-1]:
        panel.set_xlabel("")
    return figure


@styled
def plot_loss(history: pd.DataFrame) -> Figure:
    """Training and validation loss by epoch; see `plot_training_curves`."""
    return _plot_one(_draw_loss, history)


@styled
def plot_accuracy(history: pd.DataFrame) -> Figure:
    """Training and validation accuracy by epoch; see `plot_training_curves`."""
    return _plot_one(_draw_accuracy, history)


@styled
def plot_learning_rate(history: pd.DataFrame) -> Figure:
    """The step size by epoch; see `plot_training_curves`."""
    return _plot_one(_draw_learning_rate, history)


@styled
def plot_speed(timing: pd.DataFrame) -> Figure:
    """Photos per second and memory, one below the other.

    Args:
        timing: columns epoch, photos_per_second, memory_megabytes; one row per epoch.
    """
    figure = Figure(figsize=(5.2, 4.0))
    panels = figure.subplots(2, 1, sharex=True)
    _draw_measure(panels[0], timing, "photos_per_second", "Training photos per second")
    _draw_measure(panels[1], timing, "memory_megabytes", "Memory of the process in MB")
    panels[0].set_xlabel("")
    return figure


def _draw_measure(axes: Axes, timing: pd.DataFrame, column: str, title: str) -> None:
    axes.set_title(title)
    axes.plot(timing["epoch"], timing[column], color=SERIES[0], marker=_marker(timing), markersize=3)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.02)


def _plot_one(draw: Callable[[Axes, pd.DataFrame], None], history: pd.DataFrame) -> Figure:
    figure, axes = new_axes()
    draw(axes, history)
    return figure


def _draw_loss(axes: Axes, history: pd.DataFrame) -> None:
    axes.set_title("Loss")
    _draw_pair(axes, history, "loss")
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")


def _draw_accuracy(axes: Axes, history: pd.DataFrame) -> None:
    axes.set_title("Accuracy")
    _draw_pair(axes, history, "accuracy")
    axes.set_ylim(top=1)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.legend(loc="best")


def _draw_learning_rate(axes: Axes, history: pd.DataFrame) -> None:
    axes.set_title("Learning rate")
    axes.plot(history["epoch"], history["learning_rate"], color=SERIES[2], marker=_marker(history), markersize=3)
    axes.set_ylim(bottom=0)
    _draw_epochs(axes, history)


def _draw_pair(axes: Axes, history: pd.DataFrame, name: str) -> None:
    epochs = history["epoch"]
    look: dict[str, Any] = {"marker": _marker(history), "markersize": 3}
    axes.plot(epochs, history[f"train_{name}"], "--", color=SERIES[1], label="training", **look)
    axes.plot(epochs, history[f"validation_{name}"], color=SERIES[0], label="validation", **look)
    _draw_epochs(axes, history)


def _draw_epochs(axes: Axes, history: pd.DataFrame) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.02)
    sizes = history["image_size"]
    steps = history[sizes != sizes.shift()]
    if len(steps) < 2:
        return
    axes.set_title(axes.get_title(loc="left"), pad=20)  # room for the sizes below it
    for index, (epoch, size) in enumerate(zip(steps["epoch"], steps["image_size"], strict=True)):
        if index:
            axes.axvline(epoch - 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        place = epoch - 0.5 if index else epoch
        axes.text(
            place, 1.02, f" {size} px", transform=axes.get_xaxis_transform(), color=MUTED, fontsize=7.5, va="bottom"
        )


def _marker(history: pd.DataFrame) -> str:
    return "o" if len(history) <= FEW_EPOCHS else ""
