"""The page of a comparison."""

import math
import re
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from convlens.compare.comparison import (
    FirstResults,
    Kind,
    RunsCompared,
    count_kinds,
    encode_thumbnails,
)
from convlens.compare.describe import LOWER_IS_BETTER, METRIC_TITLES, choose_photos, describe
from convlens.compare.sections import name_photo, name_run
from convlens.compare.verdict import NoVerdict, PairedPredictions, RunVerdict
from convlens.metrics.evaluation import count_predictions
from convlens.metrics.intervals import Interval
from convlens.pages.engine import Drawing, draw, fill_template, picture_source
from convlens.plots.comparison import plot_courses, plot_differences
from convlens.plots.evaluation import plot_confusion_matrix
from convlens.plots.style import INK
from convlens.wording import show_count, show_number, show_share

# --- one dot per test photo: correct in both runs, in one of them, or in neither ---

MAX_DOTS = 400
MEANINGS = {"lost": "now wrong", "gained": "now right", "neither": "both wrong", "both": "both right"}


@dataclass(frozen=True)
class Dots:
    """Dots in rows, the changed ones first.

    Attributes:
        places: column and row of each dot, by what it stands for.
        counts: photos, by the same.
        num_columns: in a row.
        num_rows: of dots.
        one_per_photo: false: a dot is half a percent of the photos.
    """

    places: dict[str, list[tuple[int, int]]]
    counts: dict[str, int]
    num_columns: int
    num_rows: int
    one_per_photo: bool


def place_dots(pair: PairedPredictions) -> Dots:
    """A dot per photo; beyond 400 photos about 200, and never none for photos that there are."""
    before, after = pair.right("base"), pair.right("head")
    counts = {
        "lost": int((before & ~after).sum()),
        "gained": int((~before & after).sum()),
        "neither": int((~before & ~after).sum()),
        "both": int((before & after).sum()),
    }
    total = len(before)
    scale = 1.0 if total <= MAX_DOTS else MAX_DOTS / 2 / total
    numbers = {kind: max(round(count * scale), int(count > 0)) for kind, count in counts.items()}
    num_dots = sum(numbers.values())
    num_columns = math.ceil(math.sqrt(1.7 * num_dots))
    order = iter([(index % num_columns, index // num_columns) for index in range(num_dots)])
    places = {kind: [next(order) for _ in range(number)] for kind, number in numbers.items()}
    return Dots(places, counts, num_columns, math.ceil(num_dots / num_columns), scale == 1.0)


# --- photos whose prediction changed, and both confusion matrices ---

MAX_PHOTOS = 24
TITLES: dict[Kind, tuple[str, str]] = {
    "lost": ("Now wrong", "Right before, wrong now."),
    "gained": ("Now right", "Wrong before, right now."),
    "other": ("Wrong in another way", "Neither prediction is right."),
}


def describe_gallery(compared: RunsCompared) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Groups of photos with both predictions, and the pictures by path."""
    changed = compared.detail.changed
    if not changed:
        return [], {}
    counts = count_kinds(changed)
    shown = choose_photos(changed, MAX_PHOTOS)
    base, head = compared.runs
    groups = [
        {
            "title": title,
            "meaning": meaning,
            "count": counts[kind],
            "photos": [
                {
                    "path": photo.path,
                    "file": name_photo(photo.path),
                    "label": photo.label,
                    "right": photo.kind == "gained",
                    "now": photo.head_prediction[0],
                    "now_chance": show_share(photo.head_prediction[1]),
                    "before": photo.base_prediction[0],
                    "before_chance": show_share(photo.base_prediction[1]),
                }
                for photo in shown
                if photo.kind == kind
            ],
        }
        for kind, (title, meaning) in TITLES.items()
        if counts[kind]
    ]
    return groups, encode_thumbnails(shown, base, head)


def draw_confusions(compared: RunsCompared) -> list[Drawing]:
    """The confusion matrix of each run, on its own test photos."""
    if compared.detail.pair is None:
        return []
    classes = compared.detail.pair.classes
    drawings = []
    for run in compared.runs:
        if run.predictions is not None:
            counts = count_predictions(run.predictions, classes)
            figure = plot_confusion_matrix(counts, classes)
            title = name_run(run).replace("$", r"\$")
            figure.axes[0].set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")
            right = show_share(float(counts.trace() / counts.sum()))
            caption = f"{name_run(run)}: {right} of {show_count(int(counts.sum()), 'photo')} right."
            drawings.append(draw(figure, "Confusion matrix", caption))
    return drawings


# --- figures: training curves, and differences with their intervals ---

MEASURES = (("loss", "Loss", show_number), ("accuracy", "Accuracy", show_share))


def draw_courses(compared: RunsCompared) -> list[Drawing]:
    """Loss and accuracy of both trainings by epoch."""
    runs = [(name_run(run), run.history) for run in compared.runs]
    drawings = []
    for measure, title, show in MEASURES:
        column = f"validation_{measure}"
        if all(column in history and len(history) for _, history in runs):
            ends = ", ".join(f"{name} {show(float(history[column].iloc[-1]))}" for name, history in runs)
            caption = f"Validation at the end: {ends}. Thin lines: training."
            drawings.append(draw(plot_courses(runs, measure, title), "Two courses by epoch", caption))
    return drawings


def draw_differences(verdict: RunVerdict, max_regression: float) -> list[Drawing]:
    """Shares and areas in points, and losses, all turned so that the right is the better side."""
    shares = {title: _scale(verdict.differences[name], 100) for name, title in METRIC_TITLES.items()
              if name not in LOWER_IS_BETTER}  # fmt: skip
    losses = {METRIC_TITLES[name].partition(" (")[0]: _scale(verdict.differences[name], -1) for name in LOWER_IS_BETTER}
    drawings = []
    for found, title, unit, limit in (
        (shares, "Difference in points", "points; right of 0 is better", -100 * max_regression),
        (losses, "Loss saved", "less loss; right of 0 is better", None),
    ):
        if any(each.low is not None for each in found.values()):
            sure = [name for name, each in found.items() if each.low is not None and each.low * (each.high or 0) > 0]
            caption = f"The interval excludes 0: {', '.join(sure)}." if sure else "Every interval includes 0."
            drawings.append(draw(plot_differences(found, title, unit, limit=limit), title, caption))
    return drawings


def _scale(found: Interval, factor: float) -> Interval:
    if found.value is None or found.low is None or found.high is None:
        return Interval(None, None, None)
    low, high = sorted((factor * found.low, factor * found.high))
    return Interval(factor * found.value, low, high)


# --- one self-contained HTML file ---

CORNERS = {"parameters": "Parameter", "metrics": "Metric"}  # of a table whose first column has no name
BADGES = {"better": "met", "worse": "failed"}


def render_page(compared: RunsCompared | FirstResults) -> str:
    """The whole page as HTML text; the same runs give the same bytes."""
    sections = {section.key: section for section in describe(compared)}
    values = _describe_page(compared)
    helpers = {"mark_code": _mark_code, "badge": _is_badge, "split_interval": _split_interval,
               "meanings": MEANINGS, "corners": CORNERS}  # fmt: skip
    pictures = values["pictures"]
    return fill_template("comparison/comparison.html", {
        "headline": sections["verdict"].title, "sections": sections, **values, **helpers,
        "picture": lambda path: picture_source(pictures.get(path)),
    })  # fmt: skip


def _describe_page(compared: RunsCompared | FirstResults) -> dict[str, Any]:
    """What the page shows beyond the sections."""
    names = [name_run(run) for run in compared.runs]
    if isinstance(compared, FirstResults):
        lists = dict.fromkeys(("courses", "differences", "confusions", "gallery", "slices"), ())
        return {"short": names, "verdict": None, "dots": None, "pictures": {}, "confidence": "", **lists}
    (verdict,) = compared.verdicts
    gallery, pictures = describe_gallery(compared)
    pair = compared.detail.pair
    return {
        "short": names,
        "verdict": _describe_verdict(verdict),
        "dots": None if pair is None else place_dots(pair),
        "courses": draw_courses(compared),
        "differences": [] if isinstance(verdict, NoVerdict) else draw_differences(verdict, compared.max_regression),
        "confusions": draw_confusions(compared),
        "gallery": gallery,
        "pictures": pictures,
        "slices": compared.detail.slices,
        "confidence": show_share(compared.confidence, 0),
    }


def _describe_verdict(verdict: RunVerdict | NoVerdict) -> dict[str, str]:
    if isinstance(verdict, NoVerdict):
        return {"mark": "warnings", "word": "no verdict", "points": "", "interval": ""}
    difference = verdict.differences["accuracy"]
    word, interval = "regression" if verdict.regression else verdict.word, ""
    if difference.low is not None and difference.high is not None:
        interval = _set_minus(f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}")
    mark = {"regression": "failed", "worse": "warnings", "better": "passed"}.get(word, "same")
    return {
        "mark": mark,
        "word": {"same": "no difference"}.get(word, word),
        "points": _set_minus(f"{100 * (difference.value or 0.0):+.1f}"),
        "interval": interval,
    }


def _mark_code(text: str) -> Markup:
    """Words between backticks as code."""
    parts = re.split(r"`([^`]*)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(_set_minus(part))
        for index, part in enumerate(parts)
    )


def _is_badge(text: str) -> str:
    """The kind of badge that a cell is, from its first word; empty for a plain one."""
    return BADGES.get(text.split(",")[0], "")


def _split_interval(text: str) -> tuple[str, str]:
    """A value, and its interval without the brackets."""
    value, _, interval = _set_minus(text).partition(" (")
    return value, interval.removesuffix(")")


def _set_minus(text: str) -> str:
    """The hyphen before a number, not one within a name, as the minus that the figures have."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "−", text)
