"""The scripts of `reproduce.yml` on the real pipeline: a change of what the report shows, then one that is worse."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
from pipeline.clone import Clone
from prepared_photos import write_prepared

from convlens.metrics.evaluation import Evaluation, Predictions
from convlens.params import load_params

CLASSES = ("cats", "dogs")
NUM_PHOTOS = 300  # of which a loss can be proven, other than of the eight of the tiny run


def compare(clone: Clone, revision: str) -> tuple[int, str]:
    """Exit code of the comparison, and the summary that follows."""
    code = clone.run("tools/ci/compare.sh", revision, check=False).returncode
    return code, clone.run("tools/ci/summary.sh").stdout


def test_a_pull_request_is_compared_with_its_base(clone: Clone) -> None:
    assert clone.repro() == []  # DVC compares content: a copied clone keeps its results
    clone.commit("Results")
    clone.run("git", "checkout", "--quiet", "-b", "idea")
    before = json.loads((clone.folder / "reports/evaluation/metrics.json").read_text())
    clone.change(report__num_correct=1)
    assert clone.repro() == ["check", "report", "register"]
    code, summary = compare(clone, "main")
    assert code == 0, summary
    assert "| report.num" in summary
    assert "REGRESSION" not in summary
    assert "0 died, 0 were born" in summary
    assert "Traceback" not in summary
    assert json.loads((clone.folder / "reports/evaluation/metrics.json").read_text()) == before
    for page in ("ci-results/comparison.html", "reports/report.html", "reports/feature_maps.html"):
        assert (clone.folder / page).is_file()

    write_test_photos(clone)
    write_evaluation(clone, num_correct=270)
    clone.commit("Results of many photos")
    write_evaluation(clone, num_correct=240)
    code, summary = compare(clone, "HEAD")
    assert code == 1, summary
    assert "REGRESSION" in summary
    assert "worse than" in summary
    assert "now wrong" in summary


def write_test_photos(clone: Clone) -> None:
    """Put many test photos in the place of the few, as `preprocess` would."""
    labels = np.arange(NUM_PHOTOS) % 2
    shutil.rmtree(clone.folder / "data/prepared")
    images = {"test": np.random.default_rng(0).integers(0, 256, (NUM_PHOTOS, 48, 48, 3), dtype=np.uint8)}
    write_prepared(clone.folder / "data/prepared", images, {"test": labels}, CLASSES)
    (clone.folder / "data/prepared/duplicates.json").write_text('{"groups": []}')
    clone.run("dvc", "commit", "--quiet", "--force", "preprocess")


def write_evaluation(clone: Clone, *, num_correct: int) -> None:
    """Say that so many of the test photos were classified correctly, as `evaluate` would."""
    labels = np.arange(NUM_PHOTOS) % 2
    truth = np.where(np.arange(NUM_PHOTOS) < num_correct, 0.9, 0.1)[:, np.newaxis]
    probabilities = np.where(np.eye(2)[labels] == 1, truth, 1 - truth)
    given = Predictions([f"test/{row}.png" for row in range(NUM_PHOTOS)], CLASSES, labels, probabilities)
    folder, settings = clone.folder / "reports/evaluation", load_params(clone.folder / "params.yaml").evaluate
    Evaluation.measure(given, settings, validation=given).save(folder)
    clone.run("dvc", "commit", "--quiet", "--force", "evaluate")


def test_the_store_can_be_carried_elsewhere(reproduced: Clone, tmp_path) -> None:
    bundle = tmp_path / "bundle"  # not of a copied clone: its store still names the artifacts of the first one
    reproduced.run("python", "tools/mlflow_bundle.py", str(bundle))
    with closing(sqlite3.connect(bundle / "mlflow.db")) as store:
        places = [place for (place,) in store.execute("SELECT artifact_uri FROM runs")]
        versions = store.execute("SELECT count(*) FROM model_versions").fetchone()
    assert places
    assert not any(Path(place).is_absolute() or ":" in place for place in places)
    assert all((bundle / place / "report.html").is_file() for place in places)
    assert versions == (1,)
