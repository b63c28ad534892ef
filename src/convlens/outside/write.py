"""The folder that `convlens evaluate --out` leaves: numbers, every answer, drift, and a page."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from convlens.outside.answers import Answered, load_pixels
from convlens.outside.folder import FoundPhoto
from convlens.outside.outcome import Outcome
from convlens.outside.target import DRIFT, METRICS, PAGE, PREDICTIONS
from convlens.report.overview_outside import OutsideInputs, photos_shown, render_outside
from convlens.stages.outputs import new_folder, write_csv, write_json, write_text

DIGITS = 7


def write_outcome(folder: Path, outcome: Outcome, answered: Answered) -> None:
    """Write everything, whole or not at all."""
    needed = set(photos_shown(outcome.photos))
    found = {photo.name: photo for photo in answered.photos if photo.name in needed}
    pictures = {name: picture(photo, outcome.model.classifier.card) for name, photo in found.items()}
    metrics = list_metrics(outcome)
    page = render_outside(describe_inputs(outcome, answered, metrics, pictures))
    with new_folder(folder) as fresh:
        write_json(fresh / METRICS, metrics)
        write_csv(fresh / PREDICTIONS, outcome.photos)
        if outcome.drift is not None:
            write_csv(fresh / DRIFT, list_drift(outcome))
        write_text(fresh / PAGE, page)


def list_metrics(outcome: Outcome) -> dict[str, Any]:
    """All numbers on one level, as `reports/evaluation/metrics.json` has them."""
    values: dict[str, Any] = {
        "model": _printable(outcome.model.address),
        "key": str(outcome.model.classifier.card.get("key", "")),
        "num_photos": outcome.num_answered,
        "num_unreadable": len(outcome.failures),
    }
    if outcome.evaluation is not None:
        values |= {name: value for name, value in outcome.evaluation.metrics.items() if name != "num_photos"}
    if outcome.compared is not None:
        values |= {"against_test_split": outcome.compared.word, "against_test_split_p_value": outcome.compared.p_value}
        for name, change in outcome.compared.differences.items():
            ends = {"": change.value, "_low": change.low, "_high": change.high}
            values |= {f"difference_{name}{end}": value for end, value in ends.items()}
    if outcome.drift is not None:
        share, low, high = outcome.drift.share_unlike
        values |= {"drift": ", ".join(outcome.drift.found), "num_unlike": outcome.drift.num_unlike}
        values |= {"share_unlike": share, "share_unlike_low": low, "share_unlike_high": high}
    return {name: _round(value) for name, value in values.items()}


def list_drift(outcome: Outcome) -> pd.DataFrame:
    """One row per statistic, and one for what the network makes of the photos."""
    drift = outcome.drift
    if drift is None:
        return pd.DataFrame()
    rows: list[dict[str, Any]] = [
        {
            "statistic": item.name,
            "test": "Kolmogorov-Smirnov, Holm",
            "reference_median": _round(item.reference_median),
            "median": _round(item.observed_median),
            "effect": _round(item.gap),
            "p_value": _round(item.p_value),
            "differs": drift.differs(item.p_value),
        }
        for item in drift.statistics
    ]
    found = drift.features
    last = {"statistic": "features", "test": "energy distance, permutations", "effect": _round(found.share)}
    return pd.DataFrame([*rows, {**last, "p_value": _round(found.p_value), "differs": drift.differs(found.p_value)}])


def describe_inputs(
    outcome: Outcome, answered: Answered, metrics: Mapping[str, Any], pictures: Mapping[str, bytes]
) -> OutsideInputs:
    """What the page shows, as plain values."""
    profile, evaluation = outcome.model.profile, outcome.evaluation
    reference = {} if profile is None else profile.statistics
    return OutsideInputs(
        model=_printable(outcome.model.address),
        card=outcome.model.classifier.card,
        classes=outcome.classes,
        metrics=metrics,
        test_metrics={} if profile is None else profile.metrics,
        predictions=outcome.photos,
        class_scores=None if evaluation is None else evaluation.class_scores,
        roc=None if evaluation is None else evaluation.roc,
        reliability=None if evaluation is None else evaluation.reliability,
        drift=list_drift(outcome),
        statistics={name: (reference[name], answered.statistics[name]) for name in reference},
        confidence=outcome.settings.confidence,
        note=outcome.model.note,
        pictures=pictures,
    )


def picture(photo: FoundPhoto, card: Mapping[str, Any]) -> bytes:
    """The very pixels that the network got, as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(load_pixels(photo.path, card)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _round(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _printable(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "replace")
