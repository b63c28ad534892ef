import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from external_model import make_reference, paint
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from small_training import KEY, PARAMS, demand, use_own_store, write_operating_point, write_training

import convlens
from convlens.errors import ConvLensError
from convlens.stages.register import register
from convlens.tracking import models
from convlens.tracking.access import open_with_reference, pull_model
from convlens.tracking.live import open_live_run
from convlens.tracking.promotion import MORE, roll_back, shorten_card

OTHER_KEY = "cd" * 32
ARTIFACTS = {
    "config/dvc.lock",
    "config/dvc.yaml",
    "config/environment.json",
    "config/params.yaml",
    "config/requirements.txt",
    "data/splits.csv",
    "feature_maps.html",
    "feature_maps/filters.csv",
    "robustness/curves.csv",
    "robustness/metrics.json",
    "robustness/places.csv",
    "label_errors/metrics.json",
    "label_errors/folds.csv",
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


def versions(root: Path) -> list[ModelVersion]:
    found = client(root).search_model_versions("name = 'convlens'")
    return sorted((client(root).get_model_version("convlens", each.version) for each in found), key=lambda v: v.version)


def artifacts(root: Path, run: Run) -> set[str]:
    """Names of all files but those of the grid of images, and of the evaluation, which must all be there."""
    folder = root / "mlartifacts" / run.info.run_id / "artifacts"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    reports = root / "reports"
    evaluation = {path.relative_to(reports).as_posix() for path in (reports / "evaluation").rglob("*.*")}
    assert {"evaluation/metrics.json", "evaluation/predictions.csv"} <= evaluation <= found
    return {name for name in found - evaluation if not name.startswith("images/")}


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
    register(**write_training(root), params=demand())
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
    register(**write_training(root), params=demand())
    assert aliases(root) == {"champion": "1"}
    assert verdict(root) == {
        "key": KEY,
        "model": "convlens",
        "passed": True,
        "criteria": [
            criterion("evaluation.accuracy", 1.0, 0.8, note="on 4 photos"),
            criterion("worst_slice", 1.0, None, note="brightness dark, 2 photos; of 2 slices"),
            criterion(
                "predicts_as_evaluated",
                1.0,
                1.0,
                note="the packaged model predicts 4 of 4 test photos as in the evaluation, "
                "within 0.001 of each probability",
            ),
            criterion(
                "predicts_when_served", 1.0, 1.0, note="served, it predicts 4 of 4 test photos as in the evaluation"
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
    register(**paths, params=demand())
    before, files = snapshot(root), artifacts(root, runs(root)[0])
    told = verdict(root)
    (root / "reports/registration.json").unlink()
    lock = root / "dvc.lock"
    lock.write_text(lock.read_text() + "  register:\n    cmd: register\n")  # DVC adds this when the stage ends
    register(**paths, params=demand())
    assert snapshot(root) == before
    assert artifacts(root, runs(root)[0]) == files
    assert verdict(root) == told


def test_continues_the_run_of_the_training(root: Path) -> None:
    with open_live_run(key=KEY, experiment="trials", params={"train.epochs": "24"}, name="live") as live:
        live.log_epoch(1, {"train_loss": 0.7, "validation_loss": 0.8})
    register(**write_training(root), params=demand())
    (run,) = runs(root)
    assert run.info.run_name == "live"
    steps = client(root).get_metric_history(run.info.run_id, "curves/train_loss")
    assert [metric.step for metric in steps] == [1, 2]
    assert {name: value for name, value in run.data.metrics.items() if not name.startswith("system/")} == METRICS


def test_deleted_run_is_made_anew_with_the_version_it_had(root: Path) -> None:
    paths = write_training(root)
    register(**paths, params=demand())
    (run,) = runs(root)
    client(root).delete_run(run.info.run_id)
    register(**paths, params=demand())
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
            register(**paths, params=demand())
    assert not (root / "reports/registration.json").exists()
    register(**paths, params=demand())
    (run,) = runs(root)
    assert artifacts(root, run) == ARTIFACTS
    assert run.data.metrics == METRICS
    store = client(root)
    assert [model.name for model in store.search_logged_models([run.info.experiment_id])] == ["photo_model", "network"]
    assert len(store.search_model_versions("name = 'convlens'")) == 1
    assert aliases(root) == {"champion": "1"}


def test_the_last_lines_say_which_model_is_used(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(**write_training(root), params=demand())
    assert capsys.readouterr().err.splitlines()[-1] == (
        "register: convlens version 1 has the alias 'champion'. Use it: convlens predict PHOTO"
    )
    register(**write_training(root, key=OTHER_KEY, threshold=0.2), params=demand())
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "register: convlens version 2 keeps the alias 'challenger'. `convlens predict` uses convlens version 1 "
        "(champion): cats, dogs; trained on synthetic (dddddddddddd).",
        "register: To use this one all the same: convlens predict --model models:/convlens@challenger PHOTO",
    ]


def test_version_below_the_demand_stays_challenger(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(**write_training(root, threshold=0.2), params=demand())  # 0.4 is a cat, called a dog: 3 of 4
    assert aliases(root) == {"challenger": "1"}
    assert verdict(root)["passed"] is False
    told = capsys.readouterr().err
    assert "evaluation.accuracy     0.7500  at least 0.8000  missed   on 4 photos\n" in told
    assert "register: 1 of 5 criteria is missed.\n" in told
    assert told.splitlines()[-2:] == [
        "register: convlens version 1 keeps the alias 'challenger'. convlens has no champion yet.",
        "register: To use this one all the same: convlens predict --model models:/convlens@challenger PHOTO",
    ]
    tags = client(root).get_model_version("convlens", "1").tags
    assert tags["convlens.verdict"] == "missed: evaluation.accuracy"
    assert tags["convlens.gate"] == (
        "evaluation.accuracy missed, 0.7500 (at least 0.8000); worst_slice passed, 0.5000; "
        "predicts_as_evaluated passed, 1.0000 (at least 1.0000); "
        "predicts_when_served passed, 1.0000 (at least 1.0000); "
        "no_worse_than_champion passed"
    )


def test_model_that_answers_otherwise_than_evaluated_stays_challenger(root: Path) -> None:
    paths = write_training(root)
    predictions = root / "reports/evaluation/predictions.csv"
    table = pd.read_csv(predictions)
    table.loc[0, ["probability_cats", "probability_dogs"]] = [0.9, 0.1]
    table.to_csv(predictions, index=False)
    register(**paths, params=demand())
    assert aliases(root) == {"challenger": "1"}
    assert [item["passed"] for item in verdict(root)["criteria"]] == [True, True, False, False, True]
    assert judged(root, "predicts_as_evaluated")["value"] == 0.75
    assert judged(root, "predicts_when_served") == criterion(
        "predicts_when_served",
        0.75,
        1.0,
        passed=False,
        note="served, it predicts 3 of 4 test photos as in the evaluation",
    )


def test_worse_version_leaves_the_champion(root: Path) -> None:
    register(**write_training(root), params=demand(0.5))
    register(**write_training(root, key=OTHER_KEY, threshold=0.2), params=demand(0.5))
    assert aliases(root) == {"champion": "1", "challenger": "2"}
    assert judged(root, "no_worse_than_champion") == criterion(
        "no_worse_than_champion",
        0.75,
        1.0,
        passed=False,
        note="on 4 photos; the champion's stored predictions; no difference that these photos can show: -25.0 points "
        "(-50.0 to +0.0, 95% paired interval; McNemar's exact test, p = 1.000)",
    )


def test_better_version_takes_over(root: Path) -> None:
    register(**write_training(root, threshold=0.2), params=demand(0.5))
    paths = write_training(root, key=OTHER_KEY)
    register(**paths, params=demand(0.5))
    assert aliases(root) == {"previous": "1", "champion": "2"}
    register(**paths, params=demand(0.5))
    assert aliases(root) == {"previous": "1", "champion": "2"}


def test_going_back_to_an_equal_training_moves_no_alias(root: Path) -> None:
    register(**write_training(root), params=demand())
    register(**write_training(root, key=OTHER_KEY), params=demand())
    assert aliases(root) == {"previous": "1", "champion": "2"}
    register(**write_training(root), params=demand())
    assert aliases(root) == {"previous": "1", "champion": "2"}


def test_changed_demand_is_judged_anew(root: Path) -> None:
    paths = write_training(root, threshold=0.2)
    register(**paths, params=demand(0.9))
    assert aliases(root) == {"challenger": "1"}
    register(**paths, params=demand(0.7))
    assert aliases(root) == {"champion": "1"}
    assert len(client(root).search_model_versions("name = 'convlens'")) == 1


def test_champion_is_asked_anew_about_other_photos(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(**write_training(root, threshold=0.2), params=demand(0.5))
    register(**write_training(root, key=OTHER_KEY, brightness=(0.15, 0.3, 0.7, 0.8)), params=demand(0.5))
    assert aliases(root) == {"previous": "1", "champion": "2"}
    held = judged(root, "no_worse_than_champion")
    assert held["minimum"] == 0.75
    assert held["note"].startswith("on 4 photos; the champion evaluated now; no difference")
    assert "it is evaluated on them now" in capsys.readouterr().err


def test_champion_is_asked_from_arrays_where_the_photos_are_gone(root: Path) -> None:
    register(**write_training(root, threshold=0.2), params=demand(0.5))
    paths = write_training(root, key=OTHER_KEY, brightness=(0.15, 0.3, 0.7, 0.8))
    (root / "photos/test/0.png").unlink()
    register(**paths, params=demand(0.5))
    assert judged(root, "no_worse_than_champion")["minimum"] == 0.75


def test_photos_the_champion_was_trained_on_do_not_count(root: Path) -> None:
    register(**write_training(root), params=demand(0.5))
    paths = write_training(root, key=OTHER_KEY, brightness=(0.15, 0.3, 0.7, 0.8))
    _claim_trained(root, 3)
    register(**paths, params=demand(0.5))
    assert judged(root, "no_worse_than_champion")["note"].startswith("on 1 photos")


def test_nothing_to_compare_with_leaves_the_champion(root: Path) -> None:
    register(**write_training(root), params=demand(0.5))
    paths = write_training(root, key=OTHER_KEY, brightness=(0.15, 0.3, 0.7, 0.8))
    _claim_trained(root, 4)
    register(**paths, params=demand(0.5))
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
    register(**paths, params=demand())
    (root / "params.yaml").write_text(PARAMS.read_text().replace("num_resamples: 2000", "num_resamples: 500"))
    register(**paths, params=demand())
    (run,) = runs(root)
    assert run.data.params["evaluate.num_resamples"] == "2000"
    assert json.loads(run.data.tags["convlens.changed_params"]) == {"evaluate.num_resamples": "500"}


def test_unreachable_server_is_told_within_seconds(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    with pytest.raises(ConvLensError) as told:
        register(**write_training(root), params=demand())
    assert "The training is safe; `dvc repro` completes the record" in str(told.value)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_file_store_is_refused_in_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(root / "mlruns"))
    with pytest.raises(ConvLensError, match=r"Expected the MLflow store .*mlruns to answer") as told:
        register(**write_training(root), params=demand())
    assert "\n" not in str(told.value)


def test_deleted_experiment_is_told(root: Path) -> None:
    paths = write_training(root)
    register(**paths, params=demand())
    client(root).delete_experiment(runs(root)[0].info.experiment_id)
    with pytest.raises(
        ConvLensError, match=r"Expected an active MLflow experiment 'trials'.*mlflow experiments restore"
    ):
        register(**paths, params=demand())


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ("data/prepared/card.json", "Expected prepared photos"),
        ("data/model/card.json", "card.json"),
        ("data/model/model.keras", "Expected a trained network at .*model.keras. Received: nothing there"),
        ("reports/evaluation/metrics.json", "Expected JSON in .*metrics.json .*nothing there"),
        ("reports/evaluation/predictions.csv", "Expected the table .*predictions.csv .*nothing there"),
        ("reports/training/history.csv", "Expected the table .*history.csv"),
        ("reports/validation/result.json", "Expected JSON in .*result.json"),
        ("requirements.txt", "Expected the lock file"),
    ],
)
def test_missing_result_is_told(root: Path, lost: str, told: str) -> None:
    paths = write_training(root)
    (root / lost).unlink()
    with pytest.raises(ConvLensError, match=told):
        register(**paths, params=demand())
    assert not (root / "reports/registration.json").exists()


def test_result_that_is_no_json_is_told(root: Path) -> None:
    paths = write_training(root)
    (root / "reports/evaluation/metrics.json").write_text("{")
    with pytest.raises(ConvLensError, match=r"Expected JSON in .*metrics.json"):
        register(**paths, params=demand())


def test_answers_to_other_photos_are_told(root: Path) -> None:
    paths = write_training(root)
    (root / "reports/evaluation/predictions.csv").write_text("path,label,predicted,correct\na.png,cats,cats,True\n")
    with pytest.raises(ConvLensError, match=r"Expected a prediction for each of 4 test photos. Received: 1"):
        register(**paths, params=demand())


def test_store_beside_spaces_and_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "my photos #1 100%"
    root.mkdir()
    use_own_store(root, monkeypatch)
    register(**write_training(root), params=demand())
    (run,) = runs(root)
    assert artifacts(root, run) == ARTIFACTS
    assert {path.name for path in tmp_path.iterdir()} == {root.name}


def test_store_is_the_repository_s_even_in_a_copy_of_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = root / ".dvc/tmp/exps/copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)  # as `dvc exp run --temp` does
    register(**write_training(copy), params=demand())
    assert len(runs(root)) == 1
    assert {path.name for path in copy.glob("ml*")} == set()


def test_mlflow_is_not_talkative(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        register(**write_training(root), params=demand())
    assert [record.getMessage() for record in caplog.records if record.name.startswith(("mlflow", "alembic"))] == []


# --- one version per training, operating point and packaged code ---


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes that look like numbers, and not like themselves when they are read as such."""
    monkeypatch.setattr("small_training.CLASSES", ("007", "1"))


@pytest.mark.usefixtures("numbered")
def test_classes_may_look_like_numbers(root: Path) -> None:
    register(**write_training(root, threshold=0.2), params=demand(0.5))
    register(**write_training(root, key=OTHER_KEY), params=demand(0.5))
    assert aliases(root) == {"previous": "1", "champion": "2"}
    held = judged(root, "no_worse_than_champion")
    assert (held["value"], held["minimum"]) == (1.0, 0.75)
    assert held["note"].startswith("on 4 photos; the champion's stored predictions")


def test_another_threshold_is_another_version_of_the_same_run(root: Path) -> None:
    paths = write_training(root)
    register(**paths, params=demand())
    write_operating_point(root / "data/operating_point", threshold=0.6)
    register(**paths, params=demand())
    assert len(runs(root)) == 1
    assert len(client(root).search_model_versions("name = 'convlens'")) == 2


def test_only_code_that_runs_in_the_model_makes_another_version(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_training(root)
    register(**paths, params=demand())
    before = snapshot(root)
    source = root / "source"
    shutil.copytree(Path(convlens.__file__).parent, source, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(convlens, "__file__", str(source / "__init__.py"))
    for name in ("tracking/gate.py", "cli/registry.py", "pages/model_card.py", "stages/register.py"):
        (source / name).write_text((source / name).read_text() + "\nCHANGED = True\n")
    for name in ("tracking/packaged_model.py", "models/classifier.py"):
        text = (source / name).read_text()
        (source / name).write_text(text.replace('"""', '"""Said otherwise. ', 1) + "\n# and a comment\n")
    register(**paths, params=demand())
    assert snapshot(root) == before
    with (source / "data/loader.py").open("a") as loader:
        loader.write("\nCHANGED = True\n")
    register(**paths, params=demand())
    assert len(runs(root)) == 1
    assert [version.aliases for version in versions(root)] == [["previous"], ["champion"]]


# --- criteria ---


def missed(root: Path) -> dict[str, str]:
    """Criteria of registration.json that are missed, and why."""
    criteria = json.loads((root / "reports/registration.json").read_text())["criteria"]
    return {item["name"]: item["note"] for item in criteria if not item["passed"]}


def test_every_file_is_held_against_its_criteria(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strict = demand(
        0.7,
        evaluation={"accuracy": {"min": 0.5, "end": "lower"}},
        robustness={"model_shift_consistency": {"min": 0.99}},
        label_errors={"num_suspicious": {"max": 2}},
        slices={"min_accuracy": 0.75},
    )
    register(**write_training(root, threshold=0.2), params=strict)
    assert missed(root) == {
        "evaluation.accuracy_low": "the lower end of its interval, on 4 photos",
        "robustness.model_shift_consistency": "",
        "label_errors.num_suspicious": "",
        "worst_slice": "brightness dark, 2 photos; of 2 slices",
    }
    assert aliases(root) == {"challenger": "1"}
    assert "register: 4 of 7 criteria are missed.\n" in capsys.readouterr().err


def test_an_unknown_metric_is_told_before_anything_is_recorded(root: Path) -> None:
    wrong = demand(robustness={"shift_consistency": {"min": 0.9}})
    with pytest.raises(ConvLensError) as told:
        register(**write_training(root), params=wrong)
    assert str(told.value) == (
        "Expected `register.criteria.robustness.shift_consistency` in params.yaml to name a metric of "
        "reports/robustness/metrics.json. Received: 'shift_consistency', which is none. "
        "Did you mean 'model_shift_consistency'? There are: model_shift_consistency."
    )
    assert client(root).search_registered_models() == []
    assert [item.name for item in client(root).search_experiments()] == ["Default"]


def test_who_was_rolled_back_does_not_come_back_by_itself(root: Path) -> None:
    register(**write_training(root, threshold=0.2), params=demand(0.5))
    paths = write_training(root, key=OTHER_KEY)
    register(**paths, params=demand(0.5))
    roll_back("convlens", "wrong at night")
    register(**paths, params=demand(0.5))  # the verdict stands
    assert aliases(root) == {"champion": "1"}
    register(**paths, params=demand(0.6))  # judged anew
    assert aliases(root) == {"champion": "1", "challenger": "2"}
    assert missed(root) == {"not_rolled_back": "it was rolled back: wrong at night"}


def test_a_model_that_could_not_be_served_is_asked_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("out of memory")

    paths = write_training(root)
    with monkeypatch.context() as broken:
        broken.setattr(models, "predict_served", fail)
        register(**paths, params=demand())
    assert missed(root) == {"predicts_when_served": "it does not predict when served: out of memory"}
    assert aliases(root) == {"challenger": "1"}
    register(**paths, params=demand())
    assert aliases(root) == {"champion": "1"}
    assert missed(root) == {}


def test_demands_are_recorded_in_a_form_that_comes_back_the_same() -> None:
    plain = demand(0.7, slices={"min_accuracy": 0.75, "end": "lower"}).register_.criteria.model_dump(mode="json")
    assert json.loads(json.dumps(plain)) == plain


# --- what goes with the model ---


def test_card_and_reference_statistics_come_home_with_the_model(root: Path, tmp_path: Path) -> None:
    paths, card = write_training(root), root / "reports/model_card.md"
    make_reference().save(paths["operating_point"])
    register(**paths, params=demand())
    assert client(root).get_model_version("convlens", "1").description == card.read_text()
    card.write_text("# Written anew\n")
    register(**paths, params=demand())
    assert client(root).get_model_version("convlens", "1").description == "# Written anew\n"

    pull_model("models:/convlens@champion", tmp_path / "pulled")
    pixels = paint(tmp_path / "photo.png", (0.8, 0.8, 0.8))
    for address in ("models:/convlens@champion", str(tmp_path / "pulled")):
        opened = open_with_reference(address)
        assert opened.note == ""
        assert opened.reference is not None
        assert opened.reference.key == opened.classifier.card["key"]
        assert opened.folder is not None
        assert {path.name for path in opened.folder.iterdir()} >= {
            *("model.keras", "card.json", "operating_point.json", "reference.npz"),
        }
        assert opened.classifier.predict([pixels])["label"].tolist() == ["dogs"]


def test_a_long_card_is_cut_between_sections() -> None:
    head, first, second = "# Card\n\n", "## One\n\n" + "a" * 300 + "\n\n", "## Two\n\n" + "b" * 300 + "\n"
    whole = head + first + second
    assert shorten_card(whole, len(whole)) == whole
    assert shorten_card(whole, len(whole) - 1) == (head + first).rstrip() + MORE
    assert shorten_card(whole, 200) == head.rstrip() + MORE
    assert len(shorten_card("x" * 9000, 500)) <= 500
