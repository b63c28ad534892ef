"""Describe a comparison in sections."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from convlens.compare.comparison import (
    CLASS,
    ChangedPrediction,
    FirstResults,
    RunsCompared,
    SliceChange,
    count_kinds,
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
from convlens.metrics.evaluation import count_predictions
from convlens.metrics.intervals import SHARES
from convlens.wording import join_words, show_bytes, show_count, show_metric_of, show_number, show_share

# --- the verdict ---

WORDS = {"better": "better", "worse": "worse", "same": "no difference"}
MAX_NAMES = 6


def _head(compared: RunsCompared) -> tuple[str, ...]:
    return ("", *(name_run(run) for run in compared.runs))


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
    names = ", ".join([*run.outdated[:MAX_NAMES], *(["…"] if len(run.outdated) > MAX_NAMES else [])])
    reason = f"params.yaml has changed since its results were made ({names})"
    return [f"{name_run(run)}: {reason}. The numbers are those of the old values until `dvc repro` has run."]


def _say_verdict(
    verdict: RunVerdict | NoVerdict, base: Snapshot, run: Snapshot, *, compared: RunsCompared
) -> list[str]:
    one, other = name_run(base), name_run(run)
    if isinstance(verdict, NoVerdict):
        return [f"{other}: no verdict. {verdict.reason}"]
    lines = [_say_word(verdict, one, other, confidence=compared.confidence), *_say_training(base, run)]
    if not verdict.paired:
        lines.append(
            f"The comparison is unpaired, by totals alone, which shows less than one photo by photo. {verdict.note}"
        )
    elif not verdict.same_split:
        lines.append(
            f"The test splits differ: {one} has {show_count(verdict.num_base, 'photo')}, {other} {verdict.num_head:,}. "
            f"The sentence above is about the {verdict.num_shared:,} that both have; the table of metrics is about "
            "each run's own."
        )
    tolerated, low = compared.max_regression, verdict.differences["accuracy"].low
    if verdict.regression:
        limit = f"{100 * tolerated:.1f} points, compare.max_regression"
        lines.append(f"{other}: REGRESSION. The loss is more than what is tolerated ({limit}).")
    if verdict.word == "same" and verdict.paired and low is not None and -low > tolerated:
        lines.append(
            f"{other}: a loss of up to {-100 * low:.1f} points is not excluded, more than the {100 * tolerated:.1f} "
            "that are tolerated. More test photos would tell."
        )
    return lines


def _say_word(verdict: RunVerdict, one: str, other: str, *, confidence: float) -> str:
    photos = show_count(verdict.num_shared, "test photo")
    same = f"{other}: no difference from {one} that {photos} can show."
    start = same if verdict.word == "same" else f"{other}: {verdict.word} than {one} on the same {photos}."
    note = f", {show_share(confidence, 0)} {'paired' if verdict.paired else 'unpaired'} interval"
    accuracy = f"Accuracy {show_share(verdict.head_accuracy)} instead of {show_share(verdict.base_accuracy)}"
    chance = show_chance(verdict.p_value)
    test = f"Fisher's exact test: p {chance}."
    if verdict.mcnemar is not None:
        alone = f"{show_count(verdict.mcnemar.only_second, 'photo')} classified correctly by {other} alone"
        test = f"{alone}, {verdict.mcnemar.only_first:,} by {one} alone (McNemar's exact test, p {chance})."
    return f"{start} {accuracy}: {show_points(verdict.differences['accuracy'], note)}. {test}"


def _say_training(base: Snapshot, run: Snapshot) -> list[str]:
    """Whether the two learned from other photos: then not only the parameters made the difference."""
    if base.photos is None or run.photos is None:
        return []
    seen = [photos[photos["split"] != "test"] for photos in (base.photos, run.photos)]  # `validation` chose the weights
    learned = [set(zip(photos["sha256"], photos["label"], strict=True)) for photos in seen]
    if learned[0] == learned[1]:
        return []
    one, other = (show_count(len(photos), "photo") for photos in learned)
    names, shared = (name_run(base), name_run(run)), len(learned[0] & learned[1])
    return [f"They learned from other photos: {names[0]} from {one}, {names[1]} from {other}, {shared:,} shared."]


# --- parameters, and the code of the stages ---

MAX_ROWS = 60
FEW_ROWS = 8
MAX_PATHS = 12


def parameters_section(compared: RunsCompared) -> Section:
    """The parameters that differ, and the source files that do."""
    rows = tuple((plain(row.name), *map(show_value, row.values)) for row in compared.parameters)
    hidden = [f"{len(rows) - MAX_ROWS} more are not shown."] if len(rows) > MAX_ROWS else []
    sentences, title = (*hidden, *_say_code(compared.runs)), "Parameters"
    if not rows:
        return Section("parameters", title, "all are the same", sentences=sentences, folded=False)
    gist, many = f"{len(rows)} {'differs' if len(rows) == 1 else 'differ'}", len(rows) > FEW_ROWS
    return Section("parameters", title, gist, _head(compared), rows[:MAX_ROWS], sentences, folded=many, numbers=False)


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
    head, rows, first = _head(compared), _list_rows(compared.runs), compared.verdicts[0]
    if len(compared.verdicts) > 1:
        against = [f"against {head[1]}", ""]
        for verdict in compared.verdicts:
            if isinstance(verdict, NoVerdict):
                against.append("no verdict")
            else:
                points = show_points(verdict.differences["accuracy"], "" if verdict.paired else ", unpaired")
                against.append(f"{WORDS[verdict.word]}: {points}")
        return Section("metrics", TITLE, head=head, rows=(*rows, tuple(against)), folded=False)
    if isinstance(first, NoVerdict):
        return Section("metrics", TITLE, head=head, rows=rows, folded=False)
    changes = [("", ""), *((show_difference(first, name), judge_metric(first, name)) for name in METRIC_TITLES)]
    return Section(
        "metrics",
        TITLE,
        head=(*head, "paired difference" if first.paired else "unpaired difference", ""),
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
    photos = ("photos", *(f"{run.metrics.get('num_photos', 0):,}" for run in runs))
    metrics = ((title, *(show_metric_of(run.metrics, name) for run in runs)) for name, title in METRIC_TITLES.items())
    return (photos, *metrics)


# --- data: counts, digests, expectations, photos added and removed ---

SPLITS = ("train", "validation", "test")
MAX_PHOTOS_NAMED = 10
MAX_COUNTS = 40
SHOWN_DIGITS = 12
CHANGES = {  # of one photo, of more, and in short
    "added": ("added", "added", "added"),
    "removed": ("removed", "removed", "removed"),
    "relabeled": ("has another class", "have another class", "relabeled"),
    "moved": ("is in another split", "are in another split", "in another split"),
}


def data_section(compared: RunsCompared) -> Section:
    """Everything about the data that differs; one line if nothing does."""
    runs = compared.runs
    rows = [row for row in _list_data_facts(runs) if len(set(row[1:])) > 1]
    changes = find_photo_changes(*runs) if len(runs) == 2 else None
    sentences = [] if changes is None else _say_changes(changes)
    if not rows and not sentences:
        digest, used = find_digest(runs[0]), runs[0].validation.get("num_usable")
        photos = "photos" if used is None else show_count(int(used), "photo")
        return Section("data", "Data", f"the same {photos}" + (f", digest {digest[:SHOWN_DIGITS]}" if digest else ""))
    hidden = [f"{len(rows) - MAX_COUNTS} more rows are not shown."] if len(rows) > MAX_COUNTS else []
    head = _head(compared) if rows else ()
    cells, sentences, gist = tuple(rows[:MAX_COUNTS]), [*sentences, *hidden], _say_gist(runs, changes)
    return Section("data", "Data", gist, head, cells, tuple(sentences), folded=False, numbers=False)


def find_digest(run: Snapshot) -> str:
    """Digest of the prepared photos; unknown if neither their card nor the model's can be had."""
    return str(run.prepared_card.get("digest") or run.card.get("data_digest") or "")


def _say_gist(runs: tuple[Snapshot, ...], changes: PhotoChanges | None) -> str:
    if changes is None:
        return "not the same everywhere" if len(runs) > 2 else "not the same"
    counts = {words[-1]: len(getattr(changes, kind)) for kind, words in CHANGES.items()}
    told = [f"{count:,} {word}" for word, count in counts.items() if count]
    return ", ".join(told) or "the same photos, used or judged differently"


def _list_data_facts(runs: tuple[Snapshot, ...]) -> Iterable[tuple[str, ...]]:
    """Facts about the data, one cell per run; what an expectation observed stands where it is not met."""
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
    counts = [run.prepared_card.get("counts", {}) for run in runs]
    for split in SPLITS:
        for name in _names(count.get(split, {}) for count in counts):
            known = (count.get(split, {}).get(name, 0) if count else None for count in counts)
            yield (f"{split}: {plain(name)}", *map(_show_count, known))
    tables = [{row["name"]: row for row in run.validation.get("expectations", [])} for run in runs]
    for name in _names(tables):
        if len({table[name]["success"] for table in tables if name in table}) > 1:
            yield (f"expectation {plain(name)}", *(_show_expectation(table.get(name)) for table in tables))


def _show_expectation(row: dict[str, Any] | None) -> str:
    if row is None or row["success"]:
        return "not checked" if row is None else "met"
    return f"{'failed' if row['severity'] == 'critical' else 'warning'}: {plain(str(row['observed']))}"


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
    histories = [(name_run(run), run.history) for run in compared.runs]
    rows = []
    for column, title, show in COURSES:
        if all(column in history and len(history) for _, history in histories):
            values = np.concatenate([history[column].to_numpy(float) for _, history in histories])
            known = values[np.isfinite(values)]
            ends = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
            for name, history in histories:
                course = history[column]
                best = course.min() if column.endswith("loss") else course.max()
                shown = show(float(course.iloc[-1])), show(float(best))
                rows.append((title, name, draw_bars(course, ends), f"{len(history):,}", *shown))
    head = ("", "", "from the first epoch to the last", "epochs", "last", "best")
    return Section("curves", "Training curves", head=head, rows=tuple(rows), numbers=False) if rows else None


def draw_bars(values: pd.Series, ends: tuple[float, float]) -> str:
    """A bar per value, from the lowest to the highest of both ends; neighbors are averaged beyond 24."""
    parts = np.array_split(values.to_numpy(float), min(len(values), MAX_BARS))
    low, high = ends
    means = np.array([part.mean() for part in parts])
    heights = (np.clip(means, low, high) - low) / (high - low) if high > low else np.zeros(len(means))
    return "".join(BARS[round(float(height) * (len(BARS) - 1))] if np.isfinite(height) else "?" for height in heights)


# --- time and size, and filters ---

MAX_FILTER_NUMBERS = 6
Show = Callable[[Snapshot], str]


def cost_section(compared: RunsCompared) -> Section:
    """Time of the training, size of the model and of the pages."""

    def show_time(seconds: float | None) -> str:
        if seconds is None:
            return UNKNOWN
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"

    def show_size(run: Snapshot, kind: str) -> str:
        output = run.output(kind)
        return UNKNOWN if output is None or output.size is None else show_bytes(output.size)

    facts: Sequence[tuple[str, Show]] = (
        ("epochs", lambda run: f"{len(run.history):,}"),
        ("training time", lambda run: show_time(run.seconds)),
        ("parameters", lambda run: f"{run.card['num_parameters']:,}" if "num_parameters" in run.card else UNKNOWN),
        ("size of the model", lambda run: show_size(run, "model")),
        ("size of the report", lambda run: show_size(run, "report")),
        ("size of the feature-map page", lambda run: show_size(run, "feature_maps")),
    )
    return Section("cost", "Time and size", head=_head(compared), rows=_list_facts(compared, facts))


def filters_section(compared: RunsCompared) -> Section:
    """Filters that never fire, and what is known of those without a counterpart."""

    def show(name: str, form: str) -> Show:
        return lambda run: format(run.maps[name], form) if name in run.maps else UNKNOWN

    facts = (("filters", show("num_filters", ",")), ("never fire", show("num_dead_filters", ",")),
             ("mean selectivity", show("mean_selectivity", ".3f")))  # fmt: skip
    known, sentences = any(run.maps for run in compared.runs), tuple(_say_matched(compared))
    if not known:
        return Section("filters", "Filters", sentences=sentences)
    return Section("filters", "Filters", "", _head(compared), _list_facts(compared, facts), sentences)


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
    rows = (
        (plain(layer.base if layer.base == layer.head else f"{layer.base} → {layer.head}"),
         _show_cell(layer.num_base, layer.num_head), f"{len(layer.pairs):,}",
         f"{layer.correlation:.2f}" if layer.pairs else "", f"{layer.chance:.2f}",
         *(("–", "–") if found.are_apart else (_name_filters(layer.died), _name_filters(layer.born))),
         _show_cell(len(layer.dead_base), len(layer.dead_head)))
        for layer in found.layers
    )  # fmt: skip
    return Section(
        "layers",
        "Filters born and died",
        head=("layer", "filters", "with a partner", "correlation", "by chance", "died", "born", "never fire"),
        rows=tuple(rows),
        sentences=(
            "Correlation: mean of the partners; by chance: after the photos of one network were mixed up. Died, born: "
            f"filters of {base} and of {head} that fire and have no partner, by number. Networks trained from other "
            "seeds share fewer filters the deeper the layer, even if their predictions are alike.",
            *(f"Layers of {name} without a counterpart: {', '.join(map(plain, names))}."
              for name, names in missing if names),
        ),
    )  # fmt: skip


def _name_filters(numbers: Sequence[int]) -> str:
    """How many filters, and the numbers of the first."""
    if not numbers:
        return "0"
    more = ", …" if len(numbers) > MAX_FILTER_NUMBERS else ""
    return f"{len(numbers):,} ({', '.join(map(str, numbers[:MAX_FILTER_NUMBERS]))}{more})"


def _list_facts(compared: RunsCompared, facts: Sequence[tuple[str, Show]]) -> tuple[tuple[str, ...], ...]:
    return tuple((name, *(show(run) for run in compared.runs)) for name, show in facts)


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
    title, changed = "Photos whose prediction changed", compared.detail.changed
    if compared.detail.pair is None:
        return None
    if not changed:
        return Section("predictions", title, "none", folded=True)
    shown = choose_photos(changed, MAX_PHOTOS)
    rows = []
    for photo in shown:
        predictions = (photo.base_prediction, photo.head_prediction)
        cells = (f"{plain(name)} {show_share(chance)}" for name, chance in predictions)
        rows.append((name_photo(photo.path), plain(photo.label), *cells, KINDS[photo.kind]))
    head = ("photo", "truth", *(name_run(run) for run in compared.runs), "")
    hidden = f"{len(changed) - len(shown):,} more are not listed; `--html` shows more, with pictures."
    sentences = (hidden,) if len(changed) > len(shown) else ()
    return Section("predictions", title, say_kinds(changed), head, tuple(rows), sentences, numbers=False)


def say_kinds(changed: Sequence[ChangedPrediction]) -> str:
    """How many of each kind: `15 now wrong, 2 now right`."""
    return ", ".join(f"{count:,} {KINDS[kind]}" for kind, count in count_kinds(changed).items() if count)


def choose_photos(changed: Sequence[ChangedPrediction], limit: int) -> list[ChangedPrediction]:
    """The first of each kind, the lost ones before the gained ones."""
    return [prediction for kind in KINDS for prediction in [each for each in changed if each.kind == kind][:limit]]


def confusion_section(compared: RunsCompared) -> Section | None:
    """Both confusion matrices in one table; of many classes only the confusions that changed most."""
    if len(compared.runs) != 2 or compared.detail.pair is None:
        return None
    classes = compared.detail.pair.classes
    one, other = (count_predictions(table, classes) for run in compared.runs if (table := run.predictions) is not None)
    names = " → ".join(name_run(run) for run in compared.runs)
    if len(classes) <= MAX_CLASSES:
        rows = [(plain(name), *map(_show_cell, one[row].tolist(), other[row].tolist()))
                for row, name in enumerate(classes)]  # fmt: skip
        head = ("truth ↓ prediction →", *map(plain, classes))
        return Section("confusion", "Confusion matrix", names, head, tuple(rows))
    change = other - one
    np.fill_diagonal(change, 0)
    order = np.argsort(-np.abs(change), axis=None, kind="stable")[:MAX_CONFUSIONS]
    rows = [
        (f"{plain(classes[row])} taken for {plain(classes[column])}",
         _show_cell(int(one[row, column]), int(other[row, column])))
        for row, column in (divmod(int(place), len(classes)) for place in order)
        if change[row, column]
    ]  # fmt: skip
    if not rows:
        return Section("confusion", "Confusions", "none changed")
    return Section("confusion", "Confusions that changed most", names, ("", "photos"), tuple(rows))


def _show_cell(one: int, other: int) -> str:
    return f"{one:,} → {other:,}" if one != other else f"{one:,}"


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
