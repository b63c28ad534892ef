"""Inputs of the report as a pipeline run would give them, small and without a network."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from convlens.data.prepared import Prepared
from convlens.data.validation import Validation
from convlens.files import round_array
from convlens.metrics.evaluation import Evaluation, Predictions
from convlens.models.files import TrainingRun
from convlens.pages.report import ReportInputs, photos_needed
from convlens.params import load_params

PARAMS = load_params(Path(__file__).parents[1] / "params.yaml")
NOWHERE = Path("no such folder")
SPLITS = ("train", "train", "train", "validation", "test", "test")


def make_inputs(
    classes: Sequence[str] = ("cats", "dogs"), *, per_class: int = 24, skill: float = 1.5, source: str = "photos"
) -> ReportInputs:
    """Make a data set, a training and an evaluation that fit together; one photo is quarantined."""
    manifest = make_manifest(classes, per_class)
    usable = manifest[manifest["usable"]]
    splits = usable[["path", "label", "split", "width", "height", "sha256"]].reset_index(drop=True)
    splits["row"] = splits.groupby("split").cumcount()
    card = make_prepared_card(splits, classes, source)
    inputs = ReportInputs(
        params=PARAMS,
        validation=make_validation(manifest),
        prepared=Prepared(NOWHERE, card, splits),
        training=TrainingRun(NOWHERE, make_model_card(card), make_history()),
        evaluation=make_evaluation(splits[splits["split"] == "test"], classes, skill),
    )
    return replace(inputs, thumbnails={path: paint(path) for path in photos_needed(inputs)})


def change_evaluation(inputs: ReportInputs, **changes: Any) -> ReportInputs:
    """Change fields of the evaluation."""
    return replace(inputs, evaluation=replace(inputs.evaluation, **changes))


def make_validation(manifest: pd.DataFrame, gallery: pd.DataFrame | None = None) -> Validation:
    """Make the outcome of data checks with one warning."""
    met = {"name": "photos_per_class", "expected": "at least 10",
           "expectation": "at least 10 usable photos in every class", "severity": "critical", "success": True,
           "observed": "all 2 classes meet it", "parameter": "validate.min_photos_per_class", "worst": []}  # fmt: skip
    missed = {"name": "unique_paths", "expected": "none twice",
              "expectation": "no photo twice", "severity": "warning", "success": False, "observed": "2 photos do not",
              "parameter": "data.source", "worst": ["data/raw/a.jpg", "data/raw/b.jpg"]}  # fmt: skip
    counts = {"num_photos": len(manifest), "num_usable": int(manifest["usable"].sum())}
    return Validation(
        manifest=manifest,
        gallery=make_gallery([]) if gallery is None else gallery,
        quarantine=manifest.loc[manifest["cause"] != "", ["path", "label", "cause", "reason"]],
        result={"success": True, **counts, "expectations": [met, missed]},
    )


def make_manifest(classes: Sequence[str], per_class: int) -> pd.DataFrame:
    """The manifest; the first photo of the first class does not decode."""
    generator = np.random.default_rng(0)
    rows = []
    for label in classes:
        for index in range(per_class):
            path = f"data/raw/{label}/{index:04d}.jpg"
            width, height = generator.integers(80, 500, 2).tolist()
            rows.append({
                "path": path, "label": label, "bytes": 9000 + index, "sha256": digest(path), "format": "JPEG",
                "mode": "RGB", "width": width, "height": height, "decodes": True, "usable": True, "reason": "",
                "frames": 1, "aspect": width / height, "cause": "", "brightness": generator.uniform(),
                "contrast": generator.uniform(0, 0.5), "sharpness": generator.uniform(60, 3000),
                "split": SPLITS[index % len(SPLITS)],
            })  # fmt: skip
    table = pd.DataFrame(rows)
    table.loc[0, ["decodes", "usable", "cause", "reason"]] = [False, False, "unreadable", "the file ends early"]
    table.loc[0, ["format", "sha256"]] = ""
    return table


def make_gallery(photos: Sequence[tuple[str, str, str]]) -> pd.DataFrame:
    """`data/manifest/gallery.parquet` of photos given by path, digest and flag."""
    rows = [(path, sha256, flag, paint(path)) for path, sha256, flag in photos]
    return pd.DataFrame(rows, columns=["path", "sha256", "flag", "thumbnail"], dtype=object)


def make_evaluation(
    test: pd.DataFrame, classes: Sequence[str], skill: float, *, calibrated: bool = False
) -> Evaluation:
    """Answers of a simulated network to the test photos, also without temperature if they are calibrated."""
    labels = np.array([list(classes).index(label) for label in test["label"]])
    scores = np.random.default_rng(1).normal(size=(len(labels), len(classes)))
    scores[np.arange(len(labels)), labels] += skill
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    given = Predictions(list(test["path"]), list(classes), labels, round_array(probabilities))
    settings = PARAMS.evaluate.model_copy(update={"num_resamples": 100})
    return Evaluation.measure(given, settings, uncalibrated=given.probabilities if calibrated else None)


def make_prepared_card(splits: pd.DataFrame, classes: Sequence[str], source: str) -> dict[str, Any]:
    """`data/prepared/card.json`."""
    counts = {
        split: {name: int(((splits["split"] == split) & (splits["label"] == name)).sum()) for name in classes}
        for split in ("train", "validation", "test")
    }
    shape = {"image_size": 160, "keep_aspect": False, "resampling": "bicubic"}
    return {"classes": list(classes), **shape, "counts": counts, "digest": digest("data"), "source": source}


def make_model_card(prepared: dict[str, Any]) -> dict[str, Any]:
    """`data/model/card.json`."""
    return {
        "key": digest("key"), "architecture": "residual", "classes": prepared["classes"], "image_size": 160,
        "num_parameters": 971_329, "precision": "float32", "num_threads": 2, "device": "cpu",
        "epochs": 6, "best_epoch": 5, "data_digest": prepared["digest"], "validation_loss": 0.21,
        "validation_accuracy": 0.93,
    }  # fmt: skip


def make_history(num_epochs: int = 6) -> pd.DataFrame:
    """`reports/training/history.csv` with one step of image size."""
    epochs = np.arange(1, num_epochs + 1)
    return pd.DataFrame({
        "epoch": epochs, "image_size": np.where(epochs <= num_epochs / 2, 64, 96), "learning_rate": 0.1 / epochs,
        "train_loss": 0.7 / epochs, "train_accuracy": 1 - 0.5 / epochs, "validation_loss": 0.8 / epochs,
        "validation_accuracy": 1 - 0.6 / epochs,
    })  # fmt: skip


def paint(path: str) -> bytes:
    """A small JPEG in a color of its own."""
    color = tuple(hashlib.sha256(path.encode()).digest()[:3])
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), color).save(buffer, "JPEG")
    return buffer.getvalue()


def digest(text: str) -> str:
    """A digest as the stages write them."""
    return hashlib.sha256(text.encode()).hexdigest()
