"""Versions of data by DVC alone: ConvLens's own `ingest` in a small repository, nothing is trained."""

import re
from pathlib import Path

import pandas as pd
import pytest
from photo_files import ROOT, noise_photo, write_classes, write_photo
from pipeline.clone import Clone, stages_run

# The first stage as it is, and one that stands for all that follow from the list of photos.
PIPELINE = """\
stages:
  ingest:
    cmd: PYTHONPATH={code} python -m convlens.pipeline ingest --photos data/photos.parquet --raw data/raw
    deps: ["${{data.source}}"]
    params: [data]
    outs: [data/photos.parquet, data/raw]
  model:
    cmd: sha256sum data/photos.parquet > model.txt
    deps: [data/photos.parquet]
    outs: [model.txt]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Clone:
    """Photos under `dvc add`, a remote folder, everything committed and pushed."""
    folder = tmp_path / "first"
    write_classes(folder / "photos", {"cats": 3, "dogs": 2})
    (folder / "dvc.yaml").write_text(PIPELINE.format(code=ROOT / "src"))
    params = (ROOT / "params.yaml").read_text()
    (folder / "params.yaml").write_text(re.sub(r"source: data/cards/synthetic.yaml.*", "source: photos", params))
    clone = Clone(folder)
    clone.run("git", "init", "--quiet", "--initial-branch=main")
    clone.run("dvc", "init", "--quiet")
    (folder / "data").mkdir()
    clone.run("dvc", "add", "--quiet", "photos")
    clone.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    assert clone.repro() == ["ingest", "model"]
    clone.commit("Five photos")
    clone.run("dvc", "push")
    return clone


def test_photos_and_results_travel_and_their_versions_stay(repository: Clone, tmp_path: Path) -> None:
    first = repository.folder
    model = (first / "model.txt").read_bytes()
    second = tmp_path / "second"
    repository.run("git", "clone", "--quiet", str(first), str(second))
    clone = Clone(second)
    clone.run("dvc", "pull")
    assert (second / "model.txt").read_bytes() == model
    assert sorted(path.name for path in (second / "photos").rglob("*.png")) == sorted(
        path.name for path in (first / "photos").rglob("*.png")
    )
    assert clone.repro() == []
    assert clone.changed_files() == []

    write_photo(second / "photos/dogs/new.png", noise_photo("new"))
    told = clone.run("dvc", "diff").stdout.split()
    assert {"Added:", "photos/dogs/new.png", "Modified:", "photos/"} <= set(told)
    assert clone.repro() == ["ingest", "model"]
    assert len(pd.read_parquet(second / "data/photos.parquet")) == 6
    assert (second / "model.txt").read_bytes() != model
    clone.run("dvc", "add", "--quiet", "photos")
    clone.commit("A sixth photo")
    clone.run("dvc", "push")

    clone.run("git", "checkout", "--quiet", "HEAD~1")  # the day before: photos, list and model come back together
    clone.run("dvc", "checkout")
    assert (second / "model.txt").read_bytes() == model
    assert not (second / "photos/dogs/new.png").exists()
    assert clone.repro() == []


def test_the_run_cache_gives_back_what_was_computed_once(repository: Clone) -> None:
    """Photos taken away and put back: no stage computes again."""
    folder = repository.folder
    photo = folder / "photos/cats/000.png"
    kept = photo.read_bytes()
    photo.unlink()
    assert repository.repro() == ["ingest", "model"]
    photo.write_bytes(kept)
    output = repository.run("dvc", "repro").stdout
    assert stages_run(output) == []
    assert output.count("is cached - skipping run, checking out outputs") == 2
    assert "model.txt" not in repository.run("dvc", "status").stdout
