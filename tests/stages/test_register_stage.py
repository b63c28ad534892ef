import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from small_training import KEY, demand, use_own_store, write_training

from convlens.errors import ConvLensError
from convlens.metrics.evaluation import CONFUSION, TABLES
from convlens.stages.register import register
from convlens.tracking.live import open_live_run

OTHER_KEY = "cd" * 32
ARTIFACTS = {
    "config/dvc.lock",
    "config/dvc.yaml",
    "config/environment.json",
    "config/params.yaml",
    "config/requirements.txt",
    "data/splits.csv",
    "evaluation/metrics.json",
    "evaluation/plots/confusion_matrix.png",
    *(f"evaluation/{file}" for file in (CONFUSION, *(file for file, _ in TABLES.values()))),
    "feature_maps.html",
    "feature_maps/filters.csv",
    "robustness/curves.csv",
    "robustness/metrics.json",
    "label_errors/metrics.json",
    "label_errors/photos.csv",
    "model_card.md",
    "registration.json",
    "report.html",
    "summary.md",
    "training/history.csv",
    "training/timing.csv",
    "validation/data_docs/index.html",
    "validation/result.json",
}
METRICS = {
    "curves/image_size": 16.0,
    "curves/learning_rate": 0.05,
    "curves/photos_per_second": 12.0,
    "curves/seconds": 1.5,
    "curves/train_loss": 0.5,
    "curves/validation_loss": 0.6,
    "robustness/model_shift_consistency": 0.98,
    "label_errors/num_suspicious": 3.0,
    "test/accuracy": 1.0,
    "test/accuracy_low": 0.4,
    "test/num_photos": 4.0,
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a store of its own."""
    use_own_store(tmp_path, monkeypatch)
    return tmp_path


def client(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root}/mlflow.db")


def runs(root: Path) -> list[Run]:
    store = client(root)
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    return [store.get_run(run.info.run_id) for run in store.search_runs(experiments)]


def artifacts(root: Path, run: Run) -> set[str]:
    """Names of all files but those of the grid of images."""
    folder = root / "mlartifacts" / run.info.run_id / "artifacts"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("images/")}


def aliases(root: Path) -> dict[str, str]:
    found: dict[str, str] = client(root).get_registered_model("convlens").aliases
    return {name: str(version) for name, version in found.items()}


def criterion(name: str, value: float | None, minimum: float | None, *, note: str, passed: bool = True) -> dict:
    return {"name": name, "value": value, "minimum": minimum, "maximum": None, "passed": passed, "note": note}


def judged(root: Path, name: str) -> dict[str, Any]:
    (found,) = [item for item in verdict(root)["criteria"] if item["name"] == name]
    return dict(found)


def verdict(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "reports/registration.json").read_text())
    return content


def snapshot(root: Path) -> tuple[Any, ...]:
    """Everything that a second call must leave as it is."""
    store, (run,) = client(root), runs(root)
    histories = {
        name: [(m.step, m.value, m.timestamp) for m in store.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    (version,) = store.search_model_versions("name = 'convlens'")
    return run.data.params, run.data.tags, histories, run.inputs, run.outputs, version.tags, aliases(root)


def test_run_is_complete(root: Path) -> None:
    register(**write_training(root), register=demand())
    (run,) = runs(root)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"residual {KEY[:8]}"
    assert run.data.metrics == METRICS
    assert artifacts(root, run) == ARTIFACTS
    assert run.data.params["train.optimizer"] == "conv_muon"
    assert run.data.params["register.criteria.evaluation.accuracy.min"] == "0.8"
    assert run.data.tags["convlens.key"] == KEY
    assert run.data.tags["convlens.num_parameters"] == "4"
    assert run.data.tags["convlens.data_checks"] == "12 of 13 photos usable, 0 of 1 checks passed"
    assert run.data.tags["mlflow.note.content"] == (root / "reports/summary.md").read_text()
    steps = client(root).get_metric_history(run.info.run_id, "curves/train_loss")
    assert [(metric.step, metric.value) for metric in steps] == [(1, 0.7), (2, 0.5)]
    inputs = {(item.dataset.name, item.tags[0].value) for item in run.inputs.dataset_inputs}
    assert inputs == {("flat train", "training"), ("flat validation", "validation"), ("flat test", "testing")}
    assert {item.dataset.digest for item in run.inputs.dataset_inputs} == {"d" * 8}
    assert {json.loads(item.dataset.source)["uri"] for item in run.inputs.dataset_inputs} == {"data/cards/flat.yaml"}


def test_first_good_version_is_champion(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(**write_training(root), register=demand())
    assert aliases(root) == {"champion": "1"}
    assert verdict(root) == {
        "key": KEY,
        "model": "convlens",
        "passed": True,
        "criteria": [
            criterion("evaluation.accuracy", 1.0, 0.8, note="on 4 photos"),
            criterion("worst_slice", 1.0, None, note="brightness dark, 2 photos; of 2 slices"),
            criterion(
                "answers_as_evaluated",
                1.0,
                1.0,
                note="the packaged model answers 4 of 4 test photos as in the evaluation, "
                "within 0.001 of each probability",
            ),
            criterion(
                "answers_when_served", 1.0, 1.0, note="over HTTP 4 of 4 test photos answered as in the evaluation"
            ),
            criterion("no_worse_than_champion", None, None, note="there is no champion yet"),
        ],
    }
    told = capsys.readouterr().err
    assert "convlens version 1 has the alias 'champion'." in told
    assert "register: evaluation.accuracy     1.0000  at least 0.8000  passed   on 4 photos\n" in told
    assert "register: All 5 criteria are met.\n" in told
    (run,) = runs(root)
    kept = root / "mlartifacts" / run.info.run_id / "artifacts/registration.json"
    assert kept.read_bytes() == (root / "reports/registration.json").read_bytes()


def test_second_call_adds_nothing(root: Path) -> None:
    paths = write_training(root)
    register(**paths, register=demand())
    before, files = snapshot(root), artifacts(root, runs(root)[0])
    told = verdict(root)
    (root / "reports/registration.json").unlink()
    lock = root / "dvc.lock"
    lock.write_text(lock.read_text() + "  register:\n    cmd: register\n")  # DVC adds this when the stage ends
    register(**paths, register=demand())
    assert snapshot(root) == before
    assert artifacts(root, runs(root)[0]) == files
    assert verdict(root) == told


def test_continues_the_run_of_the_training(root: Path) -> None:
    with open_live_run(key=KEY, experiment="trials", params={"train.epochs": "24"}, name="live") as live:
        live.log_epoch(1, {"train_loss": 0.7, "validation_loss": 0.8})
    register(**write_training(root), register=demand())
    (run,) = runs(root)
    assert run.info.run_name == "live"
    steps = client(root).get_metric_history(run.info.run_id, "curves/train_loss")
    assert [metric.step for metric in steps] == [1, 2]
    assert {name: value for name, value in run.data.metrics.items() if not name.startswith("system/")} == METRICS


def test_deleted_run_is_made_anew_with_the_version_it_had(root: Path) -> None:
    paths = write_training(root)
    register(**paths, register=demand())
    (run,) = runs(root)
    client(root).delete_run(run.info.run_id)
    register(**paths, register=demand())
    (fresh,) = runs(root)
    assert fresh.info.run_id != run.info.run_id
    assert artifacts(root, fresh) == ARTIFACTS
    assert len(client(root).search_model_versions("name = 'convlens'")) == 1


@pytest.mark.parametrize(
    "last",
    [
        "log_inputs",
        "log_artifacts",
        "set_terminated",
        "log_model_artifacts",
        "create_model_version",
        "set_model_version_tag",
    ],
)
def test_interrupted_call_is_completed_by_the_next(root: Path, monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    paths = write_training(root)

    def fail(*_: Any, **__: Any) -> None:
        raise MlflowException("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, last, fail)
        with pytest.raises(ConvLensError, match="the disk is full"):
            register(**paths, register=demand())
    assert not (root / "reports/registration.json").exists()
    register(**paths, register=demand())
    (run,) = runs(root)
    assert artifacts(root, run) == ARTIFACTS
    assert run.data.metrics == METRICS
    store = client(root)
    assert [model.name for model in store.search_logged_models([run.info.experiment_id])] == ["photo_model", "network"]
    assert len(store.search_model_versions("name = 'convlens'")) == 1
    assert aliases(root) == {"champion": "1"}


def test_version_below_the_demand_stays_challenger(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(**write_training(root, threshold=0.2), register=demand())  # 0.4 is a cat, called a dog: 3 of 4
    assert aliases(root) == {"challenger": "1"}
    assert verdict(root)["passed"] is False
    told = capsys.readouterr().err
    assert "evaluation.accuracy     0.7500  at least 0.8000  missed   on 4 photos\n" in told
    assert "register: 1 of 5 criteria is missed.\n" in told
    assert "convlens version 1 keeps the alias 'challenger'." in told
    tags = client(root).get_model_version("convlens", "1").tags
    assert tags["convlens.verdict"] == "missed: evaluation.accuracy"
    assert tags["convlens.gate"] == (
        "evaluation.accuracy missed, 0.7500 (at least 0.8000); worst_slice passed, 0.5000; "
        "answers_as_evaluated passed, 1.0000 (at least 1.0000); answers_when_served passed, 1.0000 (at least 1.0000); "
        "no_worse_than_champion passed"
    )


def test_model_that_answers_otherwise_than_evaluated_stays_challenger(root: Path) -> None:
    paths = write_training(root)
    predictions = root / "reports/evaluation/predictions.csv"
    table = pd.read_csv(predictions)
    table.loc[0, ["probability_cats", "probability_dogs"]] = [0.9, 0.1]
    table.to_csv(predictions, index=False)
    register(**paths, register=demand())
    assert aliases(root) == {"challenger": "1"}
    assert [item["passed"] for item in verdict(root)["criteria"]] == [True, True, False, False, True]
    assert judged(root, "answers_as_evaluated")["value"] == 0.75
    assert judged(root, "answers_when_served") == criterion(
        "answers_when_served",
        0.75,
        1.0,
        passed=False,
        note="over HTTP 3 of 4 test photos answered as in the evaluation",
    )


def test_worse_version_leaves_the_champion(root: Path) -> None:
    register(**write_training(root), register=demand(0.5))
    register(**write_training(root, key=OTHER_KEY, threshold=0.2), register=demand(0.5))
    assert aliases(root) == {"champion": "1", "challenger": "2"}
    assert judged(root, "no_worse_than_champion") == criterion(
        "no_worse_than_champion",
        0.75,
        1.0,
        passed=False,
        note="on 4 photos; the champion's stored answers; no difference that these photos can show: -25.0 points "
        "(-50.0 to +0.0, 95% paired interval; McNemar's exact test, p = 1.000)",
    )


def test_better_version_takes_over(root: Path) -> None:
    register(**write_training(root, threshold=0.2), register=demand(0.5))
    paths = write_training(root, key=OTHER_KEY)
    register(**paths, register=demand(0.5))
    assert aliases(root) == {"previous": "1", "champion": "2"}
    register(**paths, register=demand(0.5))
    assert aliases(root) == {"previous": "1", "champion": "2"}


def test_going_back_to_an_equal_training_moves_no_alias(root: Path) -> None:
    register(**write_training(root), register=demand())
    register(**write_training(root, key=OTHER_KEY), register=demand())
    assert aliases(root) == {"previous": "1", "champion": "2"}
    register(**write_training(root), register=demand())
    assert aliases(root) == {"previous": "1", "champion": "2"}


def test_changed_demand_is_judged_anew(root: Path) -> None:
    paths = write_training(root, threshold=0.2)
    register(**paths, register=demand(0.9))
    assert aliases(root) == {"challenger": "1"}
    register(**paths, register=demand(0.7))
    assert aliases(root) == {"champion": "1"}
    assert len(client(root).search_model_versions("name = 'convlens'")) == 1


def test_champion_is_asked_anew_about_other_photos(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(**write_training(root, threshold=0.2), register=demand(0.5))
    register(**write_training(root, key=OTHER_KEY, brightness=(0.15, 0.3, 0.7, 0.8)), register=demand(0.5))
    assert aliases(root) == {"previous": "1", "champion": "2"}
    held = judged(root, "no_worse_than_champion")
    assert held["minimum"] == 0.75
    assert held["note"].startswith("on 4 photos; the champion evaluated anew; no difference")
    assert "it is evaluated anew on them" in capsys.readouterr().err


def test_champion_is_asked_from_arrays_where_the_photos_are_gone(root: Path) -> None:
    register(**write_training(root, threshold=0.2), register=demand(0.5))
    paths = write_training(root, key=OTHER_KEY, brightness=(0.15, 0.3, 0.7, 0.8))
    (root / "photos/test/0.png").unlink()
    register(**paths, register=demand(0.5))
    assert judged(root, "no_worse_than_champion")["minimum"] == 0.75


def test_photos_the_champion_was_trained_on_do_not_count(root: Path) -> None:
    register(**write_training(root), register=demand(0.5))
    paths = write_training(root, key=OTHER_KEY, brightness=(0.15, 0.3, 0.7, 0.8))
    _claim_trained(root, 3)
    register(**paths, register=demand(0.5))
    assert judged(root, "no_worse_than_champion")["note"].startswith("on 1 photos")


def test_nothing_to_compare_with_leaves_the_champion(root: Path) -> None:
    register(**write_training(root), register=demand(0.5))
    paths = write_training(root, key=OTHER_KEY, brightness=(0.15, 0.3, 0.7, 0.8))
    _claim_trained(root, 4)
    register(**paths, register=demand(0.5))
    assert aliases(root) == {"champion": "1", "challenger": "2"}
    assert "was trained on all of these test photos" in judged(root, "no_worse_than_champion")["note"]


def _claim_trained(root: Path, num_photos: int) -> None:
    """Make the champion's stored record say that it was trained on the first of the present test photos."""
    splits = pd.read_csv(root / "data/prepared/splits.csv")
    test = splits[splits["split"] == "test"].head(num_photos).assign(split="train")
    (run,) = runs(root)
    stored = root / "mlartifacts" / run.info.run_id / "artifacts/data/splits.csv"
    pd.concat([pd.read_csv(stored), test]).to_csv(stored, index=False)


def test_changed_report_parameters_are_noted(root: Path) -> None:
    paths = write_training(root)
    register(**paths, register=demand())
    text = paths["params"].read_text()
    paths["params"].write_text(text.replace("num_resamples: 2000", "num_resamples: 500"))
    register(**paths, register=demand())
    (run,) = runs(root)
    assert run.data.params["evaluate.num_resamples"] == "2000"
    assert json.loads(run.data.tags["convlens.changed_params"]) == {"evaluate.num_resamples": "500"}


def test_unreachable_server_is_told_within_seconds(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    with pytest.raises(ConvLensError) as told:
        register(**write_training(root), register=demand())
    assert "The training is safe; `dvc repro` completes the record" in str(told.value)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_file_store_is_refused_in_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(root / "mlruns"))
    with pytest.raises(ConvLensError, match=r"Expected the MLflow store .*mlruns to answer") as told:
        register(**write_training(root), register=demand())
    assert "\n" not in str(told.value)


def test_deleted_experiment_is_told(root: Path) -> None:
    paths = write_training(root)
    register(**paths, register=demand())
    client(root).delete_experiment(runs(root)[0].info.experiment_id)
    with pytest.raises(
        ConvLensError, match=r"Expected an active MLflow experiment 'trials'.*mlflow experiments restore"
    ):
        register(**paths, register=demand())


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ("data/prepared/card.json", "Expected prepared photos"),
        ("data/model/card.json", "Expected the result .*card.json. Received: nothing there. Run `dvc repro`"),
        ("data/model/model.keras", "Expected a trained network at .*model.keras. Received: nothing there"),
        ("reports/evaluation/metrics.json", "Expected the result .*metrics.json"),
        (
            "reports/evaluation/predictions.csv",
            "Expected the table .*predictions.csv .* nothing there",
        ),
        ("reports/training/history.csv", "Expected the training's history"),
        ("reports/validation/result.json", "Expected JSON in .*result.json"),
        ("requirements.txt", "Expected the lock file"),
        ("params.yaml", "Expected a YAML file"),
    ],
)
def test_missing_result_is_told(root: Path, lost: str, told: str) -> None:
    paths = write_training(root)
    (root / lost).unlink()
    with pytest.raises(ConvLensError, match=told):
        register(**paths, register=demand())
    assert not (root / "reports/registration.json").exists()


def test_result_that_is_no_json_is_told(root: Path) -> None:
    paths = write_training(root)
    (root / "reports/evaluation/metrics.json").write_text("{")
    with pytest.raises(ConvLensError, match=r"Expected JSON in .*metrics.json"):
        register(**paths, register=demand())


def test_answers_to_other_photos_are_told(root: Path) -> None:
    paths = write_training(root)
    (root / "reports/evaluation/predictions.csv").write_text("path,label,predicted,correct\na.png,cats,cats,True\n")
    with pytest.raises(ConvLensError, match=r"Expected a prediction for each of 4 test photos. Received: 1"):
        register(**paths, register=demand())


def test_store_beside_spaces_and_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "my photos #1 100%"
    root.mkdir()
    use_own_store(root, monkeypatch)
    register(**write_training(root), register=demand())
    (run,) = runs(root)
    assert artifacts(root, run) == ARTIFACTS
    assert {path.name for path in tmp_path.iterdir()} == {root.name}


def test_store_is_the_repository_s_even_in_a_copy_of_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = root / ".dvc/tmp/exps/copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)  # as `dvc exp run --temp` does
    register(**write_training(copy), register=demand())
    assert len(runs(root)) == 1
    assert {path.name for path in copy.glob("ml*")} == set()


def test_mlflow_is_not_talkative(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        register(**write_training(root), register=demand())
    assert [record.getMessage() for record in caplog.records if record.name.startswith(("mlflow", "alembic"))] == []
