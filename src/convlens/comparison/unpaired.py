"""Two runs by their totals alone, where the answers to the single photos cannot be had.

Both have answered the same photos, which these intervals take for two samples: they are wider than paired ones, so
a difference that shows here is one, and one that does not may still be.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import fisher_exact

from convlens.comparison.snapshot import Snapshot
from convlens.metrics.compare import Word
from convlens.metrics.intervals import Interval
from convlens.metrics.resampling import HEADLINES
from convlens.metrics.unpaired import newcombe_interval
from convlens.report.wording import interval_of
from convlens.tracking.values import flatten_params

SPLIT = ("seed", "validation_fraction", "test_fraction", "near_duplicates", "duplicate_distance", "match_mirrored")


@dataclass(frozen=True)
class Unpaired:
    """Run against base, by their totals.

    Attributes:
        word: as in `convlens.metrics.compare`, by the interval of accuracy and Fisher's exact test.
        p_value: of that test.
        differences: run minus base for every headline metric; None where one has no interval.
    """

    word: Word
    p_value: float
    differences: dict[str, Interval]


def can_compare_unpaired(base: Snapshot, head: Snapshot) -> bool:
    """Whether both have the same test photos, as far as dvc.lock and the parameters tell."""
    if "num_photos" not in base.metrics or base.metrics["num_photos"] != head.metrics.get("num_photos"):
        return False
    return _same(base, head, "prepared") or (
        _same(base, head, "manifest") and _split_params(base) == _split_params(head)
    )


def _same(base: Snapshot, head: Snapshot, kind: str) -> bool:
    outputs = [run.output(kind) for run in (base, head)]
    digests = {output.digest for output in outputs if output is not None}
    return None not in outputs and len(digests) == 1


def _split_params(run: Snapshot) -> dict[str, str]:
    found = flatten_params(run.params.get("preprocess", {}))
    return {name: found.get(name, "") for name in SPLIT}


def compare_unpaired(base: Mapping[str, Any], head: Mapping[str, Any], *, confidence: float) -> Unpaired:
    """Compare the contents of two metrics.json about as many photos."""
    differences = {name: _subtract(interval_of(base, name), interval_of(head, name)) for name in HEADLINES}
    rights = [_spread(values) for values in (base, head)]
    accuracy = newcombe_interval(*rights, confidence=confidence)
    differences["accuracy"] = accuracy
    p_value = float(fisher_exact([[int(right.sum()), int((~right).sum())] for right in rights]).pvalue)
    return Unpaired(_choose_word(accuracy, p_value < 1 - confidence), p_value, differences)


def _spread(metrics: Mapping[str, Any]) -> np.ndarray:
    """As many right answers as the accuracy says, bool (N,)."""
    num_photos = int(metrics["num_photos"])
    return np.asarray(np.arange(num_photos) < round(metrics["accuracy"] * num_photos))


def _subtract(first: tuple[float | None, ...], second: tuple[float | None, ...]) -> Interval:
    """The second minus the first with an interval out of both intervals.

    Source: Zou and Donner, Construction of confidence limits about effect measures: a general approach, Statistics in
    Medicine 27 (2008); of two shares it is Newcombe's.
    """
    values = [value for value in (*first, *second) if value is not None]
    if len(values) < 6:
        return Interval(None, None, None)
    (one, one_low, one_high), (two, two_low, two_high) = values[:3], values[3:]
    below, above = math.hypot(two - two_low, one_high - one), math.hypot(two_high - two, one - one_low)
    return Interval(two - one, two - one - below, two - one + above)


def _choose_word(accuracy: Interval, significant: bool) -> Word:
    if not significant or accuracy.low is None or accuracy.high is None:
        return "same"
    return "better" if accuracy.low > 0 else "worse" if accuracy.high < 0 else "same"
