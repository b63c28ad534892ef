"""The report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, cast

import pandas as pd

from convlens.models.inference import OperatingPoint
from convlens.pages.engine import Drawing, draw, fill_template, picture_source
from convlens.pages.photos import choose_errors, choose_unsure
from convlens.pages.report_data import (
    choose_samples,
    describe_data,
    describe_quarantine,
    describe_settings,
    describe_training,
    shown_groups,
)
from convlens.pages.report_evaluation import (
    describe_calibration,
    describe_decision,
    describe_evaluation,
    describe_glance,
    describe_slices,
)
from convlens.pages.user_photos import describe_own
from convlens.plots.robustness import (
    MEASURES,
    NETWORKS,
    PERTURBATIONS,
    drawn_perturbations,
    plot_perturbation,
    plot_places,
)
from convlens.wording import show_share

# --- The robustness section of the overview page: what stays when photos are moved, turned, darkened or blurred ---

SHIFT = 8  # pixels of the sentence, or the next shift below
WITHOUT_STRENGTH = {"flip": "Mirrored", "gray": "Without color"}
PERCENT = "\N{NO-BREAK SPACE}%"


def describe_robustness(
    metrics: Mapping[str, Any], curves: pd.DataFrame, places: pd.DataFrame, *, guess: float, mirror: bool
) -> dict[str, Any]:
    """What the robustness section shows; empty where nothing was measured.

    Args:
        metrics: `reports/robustness/metrics.json`.
        curves: `reports/robustness/curves.csv`.
        places: `reports/robustness/places.csv`.
        guess: share of the largest class, which is right without looking.
        mirror: whether the network answers with the mirror image, so that mirrored photos cannot change an answer.
    """
    if not metrics:
        return {}
    return {
        "sentence": say_shift(curves),
        "wherever": _say_places(metrics),
        "worthless": metrics["baseline_accuracy_low"] <= guess,
        "num_photos": metrics["num_photos"],
        "networks": [_describe_network(metrics, name) for name in NETWORKS],
        "figures": [
            (PERTURBATIONS[name].title, _draw_perturbation(curves, name)) for name in drawn_perturbations(curves)
        ],
        "places": _draw_places(places, metrics),
        "rows": _list_rows(curves),
        "mirror": mirror,
    }


def say_shift(curves: pd.DataFrame) -> str:
    """How many answers stay when photos are shifted, in one sentence; empty if no shift was tried."""
    shifts = curves[curves["perturbation"] == "shift"]
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


def _draw_perturbation(curves: pd.DataFrame, name: str) -> Drawing:
    """The caption tells of the strength at which this network loses most."""
    rows = curves[curves["perturbation"] == name]
    strongest_first = rows[rows["network"] == "model"].iloc[::-1]
    worst = strongest_first.sort_values("accuracy", kind="stable").iloc[0]["strength"]
    at_worst = rows[rows["strength"] == worst].set_index("network").to_dict("index")
    ours, dense = (at_worst[network] for network in NETWORKS)
    caption = (
        f"Hardest at {_show_strength(name, worst)}: {show_share(ours['accuracy'])} right, "
        f"{show_share(ours['consistency'])} answered as before; the dense network {show_share(dense['accuracy'])} and "
        f"{show_share(dense['consistency'])}."
    )
    return draw(plot_perturbation(curves, name), f"{PERTURBATIONS[name].title}: curves of two networks", caption)


def _draw_places(places: pd.DataFrame, metrics: Mapping[str, Any]) -> Drawing:
    ours, dense = (show_share(metrics[f"{name}_places_accuracy"]) for name in NETWORKS)
    caption = f"Right answers with the photo made smaller, by its place: {ours} on average, the dense network {dense}."
    return draw(plot_places(places), "Nine places", caption)


def _list_rows(curves: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per perturbation and strength, with both networks side by side."""
    rows = []
    for key, group in curves.groupby(["perturbation", "strength"], sort=False):
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
    return "As they are" if name == "none" else WITHOUT_STRENGTH.get(name) or PERTURBATIONS[name].title


def _show_strength(name: str, strength: float) -> str:
    if name not in PERTURBATIONS:
        return ""
    if PERTURBATIONS[name].in_percent:
        return f"{100 * strength:g}{PERCENT}".replace("-", "\N{MINUS SIGN}")
    units = {"shift": " px", "rotation": "°", "scale": "×", "contrast": "×", "blur": " px"}
    return f"quality {strength:g}" if name == "jpeg" else f"{strength:g}{units[name]}"


# --- overview mistakes ---
# The mistakes of the overview page: photos to look at, because the network, the photo or the label may be wrong.

MAX_DOUBTS = 24
FEATURE_MAPS = "feature_maps.html#photo="


def choose_doubts(doubts: pd.DataFrame) -> pd.DataFrame:
    """The photos whose label is probably wrong, the worst first; at most 24."""
    if doubts.empty:
        return doubts
    return doubts[doubts["suspicious"]].sort_values(["label_quality", "path"]).head(MAX_DOUBTS)


def photos_of_mistakes(predictions: pd.DataFrame, doubts: pd.DataFrame) -> list[str]:
    """The paths of all photos that the galleries show."""
    chosen = (choose_errors(predictions), choose_unsure(predictions), choose_doubts(doubts))
    return [str(path) for table in chosen if len(table) for path in table["path"]]


def describe_mistakes(
    predictions: pd.DataFrame, doubts: pd.DataFrame, shown_photos: Mapping[str, int]
) -> dict[str, Any]:
    """What the galleries show.

    Args:
        predictions: `reports/evaluation/predictions.csv`.
        doubts: `reports/label_errors/photos.csv`; empty if nobody looked.
        shown_photos: number of each photo on the feature-map page, by path.
    """
    return {
        "num_mistakes": int((~predictions["correct"]).sum()),
        "mistakes": _describe_answers(choose_errors(predictions), shown_photos),
        "unsure": _describe_answers(choose_unsure(predictions), shown_photos),
        "num_judged": len(doubts),
        "num_doubts": int(doubts["suspicious"].sum()) if len(doubts) else 0,
        "doubts": _describe_answers(choose_doubts(doubts), shown_photos),
        "all_judged": bool((doubts["split"] == "train").any()) if len(doubts) else False,
    }


def _describe_answers(answers: pd.DataFrame, shown_photos: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "path": row["path"],
            "file": PurePosixPath(row["path"]).name,
            "label": row["label"],
            "predicted": row["predicted"],
            "correct": bool(row["correct"]),
            "probability": show_share(float(row["confidence"])),
            "maps": f"{FEATURE_MAPS}{shown_photos[row['path']]}" if row["path"] in shown_photos else "",
        }
        for row in answers.to_dict("records")
    ]


# --- The page a person reads: data, training and evaluation in one self-contained HTML file ---


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything the overview page shows, as plain values. Read tables with `keep_default_na=False` for their texts.

    Attributes:
        manifest: `data/manifest/manifest.parquet`, one row per photo.
        validation_result: `reports/validation/result.json`.
        quarantine: `reports/validation/quarantine.csv`.
        gallery: `data/manifest/gallery.parquet`, small pictures of doubtful photos.
        prepared_card: `data/prepared/card.json`.
        splits: `data/prepared/splits.csv`.
        history: `reports/training/history.csv`.
        metrics: `reports/evaluation/metrics.json`.
        predictions: `reports/evaluation/predictions.csv`.
        class_scores: `reports/evaluation/classes.csv`.
        roc: `reports/evaluation/roc.csv`.
        reliability: `reports/evaluation/reliability.csv`.
        model_card: `data/model/card.json`.
        params: `params.yaml`, all groups.
        thumbnails: JPEG or PNG bytes by the photo's path, at least of `photos_needed`.
        duplicates: `data/prepared/duplicates.json`, groups of photos that look alike; empty if nobody looked.
        reliability_before: the rows of `reliability` without temperature; `reliability` has those with it.
        precision_recall: `reports/evaluation/precision_recall.csv`.
        thresholds: `reports/evaluation/thresholds.csv`.
        risk_coverage: `reports/evaluation/risk_coverage.csv`.
        slices: `reports/evaluation/slices.csv`.
        operating_point: how the network's outputs become predictions.
        robustness: `reports/robustness/metrics.json`; empty if nobody measured.
        curves: `reports/robustness/curves.csv`.
        places: `reports/robustness/places.csv`.
        doubts: `reports/label_errors/photos.csv`; empty if nobody looked.
        shown_photos: number of each test photo on the feature-map page, by path.
        own: `reports/own.csv`, the user's photos; empty if there are none.
        own_pictures: the pixels that the network gets of them, PNG bytes by path.
    """

    manifest: pd.DataFrame
    validation_result: Mapping[str, Any]
    quarantine: pd.DataFrame
    gallery: pd.DataFrame
    prepared_card: Mapping[str, Any]
    splits: pd.DataFrame
    history: pd.DataFrame
    metrics: Mapping[str, Any]
    predictions: pd.DataFrame
    class_scores: pd.DataFrame
    roc: pd.DataFrame
    reliability: pd.DataFrame
    model_card: Mapping[str, Any]
    params: Mapping[str, Any]
    thumbnails: Mapping[str, bytes]
    duplicates: Mapping[str, Any] = field(default_factory=dict)
    reliability_before: pd.DataFrame = field(default_factory=pd.DataFrame)
    precision_recall: pd.DataFrame = field(default_factory=pd.DataFrame)
    thresholds: pd.DataFrame = field(default_factory=pd.DataFrame)
    risk_coverage: pd.DataFrame = field(default_factory=pd.DataFrame)
    slices: pd.DataFrame = field(default_factory=pd.DataFrame)
    operating_point: OperatingPoint = field(default_factory=OperatingPoint)
    robustness: Mapping[str, Any] = field(default_factory=dict)
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    places: pd.DataFrame = field(default_factory=pd.DataFrame)
    doubts: pd.DataFrame = field(default_factory=pd.DataFrame)
    shown_photos: Mapping[str, int] = field(default_factory=dict)
    own: pd.DataFrame = field(default_factory=pd.DataFrame)
    own_pictures: Mapping[str, bytes] = field(default_factory=dict)


def photos_needed(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    duplicates: Mapping[str, Any] | None = None,
    doubts: pd.DataFrame | None = None,
) -> list[str]:
    """The paths of the photos whose thumbnails the page shows, each once: samples, mistakes, unsure answers, groups."""
    samples = [path for paths in choose_samples(manifest).values() for path in paths]
    answers = photos_of_mistakes(predictions, pd.DataFrame() if doubts is None else doubts)
    grouped = [path for group in shown_groups(duplicates or {}) for path in group]
    return list(dict.fromkeys([*samples, *answers, *grouped]))


def render_report(inputs: ReportInputs) -> str:
    """The whole page as HTML text; the same inputs give the same bytes."""
    confidence = inputs.params["evaluate"]["confidence"]
    values = {
        "glance": describe_glance(inputs.metrics, inputs.model_card, inputs.prepared_card, inputs.class_scores),
        "data": describe_data(
            inputs.manifest, inputs.validation_result, inputs.prepared_card, inputs.splits, inputs.params["validate"]
        ),
        "quarantine": describe_quarantine(inputs.manifest, inputs.quarantine, inputs.gallery, inputs.duplicates),
        "training": describe_training(inputs.history, inputs.model_card),
        "settings": describe_settings(inputs.params),
        "evaluation": describe_evaluation(
            inputs.predictions, inputs.class_scores, inputs.roc, inputs.precision_recall, inputs.metrics
        ),
        "calibration": describe_calibration(
            inputs.metrics,
            inputs.operating_point,
            before=inputs.reliability_before,
            after=inputs.reliability,
            num_classes=len(inputs.class_scores),
        ),
        "decision": describe_decision(
            inputs.metrics,
            inputs.operating_point,
            thresholds=inputs.thresholds,
            risk_coverage=inputs.risk_coverage,
            positive=str(inputs.class_scores["class"].iloc[-1]),
        ),
        "slices": describe_slices(inputs.slices, inputs.metrics),
        "robustness": describe_robustness(
            inputs.robustness,
            inputs.curves,
            inputs.places,
            guess=float(inputs.class_scores["num_photos"].max() / inputs.class_scores["num_photos"].sum()),
            mirror=inputs.operating_point.mirror,
        ),
        "mistakes": describe_mistakes(inputs.predictions, inputs.doubts, inputs.shown_photos),
        "own": describe_own(inputs.own, inputs.own_pictures),
        "confidence": f"{confidence:.0%}".replace("%", "\N{NO-BREAK SPACE}%"),
        "prepared_card": inputs.prepared_card,
        "model_card": inputs.model_card,
        "picture": lambda path: picture_source(inputs.thumbnails.get(path)),
    }
    return fill_template("report/report.html", values)
