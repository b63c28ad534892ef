"""How well a classifier answers: plain numbers from labels and probabilities.

Shapes everywhere: `labels` int64 (N,), indices of classes; `probabilities` float64 (N, K), rows that add up to 1;
`predicted` int64 (N,). A number that does not exist for the data at hand (the recall of a class without photos, the
ROC AUC when all photos are of one class) is None, never NaN.
"""

from dataclasses import dataclass

import numpy as np

from convlens.errors import ConvLensError


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
