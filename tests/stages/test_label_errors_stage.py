import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prepared_photos import write_prepared

import convlens.auxiliary.cross_validation as folds_module
from convlens.auxiliary.cross_validation import assign_folds, train_fold
from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.metrics.evaluation import Evaluation, Predictions
from convlens.metrics.intervals import wilson_interval
from convlens.metrics.label_errors import LabelErrors
from convlens.models.inference import OperatingPoint
from convlens.params import LabelErrorsParams, Params, load_params, parse_group
from convlens.stages.label_errors import label_errors
from convlens.training.fit import FitResult, Photos

PARAMS = load_params()
CLASSES = ("007", "NA")  # names that look like something else
SIDE, NUM_PHOTOS = 16, 40
PLANTED = {"train": [4, 21], "validation": [3], "test": [6, 11]}  # rows whose label is turned round
CARD = {"key": "k" * 64, "precision": "float32"}


def paint(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The top of the first class is bright, the bottom of the second."""
    labels = np.arange(NUM_PHOTOS) % 2
    images = np.random.default_rng(seed).integers(0, 56, (NUM_PHOTOS, SIDE, SIDE, 3), dtype=np.uint8)
    images[labels == 0, : SIDE // 2] += 200
    images[labels == 1, SIDE // 2 :] += 200
    return images, labels


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos with planted label errors, and an evaluation that gives 0.97 to the truth."""
    painted = {split: paint(seed) for seed, split in enumerate(("train", "validation", "test"))}
    labels = {split: truth.copy() for split, (_, truth) in painted.items()}
    for split, rows in PLANTED.items():
        labels[split][rows] = 1 - labels[split][rows]
    write_prepared(tmp_path / "prepared", {split: pair[0] for split, pair in painted.items()}, labels, CLASSES)
    (tmp_path / "prepared/duplicates.json").write_text(json.dumps({"groups": [["train/0.png", "train/2.png"]]}))
    (tmp_path / "model").mkdir()
    (tmp_path / "model/card.json").write_text(json.dumps(CARD))
    OperatingPoint(CARD["key"]).save(tmp_path / "operating_point")
    given = {
        split: Predictions(
            [f"{split}/{row}.png" for row in range(NUM_PHOTOS)], CLASSES, labels[split],
            np.where(np.eye(2)[painted[split][1]] == 1, 0.97, 0.03),
        )
        for split in ("validation", "test")
    }  # fmt: skip
    settings = PARAMS.evaluate.model_copy(update={"num_resamples": 100})
    Evaluation.measure(given["test"], settings, validation=given["validation"]).save(tmp_path / "evaluation")
    monkeypatch.setattr(folds_module, "repository_root", lambda: tmp_path)
    return tmp_path


def run(home: Path, name: str = "results", params: Params = PARAMS, *, num_folds: int = 0) -> Path:
    label_errors(prepared=home / "prepared", model_folder=home / "model", operating_point=home / "operating_point",
                 evaluation=home / "evaluation", results=home / name, recipe=params.recipe, evaluate=params.evaluate,
                 label_errors=params.label_errors.model_copy(update={"folds": num_folds}))  # fmt: skip
    return home / name


def quick(**train: object) -> Params:
    """A dense network that learns the halves within seconds."""
    dense = PARAMS.model.dense.model_copy(update={"units": (8,)})
    model = PARAMS.model.model_copy(update={"architecture": "dense", "dense": dense})
    changes = {"epochs": 12, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.002, "schedule": "constant",
               "warmup_fraction": 0.0, "label_smoothing": 0.0, "max_minutes": None, **train}  # fmt: skip
    still = {"min_crop_area": 1.0, "max_crop_aspect": 1.0, "flip": False, "rotation": 0.0, "cutmix": 0.0}
    groups = {"augment": PARAMS.augment.model_copy(update=still), "train": PARAMS.train.changed(**changes)}
    return PARAMS.model_copy(update={"model": model, **groups})


def check_folds(results: Path) -> None:
    """The planted errors of all splits are found, and both trainings are told."""
    found = LabelErrors.load(results)
    assert len(found.photos) == 3 * NUM_PHOTOS
    expected = [f"{split}/{row}.png" for split, rows in PLANTED.items() for row in rows]
    assert found.photos.loc[found.photos["suspicious"], "path"].tolist() == expected
    assert found.metrics["num_folds"] == 2
    assert found.folds["fold"].tolist() == [1] * 12 + [2] * 12
    assert found.folds["epoch"].tolist() == [*range(1, 13)] * 2
    assert found.folds.groupby("fold")["train_loss"].last().nunique() == 2


def test_planted_label_errors_among_held_out_photos_are_found(home: Path) -> None:
    found = LabelErrors.load(run(home))
    assert list(found.photos.columns) == ["path", "split", "label", "predicted", "correct", "confidence",
                                          "label_quality", "suspicious"]  # fmt: skip
    expected = [f"{split}/{row}.png" for split in ("validation", "test") for row in PLANTED[split]]
    assert found.photos.loc[found.photos["suspicious"], "path"].tolist() == expected
    assert found.photos.loc[~found.photos["correct"], "path"].tolist() == expected
    assert set(found.photos["label"]) == set(found.photos["predicted"]) == set(CLASSES)
    assert set(found.photos["label_quality"].round(3)) == {0.03, 0.97}
    low, high = wilson_interval(3, 80)
    assert found.metrics == {
        "num_photos": 80, "num_folds": 0, "num_suspicious": 3, "suspicious_share": 0.0375,
        "suspicious_share_low": pytest.approx(low), "suspicious_share_high": pytest.approx(high), "note": "",
    }  # fmt: skip


def test_the_same_inputs_give_the_same_bytes(home: Path) -> None:
    first, second = run(home), run(home, "again")
    assert sorted(path.name for path in first.iterdir()) == ["folds.csv", "metrics.json", "photos.csv"]
    assert (first / "folds.csv").read_text() == "fold,epoch\n"
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


@pytest.mark.parametrize(("split", "file"), [("test", "predictions.csv"), ("validation", "validation_predictions.csv")])
def test_predictions_of_other_photos_are_told(home: Path, split: str, file: str) -> None:
    path = home / "evaluation" / file
    pd.read_csv(path, dtype=str, keep_default_na=False).iloc[1:].to_csv(path, index=False)
    with pytest.raises(ConvLensError, match=f"Expected predictions for all {split} photos"):
        run(home)
    path.unlink()
    with pytest.raises(ConvLensError, match=file):
        run(home)


def test_one_fold_would_leave_nothing_to_train_on() -> None:
    with pytest.raises(ConvLensError, match="Expected 0 or at least 2 for folds"):
        parse_group(LabelErrorsParams, {"folds": 1}, where="params.yaml")


def test_with_folds_label_errors_of_training_photos_are_found(home: Path) -> None:
    check_folds(run(home, params=quick(), num_folds=2))
    assert not list((home / ".convlens/checkpoints").iterdir())  # both trainings have ended


def test_threads_and_determinism_are_set_before_tensorflow_starts(home: Path) -> None:
    params = quick(num_threads=1, deterministic=True)
    params = params.model_copy(update={"label_errors": params.label_errors.model_copy(update={"folds": 2})})
    (home / "params.yaml").write_text(json.dumps(params.model_dump(mode="json", by_alias=True)))
    folders = [part for name in ("prepared", "operating_point", "evaluation", "results") for part in
               (f"--{name.replace('_', '-')}", name)]  # fmt: skip
    command = [sys.executable, "-m", "convlens.pipeline", "label_errors", "--model-folder", "model", *folders]
    environment = {**os.environ, "DVC_ROOT": str(home)}
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    check_folds(home / "results")


@pytest.mark.parametrize("count", [2, 3, 7])
def test_folds_are_even_in_every_class_and_keep_near_duplicates_together(home: Path, count: int) -> None:
    data = Prepared.load(home / "prepared")
    assigned = assign_folds(data, count, seed=0)
    assert assigned[0] == assigned[2]
    for label in (0, 1):
        sizes = np.bincount(assigned[data.labels("train") == label], minlength=count)
        assert sizes.max() - sizes.min() <= 2
    np.testing.assert_array_equal(assigned, assign_folds(data, count, seed=0))


@pytest.mark.parametrize("own", [True, False])
def test_the_photos_held_out_are_not_trained_on(monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    photos, held_out, given = Photos(*paint(0)), np.array([3, 4, 30]), []

    def fit(recipe: object, train: Photos, *, validation: Photos, **_: object) -> FitResult:
        given.extend([train, validation])
        return FitResult(None, [], 0)

    monkeypatch.setattr(folds_module, "fit", fit)
    monkeypatch.setattr(folds_module, "finish_model", lambda *_, **__: None)
    train_fold(PARAMS.recipe, photos, held_out, num_classes=2, runtime=None, validation=photos if own else None)
    pixels = [[photo.tobytes() for photo in each.images[np.arange(len(each.images))]] for each in given]
    others = np.setdiff1d(np.arange(NUM_PHOTOS), held_out)
    assert pixels[0] == [photo.tobytes() for photo in photos.images[others]]
    assert pixels[1] == [photo.tobytes() for photo in photos.images[slice(None) if own else held_out]]
    np.testing.assert_array_equal(given[0].labels, photos.labels[others])
