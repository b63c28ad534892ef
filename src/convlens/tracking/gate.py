"""The gate: the criteria that a version must meet to become champion. Plain values in, plain values out."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from convlens.errors import ConvLensError
from convlens.params import Bounds, ChampionParams, CriteriaParams, RobustnessParams, SliceParams
from convlens.wording import class_keys

WORST_SLICE = "worst_slice"
PACKAGED = "predicts_as_evaluated"
SERVED = "predicts_when_served"
ROLLED_BACK = "not_rolled_back"
COMPARISONS = {"no_worse": "no_worse_than_champion", "better": "better_than_champion", "any": "compared_with_champion"}
ENDS = {None: "", "lower": "the lower end of its interval", "upper": "the upper end of its interval"}
ROUNDING = 1e-12  # of differences between shares


@dataclass(frozen=True)
class Criterion:
    """A demand on a version, and whether it meets it.

    Attributes:
        name: of the criterion.
        value: what the version reaches; None if it could not be measured.
        minimum: the least it must reach; None where nothing is demanded.
        maximum: the most it may reach; None where nothing is demanded.
        passed: the verdict.
        note: how it was measured, for people.
    """

    name: str
    value: float | None
    minimum: float | None
    maximum: float | None
    passed: bool
    note: str


# --- metrics and slices ---


def judge_metrics(section: str, metrics: Mapping[str, Any], demanded: Mapping[str, Bounds]) -> list[Criterion]:
    """Hold the metrics of one file against what is demanded of them.

    Args:
        section: `evaluation`, `robustness` or `label_errors`.
        metrics: the content of its metrics.json; ends of intervals are called `<metric>_low` and `<metric>_high`.
        demanded: bounds by the metric's name.

    Raises:
        ConvLensError: a metric does not exist, or has no interval though an end of it is demanded.
    """
    judged = []
    for name, bounds in demanded.items():
        column = _find_column(section, metrics, name, bounds)
        value, note = metrics[column], "undefined for these photos"
        if value is None or math.isnan(value):
            value, passed = None, False
        else:
            photos = f"on {metrics['num_photos']:,} photos" if "num_photos" in metrics else ""
            note = ", ".join(part for part in (ENDS[bounds.end], photos) if part)
            passed = (bounds.min is None or value >= bounds.min) and (bounds.max is None or value <= bounds.max)
        judged.append(Criterion(f"{section}.{column}", value, bounds.min, bounds.max, passed, note))
    return judged


def _find_column(section: str, metrics: Mapping[str, Any], name: str, bounds: Bounds) -> str:
    """The name in metrics.json of what is demanded; undefined metrics, null in the file, count as metrics."""

    def is_metric(key: str, value: Any) -> bool:
        is_end = key.endswith(("_low", "_high")) and key.rpartition("_")[0] in metrics
        return not is_end and not isinstance(value, bool) and (value is None or isinstance(value, int | float))

    known = [key for key, value in metrics.items() if is_metric(key, value)]
    where = f"register.criteria.{section}.{name}"
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"Did you mean '{close[0]}'? " if close else ""
        raise ConvLensError(
            f"Expected `{where}` in params.yaml to name a metric of reports/{section}/metrics.json. "
            f"Received: '{name}', which is none. {meant}There are: {', '.join(known) or 'none'}."
        )
    column = name + {None: "", "lower": "_low", "upper": "_high"}[bounds.end]
    if column not in metrics:
        wide = ", ".join(key for key in known if f"{key}_low" in metrics) or "none"
        raise ConvLensError(
            f"Expected `{where}.end` in params.yaml only for a metric with an interval. "
            f"Received: '{name}', which has none. Those with an interval: {wide}."
        )
    return column


# Metrics without and with an interval; those of a class and of a perturbation come on top.
PLAIN = {
    "evaluation": (
        *("num_photos", "expected_calibration_error_by_chance", "threshold", "min_confidence", "max_error"),
        *("num_unsure", "num_slices", "num_worse_slices", "temperature"),
    ),
    "robustness": ("num_photos", "model_num_parameters", "baseline_num_parameters"),
    "label_errors": ("num_photos", "num_folds", "num_suspicious"),
}
WITH_INTERVAL = {
    "evaluation": (
        *("accuracy", "balanced_accuracy", "log_loss", "brier", "roc_auc", "average_precision", "macro_f1"),
        *("expected_calibration_error", "log_loss_before", "brier_before", "expected_calibration_error_before"),
        *("share_unsure", "error_when_sure"),
    ),
    "robustness": tuple(
        f"{network}_{name}"
        for network in ("model", "baseline")
        for name in ("accuracy", "places_accuracy", "places_agreement")
    ),
    "label_errors": ("suspicious_share",),
}
OF_A_CLASS = ("precision_", "recall_", "f1_")
ALWAYS_PERTURBED = ("flip", "gray")


def expected_metrics(section: str, classes: Sequence[str], robustness: RobustnessParams) -> dict[str, float]:
    """The names that metrics.json of a section will have, ends of intervals among them, before anything is trained.

    Args:
        section: `evaluation`, `robustness` or `label_errors`.
        classes: names of the classes, sorted.
        robustness: says which perturbations there are.
    """
    names = [*WITH_INTERVAL[section]]
    if section == "evaluation":
        names += [f"{score}{key}" for score in OF_A_CLASS for key in class_keys(classes)]
    if section == "robustness":
        strengths = {name: value for name, value in robustness if isinstance(value, tuple)}
        kinds = [*(name for name, value in strengths.items() if value), *ALWAYS_PERTURBED]
        both = ("accuracy", "consistency")
        names += [f"{network}_{kind}_{name}" for network in ("model", "baseline") for kind in kinds for name in both]
    return dict.fromkeys([*PLAIN[section], *(f"{name}{end}" for name in names for end in ("", "_low", "_high"))], 0.0)


def check_criteria(criteria: CriteriaParams, robustness: RobustnessParams, classes: Sequence[str] = ()) -> list[str]:
    """Tell what is wrong with the names of the criteria, before anything is trained.

    Args:
        criteria: the demands.
        robustness: says which perturbations there will be.
        classes: names of the classes, sorted; where they are not known yet, metrics of a class pass unseen.
    """
    wrong = []
    for section in WITH_INTERVAL:
        demanded: dict[str, Bounds] = getattr(criteria, section)
        of_a_class = {name for name in demanded if section == "evaluation" and name.startswith(OF_A_CLASS)}
        known = expected_metrics(section, classes if of_a_class else (), robustness)
        for name in demanded if classes else demanded.keys() - of_a_class:
            try:
                _find_column(section, known, name, demanded[name])
            except ConvLensError as error:
                wrong.append(str(error))
    return wrong


def judge_slices(slices: pd.DataFrame, demanded: SliceParams) -> list[Criterion]:
    """Hold the worst slice against the floor of all; nothing where no slice is large enough to count.

    Args:
        slices: feature, slice, num_photos, accuracy, low, high.
        demanded: the floor, and the photos that a slice must have.
    """
    column = {None: "accuracy", "lower": "low", "upper": "high"}[demanded.end]
    minimum = demanded.min_accuracy or None
    counted = slices[(slices["num_photos"] >= demanded.min_photos) & slices[column].notna()]
    if counted.empty:
        note = f"no slice has {demanded.min_photos:,} photos"
        return [Criterion(WORST_SLICE, None, minimum, None, True, note)] if minimum else []
    worst = counted.iloc[int(counted[column].to_numpy().argmin())]
    value, end = float(worst[column]), f"{ENDS[demanded.end]}, " if demanded.end else ""
    note = f"{end}{worst['feature']} {worst['slice']}, {worst['num_photos']:,} photos; of {len(counted)} slices"
    return [Criterion(WORST_SLICE, value, minimum, None, minimum is None or value >= minimum, note)]


# --- the packaged model, the champion, the past ---


@dataclass(frozen=True)
class ChampionComparison:
    """A version and the champion on the same photos, none of which the champion was trained on.

    Attributes:
        num_photos: how many there are; 0 if nothing could be compared.
        accuracy: of the version.
        champion_accuracy: of the champion.
        source: where the champion's predictions come from, or why there is no comparison.
        word: `better`, `worse` or `same`: what a paired test shows of the version.
        note: the difference, its interval and the test, for people.
        is_rival: whether both have the same classes; a champion of other classes cannot be compared with.
    """

    num_photos: int
    accuracy: float
    champion_accuracy: float
    source: str
    word: str = "same"
    note: str = ""
    is_rival: bool = True


def judge_predictions(name: str, num_alike: int, num_photos: int, note: str) -> Criterion:
    """Demand that the packaged model predicts every photo as the network did in the evaluation."""
    return Criterion(name, num_alike / num_photos, 1.0, None, num_alike == num_photos, note)


def judge_comparison(comparison: ChampionComparison, rule: ChampionParams) -> Criterion:
    """Judge a version beside the champion; what cannot be compared passes only if all may."""
    if not comparison.is_rival:
        return judge_without_champion(rule, comparison.source)
    name, forgiving = COMPARISONS[rule.verdict], rule.verdict == "any"
    if comparison.num_photos == 0:
        return Criterion(name, None, None, None, forgiving, comparison.source)
    minimum = comparison.champion_accuracy - (rule.max_loss if rule.verdict == "no_worse" else 0.0)
    passed = {
        "no_worse": comparison.accuracy >= minimum - ROUNDING and comparison.word != "worse",
        "better": comparison.word == "better",
        "any": True,
    }[rule.verdict]
    parts = (f"on {comparison.num_photos:,} photos", comparison.source, comparison.note)
    note = "; ".join(part for part in parts if part)
    return Criterion(name, comparison.accuracy, None if forgiving else minimum, None, passed, note)


def judge_without_champion(rule: ChampionParams, note: str) -> Criterion:
    """Pass a version that has no champion to be compared with; `note` says why."""
    return Criterion(COMPARISONS[rule.verdict], None, None, None, True, note)


def judge_past(reason: str) -> Criterion:
    """Keep a version that was rolled back from coming back by itself."""
    return Criterion(ROLLED_BACK, None, None, None, False, f"it was rolled back: {reason}")


def all_passed(criteria: Sequence[Criterion]) -> bool:
    """Whether a version may become champion."""
    return all(criterion.passed for criterion in criteria)


def to_plain(criteria: Sequence[Criterion]) -> list[dict[str, Any]]:
    """Criteria as JSON takes them; `Criterion(**values)` reads one."""
    return [asdict(criterion) for criterion in criteria]


# --- criteria in words: for tags, a terminal, and the summary of a CI job ---

HEAD = ("criterion", "value", "demanded", "verdict", "measured")
NUMBERS = (1, 2)  # columns that end flush


def format_verdict(criteria: Sequence[Criterion]) -> str:
    """`passed`, or what was missed: `missed: evaluation.accuracy, no_worse_than_champion`."""
    missed = [criterion.name for criterion in criteria if not criterion.passed]
    return f"missed: {', '.join(missed)}" if missed else "passed"


def format_outcome(criteria: Sequence[Criterion]) -> str:
    """How many of the criteria are met, as a sentence."""
    num_missed = sum(not criterion.passed for criterion in criteria)
    if not num_missed:
        return f"All {len(criteria)} criteria are met."
    return f"{num_missed} of {len(criteria)} criteria {'is' if num_missed == 1 else 'are'} missed."


def format_criterion(criterion: Criterion) -> str:
    """One criterion in a few words: `evaluation.accuracy passed, 0.9500 (at least 0.8000)`."""
    _, value, demanded, verdict, _ = _cells(criterion)
    reached = "" if criterion.value is None else f", {value}" + (f" ({demanded})" if demanded != "–" else "")
    return f"{criterion.name} {verdict}{reached}"


def format_table(criteria: Sequence[Criterion]) -> list[str]:
    """Lines of a table in columns, the heads first."""
    rows = [HEAD, *(_cells(criterion) for criterion in criteria)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    pad = [str.rjust if column in NUMBERS else str.ljust for column in range(len(HEAD))]
    return ["  ".join(pad[i](cell, widths[i]) for i, cell in enumerate(row)).rstrip() for row in rows]


def criteria_markdown(criteria: Sequence[Criterion]) -> str:
    """The same as a table of GitHub's Markdown."""
    rows = ["| " + " | ".join(_escape(cell) for cell in _cells(criterion)) + " |" for criterion in criteria]
    return "\n".join(["| " + " | ".join(HEAD) + " |", "|---|--:|--:|---|---|", *rows])


def _cells(criterion: Criterion) -> tuple[str, ...]:
    low, high = (None if end is None else _number(end) for end in (criterion.minimum, criterion.maximum))
    demanded = f"at least {low}" if low else f"at most {high}" if high else "–"
    if low and high:
        demanded = f"{low} to {high}"
    value = "–" if criterion.value is None else _number(criterion.value)
    return criterion.name, value, demanded, "passed" if criterion.passed else "missed", criterion.note


def _number(value: float) -> str:
    """Four decimals; large counts without."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"


def _escape(cell: str) -> str:
    """Names of slices and reasons are other people's text: no cell and no markup may come of them."""
    text = " ".join(cell.split())
    for letter, escaped in (("&", "&amp;"), ("<", "&lt;"), ("\\", "\\\\"), ("|", "\\|"), ("`", "\\`"), ("[", "\\[")):
        text = text.replace(letter, escaped)
    return text
