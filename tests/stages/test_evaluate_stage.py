import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import convlens.stages.evaluate as stage
from convlens.errors import ConvLensError
from convlens.params import EvaluateParams
from convlens.stage import path_names
from convlens.stages.evaluate import evaluate

SETTINGS = EvaluateParams(num_resamples=200, confidence=0.95, seed=0)
FILES = {
    "metrics": "metrics.json",
    "predictions": "predictions.csv",
    "class_scores": "classes.csv",
    "confusion": "confusion.csv",
    "confusion_table": "confusion_matrix.csv",
    "confusion_figure": "confusion_matrix.png",
    "roc": "roc.csv",
    "roc_figure": "roc_curve.png",
    "reliability": "reliability.csv",
}
CLASSES = ("maine coon", 'dogs, "big"')


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run the stage on painted grey photos with a network that answers by brightness."""
    monkeypatch.setattr(stage, "load_trained_model", lambda folder: None)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/card.json").write_text('{"mirror": false}')
    monkeypatch.setattr(stage, "predict_probabilities", answer_by_brightness)

    def run_stage(classes: tuple[str, ...] = CLASSES, *, num_photos: int = 40, name: str = "evaluation") -> Path:
        prepared, out = tmp_path / "prepared", tmp_path / name
        write_prepared(prepared, classes, num_photos)
        paths = {name: out / file for name, file in FILES.items()}
        evaluate(prepared=prepared, model_folder=tmp_path / "model", evaluate=SETTINGS, **paths)
        return out

    return run_stage


def answer_by_brightness(model: Any, images: Any, *, mirror: bool) -> np.ndarray:
    """P(second class) is the mean brightness."""
    assert mirror is False, "what the model's card says"
    positive = np.asarray(images[:], dtype=np.float64).mean(axis=(1, 2, 3)) / 255
    return np.column_stack([1 - positive, positive])


def write_prepared(folder: Path, classes: tuple[str, ...], num_photos: int) -> None:
    """Test photos whose brightness mostly tells the class, stored in another order than the list's."""
    generator = np.random.default_rng(0)
    labels = np.arange(num_photos) % 2
    light = np.clip(80 + 90 * labels + generator.normal(0, 50, num_photos), 0, 255).astype(np.uint8)
    (folder / "test").mkdir(parents=True, exist_ok=True)
    if num_photos:
        np.save(
            folder / "test" / "images-00000.npy", np.broadcast_to(light[:, None, None, None], (num_photos, 4, 4, 3))
        )
    np.save(folder / "test" / "labels.npy", labels)
    rows = [(f"photos/{row}.jpg", classes[label], "test", row) for row, label in enumerate(labels)]
    rows.append(("photos/train.jpg", classes[0], "train", 0))
    table = pd.DataFrame(rows[::-1], columns=["path", "label", "split", "row"]).assign(width=4, height=4, sha256="")
    table.to_csv(folder / "splits.csv", index=False)
    card = {"classes": list(classes), "image_size": 4, "keep_aspect": False, "resampling": "bicubic"}
    (folder / "card.json").write_text(json.dumps(card))


def read(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / FILES[name])


def test_exactly_the_promised_files_are_written(run: Callable[..., Path]) -> None:
    out = run()
    assert {path.name for path in out.iterdir()} == set(FILES.values())
    assert set(path_names(evaluate)) == {"prepared", "model_folder", *FILES}


def test_the_same_inputs_give_the_same_bytes(run: Callable[..., Path]) -> None:
    first, second = run(name="first"), run(name="second")
    for file in FILES.values():
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_predictions_follow_the_order_of_the_arrays(run: Callable[..., Path]) -> None:
    table = read(run(), "predictions")
    assert list(table.columns) == ["path", "label", "predicted", "correct", *(f"probability_{c}" for c in CLASSES)]
    assert list(table["path"]) == [f"photos/{row}.jpg" for row in range(40)]
    assert (table["correct"] == (table["label"] == table["predicted"])).all()
    assert ((table[f"probability_{CLASSES[1]}"] > 0.5) == (table["predicted"] == CLASSES[1])).all()


def test_every_number_can_be_had_again_from_the_predictions(run: Callable[..., Path]) -> None:
    out = run()
    table, metrics = read(out, "predictions"), json.loads((out / "metrics.json").read_text())
    assert metrics["num_photos"] == 40
    assert metrics["accuracy"] == pytest.approx(table["correct"].mean())
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    given = np.where(
        table["label"] == CLASSES[1], table[f"probability_{CLASSES[1]}"], table[f"probability_{CLASSES[0]}"]
    )
    assert metrics["log_loss"] == pytest.approx(-np.log(given).mean(), rel=1e-6)
    assert metrics["recall_maine_coon"] == pytest.approx(table.loc[table["label"] == CLASSES[0], "correct"].mean())


def test_the_metrics_have_stable_names(run: Callable[..., Path]) -> None:
    headlines = ("accuracy", "balanced_accuracy", "log_loss", "brier", "roc_auc", "average_precision", "macro_f1")
    names = [f"{name}{end}" for name in headlines for end in ("", "_low", "_high")]
    scores = [f"{name}_{key}" for key in ("maine_coon", "dogs_big") for name in ("precision", "recall", "f1")]
    metrics = json.loads((run() / "metrics.json").read_text())
    assert list(metrics) == ["num_photos", *names, "expected_calibration_error", *scores]


def test_the_tables_agree_with_each_other(run: Callable[..., Path]) -> None:
    out = run()
    predictions, confusion, matrix = (read(out, name) for name in ("predictions", "confusion", "confusion_table"))
    assert confusion.to_numpy().tolist() == predictions[["label", "predicted"]].to_numpy().tolist()
    counted = pd.crosstab(confusion["actual"], confusion["predicted"]).reindex(index=CLASSES, columns=CLASSES)
    assert list(matrix.columns) == ["actual", *CLASSES]
    assert matrix.set_index("actual").to_numpy().tolist() == counted.to_numpy().tolist()
    scores = read(out, "class_scores")
    assert scores["num_correct"].tolist() == np.diag(counted).tolist()
    assert read(out, "reliability")["num_photos"].sum() == 40
    roc = read(out, "roc")
    assert roc.iloc[0].tolist() == [CLASSES[1], 0, 0, np.inf]
    assert roc.iloc[-1].tolist()[:3] == [CLASSES[1], 1, 1]


@pytest.mark.parametrize("name", ["confusion_figure", "roc_figure"])
def test_pictures_hold_nothing_that_changes(run: Callable[..., Path], name: str) -> None:
    with Image.open(run() / FILES[name]) as image:
        assert image.format == "PNG"
        assert set(image.info) == {"dpi"}


def test_a_single_photo_gives_empty_cells_and_null_instead_of_nan(run: Callable[..., Path]) -> None:
    out = run(num_photos=1)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["num_photos"] == 1
    assert metrics["roc_auc"] is None
    assert metrics["recall_dogs_big"] is None
    for path in out.glob("*.csv"):
        assert "nan" not in path.read_text().lower()


def test_no_test_photos_is_an_error_that_says_what_to_do(run: Callable[..., Path]) -> None:
    with pytest.raises(ConvLensError, match=r"test split\. Received: none\. Raise preprocess\.test_fraction"):
        run(num_photos=0)


def test_a_model_of_other_classes_is_an_error_and_leaves_no_files(run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConvLensError, match=r"model of the 3 classes a, b, c\. Received: one of 2 classes"):
        run(("a", "b", "c"))
    assert not (tmp_path / "evaluation").exists()


def test_nothing_is_written_if_a_figure_fails(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*values: Any) -> bytes:
        raise ConvLensError("no figure today")

    monkeypatch.setattr(stage, "to_png", fail)
    with pytest.raises(ConvLensError, match="no figure today"):
        run()
    assert not (tmp_path / "evaluation").exists()
