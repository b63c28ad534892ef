"""The figures of an evaluation as PNG."""

from collections.abc import Sequence

import pandas as pd

from convlens.report.figures_decision import plot_precision_recall, plot_risk_coverage, plot_thresholds
from convlens.report.figures_evaluation import plot_confusion_matrix, plot_reliability_change, plot_roc_curve
from convlens.report.figures_slices import plot_slices
from convlens.report.figures_style import to_png
from convlens.report.wording import interval_of
from convlens.stages.evaluate_decision import Decision
from convlens.stages.evaluate_tables import Evaluation


def draw_evaluation(
    found: Evaluation, thresholds: pd.DataFrame, decision: Decision, classes: Sequence[str]
) -> tuple[bytes, ...]:
    """Confusion matrix, ROC, precision and recall, reliability, thresholds, risk and coverage, slices."""
    numbers = found.metrics
    figures = (
        plot_confusion_matrix(found.counts, classes),
        plot_roc_curve(found.roc, interval_of(numbers, "roc_auc")),
        plot_precision_recall(found.precision_recall),
        plot_reliability_change(found.reliability_before, found.reliability, len(classes)),
        plot_thresholds(thresholds, decision.threshold, classes[-1]),
        plot_risk_coverage(found.risk_coverage, share_unsure=numbers["share_unsure"], max_error=decision.max_error),
        plot_slices(found.slices, numbers["accuracy"]),
    )
    return tuple(to_png(figure) for figure in figures)
