"""Photos whose answer changed, and both confusion matrices, for the page."""

from typing import Any

from convlens.comparison.answers import ChangedAnswer, Kind, count_answers, count_kinds, make_thumbnails
from convlens.comparison.compare import RunsCompared
from convlens.comparison.describe_answers import choose_photos
from convlens.comparison.sections import name_photo, name_run
from convlens.report.figures_evaluation import plot_confusion_matrix
from convlens.report.figures_style import INK
from convlens.report.overview_page import Drawing, draw
from convlens.report.wording import show_count, show_share

MAX_PHOTOS = 24
TITLES: dict[Kind, tuple[str, str]] = {
    "lost": ("Now wrong", "Right before, wrong now."),
    "gained": ("Now right", "Wrong before, right now."),
    "other": ("Wrong in another way", "Neither answer is right."),
}


def describe_gallery(compared: RunsCompared) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Groups of photos with both answers, and the pictures by path."""
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
            "photos": [_describe(answer) for answer in shown if answer.kind == kind],
        }
        for kind, (title, meaning) in TITLES.items()
        if counts[kind]
    ]
    return groups, make_thumbnails(shown, base, head)


def _describe(answer: ChangedAnswer) -> dict[str, Any]:
    return {
        "path": answer.path,
        "file": name_photo(answer.path),
        "label": answer.label,
        "right": answer.kind == "gained",
        "now": answer.head_answer[0],
        "now_chance": show_share(answer.head_answer[1]),
        "before": answer.base_answer[0],
        "before_chance": show_share(answer.base_answer[1]),
    }


def draw_confusions(compared: RunsCompared) -> list[Drawing]:
    """The confusion matrix of each run, on its own test photos."""
    if compared.detail.pair is None:
        return []
    classes = compared.detail.pair.classes
    drawings = []
    for run in compared.runs:
        counts = count_answers(run, classes)
        if counts is not None:
            figure = plot_confusion_matrix(counts, classes)
            title = name_run(run).replace("$", r"\$")
            figure.axes[0].set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")
            right = show_share(float(counts.trace() / counts.sum()))
            caption = f"{name_run(run)}: {right} of {show_count(int(counts.sum()), 'photo')} right."
            drawings.append(draw(figure, "Confusion matrix", caption))
    return drawings
