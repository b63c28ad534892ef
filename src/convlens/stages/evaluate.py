"""Stage `evaluate`: what the trained network answers on the test split, and what the answers are worth."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd

from convlens.data.prepared import Prepared
from convlens.data.sources import load_photos
from convlens.data.validation import load_manifest
from convlens.errors import ConvLensError
from convlens.files import round_array, write_bytes, write_csv, write_json
from convlens.metrics.evaluation import (
    Answers,
    Evaluation,
    Labelled,
    count_table,
    list_features,
    list_predictions,
    list_thresholds,
    measure_answers,
)
from convlens.metrics.operating_point import choose_operating_point
from convlens.models.files import load_card, load_trained_model
from convlens.models.inference import OperatingPoint, apply_temperature, predict_logits
from convlens.params import EvaluateParams, InferenceParams
from convlens.plots.evaluation import draw_evaluation
from convlens.progress import say
from convlens.wording import interval_of, show_count, show_interval, show_share

TEST, VALIDATION = "test", "validation"
BEFORE, AFTER = "before", "after"


def evaluate(
    *,
    prepared: Path,
    photos: Path,
    manifest: Path,
    model_folder: Path,
    operating_point: Path,
    metrics: Path,
    predictions: Path,
    validation_predictions: Path,
    class_scores: Path,
    confusion: Path,
    confusion_table: Path,
    confusion_figure: Path,
    roc: Path,
    roc_figure: Path,
    precision_recall: Path,
    precision_recall_figure: Path,
    reliability: Path,
    reliability_figure: Path,
    thresholds: Path,
    thresholds_figure: Path,
    risk_coverage: Path,
    risk_coverage_figure: Path,
    slices: Path,
    slices_figure: Path,
    inference: InferenceParams,
    evaluate: EvaluateParams,
) -> None:
    """Choose the operating point on the validation split; predict the test split, write all about it.

    Args:
        prepared: folder of arrays per split.
        photos: the list that `ingest` wrote (parquet), with the columns of `labels.csv`.
        manifest: folder with facts about every photo, from `validate`.
        model_folder: folder of the trained network.
        operating_point: folder of what makes predictions of the network's outputs; goes with the model.
        metrics: all numbers with the ends of their intervals (flat JSON).
        predictions: one row per photo: path, label, predicted, correct, probability of each class, unsure (CSV).
        validation_predictions: the same of the validation split, on which the decision was made (CSV).
        class_scores: one row per class: photos, answers, precision, recall, F1 (CSV).
        confusion: one row per photo: actual, predicted (CSV).
        confusion_table: one row per actual class, one column per answer (CSV).
        confusion_figure: the same as a picture (PNG), as are all figures.
        roc: points of the ROC curve, per class if there are more than two (CSV).
        roc_figure: the same as a picture.
        precision_recall: points of the precision-recall curve, per class if there are more than two (CSV).
        precision_recall_figure: the same as a picture.
        reliability: photos in bins of similar probability with their accuracy, before and after temperature (CSV).
        reliability_figure: the same as a picture.
        thresholds: precision, recall and F1 over the threshold on the validation split; two classes only (CSV).
        thresholds_figure: the same as a picture.
        risk_coverage: wrong answers over answers given, the surest first (CSV).
        risk_coverage_figure: the same as a picture.
        slices: accuracy by kind of photo, and which kinds are worse than the rest (CSV).
        slices_figure: the same as a picture.
        inference: the group `inference`.
        evaluate: the group `evaluate`.

    Raises:
        ConvLensError: no test photos, no model, a model of other classes, or a threshold between more than two.
    """
    data = Prepared.load(prepared)
    if data.photos(TEST).empty:
        raise ConvLensError("Expected photos in the test split. Received: none. Raise preprocess.test_fraction.")
    network, key = load_trained_model(model_folder), str(load_card(model_folder).get("key", ""))
    logits = {split: _predict(network, data, split, inference) for split in (VALIDATION, TEST)}
    chosen = choose_operating_point(logits[VALIDATION], data.labels(VALIDATION), data.classes, inference, key=key)
    held, answers = (_list_answers(data, split, logits[split], chosen.temperature) for split in (VALIDATION, TEST))
    plain = round_array(apply_temperature(logits[TEST]))
    features = list_features(list(answers.paths), load_manifest(manifest), load_photos(photos))
    found = measure_answers(answers, evaluate, decision=chosen, plain=plain, features=features)
    lines = list_thresholds(Labelled(held.labels, held.probabilities, data.classes))
    figures = draw_evaluation(found, lines, chosen, answers.classes)

    tables = {
        predictions: found.predictions,
        validation_predictions: list_predictions(held, chosen),
        class_scores: found.class_scores,
        confusion: _pair_answers(found.predictions),
        confusion_table: count_table(found.counts, answers.classes),
        roc: found.roc,
        precision_recall: found.precision_recall,
        reliability: _join_reliability(found),
        thresholds: lines,
        risk_coverage: found.risk_coverage,
        slices: found.slices,
    }
    for path, table in tables.items():
        write_csv(path, table)
    places = (confusion_figure, roc_figure, precision_recall_figure, reliability_figure, thresholds_figure,
              risk_coverage_figure, slices_figure)  # fmt: skip
    for path, figure in zip(places, figures, strict=True):
        write_bytes(path, figure)
    chosen.save(operating_point)
    write_json(metrics, {**found.metrics, "temperature": chosen.temperature})
    _tell(found, chosen)


def _predict(network: keras.Model, data: Prepared, split: str, inference: InferenceParams) -> np.ndarray:
    logits = predict_logits(network, data.images(split), mirror=inference.mirror, center_crop=inference.center_crop)
    if logits.shape[1] != len(data.classes):
        raise ConvLensError(
            f"Expected a model of the {len(data.classes)} classes {', '.join(data.classes)}. "
            f"Received: one of {logits.shape[1]} classes. Train it on these photos: dvc repro."
        )
    return logits


def _list_answers(data: Prepared, split: str, logits: np.ndarray, temperature: float) -> Answers:
    """Rounded before anything is computed, so that every number can be had again from the predictions."""
    probabilities = round_array(apply_temperature(logits, temperature))
    return Answers(list(data.photos(split)["path"]), data.classes, data.labels(split), probabilities)


def _pair_answers(predictions: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"actual": predictions["label"], "predicted": predictions["predicted"]})


def _join_reliability(found: Evaluation) -> pd.DataFrame:
    tables = {BEFORE: found.reliability_before, AFTER: found.reliability}
    return pd.concat([table.assign(temperature=name) for name, table in tables.items()], ignore_index=True)


def _tell(found: Evaluation, chosen: OperatingPoint) -> None:
    numbers, calibration = found.metrics, chosen.calibration
    before, after = calibration["loss_before"], calibration["loss_after"]
    change = "" if before is None or after is None else f": log loss {before:.3f} before, {after:.3f} after"
    fitted = f"fitted on {chosen.num_validation:,} validation photos"
    how = calibration["note"] if calibration["note"].startswith("not fitted") else fitted
    say(f"evaluate: temperature {chosen.temperature:g}, {how}{change}.")
    value, low, high = interval_of(numbers, "accuracy")
    say(
        f"evaluate: {show_share(value)} of {numbers['num_photos']:,} test photos answered right"
        f"{show_interval(low, high)}."
    )
    if not chosen.threshold_reached:
        say(f"evaluate: warning: threshold {chosen.threshold:g}: {chosen.threshold_note}.")
    if numbers["num_unsure"]:
        wrong, low, high = interval_of(numbers, "error_when_sure")
        others = "" if wrong is None else f"; of the others {show_share(wrong)} are wrong{show_interval(low, high)}"
        say(
            f"evaluate: {show_count(numbers['num_unsure'], 'answer')} too unsure for {show_share(chosen.max_error)} "
            f"wrong ones{others}."
        )
    if numbers["num_worse_slices"]:
        names = found.slices[found.slices["worse"].astype(bool)]
        shown = ", ".join(f"{row.feature} {row.slice}" for row in names.itertuples())
        say(f"evaluate: warning: worse than on the rest: {shown}.")
