"""Classification metrics."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from convlens.errors import ConvLensError

# --- Names of classes as parts of metric names ---


def class_keys(classes: Sequence[str]) -> tuple[str, ...]:
    """Each class's name as a part of metric names: letters, digits and underscores, each once.

    `maine coon` becomes `maine_coon`; a name that is taken, or has no letters, gets the number of its class.
    """
    keys: list[str] = []
    for number, name in enumerate(classes, start=1):
        key = re.sub(r"\W+", "_", name).strip("_") or "class"
        while key in keys or key == "class":
            key = f"{key}_{number}"
        keys.append(key)
    return tuple(keys)


# --- How well a classifier answers: plain numbers from labels and probabilities ---
#
# Shapes everywhere: `labels` int64 (N,), indices of classes; `probabilities` float64 (N, K), rows that add up to 1;
# `predicted` int64 (N,). A number that does not exist for the data at hand (the recall of a class without photos, the
# ROC AUC when all photos are of one class) is None, never NaN.


@dataclass(frozen=True)
class ClassScores:
    """How one class fares.

    Attributes:
        num_photos: photos of this class.
        num_predicted: photos answered with this class.
        num_correct: photos of this class answered with it.
        precision: correct among the answers with this class; None if it was never the answer.
        recall: correct among the photos of this class; None if there are none.
        f1: harmonic mean of the two; None if the class has neither photos nor answers.
    """

    num_photos: int
    num_predicted: int
    num_correct: int
    precision: float | None
    recall: float | None
    f1: float | None


def predicted_classes(probabilities: np.ndarray) -> np.ndarray:
    """The most probable class of each photo, int64 (N,); of equals the first."""
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
    """Photos by actual class (row) and answer (column), int64 (K, K)."""
    cells = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def accuracy(confusion: np.ndarray) -> float:
    """Share of photos answered right."""
    return float(np.trace(confusion) / confusion.sum())


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Mean recall of the classes that have photos: every class counts alike, however rare."""
    rows = confusion.sum(axis=1)
    present = rows > 0
    return float(np.mean(np.diag(confusion)[present] / rows[present]))


def score_classes(confusion: np.ndarray) -> tuple[ClassScores, ...]:
    """Precision, recall and F1 of every class, in the order of the classes."""
    actual, answered, right = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    return tuple(_score_class(int(a), int(p), int(r)) for a, p, r in zip(actual, answered, right, strict=True))


def _score_class(num_photos: int, num_predicted: int, num_correct: int) -> ClassScores:
    return ClassScores(
        num_photos=num_photos,
        num_predicted=num_predicted,
        num_correct=num_correct,
        precision=_share(num_correct, num_predicted),
        recall=_share(num_correct, num_photos),
        f1=_share(2 * num_correct, num_photos + num_predicted),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def macro_f1(confusion: np.ndarray) -> float:
    """Mean F1 of the classes that have photos or answers."""
    scores = [scores.f1 for scores in score_classes(confusion) if scores.f1 is not None]
    return float(np.mean(scores))


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Minus the logarithm of the probability each photo's true class got, (N,).

    A probability of 0 is taken as the smallest relative step of float64, 2.2e-16: certainty that is wrong costs much
    (36.04), but not everything.
    """
    given = probabilities[np.arange(len(labels)), labels]
    smallest = np.finfo(np.float64).eps
    losses: np.ndarray = -np.log(np.clip(given, smallest, 1 - smallest))
    return losses


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of `log_losses`: 0 is perfect, ln K is as good as guessing among K even classes."""
    return float(log_losses(labels, probabilities).mean())


def brier_scores(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Squared distance between each photo's probabilities and its truth, (N,).

    For two classes the usual (p - y)², 0..1; for more the sum over classes, 0..2 (Brier, 1950).
    """
    distance: np.ndarray = ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1)
    return distance / 2 if probabilities.shape[1] == 2 else distance


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of `brier_scores`: 0 is perfect."""
    return float(brier_scores(labels, probabilities).mean())


# --- How well probabilities put photos in order: ROC curve, area under it, average precision ---
#
# Photos with equal probabilities enter a curve together, so their order in the file does not matter. With two classes
# the curves are those of the second class; with more, each class is held against the rest and the mean is taken over
# the classes that have photos.


@dataclass(frozen=True)
class RocCurve:
    """A ROC curve from (0, 0) to (1, 1).

    Attributes:
        false_positive_rate: share of the other photos that pass, rising (M,).
        true_positive_rate: share of the class's photos that pass, rising (M,).
        thresholds: a photo passes with this probability or more, falling (M,); the first is infinite.
    """

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision over recall, from the surest photo down.

    Attributes:
        recall: share of the class's photos that pass, rising (M,).
        precision: share of the passing photos that are of the class, (M,).
        thresholds: a photo passes with this probability or more, falling (M,).
    """

    recall: np.ndarray
    precision: np.ndarray
    thresholds: np.ndarray


def curve_classes(labels: np.ndarray, num_classes: int) -> tuple[int, ...]:
    """The classes that a curve can be drawn for: some photos are of it, some are not."""
    candidates = (1,) if num_classes == 2 else range(num_classes)
    return tuple(index for index in candidates if 0 < np.count_nonzero(labels == index) < len(labels))


def roc_curve(positive: np.ndarray, scores: np.ndarray) -> RocCurve:
    """The ROC curve without points that lie on a straight line between their neighbors.

    Args:
        positive: bool (N,), with both values in it.
        scores: float (N,), higher for positive.
    """
    passed, right, thresholds = _count_passing(positive, scores)
    wrong = passed - right
    corners = np.r_[True, np.diff(right, 2).astype(bool) | np.diff(wrong, 2).astype(bool), True]
    corners = corners if len(right) > 2 else np.ones(len(right), dtype=bool)
    return RocCurve(
        false_positive_rate=np.r_[0.0, wrong[corners] / wrong[-1]],
        true_positive_rate=np.r_[0.0, right[corners] / right[-1]],
        thresholds=np.r_[np.inf, thresholds[corners]],
    )


def precision_recall_curve(positive: np.ndarray, scores: np.ndarray) -> PrecisionRecallCurve:
    """Precision and recall at every distinct score; equal scores enter together.

    Args:
        positive: bool (N,), with both values in it.
        scores: float (N,), higher for positive.
    """
    passed, right, thresholds = _count_passing(positive, scores)
    return PrecisionRecallCurve(right / right[-1], right / passed, thresholds)


def roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Chance that a photo of the class gets a higher probability than another photo; ties count half."""
    return _mean_over_classes(_area_under_roc, labels, probabilities)


def average_precision(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Mean of the precision at each photo of the class found, from the most probable down."""
    return _mean_over_classes(_average_precision, labels, probabilities)


def _mean_over_classes(
    measure: Callable[[np.ndarray, np.ndarray], float], labels: np.ndarray, probabilities: np.ndarray
) -> float | None:
    classes = curve_classes(labels, probabilities.shape[1])
    if not classes:
        return None
    return float(np.mean([measure(labels == index, probabilities[:, index]) for index in classes]))


def _area_under_roc(positive: np.ndarray, scores: np.ndarray) -> float:
    passed, right, _ = _count_passing(positive, scores)
    wrong = passed - right
    steps = np.diff(np.r_[0, wrong])
    return float(np.sum(steps * (right - np.diff(np.r_[0, right]) / 2)) / (right[-1] * wrong[-1]))


def _average_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    passed, right, _ = _count_passing(positive, scores)
    return float(np.sum(np.diff(np.r_[0, right]) * right / passed) / right[-1])


def _count_passing(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photos, and photos of the class, at or above each distinct score, from the highest score down."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    ends = np.r_[np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1]
    return ends + 1, np.cumsum(positive[order])[ends], sorted_scores[ends]
