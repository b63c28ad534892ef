"""A local store belongs to its folder: renamed, copied, and two copies at work."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from small_training import demand, use_own_store, write_photo, write_training

from convlens.errors import ConvLensError
from convlens.stages.register import register
from convlens.tracking.access import open_with_reference, predict_photos, pull_model
from convlens.tracking.places import claim_artifacts
from convlens.tracking.registry import find_alias
from convlens.tracking.store import ensure_experiment, open_store

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and a champion in it."""
    root = tmp_path_factory.mktemp("store") / "first place"
    root.mkdir()
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_own_store(root, monkeypatch)
        register(**write_training(root), params=demand())
    return root


@pytest.fixture
def copied(registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which this process works."""
    root = tmp_path / "second #place"
    shutil.copytree(registered, root)
    work_in(root, monkeypatch)
    return root


def work_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def files(root: Path) -> dict[str, int]:
    there = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {path.relative_to(root).as_posix(): path.stat().st_mtime_ns for path in there}


def mentions(database: Path, text: str) -> bool:
    with closing(sqlite3.connect(database)) as opened:
        return any(text in line for line in opened.iterdump())


def predict(root: Path) -> list[str]:
    write_photo(root / "bright.png", 0.9)
    model = open_with_reference("models:/convlens@champion")
    return list(predict_photos(model, [root / "bright.png"], {})["label"])


def champion() -> int:
    found = find_alias(open_store(), "convlens", "champion")
    return int(found.version) if found else 0


def test_a_renamed_folder_keeps_its_models(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a copy whose original is gone, twice, with a link to it as the working directory at last."""
    open_store()
    renamed = copied.with_name("third")
    copied.rename(renamed)
    work_in(renamed, monkeypatch)
    assert predict(renamed) == ["dogs"]
    assert pull_model("models:/convlens@champion", renamed / "mine").name == "convlens version 1 (champion)"
    assert (renamed / "mine/MLmodel").is_file()
    assert not copied.exists()
    assert not mentions(renamed / "mlflow.db", "second%20%23place")
    assert "was moved or copied from" in capfd.readouterr().err
    link = copied.with_name("link")
    link.symlink_to(renamed)
    work_in(link, monkeypatch)
    assert predict(link) == ["dogs"]
    assert capfd.readouterr().err == ""  # it is the same folder


def test_two_copies_work_in_their_own_folders(registered: Path, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(registered)
    register(**write_training(copied, key="cd" * 32), params=demand())
    assert files(registered) == before
    assert predict(copied) == ["dogs"]
    assert champion() == 2
    work_in(registered, monkeypatch)
    assert champion() == 1
    assert predict(registered) == ["dogs"]
    ensure_experiment(open_store(), "trials")
    assert not mentions(registered / "mlflow.db", "second%20%23place")


def test_addresses_of_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_own_store(tmp_path, monkeypatch)
    client = open_store().client
    moved = "file:///old/mlartifacts"
    places = ("s3://bucket/mlartifacts", "file:///old/mlartifacts2", "/elsewhere/runs", moved)
    for number, place in enumerate(places):
        client.create_experiment(f"trial {number}", artifact_location=place)
    claim_artifacts(tmp_path / "mlflow.db")
    after = {each.name: each.artifact_location for each in client.search_experiments() if each.name != "Default"}
    here = (tmp_path / "mlartifacts").as_uri()
    assert [after[f"trial {number}"] for number in range(4)] == [*places[:3], here]


def test_files_that_are_gone_are_told(copied: Path) -> None:
    shutil.rmtree(copied / "mlartifacts")
    with pytest.raises(ConvLensError, match=r"Expected the files of convlens version 1 .* without MLmodel"):
        pull_model("models:/convlens@champion", copied / "mine")
    assert not (copied / "mine").exists()


def test_a_server_starts_with_the_right_addresses(copied: Path) -> None:
    """As `make ui` does, which does not go through our code."""
    command = [sys.executable, "-m", "convlens.tracking.places", f"sqlite:///{copied}/mlflow.db"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(SOURCE)})
    with closing(sqlite3.connect(copied / "mlflow.db")) as database:
        found = database.execute("SELECT artifact_uri FROM runs").fetchall()
    assert all(address.startswith((copied / "mlartifacts").as_uri()) for (address,) in found)
    subprocess.run([*command[:-1], "http://127.0.0.1:5000"], check=True, env={**os.environ, "PYTHONPATH": str(SOURCE)})
