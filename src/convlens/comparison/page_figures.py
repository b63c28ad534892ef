"""The figures of the page: courses of the trainings, and differences with their intervals."""

from convlens.comparison.compare import RunsCompared
from convlens.comparison.describe_metrics import LOWER_IS_BETTER, TITLES
from convlens.comparison.figures import plot_courses, plot_differences
from convlens.comparison.paired import Verdict
from convlens.comparison.sections import name_run
from convlens.metrics.intervals import Interval
from convlens.report.overview_page import Drawing, draw
from convlens.report.wording import show_number, show_share

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


def draw_differences(verdict: Verdict, max_regression: float) -> list[Drawing]:
    """Shares and areas in points, and losses, all turned so that the right is the better side."""
    shares = {title: _scale(verdict.differences[name], 100) for name, title in TITLES.items()
              if name not in LOWER_IS_BETTER}  # fmt: skip
    losses = {TITLES[name].partition(" (")[0]: _scale(verdict.differences[name], -1) for name in LOWER_IS_BETTER}
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
