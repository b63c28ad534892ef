"""The page a person reads: data, training and evaluation in one self-contained HTML file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from convlens.report.overview_calibration import describe_calibration
from convlens.report.overview_data import choose_samples, describe_data
from convlens.report.overview_decision import describe_decision
from convlens.report.overview_evaluation import describe_evaluation
from convlens.report.overview_glance import describe_glance
from convlens.report.overview_invariance import describe_invariance
from convlens.report.overview_mistakes import describe_mistakes, photos_of_mistakes
from convlens.report.overview_own import describe_own
from convlens.report.overview_page import fill_template, picture_source, read_asset
from convlens.report.overview_quarantine import describe_quarantine, shown_groups
from convlens.report.overview_slices import describe_slices
from convlens.report.overview_training import describe_settings, describe_training


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything the overview page shows, as plain values. Read tables with `keep_default_na=False` for their texts.

    Attributes:
        manifest: `data/manifest.parquet`, one row per photo.
        validation_result: `reports/validation/result.json`.
        quarantine: `reports/validation/quarantine.csv`.
        gallery: `data/validation_gallery.parquet`, small pictures of doubtful photos.
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
        duplicates: `reports/validation/leaks.json`, groups of photos that look alike; empty if nobody looked.
        reliability_before: the rows of `reliability` without temperature; `reliability` has those with it.
        precision_recall: `reports/evaluation/precision_recall.csv`.
        thresholds: `reports/evaluation/thresholds.csv`.
        risk_coverage: `reports/evaluation/risk_coverage.csv`.
        slices: `reports/evaluation/slices.csv`.
        decision: `data/decision.json`.
        invariance: `reports/invariance/metrics.json`; empty if nobody measured.
        curves: `reports/invariance/curves.csv`.
        places: `reports/invariance/places.csv`.
        doubts: `reports/mistakes/photos.csv`; empty if nobody looked.
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
    decision: Mapping[str, Any] = field(default_factory=dict)
    invariance: Mapping[str, Any] = field(default_factory=dict)
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
        "style": read_asset("overview.css"),
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
            inputs.model_card,
            before=inputs.reliability_before,
            after=inputs.reliability,
            num_classes=len(inputs.class_scores),
        ),
        "decision": describe_decision(
            inputs.metrics,
            inputs.decision,
            thresholds=inputs.thresholds,
            risk_coverage=inputs.risk_coverage,
            positive=str(inputs.class_scores["class"].iloc[-1]),
        ),
        "slices": describe_slices(inputs.slices, inputs.metrics),
        "invariance": describe_invariance(
            inputs.invariance,
            inputs.curves,
            inputs.places,
            guess=float(inputs.class_scores["num_photos"].max() / inputs.class_scores["num_photos"].sum()),
            mirror=bool(inputs.model_card.get("mirror", False)),
        ),
        "mistakes": describe_mistakes(inputs.predictions, inputs.doubts, inputs.shown_photos),
        "own": describe_own(inputs.own, inputs.own_pictures),
        "confidence": f"{confidence:.0%}".replace("%", "\N{NO-BREAK SPACE}%"),
        "prepared_card": inputs.prepared_card,
        "model_card": inputs.model_card,
        "picture": lambda path: picture_source(inputs.thumbnails.get(path)),
    }
    return fill_template("overview.html", values)
