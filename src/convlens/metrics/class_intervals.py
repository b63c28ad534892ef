"""How sure the F1 of each class is."""

import numpy as np

from convlens.metrics.classification import confusion_matrix, score_classes
from convlens.metrics.intervals import SMALLEST_SPREAD, Interval, corrected_range, wilson_interval
from convlens.metrics.resampling import draw_weights, prepare_class_f1


def bootstrap_class_f1(
    labels: np.ndarray,
    predicted: np.ndarray,
    num_classes: int,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, ...]:
    """F1 of every class with its bootstrap interval; None where undefined.

    Where all resamples agree, as after perfect answers, the interval is Wilson's for the photos of the class.
    """
    scores = score_classes(confusion_matrix(labels, predicted, num_classes))
    measure = prepare_class_f1(labels, predicted, num_classes)
    blocks = draw_weights(labels, num_resamples=num_resamples, seed=seed)
    resampled = np.concatenate([measure(weights) for weights in blocks])
    columns = zip(scores, resampled.T, strict=True)
    return tuple(_interval(score.f1, column, score.num_photos, confidence) for score, column in columns)


def _interval(value: float | None, resampled: np.ndarray, num_photos: int, confidence: float) -> Interval:
    if value is None or not np.isfinite(resampled).all():
        return Interval(value, None, None)
    if float(resampled.std()) >= SMALLEST_SPREAD:
        return Interval(value, *corrected_range(value, resampled, confidence))
    if num_photos == 0:
        return Interval(value, None, None)
    return Interval(value, *wilson_interval(value * num_photos, num_photos, confidence=confidence))
