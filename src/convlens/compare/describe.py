"""Describe a comparison in sections."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from convlens.compare.comparison import (
    CLASS,
    ChangedPrediction,
    FirstResults,
    RunsCompared,
    SliceChange,
    count_kinds,
    count_predictions,
)
from convlens.compare.runs import PhotoChanges, Snapshot, find_photo_changes
from convlens.compare.sections import (
    UNKNOWN,
    Section,
    name_commit,
    name_photo,
    name_run,
    plain,
    show_chance,
    show_change,
    show_points,
    show_value,
)
from convlens.compare.verdict import NoVerdict, RunVerdict
from convlens.metrics.intervals import SHARES
from convlens.wording import interval_of, join_words, show_bytes, show_count, show_number, show_share

if TYPE_CHECKING:
    from convlens.lens.over_time import LayerMatch

# --- the verdict ---

WORDS = {"better": "better", "worse": "worse", "same": "no difference"}
MAX_NAMES = 6


def first_section(first: FirstResults) -> Section:
    """What to say where there is nothing to compare with yet."""
    names = join_words([name_commit(run) for run in first.runs])
    return Section(
        "verdict",
        f"First results: {plain(first.base)} has none to compare with",
        sentences=(f"{names} stands alone, so nothing can have become worse.", first.reason),
        folded=False,
    )


def verdict_section(compared: RunsCompared) -> Section:
    """The verdict as a heading, and what it rests on."""
    base, *others = compared.runs
    sentences = [
        sentence
        for run, verdict in zip(others, compared.verdicts, strict=True)
        for sentence in _say_verdict(verdict, base, run, compared=compared)
    ]
    if len(others) > 1:
        sentences.append("The best of many runs looks better than it is: confirm it with another seed or other photos.")
    warnings = [warning for run in compared.runs for warning in _say_outdated(run)]
    against = f"{', '.join(name_commit(run) for run in others)} against {name_commit(base)}."
    return Section("verdict", say_headline(compared), sentences=(against, *warnings, *sentences), folded=False)


def say_headline(compared: RunsCompared) -> str:
    """The verdict in one line."""
    base, *others = compared.runs
    if len(others) > 1:
        return f"{len(others)} runs against {name_run(base)}: {_count_words(compared)}"
    (verdict,), (run,) = compared.verdicts, others
    if isinstance(verdict, NoVerdict):
        return f"No verdict on {name_run(run)} against {name_run(base)}"
    note = "" if verdict.paired else " (unpaired)"
    points = abs(100 * (verdict.differences["accuracy"].value or 0.0))
    if verdict.word == "same":
        photos = show_count(verdict.num_shared, "test photo")
        return f"No difference between {name_run(run)} and {name_run(base)} that {photos} can show{note}"
    start = f"{name_run(run)} is {verdict.word} than {name_run(base)} by {points:.1f} points of accuracy{note}"
    if verdict.word == "better":
        return f"Better: {start}"
    tolerated = f", within the {100 * compared.max_regression:.1f} that are tolerated"
    return f"Regression: {start}" if verdict.regression else f"Worse: {start}{tolerated}"


def _count_words(compared: RunsCompared) -> str:
    words = ["no verdict" if isinstance(verdict, NoVerdict) else WORDS[verdict.word] for verdict in compared.verdicts]
    regressions = sum(isinstance(verdict, RunVerdict) and verdict.regression for verdict in compared.verdicts)
    parts = [f"{words.count(word)} {word}" for word in (*WORDS.values(), "no verdict") if word in words]
    return ", ".join(parts) + (f"; {show_count(regressions, 'regression')}" if regressions else "")


def _say_outdated(run: Snapshot) -> list[str]:
    if not run.outdated:
        return []
    shown = [*run.outdated[:MAX_NAMES], *(["…"] if len(run.outdated) > MAX_NAMES else [])]
    return [
        f"{name_run(run)}: params.yaml has changed since its results were made ({', '.join(shown)}). The numbers are "
        "those of the old values until `dvc repro` has run."
    ]


def _say_verdict(
    verdict: RunVerdict | NoVerdict, base: Snapshot, run: Snapshot, *, compared: RunsCompared
) -> list[str]:
    if isinstance(verdict, NoVerdict):
        return [f"{name_run(run)}: no verdict. {verdict.reason}"]
    lines = [_say_word(verdict, base, run, confidence=compared.confidence), *_say_training(base, run)]
    if not verdict.paired:
        lines.append(
            f"The comparison is unpaired, by totals alone, which shows less than one photo by photo. {verdict.note}"
        )
    elif not verdict.same_split:
        lines.append(_say_split(verdict, base, run))
    if verdict.regression:
        limit = f"{100 * compared.max_regression:.1f} points, compare.max_regression"
        lines.append(f"{name_run(run)}: REGRESSION. The loss is more than what is tolerated ({limit}).")
    return [*lines, *_say_possible(verdict, run, compared.max_regression)]


def _say_possible(verdict: RunVerdict, run: Snapshot, tolerated: float) -> list[str]:
    """No difference that is seen is not no difference: how much may be lost all the same."""
    low = verdict.differences["accuracy"].low
    if verdict.word != "same" or not verdict.paired or low is None or -low <= tolerated:
        return []
    limit = f"the {100 * tolerated:.1f} that are tolerated"
    return [
        f"{name_run(run)}: a loss of up to {-100 * low:.1f} points is not excluded, more than {limit}. More test "
        "photos would tell."
    ]


def _say_word(verdict: RunVerdict, base: Snapshot, run: Snapshot, *, confidence: float) -> str:
    one, other = name_run(base), name_run(run)
    photos = show_count(verdict.num_shared, "test photo")
    same = f"{other}: no difference from {one} that {photos} can show."
    start = same if verdict.word == "same" else f"{other}: {verdict.word} than {one} on the same {photos}."
    kind = "paired" if verdict.paired else "unpaired"
    note = f", {show_share(confidence, 0)} {kind} interval"
    accuracy = f"Accuracy {show_share(verdict.head_accuracy)} instead of {show_share(verdict.base_accuracy)}"
    return f"{start} {accuracy}: {show_points(verdict.differences['accuracy'], note)}. {_say_test(verdict, one, other)}"


def _say_test(verdict: RunVerdict, one: str, other: str) -> str:
    chance = show_chance(verdict.p_value)
    if verdict.mcnemar is None:
        return f"Fisher's exact test: p {chance}."
    alone = f"{show_count(verdict.mcnemar.only_second, 'photo')} classified correctly by {other} alone"
    return f"{alone}, {verdict.mcnemar.only_first:,} by {one} alone (McNemar's exact test, p {chance})."


def _say_training(base: Snapshot, run: Snapshot) -> list[str]:
    """Whether the two learned from other photos: then not only the parameters made the difference."""
    learned = [_training_photos(snapshot) for snapshot in (base, run)]
    if base.photos is None or run.photos is None or learned[0] == learned[1]:
        return []
    one, other = (show_count(len(photos), "photo") for photos in learned)
    shared = len(learned[0] & learned[1])
    names = name_run(base), name_run(run)
    return [f"They learned from other photos: {names[0]} from {one}, {names[1]} from {other}, {shared:,} shared."]


def _training_photos(run: Snapshot) -> set[tuple[str, str]]:
    """Content and label of the photos that the training saw, `validation` chose the weights by included."""
    if run.photos is None:
        return set()
    seen = run.photos[run.photos["split"] != "test"]
    return set(zip(seen["sha256"], seen["label"], strict=True))


def _say_split(verdict: RunVerdict, base: Snapshot, run: Snapshot) -> str:
    return (
        f"The test splits differ: {name_run(base)} has {show_count(verdict.num_base, 'photo')}, {name_run(run)} "
        f"{verdict.num_head:,}. The sentence above is about the {verdict.num_shared:,} that both have; the table of "
        "metrics is about each run's own."
    )


# --- parameters, and the code of the stages ---

MAX_ROWS = 60
FEW_ROWS = 8
MAX_PATHS = 12


def parameters_section(compared: RunsCompared) -> Section:
    """The parameters that differ, and the source files that do."""
    names = tuple(name_run(run) for run in compared.runs)
    rows = tuple((plain(row.name), *map(show_value, row.values)) for row in compared.parameters)
    sentences = (*_say_hidden(len(rows)), *_say_code(compared.runs))
    if not rows:
        return Section("parameters", "Parameters", "all are the same", sentences=sentences, folded=False)
    return Section(
        "parameters",
        "Parameters",
        f"{len(rows)} {'differs' if len(rows) == 1 else 'differ'}",
        ("", *names),
        rows[:MAX_ROWS],
        sentences,
        folded=len(rows) > FEW_ROWS,
        numbers=False,
    )


def _say_hidden(num_rows: int) -> list[str]:
    return [f"{num_rows - MAX_ROWS} more are not shown."] if num_rows > MAX_ROWS else []


def _say_code(runs: tuple[Snapshot, ...]) -> list[str]:
    """Source files of the stages that are not the same everywhere: they change results, too."""
    if any(not run.code for run in runs):
        return []
    paths = sorted({path for run in runs for path in run.code})
    changed = [path for path in paths if len({run.code.get(path, ("",))[0] for run in runs}) > 1]
    if not changed:
        return []
    stages = list(dict.fromkeys(stage for run in runs for path in changed for stage in run.code.get(path, ("", ()))[1]))
    shown = ", ".join(f"`{plain(path)}`" for path in changed[:MAX_PATHS])
    more = f" and {len(changed) - MAX_PATHS} more" if len(changed) > MAX_PATHS else ""
    names = ", ".join(map(plain, stages))
    used = f"the stage {names}" if len(stages) == 1 else f"{show_count(len(stages), 'stage')}: {names}"
    return [f"The code differs, too, that made the results: {shown}{more}, used by {used}."]


# --- metrics of the test split, with intervals and differences ---

METRIC_TITLES = {
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


def metrics_section(compared: RunsCompared) -> Section:
    """The test split's numbers; with two runs also the differences, with more those of accuracy."""
    names = tuple(name_run(run) for run in compared.runs)
    rows, first = _list_rows(compared.runs), compared.verdicts[0]
    if len(compared.verdicts) > 1:
        against = (f"against {names[0]}", "", *(_sum_up(verdict) for verdict in compared.verdicts))
        return Section("metrics", TITLE, head=("", *names), rows=(*rows, against), folded=False)
    if isinstance(first, NoVerdict):
        return Section("metrics", TITLE, head=("", *names), rows=rows, folded=False)
    changes = [("", ""), *((show_difference(first, name), judge_metric(first, name)) for name in METRIC_TITLES)]
    kind = "paired difference" if first.paired else "unpaired difference"
    return Section(
        "metrics",
        TITLE,
        head=("", *names, kind, ""),
        rows=tuple((*row, *change) for row, change in zip(rows, changes, strict=True)),
        sentences=("The verdict rests on accuracy; of the other intervals one may exclude 0 by chance.",),
        folded=False,
    )


def first_metrics_section(first: FirstResults) -> Section:
    """The numbers of runs that have no base."""
    return Section("metrics", TITLE, head=("", *map(name_run, first.runs)), rows=_list_rows(first.runs), folded=False)


def judge_metric(verdict: RunVerdict, name: str) -> str:
    """What the difference in one metric comes to: that of accuracy is the verdict, others go by their interval."""
    difference = verdict.differences[name]
    if name == "accuracy":
        return WORDS[verdict.word]
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return ""
    return "better" if (difference.low > 0) != (name in LOWER_IS_BETTER) else "worse"


def show_difference(verdict: RunVerdict, name: str) -> str:
    """The difference in one metric with its interval."""
    difference = verdict.differences[name]
    return show_points(difference) if name in SHARES else show_change(difference)


def _list_rows(runs: tuple[Snapshot, ...]) -> tuple[tuple[str, ...], ...]:
    rows = [("photos", *(f"{run.metrics.get('num_photos', 0):,}" for run in runs))]
    return (*rows, *((title, *(_show_metric(run, name) for run in runs)) for name, title in METRIC_TITLES.items()))


def _sum_up(verdict: RunVerdict | NoVerdict) -> str:
    if isinstance(verdict, NoVerdict):
        return "no verdict"
    note = "" if verdict.paired else ", unpaired"
    return f"{WORDS[verdict.word]}: {show_points(verdict.differences['accuracy'], note)}"


def _show_metric(run: Snapshot, name: str) -> str:
    show: Callable[[float | None], str] = show_share if name in SHARES else show_number
    value, low, high = interval_of(run.metrics, name)
    return show(value) if low is None or high is None else f"{show(value)} ({show(low)} to {show(high)})"


# --- data: counts, digests, expectations, photos added and removed ---

SPLITS = ("train", "validation", "test")
MAX_PHOTOS_NAMED = 10
MAX_COUNTS = 40
SHOWN_DIGITS = 12
CHANGES = {  # with one photo, with more
    "added": ("added", "added"),
    "removed": ("removed", "removed"),
    "relabeled": ("has another class", "have another class"),
    "moved": ("is in another split", "are in another split"),
}


def data_section(compared: RunsCompared) -> Section:
    """Everything about the data that differs; one line if nothing does."""
    rows = [row for row in _list_data_facts(compared.runs) if len(set(row[1:])) > 1]
    changes = find_photo_changes(*compared.runs) if len(compared.runs) == 2 else None
    sentences = [] if changes is None else _say_changes(changes)
    if not rows and not sentences:
        return Section("data", "Data", _say_same(compared.runs))
    hidden = [f"{len(rows) - MAX_COUNTS} more rows are not shown."] if len(rows) > MAX_COUNTS else []
    return Section(
        "data",
        "Data",
        _say_gist(compared.runs, changes),
        ("", *(name_run(run) for run in compared.runs)) if rows else (),
        tuple(rows[:MAX_COUNTS]),
        (*sentences, *hidden),
        folded=False,
        numbers=False,
    )


def find_digest(run: Snapshot) -> str:
    """Digest of the prepared photos; unknown if neither their card nor the model's can be had."""
    return str(run.prepared_card.get("digest") or run.card.get("data_digest") or "")


def _say_same(runs: tuple[Snapshot, ...]) -> str:
    digest = find_digest(runs[0])
    used = runs[0].validation.get("num_usable")
    photos = "photos" if used is None else show_count(int(used), "photo")
    return f"the same {photos}" + (f", digest {digest[:SHOWN_DIGITS]}" if digest else "")


def _say_gist(runs: tuple[Snapshot, ...], changes: PhotoChanges | None) -> str:
    if changes is not None:
        counts = {name: len(getattr(changes, name)) for name in CHANGES}
        words = {"added": "added", "removed": "removed", "relabeled": "relabeled", "moved": "in another split"}
        if any(counts.values()):
            return ", ".join(f"{count:,} {words[name]}" for name, count in counts.items() if count)
        return "the same photos, used or judged differently"
    return "not the same everywhere" if len(runs) > 2 else "not the same"


def _list_data_facts(runs: tuple[Snapshot, ...]) -> Iterable[tuple[str, ...]]:
    """Facts about the data, one cell per run."""
    facts: dict[str, Callable[[Snapshot], Any]] = {
        "source": lambda run: show_value(str(run.prepared_card.get("source", UNKNOWN))),
        "digest": lambda run: find_digest(run)[:SHOWN_DIGITS] or UNKNOWN,
        "photos found": lambda run: _show_count(run.validation.get("num_photos")),
        "photos used": lambda run: _show_count(run.validation.get("num_usable")),
    }
    yield from ((name, *map(show, runs)) for name, show in facts.items())
    for name in _names(run.validation.get("quarantine", {}) for run in runs):
        cells = (_show_count(run.validation.get("quarantine", {}).get(name)) for run in runs)
        yield (f"left out: {plain(name).replace('_', ' ')}", *cells)
    yield from _list_counts(runs)
    yield from _list_expectations(runs)


def _list_counts(runs: tuple[Snapshot, ...]) -> Iterable[tuple[str, ...]]:
    counts = [run.prepared_card.get("counts", {}) for run in runs]
    for split in SPLITS:
        for name in _names(count.get(split, {}) for count in counts):
            known = (count.get(split, {}).get(name, 0) if count else None for count in counts)
            yield (f"{split}: {plain(name)}", *map(_show_count, known))


def _list_expectations(runs: tuple[Snapshot, ...]) -> Iterable[tuple[str, ...]]:
    """Verdicts of the expectations; what was observed stands with those that are not met."""
    tables = [{row["name"]: row for row in run.validation.get("expectations", [])} for run in runs]
    for name in _names(tables):
        if len({table[name]["success"] for table in tables if name in table}) > 1:
            yield (f"expectation {plain(name)}", *(_show_expectation(table.get(name)) for table in tables))


def _show_expectation(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not checked"
    if row["success"]:
        return "met"
    word = "failed" if row["severity"] == "critical" else "warning"
    return f"{word}: {plain(str(row['observed']))}"


def _names(tables: Iterable[Any]) -> list[str]:
    """The keys of several tables, each once."""
    return list(dict.fromkeys(name for table in tables for name in table))


def _show_count(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _say_changes(changes: PhotoChanges) -> list[str]:
    """A sentence per kind of change, with some names."""
    sentences = []
    for kind, words in CHANGES.items():
        paths = getattr(changes, kind)
        if paths:
            names = ", ".join(f"`{name_photo(path)}`" for path in paths[:MAX_PHOTOS_NAMED])
            more = f" and {len(paths) - MAX_PHOTOS_NAMED:,} more" if len(paths) > MAX_PHOTOS_NAMED else ""
            sentences.append(f"{show_count(len(paths), 'photo')} {words[len(paths) > 1]}: {names}{more}.")
    return sentences


# --- training curves, as bars made of letters ---
#
# They stand in a terminal, in a comment and in the mail that a comment makes alike; GitHub draws Mermaid's charts in
# comments only, without a legend, and not reliably where they are folded away. The page has real curves.

BARS = "▁▂▃▄▅▆▇█"
MAX_BARS = 24
COURSES = (
    ("validation_loss", "validation loss", show_number),
    ("train_loss", "training loss", show_number),
    ("validation_accuracy", "validation accuracy", show_share),
)


def curves_section(compared: RunsCompared) -> Section | None:
    """One row per course and run: a bar per epoch, all runs on one scale, then where it ended and its best."""
    rows = tuple(
        (title, name_run(run), draw_bars(run.history[column], ends), f"{len(run.history):,}",
         show(float(run.history[column].iloc[-1])), show(_best(run.history[column], column)))
        for column, title, show in COURSES
        if all(column in run.history and len(run.history) for run in compared.runs)
        for ends in [_find_ends([run.history[column] for run in compared.runs])]
        for run in compared.runs
    )  # fmt: skip
    if not rows:
        return None
    head = ("", "", "from the first epoch to the last", "epochs", "last", "best")
    return Section("curves", "Training curves", head=head, rows=rows, numbers=False)


def draw_bars(values: pd.Series, ends: tuple[float, float]) -> str:
    """A bar per value, from the lowest to the highest of both ends; neighbors are averaged beyond 24."""
    parts = np.array_split(values.to_numpy(float), min(len(values), MAX_BARS))
    low, high = ends
    means = np.array([part.mean() for part in parts])
    heights = (np.clip(means, low, high) - low) / (high - low) if high > low else np.zeros(len(means))
    return "".join(BARS[round(float(height) * (len(BARS) - 1))] if np.isfinite(height) else "?" for height in heights)


def _find_ends(courses: Sequence[pd.Series]) -> tuple[float, float]:
    values = np.concatenate([course.to_numpy(float) for course in courses])
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _best(course: pd.Series, column: str) -> float:
    return float(course.min() if column.endswith("loss") else course.max())


# --- time and size, and filters ---

MAX_FILTER_NUMBERS = 6
Show = Callable[[Snapshot], str]


def cost_section(compared: RunsCompared) -> Section:
    """Time of the training, size of the model and of the pages."""
    facts: Sequence[tuple[str, Show]] = (
        ("epochs", lambda run: f"{len(run.history):,}"),
        ("training time", lambda run: _show_time(run.seconds)),
        ("parameters", lambda run: f"{run.card['num_parameters']:,}" if "num_parameters" in run.card else UNKNOWN),
        ("size of the model", lambda run: _show_size(run, "model")),
        ("size of the report", lambda run: _show_size(run, "report")),
        ("size of the feature-map page", lambda run: _show_size(run, "feature_maps")),
    )
    return Section("cost", "Time and size", head=_head(compared), rows=_list_facts(compared, facts))


def filters_section(compared: RunsCompared) -> Section:
    """Filters that never fire, and what is known of those without a counterpart."""
    facts: Sequence[tuple[str, Show]] = (
        ("filters", lambda run: _show_number(run, "num_filters", ",")),
        ("never fire", lambda run: _show_number(run, "num_dead_filters", ",")),
        ("mean selectivity", lambda run: _show_number(run, "mean_selectivity", ".3f")),
    )
    known = any(run.maps for run in compared.runs)
    return Section(
        "filters",
        "Filters",
        head=_head(compared) if known else (),
        rows=_list_facts(compared, facts) if known else (),
        sentences=tuple(_say_matched(compared)),
    )


def _say_matched(compared: RunsCompared) -> list[str]:
    if compared.filters is not None:
        return [compared.filters.sentence]
    if compared.filters_note:
        return [f"Which were born and died is not compared. {compared.filters_note}"]
    if len(compared.runs) > 2:
        return []
    if any(run.files.model is None for run in compared.runs):
        return ["Which were born and died is not compared: a network is not in DVC's cache (`dvc fetch`)."]
    return ["Which were born and died is not compared: `--filters` does, and shows both networks some photos."]


def layers_section(compared: RunsCompared) -> Section | None:
    """Compare the filters of two networks, a row per pair of layers; only if it was asked for."""
    found = compared.filters
    if found is None or not found.layers:
        return None
    base, head = (name_run(run) for run in compared.runs)
    missing = ((base, found.unmatched_base), (head, found.unmatched_head))
    return Section(
        "layers",
        "Filters born and died",
        head=("layer", "filters", "with a partner", "correlation", "by chance", "died", "born", "never fire"),
        rows=tuple(_list_layer(layer) for layer in found.layers),
        sentences=(
            "Correlation: mean of the partners; by chance: after the photos of one network were mixed up. Died, born: "
            f"filters of {base} and of {head} that fire and have no partner, by number. Networks trained from other "
            "seeds share fewer filters the deeper the layer, even if their predictions are alike.",
            *(f"Layers of {name} without a counterpart: {', '.join(map(plain, names))}."
              for name, names in missing if names),
        ),
    )  # fmt: skip


def _list_layer(layer: "LayerMatch") -> tuple[str, ...]:
    return (
        plain(layer.base if layer.base == layer.head else f"{layer.base} → {layer.head}"),
        _show_cell(layer.num_base, layer.num_head),
        f"{len(layer.pairs):,}",
        f"{layer.correlation:.2f}" if layer.pairs else "",
        f"{layer.chance:.2f}",
        _name_filters(layer.died),
        _name_filters(layer.born),
        _show_cell(len(layer.dead_base), len(layer.dead_head)),
    )


def _name_filters(numbers: Sequence[int]) -> str:
    """How many filters, and the numbers of the first."""
    if not numbers:
        return "0"
    more = ", …" if len(numbers) > MAX_FILTER_NUMBERS else ""
    return f"{len(numbers):,} ({', '.join(map(str, numbers[:MAX_FILTER_NUMBERS]))}{more})"


def _head(compared: RunsCompared) -> tuple[str, ...]:
    return ("", *(name_run(run) for run in compared.runs))


def _list_facts(compared: RunsCompared, facts: Sequence[tuple[str, Show]]) -> tuple[tuple[str, ...], ...]:
    return tuple((name, *(show(run) for run in compared.runs)) for name, show in facts)


def _show_number(run: Snapshot, name: str, form: str) -> str:
    return format(run.maps[name], form) if name in run.maps else UNKNOWN


def _show_size(run: Snapshot, kind: str) -> str:
    output = run.output(kind)
    return UNKNOWN if output is None or output.size is None else show_bytes(output.size)


def _show_time(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


# --- slices, changed predictions, confusion matrices ---

MAX_PHOTOS = 10
MAX_GROUPS = 20
MAX_CLASSES = 8
MAX_CONFUSIONS = 12
KINDS = {"lost": "now wrong", "gained": "now right", "other": "wrong in another way"}


def slices_section(compared: RunsCompared) -> Section | None:
    """Classes and slices that changed beyond chance."""
    groups = compared.detail.slices
    if not groups:
        return None
    found = [group for group in groups if group.word != "same"]
    tested = f"{show_count(len(groups), 'group')} tested, p-values after Holm."
    if not found:
        return Section("slices", "Classes and slices", "none changed beyond chance", sentences=(tested,))
    rows = tuple(map(list_slice, found[:MAX_GROUPS]))
    names = tuple(name_run(run) for run in compared.runs)
    gist = f"{len(found)} of {len(groups)} changed beyond chance"
    head = ("class or slice", "photos", *names, "")
    return Section("slices", "Classes and slices", gist, head, rows, (tested,), folded=False)


def list_slice(group: SliceChange) -> tuple[str, ...]:
    """A row: the group, its photos, both accuracies, and the test."""
    title = plain(group.name) if group.feature == CLASS else f"{plain(group.feature)} {plain(group.name)}"
    shares = show_share(group.base_accuracy), show_share(group.head_accuracy)
    word = f"{group.word}, " if group.word != "same" else ""
    return (title, f"{group.num_photos:,}", *shares, f"{word}p {show_chance(group.p_value)}")


def predictions_section(compared: RunsCompared) -> Section | None:
    """Photos whose prediction changed, by name, the largest change first."""
    if compared.detail.pair is None:
        return None
    changed = compared.detail.changed
    if not changed:
        return Section("predictions", "Photos whose prediction changed", "none", folded=True)
    return Section(
        "predictions",
        "Photos whose prediction changed",
        say_kinds(changed),
        ("photo", "truth", *(name_run(run) for run in compared.runs), ""),
        tuple(_list_photo(prediction) for prediction in choose_photos(changed, MAX_PHOTOS)),
        tuple(_say_unlisted(changed)),
        numbers=False,
    )


def say_kinds(changed: Sequence[ChangedPrediction]) -> str:
    """How many of each kind: `15 now wrong, 2 now right`."""
    return ", ".join(f"{count:,} {KINDS[kind]}" for kind, count in count_kinds(changed).items() if count)


def choose_photos(changed: Sequence[ChangedPrediction], limit: int) -> list[ChangedPrediction]:
    """The first of each kind, the lost ones before the gained ones."""
    return [prediction for kind in KINDS for prediction in [each for each in changed if each.kind == kind][:limit]]


def _list_photo(prediction: ChangedPrediction) -> tuple[str, ...]:
    predictions = (
        f"{plain(name)} {show_share(chance)}"
        for name, chance in (prediction.base_prediction, prediction.head_prediction)
    )
    return (name_photo(prediction.path), plain(prediction.label), *predictions, KINDS[prediction.kind])


def _say_unlisted(changed: Sequence[ChangedPrediction]) -> list[str]:
    num_hidden = len(changed) - len(choose_photos(changed, MAX_PHOTOS))
    return [f"{num_hidden:,} more are not listed; `--html` shows more, with pictures."] if num_hidden else []


def confusion_section(compared: RunsCompared) -> Section | None:
    """Both confusion matrices in one table; of many classes only the confusions that changed."""
    if len(compared.runs) != 2 or compared.detail.pair is None:
        return None
    classes = compared.detail.pair.classes
    counts = [count_predictions(run, classes) for run in compared.runs]
    if counts[0] is None or counts[1] is None:
        return None
    names = " → ".join(name_run(run) for run in compared.runs)
    if len(classes) > MAX_CLASSES:
        return _list_confusions(classes, counts[0], counts[1], names)
    rows = tuple(
        (plain(name), *map(_show_cell, counts[0][row].tolist(), counts[1][row].tolist()))
        for row, name in enumerate(classes)
    )
    head = ("truth ↓ prediction →", *map(plain, classes))
    return Section("confusion", "Confusion matrix", names, head, rows)


def _show_cell(one: int, other: int) -> str:
    return f"{one:,} → {other:,}" if one != other else f"{one:,}"


def _list_confusions(classes: Sequence[str], one: np.ndarray, other: np.ndarray, names: str) -> Section:
    """The cells off the diagonal that changed most."""
    change = other - one
    np.fill_diagonal(change, 0)
    order = np.argsort(-np.abs(change), axis=None, kind="stable")[:MAX_CONFUSIONS]
    places = [divmod(int(place), len(classes)) for place in order]
    rows = tuple(
        (
            f"{plain(classes[row])} taken for {plain(classes[column])}",
            _show_cell(int(one[row, column]), int(other[row, column])),
        )
        for row, column in places
        if change[row, column]
    )
    if not rows:
        return Section("confusion", "Confusions", "none changed")
    return Section("confusion", "Confusions that changed most", names, ("", "photos"), rows)


# --- all sections, the verdict first: it is what most readers come for ---

SECTIONS = (
    verdict_section,
    parameters_section,
    metrics_section,
    slices_section,
    predictions_section,
    confusion_section,
    data_section,
    curves_section,
    filters_section,
    layers_section,
    cost_section,
)


def describe(compared: RunsCompared | FirstResults) -> tuple[Section, ...]:
    """All sections that have something to say."""
    if isinstance(compared, FirstResults):
        return first_section(compared), first_metrics_section(compared)
    found = (make_section(compared) for make_section in SECTIONS)
    return tuple(section for section in found if section is not None)
