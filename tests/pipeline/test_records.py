"""One complete MLflow run per training, however its results came here."""

import json
import os
import signal

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from pipeline.clone import EPOCHS, Clone, lose_training, stages_run

FILES = {
    *("report.html", "feature_maps.html", "summary.md", "model_card.md", "config/params.yaml", "config/dvc.lock"),
    *("evaluation/metrics.json", "training/history.csv", "validation/data_docs/index.html", "data/splits.csv"),
}


def store_of(clone: Clone) -> MlflowClient:
    return MlflowClient(f"sqlite:///{clone.folder}/mlflow.db")


def only_run(clone: Clone) -> Run:
    client = store_of(clone)
    (run,) = client.search_runs([found.experiment_id for found in client.search_experiments()])
    return client.get_run(run.info.run_id)


def check_complete(clone: Clone, run: Run, recorded: str) -> None:
    """Parameters, curves, metrics, data sets, files, models and the version: everything is there, and once."""
    client = store_of(clone)
    card = json.loads((clone.folder / "data/model/card.json").read_text())
    assert run.info.status == "FINISHED"
    assert (run.data.tags["convlens.key"], run.data.tags["convlens.recorded"]) == (card["key"], recorded)
    assert run.data.params["train.epochs"] == str(EPOCHS)
    for curve in ("curves/train_loss", "curves/validation_accuracy"):
        steps = [point.step for point in client.get_metric_history(run.info.run_id, curve)]
        assert sorted(steps) == list(range(1, EPOCHS + 1))  # those of a killed process may come later
    assert {"test/accuracy", "test/accuracy_low", "test/accuracy_high"} <= set(run.data.metrics)
    assert len(run.inputs.dataset_inputs) == 3
    assert {name for name in FILES if not (artifacts(clone, run) / name).is_file()} == set()
    assert list((artifacts(clone, run) / "images").glob("evaluation~confusion_matrix+step+0+*.png"))
    models = client.search_logged_models([run.info.experiment_id])
    assert sorted(model.name for model in models if model.source_run_id == run.info.run_id) == [
        "network",
        "photo_model",
    ]
    assert len(client.search_model_versions("name = 'tiny'")) == 1


def artifacts(clone: Clone, run: Run):
    return clone.folder / "mlartifacts" / run.info.run_id / "artifacts"


@pytest.fixture
def committed(clone: Clone) -> Clone:
    clone.commit("Results")
    return clone


def test_pulled_results_are_recorded_on_an_empty_server_and_again_if_deleted(committed, tmp_path):
    committed.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    committed.commit("Storage")
    committed.run("dvc", "push")
    committed.run("git", "clone", "--quiet", str(committed.folder), str(tmp_path / "second"))
    second = Clone(tmp_path / "second")
    second.run("dvc", "pull")
    assert second.repro() == ["check", "register"]
    run = only_run(second)
    check_complete(second, run, recorded="from files")
    assert "convlens.machine" not in run.data.tags  # it was trained elsewhere
    assert second.changed_files() == []
    assert second.repro() == []

    store_of(second).delete_run(run.info.run_id)
    second.run("dvc", "repro", "--force", "--single-item", "register")
    again = only_run(second)
    assert again.info.run_id != run.info.run_id
    check_complete(second, again, recorded="from files")


def test_a_lost_training_is_made_again_however_often_it_is_killed_and_recorded_live(committed):
    """Of a fresh clone without a remote all stages run; here only those that matter to the record have to."""
    model, history = committed.folder / "data/model/model.keras", committed.folder / "reports/training/history.csv"
    before = model.read_bytes(), history.read_bytes()
    lose_training(committed)
    for moment in (f"{EPOCHS} epochs over", f"epoch   1/{EPOCHS}", f"epoch   3/{EPOCHS}"):
        kill_after(committed, moment)
    told = committed.run("dvc", "repro").stdout
    assert stages_run(told) == ["train", "register"]
    assert f"epoch   {EPOCHS}/{EPOCHS}" in told
    assert f"epoch   2/{EPOCHS}" not in told
    assert (model.read_bytes(), history.read_bytes()) == before
    assert not list((committed.folder / ".convlens/checkpoints").glob("*"))
    run = only_run(committed)
    check_complete(committed, run, recorded="live")
    assert "processors" in run.data.tags["convlens.machine"]
    assert "system/cpu_utilization_percentage" in run.data.metrics
    assert run.data.tags["convlens.git_dirty"] == "false"
    assert not (artifacts(committed, run) / "config/changes.diff").exists()
    assert committed.changed_files() == []


def kill_after(clone: Clone, text: str) -> None:
    """Start the training, and kill all of it the hard way once it has told `text`."""
    with clone.start("dvc", "repro", "train") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if text in line:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_an_experiment_in_a_copy_of_the_repository_adds_to_the_same_run(committed):
    before = only_run(committed)
    change = "register.criteria.evaluation.accuracy.min=0.01"
    ran = committed.run("dvc", "exp", "run", "--temp", "--name", "aside", "-S", change).stdout
    assert stages_run(ran) == ["check", "report", "register"]  # the report says whether the criteria are met
    after = only_run(committed)
    assert after.info.run_id == before.info.run_id
    check_complete(committed, after, recorded="live")
    assert after.data.params["register.criteria.evaluation.accuracy.min"] == "0.0"
    assert json.loads(after.data.tags["convlens.changed_params"]) == {
        "register.criteria.evaluation.accuracy.min": "0.01"
    }
