"""The training section of the overview page: curves, final numbers and settings."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from convlens.report.figures_training import plot_accuracy, plot_learning_rate, plot_loss
from convlens.report.overview_page import Drawing, draw
from convlens.report.wording import show_count, show_number, show_share


def describe_training(history: pd.DataFrame, model_card: Mapping[str, Any]) -> dict[str, Any]:
    """What the training section shows."""
    return {"facts": _list_facts(history, model_card), "figures": _draw_figures(history)}


def describe_settings(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parameters that shaped this network, by group; of the architectures only the chosen one."""
    architecture = params["model"]["architecture"]
    groups = {
        f"model: {architecture}": params["model"].get(architecture, {}),
        "train": params.get("train", {}),
        "augment": params.get("augment", {}),
        "preprocess": params.get("preprocess", {}),
        "evaluate": params.get("evaluate", {}),
    }
    return [
        {"title": title, "rows": [(name, _show_setting(value)) for name, value in group.items()]}
        for title, group in groups.items()
    ]


def _show_setting(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_show_setting(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_show_setting, value))
    return str(value)


def _list_facts(history: pd.DataFrame, card: Mapping[str, Any]) -> list[tuple[str, str]]:
    last = history.iloc[-1]
    return [
        ("Architecture", str(card["architecture"])),
        ("Parameters", f"{card['num_parameters']:,}"),
        ("Epochs", f"{len(history):,}; weights of epoch {card['best_epoch']:,} kept"),
        ("Looks at", f"{card['image_size']} × {card['image_size']} pixels"),
        ("Computed on", f"{card['device']}, {card['precision']}, {_show_threads(int(card['num_threads']))}"),
        ("Training", f"loss {show_number(last['train_loss'])}, accuracy {show_share(last['train_accuracy'])}"),
        ("Validation", f"loss {show_number(card['validation_loss'])}, "
                       f"accuracy {show_share(card['validation_accuracy'])} (weights kept)"),
    ]  # fmt: skip


def _draw_figures(history: pd.DataFrame) -> list[Drawing]:
    loss = _describe_course(history, "loss", show_number)
    accuracy = _describe_course(history, "accuracy", show_share)
    rate = _describe_rate(history)
    plots = ((plot_loss, loss), (plot_accuracy, accuracy), (plot_learning_rate, rate))
    return [draw(plot(history), "Line chart by epoch", caption) for plot, caption in plots]


def _describe_rate(history: pd.DataFrame) -> str:
    rates = history["learning_rate"]
    if rates.nunique() == 1:
        return f"{rates.iloc[0]:.3g} throughout."
    peak = history.iloc[int(rates.to_numpy().argmax())]
    return f"Peak {peak['learning_rate']:.3g} at epoch {peak['epoch']:.0f}, {rates.iloc[-1]:.3g} at the end."


def _describe_course(history: pd.DataFrame, name: str, show: Any) -> str:
    first, last = history.iloc[0], history.iloc[-1]
    courses = [
        f"{title} {show(float(first[f'{split}_{name}']))} → {show(float(last[f'{split}_{name}']))}"
        for split, title in (("train", "Training"), ("validation", "validation"))
    ]
    return ", ".join(courses) + "."


def _show_threads(num_threads: int) -> str:
    return show_count(num_threads, "thread") if num_threads else "one thread per core"
