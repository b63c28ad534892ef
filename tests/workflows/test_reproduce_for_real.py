"""`reproduce.yml` with the real stages: a pull request that changes what the report shows, and nothing else."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from pipeline.clone import change_params, reproduce_once
from workflows.conftest import Team
from workflows.github import Event, GitHub


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The team, and the jobs of the pull request."""
    reproduced = reproduce_once(tmp_path_factory.getbasetemp())
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(reproduced.folder, folder / "clone", symlinks=True)
    clone = type(reproduced)(folder / "clone")
    clone.commit("Results")
    github = GitHub(folder / "github", clone.folder)
    shutil.copytree(clone.folder / ".dvc/cache", github.folder / "caches/dvc-Linux-main/.dvc/cache")
    team = Team(github, clone)
    main = team.head("main")
    commit = team.branch("shown", main, lambda folder: change_params(folder / "params.yaml", {"report.num_correct": 1}))
    return team, team.run("reproduce.yml", Event("pull_request", commit, branch="shown", base=main))


def test_no_difference_passes(shown):
    _, jobs = shown
    log = jobs["reproduce"].log
    assert {name: job.result for name, job in jobs.items()} == dict.fromkeys(
        ("reproduce", "comment", "commit"), "success"
    ), log
    assert "Running stage 'report'" in log
    assert "Running stage 'train'" not in log
    assert "Traceback" not in log


def test_it_says_what_changed(shown):
    _, jobs = shown
    assert "| report.num" in jobs["reproduce"].summary
    assert "REGRESSION" not in jobs["reproduce"].summary
    assert "0 died, 0 were born" in jobs["reproduce"].summary


def test_the_pages_and_the_store_can_be_had(shown):
    team, _ = shown
    pages = team.github.artifact("pages")
    assert pages >= {"ci-results/comparison.html", "reports/report.html", "reports/feature_maps.html"}
    folder = team.github.folder / "artifacts/mlflow"
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        places = [place for (place,) in store.execute("SELECT artifact_uri FROM runs")]
        versions = store.execute("SELECT count(*) FROM model_versions").fetchone()
    assert places
    assert all((folder / place / "report.html").is_file() for place in places)
    assert versions == (1,)


def test_the_numbers_stay(shown):
    team, _ = shown
    name = "reports/evaluation/metrics.json"
    before, after = (json.loads(team.github.git("show", f"{revision}:{name}")) for revision in ("main", "shown"))
    assert before == after
