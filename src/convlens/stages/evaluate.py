"""Stage `evaluate`: the operating point, the evaluation of the test split, and reference statistics."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np

from convlens.data.prepared import Prepared
from convlens.data.sources import load_photos
from convlens.data.validation import load_manifest
from convlens.errors import ConvLensError
from convlens.files import evenly_spaced, round_array
from convlens.lens.forward import embed_photos, open_features
from convlens.metrics.drift import (
    MAX_FEATURES,
    MAX_PROBABILITIES,
    ReferenceStatistics,
    gather_statistics,
    neighbor_distances,
    round_features,
)
from convlens.metrics.evaluation import Evaluation, Predictions, list_features
from convlens.metrics.operating_point import choose_operating_point
from convlens.models.files import load_card, load_trained_model
from convlens.models.inference import OperatingPoint, apply_temperature, predict_logits
from convlens.params import EvaluateParams, InferenceParams
from convlens.plots.evaluation import draw_evaluation
from convlens.progress import say
from convlens.wording import interval_of, show_count, show_interval, show_share

TEST, VALIDATION = "test", "validation"


def evaluate(
    *,
    prepared: Path,
    photos: Path,
    manifest: Path,
    model_folder: Path,
    operating_point: Path,
    evaluation: Path,
    inference: InferenceParams,
    evaluate: EvaluateParams,
) -> None:
    """Choose the operating point on the validation split, evaluate the test split, and describe the training photos.

    Args:
        prepared: folder of arrays per split.
        photos: the list that `ingest` wrote (parquet), with the columns of `labels.csv`.
        manifest: folder with facts about every photo, from `validate`.
        model_folder: folder of the trained network.
        operating_point: folder to write: the operating point and the reference statistics; both go with the model.
        evaluation: folder to write: metrics, predictions, tables, and plots; see `Evaluation`.
        inference: the group `inference`.
        evaluate: the group `evaluate`.

    Raises:
        ConvLensError: no test photos, no model, a model of other classes, or a threshold between more than two.
    """
    data = Prepared.load(prepared)
    if data.photos(TEST).empty:
        raise ConvLensError("Expected photos in the test split. Received: none. Raise preprocess.test_fraction.")
    network, key = load_trained_model(model_folder), str(load_card(model_folder)["key"])
    logits = {split: _predict_split(network, data, split, inference) for split in (VALIDATION, TEST)}
    point = choose_operating_point(logits[VALIDATION], data.labels(VALIDATION), data.classes, inference, key=key)

    # Probabilities are rounded before anything is computed, so that every number can be had again from the files.
    held_out, test = (
        Predictions(
            list(data.photos(split)["path"]),
            data.classes,
            data.labels(split),
            round_array(apply_temperature(logits[split], point.temperature)),
        )
        for split in (VALIDATION, TEST)
    )
    facts = load_manifest(manifest)
    with ThreadPoolExecutor(max_workers=1) as pool:  # the network goes on while intervals are resampled, curves drawn
        embedded = pool.submit(_embed_splits, network, data)
        found = Evaluation.measure(
            test,
            evaluate,
            point,
            uncalibrated=round_array(apply_temperature(logits[TEST])),
            validation=held_out,
            features=list_features(test.paths, facts, load_photos(photos)),
        )
        figures = draw_evaluation(found, point, data.classes)
    rows = evenly_spaced(len(test.labels), max(MAX_PROBABILITIES // len(data.classes), 1))
    reference = ReferenceStatistics(
        key=key,
        classes=data.classes,
        settings=evaluate.model_dump(mode="json"),
        metrics=found.metrics,
        statistics=gather_statistics(data.photos("train"), facts),
        **embedded.result(),
        test_labels=test.labels[rows],
        test_probabilities=test.probabilities[rows],
    )

    found.save(evaluation, figures)
    point.save(operating_point)
    reference.save(operating_point)
    _tell(found, point)


def _predict_split(network: keras.Model, data: Prepared, split: str, inference: InferenceParams) -> np.ndarray:
    views: dict[str, Any] = inference.model_dump(include={"mirror", "center_crop"})
    logits = predict_logits(network, data.images(split), **views)
    if logits.shape[1] != len(data.classes):
        raise ConvLensError(
            f"Expected a model of the {len(data.classes)} classes {', '.join(data.classes)}. "
            f"Received: one of {logits.shape[1]} classes. Train it on these photos: dvc repro."
        )
    return logits


def _embed_splits(network: keras.Model, data: Prepared) -> dict[str, np.ndarray]:
    """Embeddings of some training and held-out photos, and how far the latter are from the former."""
    embed = open_features(network)
    images = {split: data.images(split) for split in ("train", VALIDATION, TEST)}
    train = round_features(embed_photos(embed, images["train"], evenly_spaced(len(images["train"]), MAX_FEATURES)))
    chosen, first = evenly_spaced(len(images[VALIDATION]) + len(images[TEST]), MAX_FEATURES), len(images[VALIDATION])
    rows = {VALIDATION: chosen[chosen < first], TEST: chosen[chosen >= first] - first}
    embedded = [embed_photos(embed, images[split], each) for split, each in rows.items() if len(each)]
    held_out = round_features(np.concatenate(embedded))
    distances = np.sort(neighbor_distances(held_out, train))
    return {"train_features": train, "held_out_features": held_out, "held_out_distances": distances}


def _tell(found: Evaluation, point: OperatingPoint) -> None:
    numbers, calibration = found.metrics, point.calibration
    before, after = calibration["loss_before"], calibration["loss_after"]
    change = "" if before is None or after is None else f": log loss {before:.3f} before, {after:.3f} after"
    fitted = f"fitted on {point.num_validation:,} validation photos"
    how = calibration["note"] if calibration["note"].startswith("not fitted") else fitted
    say(f"evaluate: temperature {point.temperature:g}, {how}{change}.")
    value, low, high = interval_of(numbers, "accuracy")
    say(
        f"evaluate: {show_share(value)} of {numbers['num_photos']:,} test photos classified correctly"
        f"{show_interval(low, high)}."
    )
    if not point.threshold_reached:
        say(f"evaluate: warning: threshold {point.threshold:g}: {point.threshold_note}.")
    if numbers["num_unsure"]:
        wrong, low, high = interval_of(numbers, "error_when_sure")
        others = "" if wrong is None else f"; of the others {show_share(wrong)} are wrong{show_interval(low, high)}"
        say(
            f"evaluate: abstains on {show_count(numbers['num_unsure'], 'photo')} to misclassify at most "
            f"{show_share(point.max_error)} of the others{others}."
        )
    if numbers["num_worse_slices"]:
        names = found.slices[found.slices["worse"].astype(bool)]
        shown = ", ".join(f"{row.feature} {row.slice}" for row in names.itertuples())
        say(f"evaluate: warning: worse than on the rest: {shown}.")
