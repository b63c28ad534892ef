"""An outcome for the terminal: tables in columns, a sentence about each thing that matters."""

import textwrap
from collections.abc import Sequence
from typing import Any

from convlens.outside.outcome import Outcome
from convlens.outside.write import list_drift, list_metrics
from convlens.report.wording import show_count, show_share
from convlens.report.wording_outside import describe_statistic, list_rows, say_drift, say_verdict

WIDTH = 100
MAX_FAILURES = 20


def render_outcome(outcome: Outcome) -> str:
    """What `convlens evaluate` prints."""
    metrics = list_metrics(outcome)
    blocks = [_head(outcome), _numbers(outcome, metrics), _drift(outcome), _failures(outcome)]
    if outcome.model.note:
        blocks.append(_fold(outcome.model.note))
    return "\n\n".join(block for block in blocks if block)


def _head(outcome: Outcome) -> str:
    unread = len(outcome.failures)
    answered = f"{show_count(outcome.num_answered, 'photo')} answered"
    return f"{outcome.model.address}: {answered}" + (f", {unread:,} could not be read" if unread else "")


def _numbers(outcome: Outcome, metrics: dict[str, Any]) -> str:
    if outcome.evaluation is None:
        counts = outcome.photos.loc[outcome.photos["error"] == "", "predicted"].value_counts()
        answers = [
            (name, f"{counts.get(name, 0):,}", show_share(counts.get(name, 0) / outcome.num_answered))
            for name in outcome.classes
        ]
        return _align([("answer", "photos", "share"), *answers])
    profile = outcome.model.profile
    test = {} if profile is None else profile.metrics
    rows = list_rows(metrics, test)
    head = ("", "these photos", "test split", "difference")
    table = _align([row if test else row[:2] for row in (head, *rows)])
    return f"{table}\n\n{_fold(say_verdict(metrics, test)[1])}" if test else table


def _drift(outcome: Outcome) -> str:
    if outcome.drift is None:
        return ""
    table = list_drift(outcome)
    rows = [describe_statistic(row) for row in table.to_dict("records")]
    names = ("name", "reference", "observed", "effect", "p_value", "word")
    head = ("photos", "in training", "here", "effect", "p", "")
    share, low, high = outcome.drift.share_unlike
    unlike = (
        f"{show_count(outcome.drift.num_unlike, 'photo')} of {outcome.num_answered:,} unlike any of the training: "
        f"{show_share(share)} ({show_share(low)} to {show_share(high)}), where 1 % would be nothing special."
    )
    lines = [_align([head, *(tuple(row[name] for name in names) for row in rows)]), _fold(say_drift(table))]
    return "\n\n".join([*lines, _fold(unlike)])


def _failures(outcome: Outcome) -> str:
    if not outcome.failures:
        return ""
    lines = [f"  {photo.name}: {reason}" for photo, reason in outcome.failures[:MAX_FAILURES]]
    more = len(outcome.failures) - len(lines)
    return "\n".join(["Could not be read:", *lines, *([f"  and {more:,} more"] if more else [])])


def _align(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _fold(sentence: str) -> str:
    return textwrap.fill(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)
