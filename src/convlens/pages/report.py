"""The report: data, training, evaluation, robustness and errors in one self-contained HTML file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pandas as pd

from convlens.data.prepared import Prepared
from convlens.data.validation import Validation
from convlens.metrics.evaluation import Evaluation
from convlens.metrics.label_errors import LabelErrors
from convlens.metrics.robustness import Robustness
from convlens.models.files import TrainingRun
from convlens.models.inference import OperatingPoint
from convlens.pages.engine import Drawing, draw, fill_template, picture_source
from convlens.pages.photos import choose_errors, choose_unsure, describe_photos, shorten_path
from convlens.pages.readiness import (
    Readiness,
    announce_comparison,
    conclude,
    judge_accuracy,
    judge_data,
    judge_training,
    judge_weakest,
)
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
    describe_evaluation,
    describe_headline,
    describe_operating_point,
    describe_slices,
)
from convlens.params import Params
from convlens.plots.robustness import (
    MEASURES,
    NETWORKS,
    PERTURBATIONS,
    drawn_perturbations,
    plot_perturbation,
    plot_places,
)
from convlens.tracking.gate import judge_metrics
from convlens.wording import PERCENT, show_share


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything that report, summary and model card tell.

    Attributes:
        params: all of params.yaml.
        validation: facts about all photos, and the outcome of the data checks.
        prepared: the photos as the network gets them, and their splits.
        training: the trained network, and its history.
        evaluation: of the test split.
        point: the operating point of the network.
        robustness: on perturbed photos; None if nobody measured.
        label_errors: photos by how well their label fits; None if nobody looked.
        thumbnails: JPEG or PNG bytes by the photo's path, at least of `photos_needed`.
        shown_photos: number of each test photo on the feature-map page, by path.
    """

    params: Params
    validation: Validation
    prepared: Prepared
    training: TrainingRun
    evaluation: Evaluation
    point: OperatingPoint = field(default_factory=OperatingPoint)
    robustness: Robustness | None = None
    label_errors: LabelErrors | None = None
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    shown_photos: Mapping[str, int] = field(default_factory=dict)


def photos_needed(inputs: ReportInputs) -> list[str]:
    """List the paths of the photos whose thumbnails the page shows, each once."""
    predictions = inputs.evaluation.predictions
    errors = choose_errors(predictions)
    galleries = (errors, choose_unsure(predictions), choose_label_errors(inputs.label_errors, errors))
    return list(dict.fromkeys([
        *(path for paths in choose_samples(inputs.validation.manifest).values() for path in paths),
        *(str(path) for table in galleries if len(table) for path in table["path"]),
        *(path for group in shown_groups(inputs.prepared.duplicates) for path in group),
    ]))  # fmt: skip


def render_report(inputs: ReportInputs) -> str:
    """Render the whole page as HTML text; the same inputs give the same bytes."""
    evaluation, point, card = inputs.evaluation, inputs.point, inputs.training.card
    values = {
        "headline": describe_headline(evaluation, card, inputs.prepared.card),
        "readiness": judge_readiness(inputs),
        "conclusion": conclude(judge_readiness(inputs)),
        "data": describe_data(inputs.validation, inputs.prepared, inputs.params.validate_),
        "quarantine": describe_quarantine(inputs.validation, inputs.prepared.duplicates),
        "training": describe_training(card, inputs.training.history),
        "settings": describe_settings(inputs.params),
        "evaluation": describe_evaluation(evaluation),
        "calibration": describe_calibration(evaluation, point),
        "operating_point": describe_operating_point(evaluation, point),
        "slices": describe_slices(evaluation.slices, evaluation.metrics),
        "robustness": describe_robustness(inputs),
        "errors": describe_errors(evaluation.predictions, inputs.label_errors, inputs.shown_photos),
        "confidence": show_share(inputs.params.evaluate.confidence, 0),
        "prepared_card": inputs.prepared.card,
        "model_card": card,
        "below": partial(shorten_path, source=str(inputs.prepared.card.get("source", ""))),
        "picture": lambda path: picture_source(inputs.thumbnails.get(path)),
    }
    return fill_template("report/report.html", values)


def judge_readiness(inputs: ReportInputs) -> list[Readiness]:
    """Judge whether the network is ready to be used: five rows for report, model card, summary and MLflow."""
    criteria, metrics = inputs.params.register_.criteria, inputs.evaluation.metrics
    robustness = inputs.robustness
    return [
        judge_data(
            inputs.validation.result, inputs.label_errors.metrics if inputs.label_errors else {}, criteria.label_errors
        ),
        judge_training(inputs.training.history, inputs.training.card, inputs.params.train),
        judge_accuracy(
            metrics, inputs.evaluation.class_scores, judge_metrics("evaluation", metrics, criteria.evaluation)
        ),
        judge_weakest(
            inputs.evaluation.slices,
            robustness.metrics if robustness else {},
            robustness.curves if robustness else pd.DataFrame(),
            criteria,
            titles={name: style.title for name, style in PERTURBATIONS.items()},
        ),
        announce_comparison(criteria.champion),
    ]


# --- Robustness: which predictions stay when photos are moved, turned, darkened or blurred ---

SHIFT = 8  # pixels of the sentence, or the next shift below
WITHOUT_STRENGTH = {"none": "As they are", "flip": "Mirrored", "gray": "Without color"}
UNITS = {"shift": " px", "rotation": "°", "scale": "×", "contrast": "×", "blur": " px"}


def describe_robustness(inputs: ReportInputs) -> dict[str, Any]:
    """Describe accuracy and consistency on perturbed photos; empty where nothing was measured."""
    if inputs.robustness is None:
        return {}
    metrics, curves = inputs.robustness.metrics, inputs.robustness.curves
    counts = inputs.evaluation.class_scores["num_photos"]
    ours, dense = (show_ends(metrics, f"{name}_places_agreement") for name in NETWORKS)
    accuracies = [show_share(metrics[f"{name}_places_accuracy"]) for name in NETWORKS]
    caption = "Accuracy with the photo made smaller, by its place: {} on average, the dense network {}."
    return {
        "sentence": say_shift(curves),
        "places_sentence": f"Made smaller and put at nine places, {ours} of the photos get the same prediction "
                           f"wherever they are; from the dense network {dense}.",
        "worthless": metrics["baseline_accuracy_low"] <= float(counts.max() / counts.sum()),
        "num_photos": metrics["num_photos"],
        "networks": [
            {"title": title.capitalize(), "num_parameters": metrics[f"{name}_num_parameters"],
             **{key: show_ends(metrics, f"{name}_{key}")
                for key in ("accuracy", "places_accuracy", "places_agreement")}}
            for name, title in NETWORKS.items()
        ],
        "figures": [(PERTURBATIONS[name].title, _draw_perturbation(curves, name))
                    for name in drawn_perturbations(curves)],
        "places": draw(plot_places(inputs.robustness.places), "Nine places", caption.format(*accuracies)),
        "rows": _list_perturbations(curves),
        "mirror": inputs.point.mirror,
    }  # fmt: skip


def say_shift(curves: pd.DataFrame) -> str:
    """Say how many predictions stay when photos are shifted, in one sentence; empty if no shift was tried."""
    shifts = curves[curves["perturbation"] == "shift"]
    if shifts.empty:
        return ""
    strengths = sorted(shifts["strength"])
    pixels = max([strength for strength in strengths if strength <= SHIFT] or strengths[:1])
    by_network = shifts[shifts["strength"] == pixels].set_index("network").to_dict("index")
    ours, dense = (show_ends(by_network[name], "consistency") for name in NETWORKS)
    unit = "pixel" if pixels == 1 else "pixels"
    return f"Shifted by {pixels:g} {unit}, {ours} of predictions stay; the dense network keeps {dense}."


def show_ends(values: Mapping[Any, Any], name: str) -> str:
    """Show a share with its interval in whole percent: `98 % (95–99)`."""
    low, high = (f"{100 * float(values[f'{name}_{end}']):.0f}" for end in ("low", "high"))
    return f"{show_share(float(values[name]), 0)} ({low}–{high})"


def _draw_perturbation(curves: pd.DataFrame, name: str) -> Drawing:
    """Draw both networks over the strength; the caption tells of the strength at which this network loses most."""
    rows = curves[curves["perturbation"] == name]
    strongest_first = rows[rows["network"] == "model"].iloc[::-1]
    worst = strongest_first.sort_values("accuracy", kind="stable").iloc[0]["strength"]
    at_worst = rows[rows["strength"] == worst].set_index("network").to_dict("index")
    ours, dense = (at_worst[network] for network in NETWORKS)
    caption = (
        f"Hardest at {_show_strength(name, worst)}: accuracy {show_share(ours['accuracy'])}, "
        f"{show_share(ours['consistency'])} of predictions stay; the dense network {show_share(dense['accuracy'])} "
        f"and {show_share(dense['consistency'])}."
    )
    return draw(plot_perturbation(curves, name), f"{PERTURBATIONS[name].title}: curves of two networks", caption)


def _list_perturbations(curves: pd.DataFrame) -> list[dict[str, Any]]:
    """List perturbations and strengths, with both networks side by side."""
    rows = []
    for key, group in curves.groupby(["perturbation", "strength"], sort=False):
        name, strength = cast(tuple[str, float], key)
        cells = group.set_index("network").to_dict("index")
        rows.append({
            "title": WITHOUT_STRENGTH.get(name) or PERTURBATIONS[name].title,
            "strength": _show_strength(name, strength) if name in PERTURBATIONS else "",
            "cells": [show_ends(cells[network], measure) for network in NETWORKS for measure in MEASURES],
        })  # fmt: skip
    return rows


def _show_strength(name: str, strength: float) -> str:
    if PERTURBATIONS[name].in_percent:
        return f"{100 * strength:g}{PERCENT}".replace("-", "\N{MINUS SIGN}")
    return f"quality {strength:g}" if name == "jpeg" else f"{strength:g}{UNITS[name]}"


# --- Photos to look at, because the network, the photo or the label may be wrong ---

MAX_LABEL_ERRORS = 24
FEATURE_MAPS = "feature_maps.html#photo="


def choose_label_errors(found: LabelErrors | None, errors: pd.DataFrame) -> pd.DataFrame:
    """Choose the photos whose label to check first, the worst first; at most 24, none of the errors shown anyway."""
    if found is None:
        return pd.DataFrame()
    table = found.photos[found.photos["suspicious"] & ~found.photos["path"].isin(errors["path"])]
    return table.sort_values(["label_quality", "path"]).head(MAX_LABEL_ERRORS)


def describe_errors(
    predictions: pd.DataFrame, label_errors: LabelErrors | None, shown_photos: Mapping[str, int]
) -> dict[str, Any]:
    """Describe the galleries of misclassified photos, of unsure predictions and of labels to check first.

    Args:
        predictions: of the test photos.
        label_errors: photos by how well their label fits; None if nobody looked.
        shown_photos: number of each photo on the feature-map page, by path.
    """

    def describe(table: pd.DataFrame) -> list[dict[str, Any]]:
        numbers = [shown_photos.get(path) for path in table.get("path", ())]
        links = ("" if number is None else f"{FEATURE_MAPS}{number}" for number in numbers)
        return [{**photo, "maps": link} for photo, link in zip(describe_photos(table), links, strict=True)]

    judged = pd.DataFrame({"split": [], "suspicious": []}) if label_errors is None else label_errors.photos
    errors = choose_errors(predictions)
    return {
        "num_errors": int((~predictions["correct"].astype(bool)).sum()),
        "errors": describe(errors),
        "unsure": describe(choose_unsure(predictions)),
        "num_judged": len(judged),
        "num_label_errors": int(judged["suspicious"].sum()),
        "label_errors": describe(choose_label_errors(label_errors, errors)),
        "not_judged": label_errors.metrics.get("note", "") if label_errors else "",
        "all_judged": bool((judged["split"] == "train").any()),
    }
