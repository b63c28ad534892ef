import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prepared_photos import write_prepared

import convlens.stages.label_errors as stage
import convlens.training.cross_validation as folds_module
from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.metrics.evaluation import Evaluation, Predictions
from convlens.metrics.intervals import wilson_interval
from convlens.models.inference import OperatingPoint
from convlens.params import LabelErrorsParams, Params, load_params, parse_group
from convlens.stages.label_errors import label_errors
from convlens.training.cross_validation import Folds, answer_out_of_fold, assign_folds

PARAMS = load_params()
CLASSES = ("cats", "dogs")
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


def look(images: Any) -> np.ndarray:
    """Probabilities by which half is brighter: 0.97 for the truth."""
    photos = np.asarray(images[np.arange(len(images))], dtype=float)
    below = photos[:, SIDE // 2 :].mean(axis=(1, 2, 3)) > photos[:, : SIDE // 2].mean(axis=(1, 2, 3))
    second = np.where(below, 0.97, 0.03)
    return np.column_stack([1 - second, second])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    painted = {split: paint(seed) for seed, split in enumerate(("train", "validation", "test"))}
    images = {split: pair[0] for split, pair in painted.items()}
    labels = {split: pair[1].copy() for split, pair in painted.items()}
    for split, rows in PLANTED.items():
        labels[split][rows] = 1 - labels[split][rows]
    write_prepared(tmp_path / "prepared", images, labels, CLASSES)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/card.json").write_text(json.dumps(CARD))
    OperatingPoint(CARD["key"]).save(tmp_path / "operating_point")
    (tmp_path / "prepared/duplicates.json").write_text(json.dumps({"groups": [["train/0.png", "train/2.png"]]}))
    given = Predictions([f"test/{row}.png" for row in range(NUM_PHOTOS)], CLASSES, labels["test"], look(images["test"]))
    settings = PARAMS.evaluate.model_copy(update={"num_resamples": 100})
    Evaluation.measure(given, settings, validation=given).save(tmp_path / "evaluation")
    monkeypatch.setattr(stage, "load_trained_model", lambda folder: None)
    monkeypatch.setattr(stage, "predict_probabilities", lambda model, images, point: look(images))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(home: Path, name: str = "out", params: Params = PARAMS, *, num_folds: int = 0) -> Path:
    out = home / name
    label_errors(prepared=home / "prepared", model_folder=home / "model", operating_point=home / "operating_point",
             evaluation=home / "evaluation", photos=out / "photos.csv", folds=out / "folds.csv",
             metrics=out / "metrics.json", checkpoints=Path("checkpoints"), model=params.model,
             augment=params.augment, train=params.train,
             evaluate=params.evaluate,
             label_errors=params.label_errors.model_copy(update={"folds": num_folds}))  # fmt: skip
    return out


def test_planted_wrong_labels_among_held_out_photos_are_found(home: Path) -> None:
    out = run(home)
    table = pd.read_csv(out / "photos.csv")
    assert list(table.columns) == ["path", "split", "label", "predicted", "correct", "confidence", "label_quality",
                                   "suspicious"]  # fmt: skip
    expected = [f"{split}/{row}.png" for split in ("validation", "test") for row in PLANTED[split]]
    assert table.loc[table["suspicious"], "path"].tolist() == expected
    assert table.loc[~table["correct"], "path"].tolist() == expected
    assert set(table["label_quality"].round(3)) == {0.03, 0.97}
    low, high = wilson_interval(3, 80)
    assert json.loads((out / "metrics.json").read_text()) == {
        "num_photos": 80, "num_folds": 0, "num_suspicious": 3, "suspicious_share": 0.0375,
        "suspicious_share_low": pytest.approx(low), "suspicious_share_high": pytest.approx(high),
    }  # fmt: skip


def test_the_same_inputs_give_the_same_bytes(home: Path) -> None:
    first, second = run(home), run(home, "again")
    assert sorted(path.name for path in first.iterdir()) == ["folds.csv", "metrics.json", "photos.csv"]
    assert (first / "folds.csv").read_text() == "fold,epoch\n"
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_answers_of_another_split_are_told(home: Path) -> None:
    table = home / "evaluation/predictions.csv"
    pd.read_csv(table).iloc[1:].to_csv(table, index=False)
    with pytest.raises(ConvLensError, match="Expected predictions for all test photos"):
        run(home)
    table.unlink()
    with pytest.raises(ConvLensError, match=r"Expected the table .*predictions\.csv"):
        run(home)


def test_one_fold_would_leave_nothing_to_learn_from() -> None:
    with pytest.raises(ConvLensError, match="Expected 0 or at least 2 for folds"):
        parse_group(LabelErrorsParams, {"folds": 1}, where="params.yaml")


def quick() -> Params:
    """A dense network that learns the halves within seconds."""
    dense = PARAMS.model.dense.model_copy(update={"units": (8,)})
    model = PARAMS.model.model_copy(update={"architecture": "dense", "dense": dense})
    changes = {"epochs": 12, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.002, "schedule": "constant",
               "warmup_fraction": 0.0, "label_smoothing": 0.0, "max_minutes": None}  # fmt: skip
    still = {"min_crop_area": 1.0, "max_crop_aspect": 1.0, "flip": False, "rotation": 0.0, "cutmix": 0.0}
    return PARAMS.model_copy(update={
        "model": model, "train": PARAMS.train.model_copy(update=changes),
        "augment": PARAMS.augment.model_copy(update=still),
    })  # fmt: skip


def test_with_folds_wrong_labels_of_training_photos_are_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds_module, "repository_root", lambda: home)
    out = run(home, params=quick(), num_folds=2)
    table = pd.read_csv(out / "photos.csv")
    assert len(table) == 3 * NUM_PHOTOS
    found = table[table["suspicious"]]
    assert found["path"].tolist() == [f"{split}/{row}.png" for split, rows in PLANTED.items() for row in rows]
    assert not list((home / "checkpoints").iterdir())  # both trainings have ended
    history = pd.read_csv(out / "folds.csv")
    assert history["fold"].tolist() == [1] * 12 + [2] * 12
    assert history["epoch"].tolist() == [*range(1, 13)] * 2
    assert history.groupby("fold")["train_loss"].last().nunique() == 2


def folds(home: Path, count: int) -> Folds:
    groups = Prepared.load(home / "prepared").duplicates["groups"]
    return Folds(count, PARAMS.recipe, CARD, OperatingPoint(), groups, Path("checkpoints"))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_folds_are_even_in_every_class_and_keep_copies_together(home: Path, count: int) -> None:
    data = Prepared.load(home / "prepared")
    assigned = assign_folds(data, folds(home, count))
    assert assigned[0] == assigned[2]
    for label in (0, 1):
        sizes = np.bincount(assigned[data.labels("train") == label], minlength=count)
        assert sizes.max() - sizes.min() <= 2
    np.testing.assert_array_equal(assigned, assign_folds(data, folds(home, count)))


def test_each_photo_is_answered_by_the_network_that_did_not_learn_from_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, learnt = Prepared.load(home / "prepared"), []

    def fit(recipe: Any, train: Any, **_: Any) -> Any:
        learnt.append(train.images[np.arange(len(train.images))])
        return type("Result", (), {"body": len(learnt) - 1})

    def answer(network: int, images: Any, point: OperatingPoint) -> np.ndarray:
        """Certain of the first class for photos learnt from, which must never be asked."""
        seen = {photo.tobytes() for photo in learnt[network]}
        known = np.array([photo.tobytes() in seen for photo in images[np.arange(len(images))]], dtype=float)
        return np.column_stack([known, 1 - known])

    finish: Callable[..., int] = lambda body, *_, **__: body  # noqa: E731
    for name, replacement in (("fit", fit), ("finish_model", finish), ("predict_probabilities", answer)):
        monkeypatch.setattr(folds_module, name, replacement)
    monkeypatch.setattr(folds_module, "prepare_runtime", lambda params: None)
    found = answer_out_of_fold(data, folds(home, 3))
    assert len(learnt) == 3
    assert sum(len(photos) for photos in learnt) == 2 * NUM_PHOTOS
    assert (found == [0, 1]).all()
