"""The headline metrics of many bootstrap resamples at once.

A resample is a row of weights: how often each photo was drawn. Every metric here takes weights float64 (R, N) and
gives float64 (R,), by matrix products and sums over sorted columns instead of a loop over resamples.
"""

from collections.abc import Callable, Iterator

import numpy as np

from convlens.metrics.classification import brier_scores, log_losses, predicted_classes
from convlens.metrics.ranking import curve_classes

HEADLINES = ("accuracy", "balanced_accuracy", "log_loss", "brier", "roc_auc", "average_precision", "macro_f1")
VALUES_AT_ONCE = 2**20  # 8 MB of weights stay in the processor's cache


def draw_weights(labels: np.ndarray, *, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Weights of resamples drawn with replacement within each class, in blocks float64 (r, N).

    Every resample holds as many photos of each class as the data, so no metric loses a class by chance.
    """
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == index) for index in np.unique(labels)]
    block = max(1, VALUES_AT_ONCE // len(labels))
    for start in range(0, num_resamples, block):
        rows = min(block, num_resamples - start)
        weights = np.empty((rows, len(labels)))
        for photos in members:
            weights[:, photos] = _draw_counts(generator, rows, len(photos))
        yield weights


def _draw_counts(generator: np.random.Generator, rows: int, size: int) -> np.ndarray:
    drawn = generator.integers(0, size, (rows, size)) + np.arange(rows)[:, None] * size
    return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)


def prepare_metrics(
    labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from weights (R, N) to the metrics of `HEADLINES`, float64 (R, 7); undefined ones are NaN.

    `predicted` are the answers, int64 (N,), where they are not simply the most probable classes.
    """
    answered = predicted_classes(probabilities) if predicted is None else predicted
    answers = _prepare_answers(labels, answered, probabilities.shape[1])
    losses = np.column_stack([log_losses(labels, probabilities), brier_scores(labels, probabilities)])
    classes = curve_classes(labels, probabilities.shape[1])
    rankings = [_prepare_ranking(labels == index, probabilities[:, index]) for index in classes]

    def measure(weights: np.ndarray) -> np.ndarray:
        accuracy, balanced, f1 = answers(weights)
        log_loss, brier = (weights @ losses / len(labels)).T
        nothing = np.full((2, len(weights)), np.nan)
        area, precision = np.mean([rank(weights) for rank in rankings], axis=0) if rankings else nothing
        return np.column_stack([accuracy, balanced, log_loss, brier, area, precision, f1])

    return measure


def prepare_class_f1(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function from weights (R, N) to the F1 of every class, float64 (R, K); NaN for a class that is nowhere."""
    one_hot = np.eye(num_classes)
    answered = one_hot[predicted]
    right, actual = answered * (labels == predicted)[:, None], one_hot[labels].sum(axis=0)

    def measure(weights: np.ndarray) -> np.ndarray:
        either = actual + weights @ answered
        f1: np.ndarray = np.where(either > 0, 2 * (weights @ right) / np.maximum(either, 1), np.nan)
        return f1

    return measure


def _prepare_answers(
    labels: np.ndarray, predicted: np.ndarray, num_classes: int
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    one_hot = np.eye(num_classes)
    answered = one_hot[predicted]
    right = answered * (labels == predicted)[:, None]
    actual = one_hot[labels].sum(axis=0)  # the same in every resample
    present = actual > 0

    def measure(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        num_right, num_answered = weights @ right, weights @ answered
        balanced = (num_right[:, present] / actual[present]).mean(axis=1)
        either = actual + num_answered
        f1 = (2 * num_right / np.maximum(either, 1)).sum(axis=1) / (either > 0).sum(axis=1)
        return num_right.sum(axis=1) / len(labels), balanced, f1

    return measure


def _prepare_ranking(positive: np.ndarray, scores: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """ROC AUC and average precision of one class; see `convlens.metrics.ranking` for the plain form."""
    order = np.argsort(-scores, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(scores[order])) + 1]
    is_positive = positive[order].astype(np.float64)

    def measure(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        drawn = weights[:, order]
        found = np.add.reduceat(drawn * is_positive, starts, axis=1)
        others = np.add.reduceat(drawn, starts, axis=1) - found
        right, wrong = found.cumsum(axis=1), others.cumsum(axis=1)
        below = wrong[:, -1:] - wrong + others / 2
        area = (found * below).sum(axis=1) / (right[:, -1] * wrong[:, -1])
        precision = (found * right / np.maximum(right + wrong, 1)).sum(axis=1) / right[:, -1]
        return area, precision

    return measure
