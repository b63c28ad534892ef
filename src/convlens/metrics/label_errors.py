"""Photos whose label is probably wrong, from probabilities by networks that were not trained on these photos.

Confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
JAIR 70, 2021), by cleanlab: a photo counts for a class once its probability exceeds the mean that this class's own
photos get; from these counts comes how many labels of each class are wrong, and the photos that fit their label worst
make up this number.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.files import csv_bytes, json_bytes, read_csv, read_json, round_array, round_number, write_together
from convlens.metrics.classification import check_predictions
from convlens.metrics.intervals import wilson_interval
from convlens.wording import show_share

# --- the artefact of stage `label_errors` ---

METRICS, PHOTOS, FOLDS = "metrics.json", "photos.csv", "folds.csv"
MIN_ACCURACY = 0.9  # of networks that may judge labels
MAX_SHARE = 0.05  # of labels that they may dispute; more say more about the networks
TEXT = ("path", "split", "label", "predicted")  # whatever they look like


@dataclass(frozen=True)
class LabelErrors:
    """Photos by how well their label fits.

    Attributes:
        metrics: num_photos, num_folds, num_suspicious, and suspicious_share with its interval, were the photos drawn at
            random from many more. Where the networks are too weak to judge, nothing is suspicious, these are undefined
            (None), and the `note` says why.
        photos: a row per photo: path, split, label, predicted, correct, confidence, label_quality, suspicious.
        folds: history of the trainings of the folds: fold and epoch, from 1, and what history.csv has; without folds
            only these two columns, and no row.
    """

    metrics: dict[str, Any]
    photos: pd.DataFrame
    folds: pd.DataFrame

    @classmethod
    def find(
        cls,
        photos: pd.DataFrame,
        probabilities: np.ndarray,
        classes: Sequence[str],
        *,
        folds: pd.DataFrame,
        confidence: float,
    ) -> "LabelErrors":
        """Find the photos whose label is probably wrong.

        Args:
            photos: columns path, split, label.
            probabilities: float64 (N, K), each row by a network that was not trained on this photo.
            classes: their names, K.
            folds: see the attributes.
            confidence: coverage of the interval.

        Raises:
            ConvLensError: see `check_predictions`.
        """
        names = np.array(classes, dtype=object)
        labels, predicted = pd.Index(names).get_indexer(pd.Index(photos["label"])), probabilities.argmax(axis=1)
        suspicious = find_suspicious(labels, probabilities)
        note = explain_weakness(float((predicted == labels).mean()), float(suspicious.mean()))
        suspicious &= not note
        table = photos[["path", "split", "label"]].assign(
            predicted=names[predicted],
            correct=predicted == labels,
            confidence=round_array(probabilities.max(axis=1)),
            label_quality=round_array(score_labels(labels, probabilities)),
            suspicious=suspicious,
        )
        num_suspicious, num_photos = int(suspicious.sum()), len(labels)
        low, high = wilson_interval(num_suspicious, num_photos, confidence=confidence)
        shares = {"": num_suspicious / num_photos, "_low": low, "_high": high}
        metrics = {
            "num_photos": num_photos,
            "num_folds": folds["fold"].nunique(),
            "num_suspicious": None if note else num_suspicious,
            **{f"suspicious_share{end}": None if note else round_number(value) for end, value in shares.items()},
            "note": note,
        }
        return cls(metrics, table, folds)

    def save(self, folder: Path) -> None:
        """Write metrics.json, photos.csv and folds.csv, all or none."""
        tables = {folder / PHOTOS: csv_bytes(self.photos), folder / FOLDS: csv_bytes(self.folds)}
        write_together({**tables, folder / METRICS: json_bytes(self.metrics)})

    @classmethod
    def load(cls, folder: Path) -> "LabelErrors":
        """Read what `save` wrote; names of classes and photos stay text.

        Raises:
            ConvLensError: a file is missing or cannot be read.
        """
        return cls(read_json(folder / METRICS), read_csv(folder / PHOTOS, TEXT), read_csv(folder / FOLDS))


# --- cleanlab ---


def explain_weakness(accuracy: float, share: float) -> str:
    """Explain why networks are too weak to judge labels; empty if they are not.

    Args:
        accuracy: of their predictions, by the labels as given.
        share: of the labels that they dispute.
    """
    if accuracy < MIN_ACCURACY:
        return (
            f"They classify {show_share(accuracy)} of these photos correctly. Below {show_share(MIN_ACCURACY, 0)} "
            "disputed labels are mostly the network's own errors."
        )
    if share > MAX_SHARE:
        return (
            f"They dispute {show_share(share)} of the labels. More than {show_share(MAX_SHARE, 0)} are mostly the "
            "network's own errors."
        )
    return ""


MIN_PHOTOS = 5  # of a class; its mean probability would else rest on next to nothing


def find_suspicious(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Find the labels that are probably wrong: bool (N,), never those of classes with fewer than five photos.

    Args:
        labels: int64 (N,), as given.
        probabilities: float64 (N, K), each row by a network that was not trained on this photo.

    Raises:
        ConvLensError: see `check_predictions`.
    """
    from cleanlab.filter import find_label_issues  # takes two seconds

    check_predictions(labels, probabilities)
    known = np.flatnonzero(np.bincount(labels, minlength=probabilities.shape[1]) >= MIN_PHOTOS)
    suspicious, judged = np.zeros(len(labels), bool), np.isin(labels, known)
    if len(known) < 2:
        return suspicious
    rows = probabilities[judged][:, known]
    rows = rows / np.maximum(rows.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small classes; they are few enough to look at
        suspicious[judged] = find_label_issues(
            np.searchsorted(known, labels[judged]), rows, filter_by="prune_by_noise_rate", n_jobs=1
        )
    return suspicious


def score_labels(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Score how well each label fits its photo: cleanlab's normalized margin, float64 (N,), 0..1.

    (1 + probability of the label - largest probability of another class) / 2: below 0.5 the network predicts another.
    """
    from cleanlab.rank import get_normalized_margin_for_each_label

    scores: np.ndarray = get_normalized_margin_for_each_label(labels, probabilities)
    return scores
