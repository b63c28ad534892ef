"""Stage `label_errors`: what networks answer that never learnt from a photo, and whose label is probably wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.files import write_csv, write_json
from convlens.metrics.evaluation import PROBABILITY, load_predictions
from convlens.metrics.intervals import wilson_interval
from convlens.metrics.label_errors import LabelQuality, judge_labels
from convlens.models.files import load_card, load_trained_model
from convlens.models.inference import OperatingPoint, predict_probabilities
from convlens.params import AugmentParams, EvaluateParams, LabelErrorsParams, ModelParams, TrainingRecipe, TrainParams
from convlens.progress import say
from convlens.training.cross_validation import Folds, answer_out_of_fold
from convlens.training.fit import History

DIGITS = 7
CONFIDENCE = "confidence"


def label_errors(
    *,
    prepared: Path,
    model_folder: Path,
    operating_point: Path,
    evaluation: Path,
    photos: Path,
    folds: Path,
    metrics: Path,
    checkpoints: Path,
    model: ModelParams,
    augment: AugmentParams,
    train: TrainParams,
    evaluate: EvaluateParams,
    label_errors: LabelErrorsParams,
) -> None:
    """Judge every label by answers of networks that were not trained on its photo.

    Args:
        prepared: folder of arrays per split.
        model_folder: folder of the trained network, which answers the validation photos.
        operating_point: folder of its operating point, from `evaluate`.
        evaluation: folder with the predictions of the test photos, from `evaluate`.
        photos: one row per photo judged: path, split, label, predicted, correct, confidence, label_quality,
            suspicious (CSV).
        folds: history of the trainings of the folds: fold and epoch, from 1, and what history.csv has; without
            folds only the header (CSV).
        metrics: how many were judged and are suspicious (flat JSON).
        checkpoints: folder, below the repository's root, for the state of unfinished trainings.
        model: the group `model`, for the networks of the folds, as the next two.
        augment: the group `augment`.
        train: the group `train`.
        evaluate: the group `evaluate`, for the confidence of the interval.
        label_errors: the group `label_errors`.

    Raises:
        ConvLensError: an input is missing.
    """
    data = Prepared.load(prepared)
    card = load_card(model_folder)
    point = OperatingPoint.load(operating_point, key=card["key"])
    answers = {
        "validation": _answer_validation(data, model_folder, point),
        "test": _read_test(evaluation, data),
    }
    histories: list[pd.DataFrame] = []
    if label_errors.folds:
        recipe = TrainingRecipe(model=model, augment=augment, train=train)
        groups = data.duplicates["groups"]
        trainings = Folds(label_errors.folds, recipe, card, point, groups, checkpoints)
        found = answer_out_of_fold(data, trainings, lambda fold, rows: histories.append(_history(fold, rows)))
        answers = {"train": found, **answers}
    table = list_answers(data, answers)
    numbers = count_suspicious(table, label_errors.folds, confidence=evaluate.confidence)

    write_csv(photos, table)
    write_csv(folds, pd.concat(histories) if histories else _history(0, []))
    write_json(metrics, numbers)
    say(f"label_errors: {numbers['num_suspicious']:,} of {numbers['num_photos']:,} labels are worth a second look.")


def list_answers(data: Prepared, answers: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row per photo of the splits answered, from probabilities float64 (N, K) by split."""
    names = np.array(data.classes, dtype=object)
    photos = pd.concat([data.photos(split) for split in answers], ignore_index=True)
    labels = np.concatenate([data.labels(split) for split in answers])
    probabilities = np.concatenate(list(answers.values()))
    predicted, quality = probabilities.argmax(axis=1), judge_labels(labels, probabilities)
    columns = {
        "path": photos["path"],
        "split": photos["split"],
        "label": names[labels],
        "predicted": names[predicted],
        "correct": predicted == labels,
        CONFIDENCE: _round(probabilities.max(axis=1)),
        **_columns(quality),
    }
    return pd.DataFrame(columns)


def count_suspicious(table: pd.DataFrame, folds: int, *, confidence: float) -> dict[str, Any]:
    """Flat numbers; the interval is of the share of photos, were these drawn at random from many more."""
    found, total = int(table["suspicious"].sum()), len(table)
    low, high = _round(np.array(wilson_interval(found, total, confidence=confidence))).tolist()
    return {
        "num_photos": total,
        "num_folds": folds,
        "num_suspicious": found,
        "suspicious_share": float(_round(np.array(found / total))),
        "suspicious_share_low": low,
        "suspicious_share_high": high,
    }


def _history(fold: int, rows: History) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(rows[0]) if rows else ["epoch"])
    table.insert(0, "fold", fold)
    return table.astype({name: int for name in ("epoch", "image_size") if name in table})


def _answer_validation(data: Prepared, folder: Path, point: OperatingPoint) -> np.ndarray:
    """These chose the weights at most, by one number per epoch, and no network learnt from them."""
    return predict_probabilities(load_trained_model(folder), data.images("validation"), point)


def _read_test(evaluation: Path, data: Prepared) -> np.ndarray:
    """Probabilities of the test photos, float64 (N, K), in the order of the arrays."""
    table = load_predictions(evaluation).set_index("path")
    paths = list(data.photos("test")["path"])
    if len(table) != len(paths) or set(table.index) != set(paths):
        raise ConvLensError(
            f"Expected predictions for all test photos in {evaluation}. Received: others. Run `dvc repro`."
        )
    found: np.ndarray = table.loc[paths, [f"{PROBABILITY}{name}" for name in data.classes]].to_numpy(np.float64)
    return found


def _columns(quality: LabelQuality) -> dict[str, np.ndarray]:
    return {"label_quality": _round(quality.scores), "suspicious": quality.suspicious}


def _round(values: np.ndarray) -> np.ndarray:
    flat = [float(f"{value:.{DIGITS}g}") for value in np.ravel(values)]
    return np.array(flat).reshape(np.shape(values))
