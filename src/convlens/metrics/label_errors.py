"""Which photos probably bear a wrong label, from probabilities of networks that never learnt from these photos.

Confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
JAIR 70, 2021), by cleanlab: a photo counts for a class once its probability exceeds the mean that this class's own
photos get; from these counts comes how many labels of each class are wrong, and the photos that fit their label worst
make up this number.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from convlens.metrics.classification import check_predictions

MIN_PHOTOS = 5  # of a class; its mean probability would else rest on next to nothing


@dataclass(frozen=True)
class LabelQuality:
    """What is thought of the label of each photo.

    Attributes:
        scores: float64 (N,), 0..1: (1 + probability of the label - largest probability of another class) / 2; below
            0.5 the network answers something else.
        suspicious: bool (N,), whether the label is probably wrong; never for classes with fewer than five photos.
    """

    scores: np.ndarray
    suspicious: np.ndarray


def judge_labels(labels: np.ndarray, probabilities: np.ndarray) -> LabelQuality:
    """Find the photos whose label is probably wrong.

    Args:
        labels: int64 (N,), as given.
        probabilities: float64 (N, K), each row by a network that was not trained on this photo.

    Raises:
        ConvLensError: see `check_predictions`.
    """
    check_predictions(labels, probabilities)
    known = np.flatnonzero(np.bincount(labels, minlength=probabilities.shape[1]) >= MIN_PHOTOS)
    suspicious = np.zeros(len(labels), bool)
    judged = np.isin(labels, known)
    if len(known) > 1:
        suspicious[judged] = _find_issues(np.searchsorted(known, labels[judged]), probabilities[judged][:, known])
    return LabelQuality(score_labels(labels, probabilities), suspicious)


def score_labels(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """How well each label fits its photo: cleanlab's normalized margin, float64 (N,), 0..1."""
    rows = np.arange(len(labels))
    others = probabilities.copy()
    others[rows, labels] = -np.inf
    scores: np.ndarray = (1 + probabilities[rows, labels] - others.max(axis=1)) / 2
    return scores


def _find_issues(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Cleanlab's verdict, bool (N,); every class has photos. Loaded here: it takes two seconds."""
    from cleanlab.filter import find_label_issues

    rows = probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small classes; they are few enough to look at
        found = find_label_issues(labels, rows, filter_by="prune_by_noise_rate", n_jobs=1)
    return np.asarray(found, dtype=bool)
