"""The scripts of `reproduce.yml` on the real pipeline: a change of what the report shows, then one of the threshold."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.clone import Clone


def compare(clone: Clone) -> tuple[int, str]:
    """Exit code of the comparison with `main`, and the summary that follows."""
    code = clone.run("tools/ci/compare.sh", "main", check=False).returncode
    return code, clone.run("tools/ci/summary.sh").stdout


def test_a_pull_request_is_compared_with_its_base(clone: Clone) -> None:
    clone.commit("Results")
    clone.run("git", "checkout", "--quiet", "-b", "idea")
    before = json.loads((clone.folder / "reports/evaluation/metrics.json").read_text())

    clone.change(report__num_correct=1)
    assert clone.repro() == ["check", "report", "register"]
    code, summary = compare(clone)
    assert code == 0, summary
    assert "| report.num" in summary
    assert "REGRESSION" not in summary
    assert "0 died, 0 were born" in summary
    assert "Traceback" not in summary
    assert json.loads((clone.folder / "reports/evaluation/metrics.json").read_text()) == before
    for page in ("ci-results/comparison.html", "reports/report.html", "reports/feature_maps.html"):
        assert (clone.folder / page).is_file()

    clone.change(inference__threshold=0.999999)  # nearly everything is called by the first class's name
    assert "train" not in clone.repro()
    code, summary = compare(clone)
    assert code == 0, summary  # eight test photos cannot prove a loss; what they cannot exclude is told
    assert "REGRESSION" not in summary
    assert "points is not excluded" in summary
    assert "now wrong" in summary
    assert "| inference.threshold" in summary


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
