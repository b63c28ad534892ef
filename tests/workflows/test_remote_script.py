"""`tools/ci/remote.sh`: results come from a DVC remote and go there, if there is one."""

import shutil

import pytest

PIPELINE = "stages: {copy: {cmd: cp in.txt out.txt, deps: [in.txt], outs: [out.txt]}}\n"


@pytest.fixture
def clone(make_repository):
    clone = make_repository({"dvc.yaml": PIPELINE, "in.txt": "result\n"})
    clone.run("dvc", "repro", "--quiet")
    return clone


def test_without_one_the_cache_serves(clone):
    assert clone.run("tools/ci/remote.sh", "pull").stdout.startswith("No default remote: the cache of earlier runs")


def test_what_one_run_took_there_another_brings_with_credentials_that_do_not_stay(clone):
    secret = f"['remote \"team\"']\n    url = {clone.folder.parent}/remote\n[core]\n    remote = team"
    clone.run("tools/ci/remote.sh", "push", DVC_CONFIG_LOCAL=secret)
    shutil.rmtree(clone.folder / ".dvc/cache")
    (clone.folder / "out.txt").unlink()
    clone.run("tools/ci/remote.sh", "pull", DVC_CONFIG_LOCAL=secret)
    assert clone.read("out.txt") == "result\n"
    assert (clone.folder / ".dvc/cache/runs").is_dir()
    assert not (clone.folder / ".dvc/config.local").exists()


def test_one_that_does_not_answer_costs_no_run(clone):
    clone.write("file", "no folder\n")
    clone.run("dvc", "remote", "add", "--default", "team", str(clone.folder / "file"))
    told = clone.run("tools/ci/remote.sh", "push").stdout
    assert "::warning::The DVC remote 'team' did not serve: 'dvc push --run-cache' failed." in told
    assert clone.run("tools/ci/remote.sh", "fetch", check=False).returncode == 2
