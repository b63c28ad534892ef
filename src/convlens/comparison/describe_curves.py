"""The courses of the trainings as small pictures of letters.

They stand in a terminal, in a comment and in the mail that a comment makes alike; GitHub draws Mermaid's charts in
comments only, without a legend, and not reliably where they are folded away. The page has real curves.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from convlens.comparison.compare import RunsCompared
from convlens.comparison.sections import Section, name_run
from convlens.report.wording import show_number, show_share

BARS = "▁▂▃▄▅▆▇█"
MAX_BARS = 24
COURSES = (
    ("validation_loss", "validation loss", show_number),
    ("train_loss", "training loss", show_number),
    ("validation_accuracy", "validation accuracy", show_share),
)


def describe_curves(compared: RunsCompared) -> Section | None:
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
    """A bar per value, from the lowest to the highest of both ends; neighbours are averaged beyond 24."""
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
