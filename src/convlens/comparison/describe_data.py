"""What changed in the data: counts, digests, expectations, photos added and removed."""

from collections.abc import Callable, Iterable
from typing import Any

from convlens.comparison.compare import RunsCompared
from convlens.comparison.photo_changes import PhotoChanges, find_photo_changes
from convlens.comparison.sections import UNKNOWN, Section, name_photo, name_run, plain, show_value
from convlens.comparison.snapshot import Snapshot
from convlens.report.wording import show_count

SPLITS = ("train", "validation", "test")
MAX_NAMES = 10
MAX_COUNTS = 40
SHOWN_DIGITS = 12
CHANGES = {  # with one photo, with more
    "added": ("added", "added"),
    "removed": ("removed", "removed"),
    "relabelled": ("has another class", "have another class"),
    "moved": ("is in another split", "are in another split"),
}


def describe_data(compared: RunsCompared) -> Section:
    """Everything about the data that differs; one line if nothing does."""
    rows = [row for row in _list_rows(compared.runs) if len(set(row[1:])) > 1]
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
        words = {"added": "added", "removed": "removed", "relabelled": "relabelled", "moved": "in another split"}
        if any(counts.values()):
            return ", ".join(f"{count:,} {words[name]}" for name, count in counts.items() if count)
        return "the same photos, used or judged differently"
    return "not the same everywhere" if len(runs) > 2 else "not the same"


def _list_rows(runs: tuple[Snapshot, ...]) -> Iterable[tuple[str, ...]]:
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
            names = ", ".join(f"`{name_photo(path)}`" for path in paths[:MAX_NAMES])
            more = f" and {len(paths) - MAX_NAMES:,} more" if len(paths) > MAX_NAMES else ""
            sentences.append(f"{show_count(len(paths), 'photo')} {words[len(paths) > 1]}: {names}{more}.")
    return sentences
