"""`make bundle`: the store opens where it is carried."""

import os
import subprocess
import sys

import pytest
from mlflow import MlflowClient
from pipeline.clone import ROOT


def bundle(*arguments, cwd):
    command = [sys.executable, str(ROOT / "tools/mlflow_bundle.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture
def store(tmp_path):
    """A store with a run in a folder that will be gone; what the run holds."""
    folder = tmp_path / "a place #1"
    folder.mkdir()
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("convlens", artifact_location=(folder / "mlartifacts").as_uri())
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "Cats or dogs?", "summary.md")
    client.set_terminated(run.info.run_id)
    return folder, run.info.run_id


def test_it_opens_elsewhere(store, tmp_path, monkeypatch):
    folder, run = store
    done = bundle(str(tmp_path / "bundle"), cwd=folder)
    assert done.returncode == 0, done.stderr
    os.rename(folder, tmp_path / "gone")
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "bundle").rename(elsewhere)
    monkeypatch.chdir(elsewhere)
    client = MlflowClient("sqlite:///mlflow.db")
    assert [found.path for found in client.list_artifacts(run)] == ["summary.md"]
    with open(client.download_artifacts(run, "summary.md")) as file:
        assert file.read() == "Cats or dogs?"
    assert str(folder).encode() not in (elsewhere / "mlflow.db").read_bytes()
    assert (elsewhere / "README.md").read_text().startswith("# An MLflow store to carry along")


def test_the_store_itself_stays_as_it_is(store, tmp_path):
    folder, _ = store
    before = (folder / "mlflow.db").read_bytes()
    bundle(str(tmp_path / "bundle"), cwd=folder)
    assert (folder / "mlflow.db").read_bytes() == before


def test_what_cannot_be_copied_is_told(tmp_path):
    absent = bundle("bundle", cwd=tmp_path)
    assert absent.returncode == 1
    assert absent.stderr.startswith("Expected an MLflow database. Received: mlflow.db, which is no file. `make repro`")
    (tmp_path / "mlflow.db").touch()
    full = bundle(".", cwd=tmp_path)
    assert full.returncode == 1
    assert full.stderr.startswith("Expected a new or empty folder. Received: ., which holds files.")
