"""The page a person reads: data, training and evaluation in one self-contained HTML file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from convlens.report.overview_data import choose_samples, describe_data
from convlens.report.overview_evaluation import choose_mistakes, choose_unsure, describe_evaluation
from convlens.report.overview_glance import describe_glance
from convlens.report.overview_page import fill_template, picture_source, read_asset
from convlens.report.overview_quarantine import describe_quarantine, shown_groups
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


def photos_needed(
    predictions: pd.DataFrame, manifest: pd.DataFrame, duplicates: Mapping[str, Any] | None = None
) -> list[str]:
    """The paths of the photos whose thumbnails the page shows, each once: samples, mistakes, unsure answers, groups."""
    samples = [path for paths in choose_samples(manifest).values() for path in paths]
    answers = [*choose_mistakes(predictions)["path"], *choose_unsure(predictions)["path"]]
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
            inputs.predictions, inputs.class_scores, inputs.roc, inputs.reliability, inputs.metrics
        ),
        "confidence": f"{confidence:.0%}".replace("%", "\N{NO-BREAK SPACE}%"),
        "prepared_card": inputs.prepared_card,
        "model_card": inputs.model_card,
        "picture": lambda path: picture_source(inputs.thumbnails.get(path)),
    }
    return fill_template("overview.html", values)
