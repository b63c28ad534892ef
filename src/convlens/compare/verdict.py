"""The verdict on two runs: better, worse, or no difference that these photos can show."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from convlens.compare.runs import Snapshot, explain_fetch
from convlens.metrics.comparison import McNemar, Word, compare_predictions, newcombe_interval
from convlens.metrics.intervals import HEADLINES, Interval
from convlens.params import CompareParams, EvaluateParams, flatten_params
from convlens.wording import interval_of

# --- unpaired: by totals alone, where the predictions for the single photos cannot be had ---
#
# Both have classified the same photos, which these intervals take for two samples: they are wider than paired ones, so
# a difference that shows here is one, and one that does not may still be.

SPLIT = ("seed", "validation_fraction", "test_fraction", "near_duplicates", "duplicate_distance", "match_mirrored")


def can_compare_unpaired(base: Snapshot, head: Snapshot) -> bool:
    """Whether both have the same test photos, as far as dvc.lock and the parameters tell."""

    def same(kind: str) -> bool:
        outputs = base.output(kind), head.output(kind)
        return outputs[0] is not None and outputs[1] is not None and outputs[0].digest == outputs[1].digest

    if "num_photos" not in base.metrics or base.metrics["num_photos"] != head.metrics.get("num_photos"):
        return False
    found = [flatten_params(run.params.get("preprocess", {})) for run in (base, head)]
    return same("prepared") or (
        same("manifest") and all(found[0].get(name, "") == found[1].get(name, "") for name in SPLIT)
    )


def compare_unpaired(
    base: Mapping[str, Any], head: Mapping[str, Any], *, confidence: float
) -> tuple[Word, float, dict[str, Interval]]:
    """Compare the contents of two metrics.json about as many photos.

    Returns:
        The verdict by the interval of accuracy and Fisher's exact test, the p-value of that test, and run minus base
        for every headline metric, without an interval where one of them has none.
    """
    differences = {name: _subtract(interval_of(base, name), interval_of(head, name)) for name in HEADLINES}
    totals = [(int(metrics["num_photos"]), metrics["accuracy"]) for metrics in (base, head)]
    rights = [np.arange(count) < round(accuracy * count) for count, accuracy in totals]  # as many as accuracy says
    accuracy = newcombe_interval(*rights, confidence=confidence)
    differences["accuracy"] = accuracy
    p_value = float(fisher_exact([[int(right.sum()), int((~right).sum())] for right in rights]).pvalue)
    word: Word = "same"
    if p_value < 1 - confidence and accuracy.low is not None and accuracy.high is not None:
        word = "better" if accuracy.low > 0 else "worse" if accuracy.high < 0 else "same"
    return word, p_value, differences


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


# --- paired: on the test photos that both have, and on nothing else ---

PREFIX = "probability_"
ABSOLUTE_ROUNDING = 1e-9  # 0.9 - 0.88 is a little more than 0.02


@dataclass(frozen=True)
class RunVerdict:
    """One run against another on the same photos.

    Attributes:
        word: `better` or `worse` if the interval of the difference in accuracy excludes 0 and an exact test agrees
            (McNemar's; Fisher's if unpaired); else `same`: no difference that these photos can show.
        regression: worse, and by more than `compare.max_regression`.
        num_shared: test photos that both have; equal photos count once.
        num_base: test photos of the base.
        num_head: test photos of the run.
        base_accuracy: of the base on the shared photos.
        head_accuracy: of the run on the shared photos.
        differences: run minus base for every headline metric.
        p_value: of the exact test.
        mcnemar: who alone is right how often; None if unpaired.
        note: why the photos could not be paired, and what to do about it; empty if they were.
    """

    word: Word
    regression: bool
    num_shared: int
    num_base: int
    num_head: int
    base_accuracy: float
    head_accuracy: float
    differences: dict[str, Interval]
    p_value: float
    mcnemar: McNemar | None = None
    note: str = ""

    @property
    def paired(self) -> bool:
        """Whether the predictions were compared photo by photo."""
        return self.mcnemar is not None

    @property
    def same_split(self) -> bool:
        """Whether the two have the same test photos."""
        return self.num_shared == self.num_base == self.num_head


@dataclass(frozen=True)
class NoVerdict:
    """Two runs that cannot be compared.

    Attributes:
        reason: why, and what to do about it, as a sentence.
    """

    reason: str


class PairedPredictions:
    """The predictions of two runs for the test photos that both have.

    Attributes:
        table: one row per photo: photo (digest, or path if digests are not known), label, and for either `side` (base
            and head) path_<side>, predicted_<side>, probability_<class>_<side>.
        classes: names, in the order of the columns.
        counts: different test photos of each.
    """

    def __init__(self, base: Snapshot, head: Snapshot) -> None:
        by_content = base.photos is not None and head.photos is not None
        self.classes, tables = _classes(base), []
        for run in (base, head):
            table = run.predictions if run.predictions is not None else pd.DataFrame()
            if by_content and run.photos is not None:
                table = table.merge(run.photos[["path", "sha256"]], on="path").rename(columns={"sha256": "photo"})
            else:
                table = table.assign(photo=table["path"])
            columns = ["photo", "label", "path", "predicted", *(f"{PREFIX}{name}" for name in _classes(run))]
            tables.append(table[columns].drop_duplicates(["photo", "label"]))
        self.table = tables[0].merge(tables[1], on=["photo", "label"], suffixes=("_base", "_head"))
        self.counts = [len(table) for table in tables]

    @cached_property
    def labels(self) -> np.ndarray:
        """Indices of the true classes, int64 (N,)."""
        return self._number("label")

    def predicted(self, side: str) -> np.ndarray:
        """Predicted classes, int64 (N,); a threshold may make them others than the most probable classes."""
        return self._number(f"predicted_{side}")

    def probabilities(self, side: str) -> np.ndarray:
        """Float64 (N, K)."""
        return self.table[[f"{PREFIX}{name}_{side}" for name in self.classes]].to_numpy(np.float64)

    def right(self, side: str) -> np.ndarray:
        """Which photos are classified correctly, bool (N,)."""
        return np.asarray(self.predicted(side) == self.labels)

    def _number(self, column: str) -> np.ndarray:
        numbers = {name: index for index, name in enumerate(self.classes)}
        return self.table[column].map(numbers).to_numpy(np.int64)


def pair_predictions(base: Snapshot, head: Snapshot) -> PairedPredictions | None:
    """The predictions of two runs, photo by photo; None if they cannot be paired."""
    if base.predictions is None or head.predictions is None or _classes(base) != _classes(head):
        return None
    pair = PairedPredictions(base, head)
    return pair if len(pair.table) else None


def judge(
    base: Snapshot, head: Snapshot, *, evaluate: EvaluateParams, compare: CompareParams
) -> RunVerdict | NoVerdict:
    """Compare two runs photo by photo, as the gate of the model registry does; by their totals if need be."""
    absent = next((run for run in (base, head) if run.predictions is None), None)
    if absent is not None:
        reason = f"The predictions of {absent.name} for the single test photos are not in DVC's cache."
        return _judge_totals(base, head, f"{reason} {explain_fetch(absent)}", evaluate=evaluate, compare=compare)
    if _classes(base) != _classes(head):
        one, other = (", ".join(_classes(run)) for run in (base, head))
        return NoVerdict(f"{base.name} knows the classes {one}, {head.name} knows {other}.")
    pair = pair_predictions(base, head)
    if pair is None:
        return NoVerdict(
            f"{base.name} and {head.name} share no test photo. Compare runs of the same data and the same "
            "`preprocess.seed`."
        )
    comparison = compare_predictions(
        pair.labels,
        pair.probabilities("base"),
        pair.probabilities("head"),
        predicted=(pair.predicted("base"), pair.predicted("head")),
        num_resamples=evaluate.num_resamples,
        confidence=evaluate.confidence,
        seed=evaluate.seed,
    )
    accuracy = comparison.accuracy
    return RunVerdict(
        word=accuracy.word,
        regression=_is_regression(accuracy.word, accuracy.difference, compare),
        num_shared=len(pair.table),
        num_base=pair.counts[0],
        num_head=pair.counts[1],
        base_accuracy=accuracy.first,
        head_accuracy=accuracy.second,
        differences=comparison.differences,
        p_value=comparison.mcnemar.p_value,
        mcnemar=comparison.mcnemar,
    )


def _judge_totals(
    base: Snapshot, head: Snapshot, reason: str, *, evaluate: EvaluateParams, compare: CompareParams
) -> RunVerdict | NoVerdict:
    counts = [run.metrics.get("num_photos") for run in (base, head)]
    if not can_compare_unpaired(base, head):
        if None in counts or counts[0] == counts[1]:
            return NoVerdict(f"{reason} Whether the two have the same test photos is not known either.")
        return NoVerdict(f"{reason} Their totals are about different photos, {counts[0]:,} and {counts[1]:,}.")
    word, p_value, differences = compare_unpaired(base.metrics, head.metrics, confidence=evaluate.confidence)
    return RunVerdict(
        word=word,
        regression=_is_regression(word, differences["accuracy"], compare),
        num_shared=int(head.metrics["num_photos"]),
        num_base=int(base.metrics["num_photos"]),
        num_head=int(head.metrics["num_photos"]),
        base_accuracy=float(base.metrics["accuracy"]),
        head_accuracy=float(head.metrics["accuracy"]),
        differences=differences,
        p_value=p_value,
        note=reason,
    )


def _is_regression(word: Word, accuracy: Interval, compare: CompareParams) -> bool:
    return word == "worse" and -(accuracy.value or 0.0) > compare.max_regression + ABSOLUTE_ROUNDING


def _classes(run: Snapshot) -> list[str]:
    columns = [] if run.predictions is None else list(run.predictions.columns)
    return sorted(name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX))
