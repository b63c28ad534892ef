"""The verdict in words: better, worse, or no difference that these photos can show."""

from convlens.comparison.compare import FirstResults, RunsCompared
from convlens.comparison.paired import NoVerdict, Verdict
from convlens.comparison.sections import Section, name_commit, name_run, plain, show_chance, show_points
from convlens.comparison.snapshot import Snapshot
from convlens.report.wording import join_words, show_count, show_share

WORDS = {"better": "better", "worse": "worse", "same": "no difference"}
MAX_NAMES = 6


def describe_first(first: FirstResults) -> Section:
    """What to say where there is nothing to compare with yet."""
    names = join_words([name_commit(run) for run in first.runs])
    return Section(
        "verdict",
        f"First results: {plain(first.base)} has none to compare with",
        sentences=(f"{names} stands alone, so nothing can have become worse.", first.reason),
        folded=False,
    )


def describe_verdict(compared: RunsCompared) -> Section:
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
    regressions = sum(isinstance(verdict, Verdict) and verdict.regression for verdict in compared.verdicts)
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


def _say_verdict(verdict: Verdict | NoVerdict, base: Snapshot, run: Snapshot, *, compared: RunsCompared) -> list[str]:
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


def _say_possible(verdict: Verdict, run: Snapshot, tolerated: float) -> list[str]:
    """No difference that is seen is not no difference: how much may be lost all the same."""
    low = verdict.differences["accuracy"].low
    if verdict.word != "same" or not verdict.paired or low is None or -low <= tolerated:
        return []
    limit = f"the {100 * tolerated:.1f} that are tolerated"
    return [
        f"{name_run(run)}: a loss of up to {-100 * low:.1f} points is not excluded, more than {limit}. More test "
        "photos would tell."
    ]


def _say_word(verdict: Verdict, base: Snapshot, run: Snapshot, *, confidence: float) -> str:
    one, other = name_run(base), name_run(run)
    photos = show_count(verdict.num_shared, "test photo")
    same = f"{other}: no difference from {one} that {photos} can show."
    start = same if verdict.word == "same" else f"{other}: {verdict.word} than {one} on the same {photos}."
    kind = "paired" if verdict.paired else "unpaired"
    note = f", {show_share(confidence, 0)} {kind} interval"
    accuracy = f"Accuracy {show_share(verdict.head_accuracy)} instead of {show_share(verdict.base_accuracy)}"
    return f"{start} {accuracy}: {show_points(verdict.differences['accuracy'], note)}. {_say_test(verdict, one, other)}"


def _say_test(verdict: Verdict, one: str, other: str) -> str:
    chance = show_chance(verdict.p_value)
    if verdict.mcnemar is None:
        return f"Fisher's exact test: p {chance}."
    alone = f"{show_count(verdict.mcnemar.only_second, 'photo')} answered right by {other} alone"
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


def _say_split(verdict: Verdict, base: Snapshot, run: Snapshot) -> str:
    return (
        f"The test splits differ: {name_run(base)} has {show_count(verdict.num_base, 'photo')}, {name_run(run)} "
        f"{verdict.num_head:,}. The sentence above is about the {verdict.num_shared:,} that both have; the table of "
        "metrics is about each run's own."
    )
