"""A comparison in words and tables, without a form yet: what `text.py` and `markdown.py` both show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convlens.comparison.compare import RunsCompared
from convlens.comparison.paired import NoVerdict, Verdict
from convlens.comparison.snapshot import Snapshot
from convlens.metrics.intervals import SHARES, Interval
from convlens.report.wording import interval_of, show_bytes, show_count, show_number, show_share

UNKNOWN = "unknown"
SHOWN_COMMIT = 7
TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "log_loss": "log loss (less is better)",
    "brier": "Brier score (less is better)",
}
WORDS = {"better": "better", "worse": "worse", "same": "no difference"}


@dataclass(frozen=True)
class Section:
    """A heading with a table, sentences, or both.

    Attributes:
        title: heading.
        head: what the columns are; empty if there is no table.
        rows: cells as text, each row as long as the head.
        sentences: paragraphs below the table.
    """

    title: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    sentences: tuple[str, ...] = ()


def describe(compared: RunsCompared) -> tuple[Section, ...]:
    """The sections, the verdict first: it is what most readers come for."""
    kinds = (_describe_verdicts, _describe_parameters, _describe_metrics, _describe_cost)
    return tuple(describe_kind(compared) for describe_kind in kinds)


def _describe_verdicts(compared: RunsCompared) -> Section:
    base, *others = compared.runs
    sentences = [
        sentence
        for run, verdict in zip(others, compared.verdicts, strict=True)
        for sentence in _say_verdict(verdict, base, run, compared=compared)
    ]
    if len(others) > 1:
        sentences.append("The best of many runs looks better than it is: confirm it with another seed or other photos.")
    warnings = [warning for run in compared.runs for warning in _say_outdated(run)]
    title = f"{', '.join(_name(run) for run in others)} against {_name(base)}"
    return Section(title, sentences=(*warnings, *sentences))


def _name(run: Snapshot) -> str:
    commit = run.commit[:SHOWN_COMMIT]
    return f"{run.name} ({commit})" if commit and not run.commit.startswith(run.name) else run.name


def _say_outdated(run: Snapshot) -> list[str]:
    if not run.outdated:
        return []
    return [
        f"{run.name}: params.yaml has changed since its results were made ({', '.join(run.outdated)}). The numbers are "
        "those of the old values until `dvc repro` has run."
    ]


def _say_verdict(verdict: Verdict | NoVerdict, base: Snapshot, run: Snapshot, *, compared: RunsCompared) -> list[str]:
    if isinstance(verdict, NoVerdict):
        return [f"{run.name}: no verdict. {verdict.reason}"]
    lines = [_say_word(verdict, base, run, confidence=compared.confidence), *_say_training(base, run)]
    if not verdict.same_split:
        lines.append(_say_split(verdict, base, run))
    if verdict.regression:
        limit = f"{100 * compared.max_regression:.1f} points, compare.max_regression"
        lines.append(f"{run.name}: REGRESSION. The loss is more than what is tolerated ({limit}).")
    return lines


def _say_word(verdict: Verdict, base: Snapshot, run: Snapshot, *, confidence: float) -> str:
    test, difference = verdict.comparison.mcnemar, verdict.comparison.differences["accuracy"]
    photos = show_count(verdict.num_shared, "test photo")
    if verdict.word == "same":
        start = f"{run.name}: no difference from {base.name} that {photos} can show. Accuracy"
    else:
        start = f"{run.name}: {verdict.word} than {base.name} on the same {photos}. Accuracy"
    return (
        f"{start} {show_share(verdict.head_accuracy)} instead of {show_share(verdict.base_accuracy)}: "
        f"{_show_points(difference, f', {show_share(confidence, 0)} paired interval')}. "
        f"{show_count(test.only_second, 'photo')} answered right by {run.name} alone, {test.only_first:,} by "
        f"{base.name} alone (McNemar's exact test, p {_show_chance(test.p_value)})."
    )


def _show_chance(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _show_points(difference: Interval, note: str = "") -> str:
    value, low, high = (None if x is None else 100 * x for x in (difference.value, difference.low, difference.high))
    if value is None or low is None or high is None:
        return UNKNOWN
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f}{note})"


def _show_change(difference: Interval) -> str:
    value, low, high = difference.value, difference.low, difference.high
    return "" if value is None or low is None or high is None else f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def _say_training(base: Snapshot, run: Snapshot) -> list[str]:
    """Whether the two learned from other photos: then not only the parameters made the difference."""
    learned = [_training_photos(snapshot) for snapshot in (base, run)]
    if base.photos is None or run.photos is None or learned[0] == learned[1]:
        return []
    counts = [show_count(len(photos), "photo") for photos in learned]
    shared = len(learned[0] & learned[1])
    return [
        f"They learned from other photos: {base.name} from {counts[0]}, {run.name} from {counts[1]}, {shared:,} shared."
    ]


def _training_photos(run: Snapshot) -> set[tuple[str, str]]:
    """Content and label of the photos that the training saw, `validation` chose the weights by included."""
    if run.photos is None:
        return set()
    seen = run.photos[run.photos["split"] != "test"]
    return set(zip(seen["sha256"], seen["label"], strict=True))


def _say_split(verdict: Verdict, base: Snapshot, run: Snapshot) -> str:
    return (
        f"The test splits differ: {base.name} has {show_count(verdict.num_base, 'photo')}, {run.name} "
        f"{verdict.num_head:,}. The sentence above is about the {verdict.num_shared:,} that both have; the table of "
        "metrics is about each run's own."
    )


def _describe_parameters(compared: RunsCompared) -> Section:
    names = tuple(run.name for run in compared.runs)
    if not compared.parameters:
        return Section("Parameters", sentences=("All are the same.",))
    rows = tuple((row.name, *row.values) for row in compared.parameters)
    return Section("Parameters that differ", ("", *names), rows)


def _describe_metrics(compared: RunsCompared) -> Section:
    """The test split's numbers; with two runs also the paired differences, with more those of accuracy."""
    names = tuple(run.name for run in compared.runs)
    rows = [("photos", *(f"{run.metrics.get('num_photos', 0):,}" for run in compared.runs))]
    rows += [(title, *(_show_metric(run, name) for run in compared.runs)) for name, title in TITLES.items()]
    title, first = "Test photos, with intervals", compared.verdicts[0]
    if len(compared.verdicts) > 1:
        row = (f"against {names[0]}", "", *(_sum_up(verdict) for verdict in compared.verdicts))
        return Section(title, ("", *names), (*rows, row))
    if isinstance(first, NoVerdict):
        return Section(title, ("", *names), tuple(rows))
    changes = ["", *(_show_difference(first, name) for name in TITLES)]
    return Section(
        title,
        ("", *names, "paired difference"),
        tuple((*row, change) for row, change in zip(rows, changes, strict=True)),
    )


def _sum_up(verdict: Verdict | NoVerdict) -> str:
    if isinstance(verdict, NoVerdict):
        return "no verdict"
    return f"{WORDS[verdict.word]}: {_show_points(verdict.comparison.differences['accuracy'])}"


def _show_difference(verdict: Verdict, name: str) -> str:
    difference = verdict.comparison.differences[name]
    return _show_points(difference) if name in SHARES else _show_change(difference)


def _show_metric(run: Snapshot, name: str) -> str:
    show: Callable[[float | None], str] = show_share if name in SHARES else show_number
    value, low, high = interval_of(run.metrics, name)
    return show(value) if low is None or high is None else f"{show(value)} ({show(low)} to {show(high)})"


def _describe_cost(compared: RunsCompared) -> Section:
    facts: Sequence[tuple[str, Callable[[Snapshot], str]]] = (
        ("epochs", lambda run: f"{len(run.history):,}"),
        ("training time", lambda run: _show_time(run.seconds)),
        ("parameters", lambda run: f"{run.card['num_parameters']:,}" if "num_parameters" in run.card else UNKNOWN),
        ("size of the model", lambda run: UNKNOWN if run.model_bytes is None else show_bytes(run.model_bytes)),
    )
    rows = tuple((name, *(show(run) for run in compared.runs)) for name, show in facts)
    return Section("Time and size", ("", *(run.name for run in compared.runs)), rows)


def _show_time(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
