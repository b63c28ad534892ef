from pathlib import Path

import pytest
from mlflow import MlflowClient
from small_training import use_own_store

from convlens.tracking.runs import add_epochs, find_durations, find_or_create_run
from convlens.tracking.store import open_store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    use_own_store(tmp_path, monkeypatch)
    return open_store()


def test_the_seconds_of_all_epochs_add_up(store) -> None:
    for key, experiment in (("aa", "one"), ("bb", "two")):
        run = find_or_create_run(store, experiment=experiment, key=key)
        add_epochs(store, run, [(1, {"seconds": 1.5}), (2, {"seconds": 2.0 if key == "aa" else 4.0})])
    find_or_create_run(store, experiment="one", key="timeless")
    assert find_durations(["aa", "bb", "timeless", "unknown"]) == {"aa": 3.5, "bb": 5.5}


def test_no_store_is_no_failure_and_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert find_durations(["aa"]) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert find_durations(["aa"]) == {}
