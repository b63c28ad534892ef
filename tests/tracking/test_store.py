import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from small_training import use_own_store

from convlens.environment import hide_passwords
from convlens.errors import ConvLensError
from convlens.tracking import store
from convlens.tracking.store import (
    brief_requests,
    database_path,
    describe_failure,
    ensure_experiment,
    open_store,
    store_must_answer,
    tracking_uri,
)

SOURCE = Path(__file__).parents[2] / "src"
FIRST_USE = """
from convlens.tracking.runs import find_or_create_run
from convlens.tracking.store import open_store
print(find_or_create_run(open_store(), experiment="trials", key="k" * 64).info.run_id)
"""


def test_uri_is_absolute_and_at_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("DVC_ROOT", "/elsewhere")
    assert tracking_uri() == "sqlite:////elsewhere/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri() == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", " ")
    assert tracking_uri() == "sqlite:////elsewhere/mlflow.db"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////a/b.db", Path("/a/b.db")),
        ("http://localhost:5000", None),
        ("postgresql://u@h/d", None),
    ],
)
def test_only_local_databases_have_a_path(uri: str, path: Path | None) -> None:
    assert database_path(uri) == path


def test_artifacts_lie_beside_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_own_store(tmp_path, monkeypatch)
    opened = open_store()
    number = ensure_experiment(opened, "trials")
    assert ensure_experiment(opened, "trials") == number
    assert opened.client.get_experiment(number).artifact_location == (tmp_path / "mlartifacts").as_uri()


def test_a_new_database_is_there_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of one, as Ctrl-C in the first seconds of the first training leaves, would be refused for ever."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    for left in ("runs.db.part", "runs.db.part-journal"):
        (tmp_path / left).write_bytes(b"what a killed process left")
    moved: list[tuple[bool, int]] = []
    replace = os.replace

    def watch(source: Path, target: Path) -> None:
        with closing(sqlite3.connect(source)) as database:
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'experiments'").fetchone()
        moved.append((target.exists(), tables))
        replace(source, target)

    monkeypatch.setattr(store.os, "replace", watch)
    found = open_store().client.search_experiments()
    assert moved == [(False, 1)]
    assert [experiment.name for experiment in found] == ["Default"]
    assert {path.name for path in tmp_path.iterdir()} == {"runs.db", ".convlens"}
    open_store()
    assert len(moved) == 1


def test_two_first_uses_do_not_race(tmp_path: Path) -> None:
    environment = {**os.environ, "DVC_ROOT": str(tmp_path), "PYTHONPATH": str(SOURCE)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-c", FIRST_USE]
    started = [
        subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    finished = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], finished
    assert len({out for out, _ in finished}) == 1
    assert len(MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["1"])) == 1


def test_requests_are_brief_unless_the_user_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with brief_requests(seconds=3, retries=1):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_passwords_are_not_shown() -> None:
    assert hide_passwords("postgresql://me:secret@host/db") == "postgresql://…@host/db"
    assert describe_failure(OSError("cannot reach https://me:secret@host/x\nmore")) == "cannot reach https://…@host/x"
    assert describe_failure(OSError()) == "OSError"


def test_failures_of_the_store_become_one_line() -> None:
    with pytest.raises(ConvLensError) as told, store_must_answer("http://me:secret@host", "Start it."):
        raise OSError("gone")
    assert str(told.value) == "Expected the MLflow store http://…@host to answer. Received: gone Start it."
