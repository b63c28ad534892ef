"""Classification metrics: scikit-learn's, where undefined is None."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sklearn.metrics

from convlens.errors import ConvLensError

# --- metrics of predictions and probabilities ---
#
# Shapes everywhere: `labels` int64 (N,), indices of classes; `probabilities` float64 (N, K), rows that add up to 1;
# `predicted` int64 (N,). A number that does not exist for the data at hand (the recall of a class without photos, the
# ROC AUC when all photos are of one class) is None, never NaN.


@dataclass(frozen=True)
class ClassScores:
    """How one class fares.

    Attributes:
        num_photos: photos of this class.
        num_predicted: photos predicted to be of this class.
        num_correct: photos of this class predicted to be of it.
        precision: correct among the photos predicted to be of this class; None if it was never predicted.
        recall: correct among the photos of this class; None if there are none.
        f1: harmonic mean of the two; None if the class has neither photos nor predictions.
    """

    num_photos: int
    num_predicted: int
    num_correct: int
    precision: float | None
    recall: float | None
    f1: float | None


def predicted_classes(probabilities: np.ndarray) -> np.ndarray:
    """Return the most probable class of each photo, int64 (N,); of equals the first."""
    predicted: np.ndarray = np.argmax(probabilities, axis=1).astype(np.int64)
    return predicted


def check_predictions(labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Refuse what no metric can be computed from.

    Raises:
        ConvLensError: no photos, shapes that do not fit, labels that are no column, or values that are no probability.
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or len(labels) == 0:
        raise ConvLensError(
            f"Expected labels (N,) and probabilities (N, K) of at least one photo. "
            f"Received: {labels.shape} and {probabilities.shape}."
        )
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ConvLensError(
            f"Expected labels in 0..{probabilities.shape[1] - 1}. Received: {labels.min()}..{labels.max()}."
        )
    if not (np.isfinite(probabilities).all() and probabilities.min() >= 0 and probabilities.max() <= 1 + 1e-6):
        raise ConvLensError(
            "Expected probabilities in 0..1. Received: values outside or not finite. Train the model again."
        )


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count photos by actual class (row) and predicted class (column), int64 (K, K)."""
    counts: np.ndarray = sklearn.metrics.confusion_matrix(labels, predicted, labels=np.arange(num_classes))
    return counts


def accuracy(confusion: np.ndarray) -> float:
    """Compute the share of photos classified correctly."""
    return float(np.trace(confusion) / confusion.sum())


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Compute the mean recall of the classes that have photos: every class counts alike, however rare."""
    return float(np.mean([scores.recall for scores in score_classes(confusion) if scores.recall is not None]))


def macro_f1(confusion: np.ndarray) -> float:
    """Compute the mean F1 of the classes that have photos or predictions."""
    return float(np.mean([scores.f1 for scores in score_classes(confusion) if scores.f1 is not None]))


def score_classes(confusion: np.ndarray) -> tuple[ClassScores, ...]:
    """Compute precision, recall and F1 of every class, in the order of the classes."""

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    counts = zip(
        confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist(), np.diag(confusion).tolist(), strict=True
    )
    return tuple(
        ClassScores(actual, predicted, correct, share(correct, predicted), share(correct, actual),
                    share(2 * correct, actual + predicted))
        for actual, predicted, correct in counts
    )  # fmt: skip


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Compute minus the logarithm of the probability each photo's true class got, (N,).

    A probability of 0 is taken as the smallest relative step of float64, 2.2e-16: certainty that is wrong costs much
    (36.04), but not everything.
    """
    given = probabilities[np.arange(len(labels)), labels]
    smallest = np.finfo(np.float64).eps
    losses: np.ndarray = -np.log(np.clip(given, smallest, 1 - smallest))
    return losses


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the mean of `log_losses`: 0 is perfect, ln K is as good as guessing among K even classes."""
    return float(log_losses(labels, probabilities).mean())


def brier_scores(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Compute the squared distance between each photo's probabilities and its truth, (N,).

    For two classes the usual (p - y)², 0..1; for more the sum over classes, 0..2 (Brier, 1950).
    """
    distance: np.ndarray = ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1)
    return distance / 2 if probabilities.shape[1] == 2 else distance


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the mean of `brier_scores`: 0 is perfect."""
    return float(brier_scores(labels, probabilities).mean())


# --- curves and the areas under them ---
#
# Photos with equal probabilities enter a curve together, so their order in the file does not matter. With two classes
# the curves are those of the second class; with more, each class is held against the rest and the mean is taken over
# the classes that have photos.


def curve_classes(labels: np.ndarray, num_classes: int) -> tuple[int, ...]:
    """List the classes that a curve can be drawn for: some photos are of it, some are not."""
    candidates = (1,) if num_classes == 2 else range(num_classes)
    return tuple(index for index in candidates if 0 < np.count_nonzero(labels == index) < len(labels))


def roc_curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the ROC curve without points that lie on a straight line between their neighbors.

    Args:
        positive: bool (N,), with both values in it.
        scores: float (N,), higher for positive.

    Returns:
        False positive rate and true positive rate, rising from 0 to 1; thresholds, falling from infinity; (M,) each.
    """
    false_positive_rate, true_positive_rate, thresholds = sklearn.metrics.roc_curve(positive, scores)
    return false_positive_rate, true_positive_rate, thresholds


def precision_recall_curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute recall, rising, precision, and thresholds, falling, (M,) each, from the most confident photo down.

    Args:
        positive: bool (N,), with both values in it.
        scores: float (N,), higher for positive.
    """
    precision, recall, thresholds = sklearn.metrics.precision_recall_curve(positive, scores)
    return recall[-2::-1], precision[-2::-1], thresholds[::-1]  # the last point, (0, 1), is of no threshold


def roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Compute the chance that a photo of the class gets a higher probability than another photo; ties count half."""
    return _mean_over_classes(sklearn.metrics.roc_auc_score, labels, probabilities)


def average_precision(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Compute the mean of the precision at each photo of the class found, from the most probable down."""
    return _mean_over_classes(sklearn.metrics.average_precision_score, labels, probabilities)


def _mean_over_classes(
    measure: Callable[[np.ndarray, np.ndarray], float], labels: np.ndarray, probabilities: np.ndarray
) -> float | None:
    classes = curve_classes(labels, probabilities.shape[1])
    if not classes:
        return None
    return float(np.mean([measure(labels == index, probabilities[:, index]) for index in classes]))
