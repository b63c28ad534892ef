import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lens_models import SIZE, residual
from PIL import Image
from robustness_inputs import make_label_errors, make_results

from convlens.data.validation import Validation
from convlens.errors import ConvLensError
from convlens.metrics.evaluation import Evaluation
from convlens.models.files import SNAPSHOTS, TrainingRun, encode_weights, save_timing
from convlens.params import Params, load_params
from convlens.stages.evaluate import evaluate
from convlens.stages.preprocess import preprocess
from convlens.stages.report import report

COUNT = 24


@pytest.fixture(scope="module")
def params() -> Params:
    values = load_params(Path(__file__).parents[2] / "params.yaml")
    small = {"image_size": SIZE, "num_workers": 1, "validation_fraction": 0.25, "test_fraction": 0.5,
             "near_duplicates": False}  # fmt: skip
    return values.model_copy(
        update={
            "preprocess": values.preprocess.model_copy(update=small),
            "report": values.report.model_copy(update={"num_correct": 3, "num_errors": 2, "max_filters": 6}),
        }
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Path:
    """Everything the stage reads, made by the stages before it where they are quick."""
    home = tmp_path_factory.mktemp("report")
    (home / "manifest").mkdir()
    manifest = pd.DataFrame([_write_photo(home, i) for i in range(COUNT)])
    expectation = {"expectation": "photos decode", "severity": "critical", "success": True, "observed": "all",
                   "expected": "all", "parameter": "validate.formats", "worst": []}  # fmt: skip
    result = {"success": True, "num_photos": COUNT, "num_usable": COUNT, "num_warnings": 0,
              "expectations": [expectation]}  # fmt: skip
    gallery = pd.DataFrame(columns=["path", "sha256", "flag", "thumbnail"], dtype=object)
    quarantine = pd.DataFrame(columns=["path", "label", "cause", "reason"])
    Validation(manifest, gallery, quarantine, result).save(home / "manifest", home / "reports/validation")
    manifest.to_parquet(home / "photos.parquet")
    preprocess(manifest=home / "manifest", prepared=home / "prepared", data=params.data, preprocess=params.preprocess)
    _write_training(home)
    evaluate(prepared=home / "prepared", photos=home / "photos.parquet", manifest=home / "manifest",
             model_folder=home / "model", operating_point=home / "operating_point",
             evaluation=home / "reports/evaluation", inference=params.inference,
             evaluate=params.evaluate)  # fmt: skip
    _write_robustness_and_label_errors(home / "reports")
    return home


def _write_photo(home: Path, index: int) -> dict[str, Any]:
    label = ("cats", "dogs")[index % 2]
    pixels = np.random.default_rng(index).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    path = home / "photos" / label / f"{index}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    content = path.read_bytes()
    return {
        "path": str(path), "label": label, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
        "split": "", "regions": [], "format": "PNG", "mode": "RGB", "frames": 1, "width": SIZE, "height": SIZE,
        "aspect": 1.0, "orientation": 1, "suffix_agrees": True, "decodes": True, "error": "", "brightness": 0.5,
        "contrast": 0.1, "sharpness": 500.0, "cause": "", "reason": "", "usable": True,
    }  # fmt: skip


def _write_training(home: Path) -> None:
    model = residual()
    card = {"key": "0" * 64, "architecture": "residual", "classes": ["cats", "dogs"],
            "image_size": SIZE, "keep_aspect": False, "resampling": "bicubic", "num_parameters": model.count_params(),
            "precision": "float32", "num_threads": 2, "device": "cpu", "epochs": 2, "best_epoch": 2,
            "data_digest": "0" * 64, "validation_loss": 0.6, "validation_accuracy": 0.6}  # fmt: skip
    history = [
        {"epoch": epoch, "image_size": SIZE, "learning_rate": 0.1, "train_loss": 0.8 - 0.1 * epoch,
         "train_accuracy": 0.5, "validation_loss": 0.6, "validation_accuracy": 0.6}
        for epoch in (1, 2)
    ]  # fmt: skip
    half = encode_weights([0.5 * values for values in model.get_weights()])
    reports = home / "reports/training"
    TrainingRun.save(home / "model", reports, network=model, card=card, history=history, snapshots={1: half})
    save_timing(
        reports, card["key"], [{"epoch": epoch, "photos_per_second": 9, "memory_megabytes": 500} for epoch in (1, 2)]
    )


def _write_robustness_and_label_errors(reports: Path) -> None:
    make_results().save(reports / "robustness")
    predictions = Evaluation.load(reports / "evaluation").predictions
    make_label_errors(predictions, 2).save(reports / "label_errors")


def _run(home: Path, target: Path, params: Params, **changes: Path) -> None:
    """Run the stage with a copy of what the stages before wrote into the folder of reports."""
    shutil.copytree(home / "reports", target, dirs_exist_ok=True)
    report(**{**_inputs(home), "reports": target, **changes}, params=params)


def _inputs(home: Path) -> dict[str, Path]:
    return {"manifest": home / "manifest", "prepared": home / "prepared", "model_folder": home / "model",
            "operating_point": home / "operating_point"}  # fmt: skip


@pytest.fixture(scope="module")
def written(home: Path, params: Params) -> Path:
    target = home / "out"
    _run(home, target, params)
    return target


def test_report_writes_exactly_its_files(written: Path, home: Path) -> None:
    found = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    names = [photo["name"].rsplit("/", 1)[-1] for photo in _page_data(written)["photos"]]
    folders = [f"{number:02d}-{name}" for number, name in enumerate(names, start=1)]
    layers = {f"feature_maps/{folder}/conv_{i}.png" for folder in folders for i in range(1, 5)}
    tables = {f"feature_maps/{name}.csv" for name in ("filters", "regions", "region_filters", "trust",
                                                      "over_time", "over_time_answers")}  # fmt: skip
    tables |= {f"feature_maps/over_time_{epoch:05d}.png" for epoch in (1, 2)}
    before = {path.relative_to(home / "reports").as_posix() for path in (home / "reports").rglob("*") if path.is_file()}
    assert found - before == layers | tables | {
        *("report.html", "feature_maps.html", "summary.md", "model_card.md"),
        *("feature_maps/maps_metrics.json", "training/curves.png", "training/speed.png"),
    }


def _page_data(written: Path) -> Any:
    text = (written / "feature_maps.html").read_text()
    return json.loads(text.split('id="page-data">')[1].split("</script>")[0])


def test_errors_come_first_then_correct_ones(written: Path, home: Path) -> None:
    text = (written / "feature_maps.html").read_text()
    data = json.loads(text.split('id="page-data">')[1].split("</script>")[0])
    photos = [(photo["name"], photo["group"], photo["truth"]) for photo in data["photos"]]
    assert [group for _, group, _ in photos] == sorted((group for _, group, _ in photos), reverse=True)
    predictions = Evaluation.load(home / "reports/evaluation").predictions
    confidence = predictions[["probability_cats", "probability_dogs"]].max(axis=1)
    wrong = predictions[~predictions["correct"]].assign(c=confidence)
    worst = wrong.sort_values(["c", "path"], ascending=[False, True])
    shown = [str(Path(path).relative_to(home / "photos")) for path in worst["path"].head(2)]  # below the source
    assert [name for name, group, _ in photos if group == "error"] == shown
    right = [truth for _, group, truth in photos if group == "correct"]
    assert len(right) == min(3, int(predictions["correct"].sum()))


def test_the_network_after_earlier_epochs_is_told(written: Path) -> None:
    layers = pd.read_csv(written / "feature_maps" / "over_time.csv")
    assert layers["epoch"].tolist() == [1] * 4 + [2] * 4
    assert layers["layer"].tolist() == [f"conv_{number}" for number in range(1, 5)] * 2
    now = layers[layers["epoch"] == 2]
    assert (now["correlation_low"] == 1).all()
    assert (now["formed"] == now["num_filters"] - now["dead"]).all()
    answers = pd.read_csv(written / "feature_maps" / "over_time_answers.csv")
    photos = _page_data(written)["photos"]
    kept = answers[answers["epoch"] == 2]
    assert kept["photo"].tolist() == [photo["name"] for photo in photos]
    found = kept[["probability_cats", "probability_dogs"]].to_numpy()
    np.testing.assert_allclose(found, [photo["probabilities"] for photo in photos], atol=1e-5)
    assert not np.allclose(answers[answers["epoch"] == 1]["probability_dogs"], kept["probability_dogs"])
    assert 'id="tab-time"' in (written / "feature_maps.html").read_text()


def test_without_snapshots_nothing_is_told_of_earlier_epochs(home: Path, params: Params, tmp_path: Path) -> None:
    shutil.copytree(home / "model", tmp_path / "model", ignore=shutil.ignore_patterns(SNAPSHOTS))
    _run(home, tmp_path / "out", params, model_folder=tmp_path / "model")
    page = (tmp_path / "out/feature_maps.html").read_text()
    assert not list((tmp_path / "out/feature_maps").glob("over_time*"))
    assert 'id="tab-time"' not in page
    assert '"group":"correct"' in page


def test_the_model_card_is_about_this_model(written: Path) -> None:
    text = (written / "model_card.md").read_text()
    assert text.startswith("# Model Card: Cats or dogs?\n")
    assert f"{COUNT} photos found" in text


def test_metrics_are_those_of_the_table(written: Path) -> None:
    table = pd.read_csv(written / "feature_maps" / "filters.csv", keep_default_na=False)
    metrics = json.loads((written / "feature_maps" / "maps_metrics.json").read_text())
    alive = table[~table["dead"]]
    trust = pd.read_csv(written / "feature_maps" / "trust.csv").set_index(["check", "of"])["value"]
    known = {name: metrics[name] for name in metrics if name.split("_")[0] in ("num", "share", "mean", "max")}
    assert metrics["deletion"] == pytest.approx(trust["deletion", "saliency"], abs=1e-6)
    assert metrics["insertion_edges"] == pytest.approx(trust["insertion", "edges"], abs=1e-6)
    assert metrics["rebuilt_difference"] == 0
    assert known.pop("max_arithmetic_error") < 1e-3
    assert (known.pop("num_regions"), known.pop("num_regions_found")) == (0, 0)
    assert known == {
        "num_filters": 28,
        "num_dead_filters": int(table["dead"].sum()),
        "share_dead_filters": pytest.approx(table["dead"].mean(), abs=1e-6),
        "num_rare_filters": int((alive["firing_rate"] < 0.01).sum()),
        "mean_selectivity": pytest.approx(alive["selectivity"].mean(), abs=1e-6),
        "max_selectivity": pytest.approx(alive["selectivity"].max()),
    }


def test_report_is_the_same_bytes_again(home: Path, params: Params, written: Path, tmp_path: Path) -> None:
    _run(home, tmp_path, params)
    files = [path for path in written.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        assert (tmp_path / path.relative_to(written)).read_bytes() == path.read_bytes(), path.name


def test_page_stays_small(home: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convlens.pages.feature_maps.maps.MAX_PAGE_BYTES", 20_000)
    _run(home, tmp_path, params)
    assert "to keep this page below 15 MB: " in (tmp_path / "feature_maps.html").read_text()


def test_missing_input_is_one_line_and_nothing_is_written(home: Path, params: Params, tmp_path: Path) -> None:
    shutil.copytree(home / "reports", tmp_path / "reports")
    (tmp_path / "reports/evaluation/predictions.csv").unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConvLensError, match=r"Expected .*predictions\.csv .*Received: nothing there"):
        report(**_inputs(home), reports=tmp_path / "reports", params=params)
    assert sorted(tmp_path.rglob("*")) == before
