"""The invariance section of the overview page: what stays when photos are moved, turned, darkened or blurred."""

from collections.abc import Mapping
from typing import Any, cast

import pandas as pd

from convlens.report.figures_invariance import (
    LOOKS,
    MEASURES,
    NETWORKS,
    drawn_distortions,
    plot_distortion,
    plot_places,
)
from convlens.report.overview_page import Drawing, draw
from convlens.report.wording import show_share

SHIFT = 8  # pixels of the sentence, or the next shift below
WITHOUT_STRENGTH = {"flip": "Mirrored", "grey": "Without colour"}
PERCENT = "\N{NO-BREAK SPACE}%"


def describe_invariance(
    metrics: Mapping[str, Any], curves: pd.DataFrame, places: pd.DataFrame, *, guess: float, mirror: bool
) -> dict[str, Any]:
    """What the invariance section shows; empty where nothing was measured.

    Args:
        metrics: `reports/invariance/metrics.json`.
        curves: `reports/invariance/curves.csv`.
        places: `reports/invariance/places.csv`.
        guess: share of the largest class, which is right without looking.
        mirror: whether the network answers with the mirror image, so that mirrored photos cannot change an answer.
    """
    if not metrics:
        return {}
    return {
        "sentence": say_shift(curves),
        "wherever": _say_places(metrics),
        "worthless": metrics["counterexample_accuracy_low"] <= guess,
        "num_photos": metrics["num_photos"],
        "networks": [_describe_network(metrics, name) for name in NETWORKS],
        "figures": [(LOOKS[name].title, _draw_distortion(curves, name)) for name in drawn_distortions(curves)],
        "places": _draw_places(places, metrics),
        "rows": _list_rows(curves),
        "mirror": mirror,
    }


def say_shift(curves: pd.DataFrame) -> str:
    """How many answers stay when photos are shifted, in one sentence; empty if no shift was tried."""
    shifts = curves[curves["distortion"] == "shift"]
    if shifts.empty:
        return ""
    strengths = sorted(shifts["strength"])
    pixels = max([strength for strength in strengths if strength <= SHIFT] or strengths[:1])
    by_network = shifts[shifts["strength"] == pixels].set_index("network").to_dict("index")
    unit = "pixel" if pixels == 1 else "pixels"
    ours, dense = (show_ends(by_network[name], "consistency") for name in NETWORKS)
    return f"Shifted by {pixels:g} {unit}, {ours} of answers stay; the dense network keeps {dense}."


def show_ends(values: Mapping[Any, Any], name: str) -> str:
    """A share with its interval: `98 % (95–99)`."""
    low, high = (f"{100 * float(values[f'{name}_{end}']):.0f}" for end in ("low", "high"))
    return f"{show_share(float(values[name]), 0)} ({low}–{high})"


def _say_places(metrics: Mapping[str, Any]) -> str:
    ours, dense = (show_ends(metrics, f"{name}_places_agreement") for name in NETWORKS)
    return (
        f"Made smaller and put at nine places, {ours} of the photos get the same answer wherever they are; "
        f"from the dense network {dense}."
    )


def _describe_network(metrics: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {
        "title": NETWORKS[name].capitalize(),
        "num_parameters": metrics[f"{name}_num_parameters"],
        "accuracy": show_ends(metrics, f"{name}_accuracy"),
        "places_accuracy": show_ends(metrics, f"{name}_places_accuracy"),
        "agreement": show_ends(metrics, f"{name}_places_agreement"),
    }


def _draw_distortion(curves: pd.DataFrame, name: str) -> Drawing:
    """The caption tells of the strength at which this network loses most."""
    rows = curves[curves["distortion"] == name]
    strongest_first = rows[rows["network"] == "model"].iloc[::-1]
    worst = strongest_first.sort_values("accuracy", kind="stable").iloc[0]["strength"]
    at_worst = rows[rows["strength"] == worst].set_index("network").to_dict("index")
    ours, dense = (at_worst[network] for network in NETWORKS)
    caption = (
        f"Hardest at {_show_strength(name, worst)}: {show_share(ours['accuracy'])} right, "
        f"{show_share(ours['consistency'])} answered as before; the dense network {show_share(dense['accuracy'])} and "
        f"{show_share(dense['consistency'])}."
    )
    return draw(plot_distortion(curves, name), f"{LOOKS[name].title}: curves of two networks", caption)


def _draw_places(places: pd.DataFrame, metrics: Mapping[str, Any]) -> Drawing:
    ours, dense = (show_share(metrics[f"{name}_places_accuracy"]) for name in NETWORKS)
    caption = f"Right answers with the photo made smaller, by its place: {ours} on average, the dense network {dense}."
    return draw(plot_places(places), "Nine places", caption)


def _list_rows(curves: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per disturbance and strength, with both networks side by side."""
    rows = []
    for key, group in curves.groupby(["distortion", "strength"], sort=False):
        name, strength = cast(tuple[str, float], key)
        cells = group.set_index("network").to_dict("index")
        rows.append(
            {
                "title": _title(str(name)),
                "strength": _show_strength(str(name), float(strength)),
                "cells": [show_ends(cells[network], measure) for network in NETWORKS for measure in MEASURES],
            }
        )
    return rows


def _title(name: str) -> str:
    return "As they are" if name == "none" else WITHOUT_STRENGTH.get(name) or LOOKS[name].title


def _show_strength(name: str, strength: float) -> str:
    if name not in LOOKS:
        return ""
    if LOOKS[name].in_percent:
        return f"{100 * strength:g}{PERCENT}".replace("-", "\N{MINUS SIGN}")
    units = {"shift": " px", "rotation": "°", "scale": "×", "contrast": "×", "blur": " px"}
    return f"quality {strength:g}" if name == "jpeg" else f"{strength:g}{units[name]}"
