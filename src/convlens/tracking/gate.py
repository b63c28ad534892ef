"""The gate: criteria that a version must meet."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from convlens.errors import ConvLensError
from convlens.params import Bounds, ChampionParams, SliceParams

# --- The gate: whether a version becomes the champion. Plain values in, plain values out; no human needed ---

WORST_SLICE = "worst_slice"
PACKAGE = "answers_as_evaluated"
SERVED = "answers_when_served"
ROLLED_BACK = "not_rolled_back"
COMPARISON_CRITERIA = {
    "no_worse": "no_worse_than_champion",
    "better": "better_than_champion",
    "any": "compared_with_champion",
}
COLUMNS = {None: "", "lower": "_low", "upper": "_high"}  # of metrics.json, by the end of the interval
PLACES = {None: "", "lower": "the lower end of its interval", "upper": "the upper end of its interval"}
ROUNDING = 1e-12  # of differences between shares


@dataclass(frozen=True)
class Criterion:
    """One demand on a version.

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


@dataclass(frozen=True)
class Difference:
    """How two models compare photo by photo.

    Attributes:
        word: `better`, `worse` or `same`: what a paired test shows of the second one.
        note: the difference, its interval and the test, for people.
    """

    word: str
    note: str


@dataclass(frozen=True)
class ChampionComparison:
    """The new version and the champion on the same photos, none of which the champion was trained on.

    Attributes:
        num_photos: how many there are.
        new_accuracy: share that the new version answers right.
        champion_accuracy: share that the champion answers right.
        source: where the champion's answers come from, for people.
        difference: what the paired test shows.
    """

    num_photos: int
    new_accuracy: float
    champion_accuracy: float
    source: str
    difference: Difference = Difference("same", "")


def judge_metrics(section: str, metrics: Mapping[str, Any], demanded: Mapping[str, Bounds]) -> list[Criterion]:
    """The metrics of one file against what is demanded of them.

    Args:
        section: `evaluation`, `robustness` or `label_errors`.
        metrics: the content of its metrics.json; ends of intervals are called `<metric>_low` and `<metric>_high`.
        demanded: bounds by the metric's name.

    Raises:
        ConvLensError: a metric does not exist, or has no interval though an end of it is demanded.
    """
    return [_judge_metric(section, metrics, name, bounds) for name, bounds in demanded.items()]


def _judge_metric(section: str, metrics: Mapping[str, Any], name: str, bounds: Bounds) -> Criterion:
    column = _find_column(section, metrics, name, bounds)
    value = metrics[column]
    photos = f"on {metrics['num_photos']:,} photos" if "num_photos" in metrics else ""
    note = ", ".join(part for part in (PLACES[bounds.end], photos) if part)
    if value is None or math.isnan(value):
        return Criterion(f"{section}.{column}", None, bounds.min, bounds.max, False, "undefined for these photos")
    return Criterion(f"{section}.{column}", value, bounds.min, bounds.max, _within(value, bounds.min, bounds.max), note)


def _within(value: float, minimum: float | None, maximum: float | None) -> bool:
    return (minimum is None or value >= minimum) and (maximum is None or value <= maximum)


def _find_column(section: str, metrics: Mapping[str, Any], name: str, bounds: Bounds) -> str:
    known = [key for key, value in metrics.items() if _is_number(value) and not _is_end(key, metrics)]
    where = f"register.criteria.{section}.{name}"
    if name not in known:
        raise ConvLensError(
            f"Expected `{where}` in params.yaml to name a metric of reports/{section}/metrics.json. "
            f"Received: '{name}', which is none. {_suggest(name, known)}"
        )
    column = name + COLUMNS[bounds.end]
    if column not in metrics:
        wide = ", ".join(key for key in known if f"{key}_low" in metrics) or "none"
        raise ConvLensError(
            f"Expected `{where}.end` in params.yaml only for a metric with an interval. "
            f"Received: '{name}', which has none. Those with an interval: {wide}."
        )
    return column


def _is_number(value: Any) -> bool:
    """Undefined metrics count: they are null in the file."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_end(name: str, metrics: Mapping[str, Any]) -> bool:
    return name.endswith(("_low", "_high")) and name.rpartition("_")[0] in metrics


def _suggest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"Did you mean '{close[0]}'? " if close else ""
    return f"{meant}There are: {', '.join(known) or 'none'}."


def judge_slices(slices: Sequence[Mapping[str, Any]], demanded: SliceParams) -> list[Criterion]:
    """The worst slice against the floor of all; nothing where no slice is large enough to count.

    Args:
        slices: rows of slices.csv: feature, slice, num_photos, accuracy, low, high.
        demanded: the floor, and the photos that a slice must have.
    """
    column = {None: "accuracy", "lower": "low", "upper": "high"}[demanded.end]
    counted = [row for row in slices if row["num_photos"] >= demanded.min_photos and not math.isnan(row[column])]
    minimum = demanded.min_accuracy or None
    if not counted:
        note = f"no slice has {demanded.min_photos:,} photos"
        return [Criterion(WORST_SLICE, None, minimum, None, True, note)] if minimum else []
    worst = min(counted, key=lambda row: row[column])
    value, end = float(worst[column]), f"{PLACES[demanded.end]}, " if demanded.end else ""
    note = f"{end}{worst['feature']} {worst['slice']}, {worst['num_photos']:,} photos; of {len(counted)} slices"
    return [Criterion(WORST_SLICE, value, minimum, None, _within(value, minimum, None), note)]


def judge_packaged(num_alike: int, num_photos: int, note: str) -> Criterion:
    """The packaged model must answer every photo it is asked about as the network did in the evaluation."""
    counted = f"the packaged model answers {num_alike:,} of {num_photos:,} test photos as in the evaluation"
    return Criterion(PACKAGE, num_alike / num_photos, 1.0, None, num_alike == num_photos, f"{counted}, {note}")


def judge_served(num_alike: int, num_photos: int, failure: str = "") -> Criterion:
    """So must it over HTTP; `failure` says why it did not answer at all."""
    counted = f"over HTTP {num_alike:,} of {num_photos:,} test photos answered as in the evaluation"
    return Criterion(SERVED, num_alike / num_photos, 1.0, None, num_alike == num_photos, failure or counted)


def judge_without_champion(rule: ChampionParams, note: str) -> Criterion:
    """Nothing to be compared with, so nothing is demanded; `note` says why."""
    return Criterion(COMPARISON_CRITERIA[rule.verdict], None, None, None, True, note)


def judge_comparison(comparison: ChampionComparison, rule: ChampionParams) -> Criterion:
    """The champion and the new version on the same photos; what cannot be compared passes only if all may."""
    name, forgiving = COMPARISON_CRITERIA[rule.verdict], rule.verdict == "any"
    if comparison.num_photos == 0:
        return Criterion(name, None, None, None, forgiving, comparison.source)
    minimum = comparison.champion_accuracy - (rule.max_loss if rule.verdict == "no_worse" else 0.0)
    passed = {
        "no_worse": comparison.new_accuracy >= minimum - ROUNDING and comparison.difference.word != "worse",
        "better": comparison.difference.word == "better",
        "any": True,
    }[rule.verdict]
    parts = (f"on {comparison.num_photos:,} photos", comparison.source, comparison.difference.note)
    note = "; ".join(part for part in parts if part)
    return Criterion(name, comparison.new_accuracy, None if forgiving else minimum, None, passed, note)


def judge_past(reason: str) -> Criterion:
    """A version that was rolled back does not come back by itself."""
    return Criterion(ROLLED_BACK, None, None, None, False, f"it was rolled back: {reason}")


def all_passed(criteria: Sequence[Criterion]) -> bool:
    """Whether nothing stands between a version and the alias `champion`."""
    return all(criterion.passed for criterion in criteria)


def to_plain(criteria: Sequence[Criterion]) -> list[dict[str, Any]]:
    """Criteria as JSON takes them."""
    return [asdict(criterion) for criterion in criteria]


def from_plain(values: Sequence[Mapping[str, Any]]) -> list[Criterion]:
    """What `to_plain` made."""
    return [Criterion(**value) for value in values]


# --- The gate's criteria as tables that people read: in a terminal, and in Markdown for the summary of a CI job ---

HEAD = ("criterion", "value", "demanded", "verdict", "measured")
NUMBERS = (1, 2)  # columns that end flush


def verdict_word(criterion: Criterion) -> str:
    """`passed` or `missed`."""
    return "passed" if criterion.passed else "missed"


def tell_verdict(criteria: Sequence[Criterion]) -> str:
    """`passed`, or what was missed: `missed: evaluation.accuracy, no_worse_than_champion`."""
    missed = [criterion.name for criterion in criteria if not criterion.passed]
    return f"missed: {', '.join(missed)}" if missed else "passed"


def tell_criterion(criterion: Criterion) -> str:
    """One criterion in a few words: `evaluation.accuracy passed, 0.9500 (at least 0.8000)`."""
    demanded = f" ({tell_demand(criterion)})" if tell_demand(criterion) else ""
    value = "" if criterion.value is None else f", {show_number(criterion.value)}{demanded}"
    return f"{criterion.name} {verdict_word(criterion)}{value}"


def tell_demand(criterion: Criterion) -> str:
    """`at least 0.8000`, `at most 0.0500`, `0.1000 to 0.2000`, or nothing."""
    if criterion.minimum is not None and criterion.maximum is not None:
        return f"{show_number(criterion.minimum)} to {show_number(criterion.maximum)}"
    if criterion.minimum is not None:
        return f"at least {show_number(criterion.minimum)}"
    return "" if criterion.maximum is None else f"at most {show_number(criterion.maximum)}"


def show_number(value: float) -> str:
    """Four decimals; large counts without."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"


def text_table(criteria: Sequence[Criterion]) -> list[str]:
    """Lines of a table in columns, the heads first."""
    rows = [HEAD, *_rows(criteria)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return ["  ".join(_pad(cell, widths[i], i) for i, cell in enumerate(row)).rstrip() for row in rows]


def markdown_table(criteria: Sequence[Criterion]) -> str:
    """The same as a table of GitHub's Markdown, headed by the verdict."""
    lines = [
        "| " + " | ".join(HEAD) + " |",
        "|---|--:|--:|---|---|",
        *("| " + " | ".join(_escape(cell) for cell in row) + " |" for row in _rows(criteria)),
    ]
    return "\n".join(lines)


def tell_outcome(criteria: Sequence[Criterion]) -> str:
    """How many of the criteria are met, as a sentence."""
    num_missed = sum(not criterion.passed for criterion in criteria)
    if all_passed(criteria):
        return f"All {len(criteria)} criteria are met."
    return f"{num_missed} of {len(criteria)} criteria {'is' if num_missed == 1 else 'are'} missed."


def _rows(criteria: Sequence[Criterion]) -> list[tuple[str, ...]]:
    return [
        (
            item.name,
            "–" if item.value is None else show_number(item.value),
            tell_demand(item) or "–",
            verdict_word(item),
            item.note,
        )
        for item in criteria
    ]


def _pad(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in NUMBERS else cell.ljust(width)


def _escape(cell: str) -> str:
    """Names of slices and reasons are other people's text: no cell, no mark-up comes of them."""
    text = " ".join(cell.split())
    for letter, escaped in (("&", "&amp;"), ("<", "&lt;"), ("\\", "\\\\"), ("|", "\\|"), ("`", "\\`"), ("[", "\\[")):
        text = text.replace(letter, escaped)
    return text
