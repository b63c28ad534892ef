"""The numbers of an evaluation on one level of names, as DVC, MLflow and CI read them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from convlens.metrics.calibration import CalibrationError
from convlens.metrics.intervals import Interval, wilson_interval
from convlens.metrics.naming import class_keys
from convlens.stages.evaluate_decision import Decision
from convlens.stages.rounding import round_number

BEFORE = ("log_loss", "brier")
SCORES = ("precision", "recall", "f1")
ONE_CLASS = "all photos are of one class"
NO_SPREAD = "no interval: resamples do not differ"
REASONS = {
    "roc_auc": ONE_CLASS,
    "average_precision": ONE_CLASS,
    "precision": "the class was never the answer",
    "recall": "no photo is of the class",
    "f1": "no photo is of the class, and it was never the answer",
    "error_when_sure": "no answer is sure enough to be given",
}


@dataclass(frozen=True)
class Measured:
    """What has been measured.

    Attributes:
        intervals: headline metrics.
        calibration: the calibration error.
        plain: headline metrics without temperature; None if those answers were not given.
        plain_calibration: the calibration error without temperature.
        class_scores: one row per class.
        slices: one row per slice.
    """

    intervals: Mapping[str, Interval]
    calibration: CalibrationError
    plain: Mapping[str, Interval] | None
    plain_calibration: CalibrationError | None
    class_scores: pd.DataFrame
    slices: pd.DataFrame


def list_metrics(
    measured: Measured, predictions: pd.DataFrame, decision: Decision, confidence: float
) -> dict[str, Any]:
    """All numbers: name, `name_low`, `name_high`; what is undefined is None, and `name_undefined` says why."""
    found = dict(_list_intervals(measured, predictions, confidence))
    numbers: dict[str, Any] = {"num_photos": len(predictions)}
    for name, interval in found.items():
        ends = {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        numbers |= {key: None if value is None else round_number(value) for key, value in ends.items()}
    numbers["expected_calibration_error_by_chance"] = round_number(measured.calibration.by_chance)
    numbers |= {
        "threshold": decision.threshold,
        "threshold_reached": decision.threshold_reached,
        "min_probability": decision.min_probability,
        "max_error": decision.max_error,
        "num_unsure": int(predictions["unsure"].sum()),
        "num_slices": len(measured.slices),
        "num_worse_slices": int(measured.slices["worse"].sum()),
    }
    return numbers | dict(_explain(found))


def _list_intervals(measured: Measured, predictions: pd.DataFrame, confidence: float) -> Iterator[tuple[str, Interval]]:
    yield from measured.intervals.items()
    yield "expected_calibration_error", measured.calibration.interval
    if measured.plain is not None and measured.plain_calibration is not None:
        yield from ((f"{name}_before", measured.plain[name]) for name in BEFORE)
        yield "expected_calibration_error_before", measured.plain_calibration.interval
    rows = measured.class_scores.to_dict("records")
    for key, row in zip(class_keys([str(row["class"]) for row in rows]), rows, strict=True):
        yield from ((f"{name}_{key}", _read_interval(row, name)) for name in SCORES)
    unsure = predictions["unsure"].to_numpy(bool)
    wrong = ~predictions["correct"].to_numpy(bool)[~unsure]
    yield "share_unsure", _share(int(unsure.sum()), len(unsure), confidence)
    yield "error_when_sure", _share(int(wrong.sum()), len(wrong), confidence)


def _read_interval(row: Mapping[Any, Any], name: str) -> Interval:
    value, low, high = (None if pd.isna(row[key]) else float(row[key]) for key in (name, f"{name}_low", f"{name}_high"))
    return Interval(value, low, high)


def _share(part: int, whole: int, confidence: float) -> Interval:
    if not whole:
        return Interval(None, None, None)
    return Interval(part / whole, *wilson_interval(part, whole, confidence=confidence))


def _explain(found: Mapping[str, Interval]) -> Iterator[tuple[str, str]]:
    """Why numbers are undefined; only those that are have an entry."""
    for name, interval in found.items():
        if interval.value is None:
            yield f"{name}_undefined", REASONS.get(name) or REASONS[name.split("_")[0]]
        elif interval.low is None:
            yield f"{name}_undefined", NO_SPREAD
