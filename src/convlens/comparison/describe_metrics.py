"""The numbers of the test split side by side, with intervals and differences."""

from collections.abc import Callable

from convlens.comparison.compare import FirstResults, RunsCompared
from convlens.comparison.describe_verdict import WORDS
from convlens.comparison.paired import NoVerdict, Verdict
from convlens.comparison.sections import Section, name_run, show_change, show_points
from convlens.comparison.snapshot import Snapshot
from convlens.metrics.intervals import SHARES
from convlens.report.wording import interval_of, show_number, show_share

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "log_loss": "log loss (less is better)",
    "brier": "Brier score (less is better)",
}
LOWER_IS_BETTER = ("log_loss", "brier")
TITLE = "Test photos, with intervals"


def describe_metrics(compared: RunsCompared) -> Section:
    """The test split's numbers; with two runs also the differences, with more those of accuracy."""
    names = tuple(name_run(run) for run in compared.runs)
    rows, first = _list_rows(compared.runs), compared.verdicts[0]
    if len(compared.verdicts) > 1:
        against = (f"against {names[0]}", "", *(_sum_up(verdict) for verdict in compared.verdicts))
        return Section("metrics", TITLE, head=("", *names), rows=(*rows, against), folded=False)
    if isinstance(first, NoVerdict):
        return Section("metrics", TITLE, head=("", *names), rows=rows, folded=False)
    changes = [("", ""), *((show_difference(first, name), judge_metric(first, name)) for name in TITLES)]
    kind = "paired difference" if first.paired else "unpaired difference"
    return Section(
        "metrics",
        TITLE,
        head=("", *names, kind, ""),
        rows=tuple((*row, *change) for row, change in zip(rows, changes, strict=True)),
        sentences=("The verdict rests on accuracy; of the other intervals one may exclude 0 by chance.",),
        folded=False,
    )


def describe_first_metrics(first: FirstResults) -> Section:
    """The numbers of runs that have no base."""
    return Section("metrics", TITLE, head=("", *map(name_run, first.runs)), rows=_list_rows(first.runs), folded=False)


def judge_metric(verdict: Verdict, name: str) -> str:
    """What the difference in one metric comes to: that of accuracy is the verdict, others go by their interval."""
    difference = verdict.differences[name]
    if name == "accuracy":
        return WORDS[verdict.word]
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return ""
    return "better" if (difference.low > 0) != (name in LOWER_IS_BETTER) else "worse"


def show_difference(verdict: Verdict, name: str) -> str:
    """The difference in one metric with its interval."""
    difference = verdict.differences[name]
    return show_points(difference) if name in SHARES else show_change(difference)


def _list_rows(runs: tuple[Snapshot, ...]) -> tuple[tuple[str, ...], ...]:
    rows = [("photos", *(f"{run.metrics.get('num_photos', 0):,}" for run in runs))]
    return (*rows, *((title, *(_show_metric(run, name) for run in runs)) for name, title in TITLES.items()))


def _sum_up(verdict: Verdict | NoVerdict) -> str:
    if isinstance(verdict, NoVerdict):
        return "no verdict"
    note = "" if verdict.paired else ", unpaired"
    return f"{WORDS[verdict.word]}: {show_points(verdict.differences['accuracy'], note)}"


def _show_metric(run: Snapshot, name: str) -> str:
    show: Callable[[float | None], str] = show_share if name in SHARES else show_number
    value, low, high = interval_of(run.metrics, name)
    return show(value) if low is None or high is None else f"{show(value)} ({show(low)} to {show(high)})"
