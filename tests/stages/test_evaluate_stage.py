import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import convlens.stages.evaluate as stage
from convlens.errors import ConvLensError
from convlens.metrics.drift import ReferenceStatistics, round_features
from convlens.metrics.evaluation import Evaluation
from convlens.params import EvaluateParams, InferenceParams
from convlens.stages.evaluate import evaluate

SETTINGS = EvaluateParams(num_resamples=200, confidence=0.95, seed=0)
INFERENCE = InferenceParams(mirror=True, center_crop=0.9, threshold=0.5, max_error=0.01)
TABLES = {
    "predictions": "predictions.csv",
    "validation_predictions": "validation_predictions.csv",
    "class_scores": "classes.csv",
    "confusion_table": "confusion_matrix.csv",
    **{name: f"plots/{name}.csv" for name in ("confusion", "roc", "precision_recall", "reliability", "thresholds",
                                              "risk_coverage", "slices")},
}  # fmt: skip
FIGURES = ("confusion_matrix", "roc_curve", "precision_recall", "reliability", "thresholds", "risk_coverage", "slices")
FILES = {"metrics.json", *TABLES.values(), *(f"plots/{name}.png" for name in FIGURES)}
CLASSES = ("maine coon", 'dogs, "big"')


def run_stage(
    home: Path, classes: tuple[str, ...] = CLASSES, *, num_photos: int = 40, name: str = "evaluation", **changes: Any
) -> Path:
    """Run the stage on painted gray photos with a network that answers by brightness; the folder it wrote."""
    (home / "model").mkdir(exist_ok=True)
    (home / "model/card.json").write_text('{"key": "k"}')
    write_prepared(home / "prepared", classes, num_photos)
    inputs = {"prepared": home / "prepared", "model_folder": home / "model", "manifest": home,
              "photos": home / "photos.parquet"}  # fmt: skip
    paths = {"evaluation": home / name, "operating_point": home / f"{name}_point"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "load_trained_model", lambda folder: None)
        patch.setattr(stage, "open_features", lambda network: lambda images: images.mean(axis=(1, 2)))
        patch.setattr(stage, "predict_logits", answer_by_brightness)
        evaluate(**inputs, inference=INFERENCE.model_copy(update=changes), evaluate=SETTINGS, **paths)
    return home / name


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    return partial(run_stage, tmp_path)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage writes; tests leave it as it is."""
    return run_stage(tmp_path_factory.mktemp("shared"))


def answer_by_brightness(model: Any, images: Any, **views: Any) -> np.ndarray:
    """Logits with which P(second class) is the mean brightness at a temperature of 2."""
    assert views == {"mirror": True, "center_crop": 0.9}, "what the group `inference` says"
    positive = np.asarray(images[:], dtype=np.float64).mean(axis=(1, 2, 3)) / 255
    return 2 * np.log(np.column_stack([1 - positive, positive]))


def write_prepared(folder: Path, classes: tuple[str, ...], num_photos: int) -> None:
    """Photos whose brightness mostly tells the class, stored in another order than the list's."""
    tables = [write_split(folder / split, classes, num_photos) for split in ("validation", "test")]
    (folder / "train").mkdir(exist_ok=True)
    np.save(folder / "train/images-00000.npy", np.full((1, 4, 4, 3), 90, np.uint8))
    rows = [("photos/train.jpg", classes[0], "train", 0), *tables[0][::-1], *tables[1][::-1]]
    table = pd.DataFrame(rows, columns=["path", "label", "split", "row"]).assign(width=4, height=4, sha256="")
    table.to_csv(folder / "splits.csv", index=False)
    card = {"classes": list(classes), "image_size": 4, "keep_aspect": False, "resampling": "bicubic"}
    (folder / "card.json").write_text(json.dumps(card))
    write_facts(folder.parent, list(table["path"]))


def write_split(folder: Path, classes: tuple[str, ...], num_photos: int) -> list[tuple[str, str, str, int]]:
    generator = np.random.default_rng(0 if folder.name == "test" else 1)
    labels = np.arange(num_photos) % 2
    light = np.clip(80 + 90 * labels + generator.normal(0, 50, num_photos), 3, 252).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    if num_photos:
        np.save(folder / "images-00000.npy", np.broadcast_to(light[:, None, None, None], (num_photos, 4, 4, 3)))
    np.save(folder / "labels.npy", labels)
    place = "photos" if folder.name == "test" else "held"
    return [(f"{place}/{row}.jpg", classes[label], folder.name, row) for row, label in enumerate(labels)]


def write_facts(folder: Path, paths: list[str]) -> None:
    """What earlier stages know of the photos: two cameras, sizes of all kinds, one format."""
    count = len(paths)
    facts = {"width": 100 + np.arange(count), "height": 120, "aspect": (100 + np.arange(count)) / 120}
    light = {
        "brightness": np.linspace(0, 1, count),
        "contrast": 0.1,
        "sharpness": np.linspace(9, 900, count),
        "format": "JPEG",
    }
    pd.DataFrame({"path": paths, **facts, **light}).to_parquet(folder / "manifest.parquet")
    cameras = [("old", "new")[index % 2] for index in range(count)]
    pd.DataFrame({"path": paths, "extra_camera": cameras}).to_parquet(folder / "photos.parquet")


def read(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / TABLES[name])


def point_of(out: Path) -> Path:
    """The folder of the operating point that belongs to an evaluation."""
    return out.with_name(f"{out.name}_point")


def test_exactly_the_promised_files_are_written(out: Path) -> None:
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.*")} == FILES
    assert {path.name for path in point_of(out).iterdir()} == {"operating_point.json", "reference.npz"}


def test_the_same_inputs_give_the_same_bytes(run: Callable[..., Path], out: Path) -> None:
    second = run(name="second")
    for folder, other in ((out, second), (point_of(out), point_of(second))):
        for path in (path.relative_to(folder) for path in folder.rglob("*.*")):
            assert (folder / path).read_bytes() == (other / path).read_bytes()


def test_predictions_follow_the_order_of_the_arrays(out: Path) -> None:
    table = read(out, "predictions")
    probabilities = [f"probability_{name}" for name in CLASSES]
    assert list(table.columns) == ["path", "label", "predicted", "correct", *probabilities, "unsure"]
    assert list(table["path"]) == [f"photos/{row}.jpg" for row in range(40)]
    assert (table["correct"] == (table["label"] == table["predicted"])).all()
    assert ((table[f"probability_{CLASSES[1]}"] > 0.5) == (table["predicted"] == CLASSES[1])).all()


def test_every_number_can_be_had_again_from_the_predictions(out: Path) -> None:
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
    calibration = "expected_calibration_error"
    before = ("log_loss_before", "brier_before", f"{calibration}_before")
    scores = [f"{name}_{key}" for key in ("maine_coon", "dogs_big") for name in ("precision", "recall", "f1")]
    numbers = (*headlines, calibration, *before, *scores, "share_unsure", "error_when_sure")
    names = [f"{name}{end}" for name in numbers for end in ("", "_low", "_high")]
    decided = ("threshold", "threshold_reached", "min_confidence", "max_error", "num_unsure")
    slices = ("num_slices", "num_worse_slices", "temperature")
    metrics = json.loads((run(max_error=0.2) / "metrics.json").read_text())
    assert list(metrics) == ["num_photos", *names, f"{calibration}_by_chance", *decided, *slices]


def test_the_decision_is_made_on_the_validation_photos(run: Callable[..., Path]) -> None:
    out = run(threshold="max_f1", max_error=0.2)
    decision = json.loads((point_of(out) / "operating_point.json").read_text())
    metrics = json.loads((out / "metrics.json").read_text())
    assert (decision["key"], decision["num_validation"]) == ("k", 40)
    assert decision["threshold"] == metrics["threshold"] != 0.5
    held, lines = read(out, "validation_predictions"), read(out, "thresholds")
    found = held[held["predicted"] == CLASSES[1]]
    best = 2 * found["correct"].sum() / (len(found) + (held["label"] == CLASSES[1]).sum())
    assert lines["f1"].max() == pytest.approx(best)
    said = read(out, "predictions")
    assert ((said[f"probability_{CLASSES[1]}"] > decision["threshold"]) == (said["predicted"] == CLASSES[1])).all()
    assert read(out, "risk_coverage")["num_predicted"].iloc[-1] == 40
    assert {"brightness", "camera"} <= set(read(out, "slices")["feature"])


def test_the_tables_agree_with_each_other(out: Path) -> None:
    predictions, confusion, matrix = (read(out, name) for name in ("predictions", "confusion", "confusion_table"))
    assert confusion.to_numpy().tolist() == predictions[["label", "predicted"]].to_numpy().tolist()
    counted = pd.crosstab(confusion["actual"], confusion["predicted"]).reindex(index=CLASSES, columns=CLASSES)
    assert list(matrix.columns) == ["actual", *CLASSES]
    assert matrix.set_index("actual").to_numpy().tolist() == counted.to_numpy().tolist()
    scores = read(out, "class_scores")
    assert scores["num_correct"].tolist() == np.diag(counted).tolist()
    bins = read(out, "reliability")
    assert bins.groupby("temperature")["num_photos"].sum().to_dict() == {"before": 40, "after": 40}
    roc = read(out, "roc")
    assert roc.iloc[0].tolist() == [CLASSES[1], 0, 0, np.inf]
    assert roc.iloc[-1].tolist()[:3] == [CLASSES[1], 1, 1]


def test_pictures_hold_nothing_that_changes(out: Path) -> None:
    for name in FIGURES:
        with Image.open(out / f"plots/{name}.png") as image:
            assert (image.format, set(image.info)) == ("PNG", {"dpi"})


def test_a_single_photo_gives_empty_cells_and_null_instead_of_nan(run: Callable[..., Path]) -> None:
    out = run(num_photos=1)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["num_photos"] == 1
    assert metrics["roc_auc"] is None
    assert metrics["recall_dogs_big"] is None
    for path in out.rglob("*.csv"):
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

    monkeypatch.setattr(stage, "draw_evaluation", fail)
    with pytest.raises(ConvLensError, match="no figure today"):
        run()
    assert not (tmp_path / "evaluation").exists()


def test_the_reference_statistics_hold_numbers_and_no_photo(out: Path) -> None:
    found = ReferenceStatistics.load(point_of(out))
    assert (found.key, found.classes, found.settings) == ("k", CLASSES, SETTINGS.model_dump(mode="json"))
    assert found.metrics == json.loads((out / "metrics.json").read_text())
    assert {name: len(values) for name, values in found.statistics.items()} == dict.fromkeys(
        ("brightness", "contrast", "sharpness", "aspect", "megapixels"), 1
    )
    assert np.array_equal(found.train_features, round_features(np.ones((1, 3))))  # grays, whose direction is one
    assert found.held_out_features.shape == (80, 3)
    assert found.held_out_distances.tolist() == [0.0] * 80
    table = read(out, "predictions")
    assert [CLASSES[label] for label in found.test_labels] == table["label"].tolist()
    assert np.array_equal(found.test_probabilities, table[[f"probability_{name}" for name in CLASSES]])
    assert b"photos/train" not in (point_of(out) / "reference.npz").read_bytes()


@pytest.mark.parametrize("classes", [("0", "1"), ("007", "1e5"), ("NA", "true")])
def test_classes_photos_and_slices_stay_text(run: Callable[..., Path], classes: tuple[str, str]) -> None:
    found = Evaluation.load(run(classes))
    for name in ("predictions", "validation_predictions"):
        table = getattr(found, name)
        assert set(table["label"]) == set(table["predicted"]) == set(classes)
        assert ((table["label"] == table["predicted"]) == table["correct"]).all()
    assert tuple(found.class_scores["class"]) == tuple(found.confusion_matrix["actual"]) == classes
    assert set(found.roc["class"]) == {classes[1]}
    assert found.slices["slice"].map(type).eq(str).all()


def test_an_evaluation_survives_its_folder(out: Path, tmp_path: Path) -> None:
    figures = {path.name: path.read_bytes() for path in out.glob("plots/*.png")}
    Evaluation.load(out).save(tmp_path / "again", figures)
    for file in FILES:
        assert (tmp_path / "again" / file).read_bytes() == (out / file).read_bytes()


def test_a_lost_file_of_an_evaluation_is_told(out: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(out, tmp_path / "copy", ignore=shutil.ignore_patterns("roc.csv"))
    with pytest.raises(ConvLensError, match=r"Expected the table .*roc\.csv .*nothing there\. Run `dvc repro`"):
        Evaluation.load(copy)
