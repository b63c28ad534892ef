"""What changed photo by photo: classes and kinds of photos, single answers, and confusions of classes."""

from collections.abc import Sequence

import numpy as np

from convlens.comparison.answers import ChangedAnswer, count_answers, count_kinds
from convlens.comparison.compare import RunsCompared
from convlens.comparison.groups import CLASS, GroupChange
from convlens.comparison.sections import Section, name_photo, name_run, plain, show_chance
from convlens.report.wording import show_count, show_share

MAX_PHOTOS = 10
MAX_GROUPS = 20
MAX_CLASSES = 8
MAX_CONFUSIONS = 12
KINDS = {"lost": "now wrong", "gained": "now right", "other": "wrong in another way"}


def describe_groups(compared: RunsCompared) -> Section | None:
    """Classes and kinds of photos that changed beyond chance."""
    groups = compared.detail.groups
    if not groups:
        return None
    found = [group for group in groups if group.word != "same"]
    tested = f"{show_count(len(groups), 'group')} tested, p-values after Holm."
    if not found:
        return Section("groups", "Classes and kinds of photos", "none changed beyond chance", sentences=(tested,))
    rows = tuple(map(list_group, found[:MAX_GROUPS]))
    names = tuple(name_run(run) for run in compared.runs)
    gist = f"{len(found)} of {len(groups)} changed beyond chance"
    head = ("class or kind", "photos", *names, "")
    return Section("groups", "Classes and kinds of photos", gist, head, rows, (tested,), folded=False)


def list_group(group: GroupChange) -> tuple[str, ...]:
    """A row: the group, its photos, both accuracies, and the test."""
    title = plain(group.name) if group.feature == CLASS else f"{plain(group.feature)} {plain(group.name)}"
    shares = show_share(group.base_accuracy), show_share(group.head_accuracy)
    word = f"{group.word}, " if group.word != "same" else ""
    return (title, f"{group.num_photos:,}", *shares, f"{word}p {show_chance(group.p_value)}")


def describe_answers(compared: RunsCompared) -> Section | None:
    """Photos whose answer changed, by name, the largest change first."""
    if compared.detail.pair is None:
        return None
    changed = compared.detail.changed
    if not changed:
        return Section("answers", "Photos whose answer changed", "none", folded=True)
    return Section(
        "answers",
        "Photos whose answer changed",
        say_kinds(changed),
        ("photo", "truth", *(name_run(run) for run in compared.runs), ""),
        tuple(_list_photo(answer) for answer in choose_photos(changed, MAX_PHOTOS)),
        tuple(_say_hidden(changed)),
        numbers=False,
    )


def say_kinds(changed: Sequence[ChangedAnswer]) -> str:
    """How many of each kind: `15 now wrong, 2 now right`."""
    return ", ".join(f"{count:,} {KINDS[kind]}" for kind, count in count_kinds(changed).items() if count)


def choose_photos(changed: Sequence[ChangedAnswer], limit: int) -> list[ChangedAnswer]:
    """The first of each kind, the lost ones before the gained ones."""
    return [answer for kind in KINDS for answer in [each for each in changed if each.kind == kind][:limit]]


def _list_photo(answer: ChangedAnswer) -> tuple[str, ...]:
    answers = (f"{plain(name)} {show_share(chance)}" for name, chance in (answer.base_answer, answer.head_answer))
    return (name_photo(answer.path), plain(answer.label), *answers, KINDS[answer.kind])


def _say_hidden(changed: Sequence[ChangedAnswer]) -> list[str]:
    num_hidden = len(changed) - len(choose_photos(changed, MAX_PHOTOS))
    return [f"{num_hidden:,} more are not listed; `--html` shows more, with pictures."] if num_hidden else []


def describe_confusion(compared: RunsCompared) -> Section | None:
    """Both confusion matrices in one table; of many classes only the confusions that changed."""
    if len(compared.runs) != 2 or compared.detail.pair is None:
        return None
    classes = compared.detail.pair.classes
    counts = [count_answers(run, classes) for run in compared.runs]
    if counts[0] is None or counts[1] is None:
        return None
    names = " → ".join(name_run(run) for run in compared.runs)
    if len(classes) > MAX_CLASSES:
        return _describe_confusions(classes, counts[0], counts[1], names)
    rows = tuple(
        (plain(name), *map(_show_cell, counts[0][row].tolist(), counts[1][row].tolist()))
        for row, name in enumerate(classes)
    )
    head = ("truth ↓ answer →", *map(plain, classes))
    return Section("confusion", "Confusion matrix", names, head, rows)


def _show_cell(one: int, other: int) -> str:
    return f"{one:,} → {other:,}" if one != other else f"{one:,}"


def _describe_confusions(classes: Sequence[str], one: np.ndarray, other: np.ndarray, names: str) -> Section:
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
