"""`weekly.yml` by running its steps: numbers that hold, numbers that moved, an issue that is kept up to date."""

import json

import pytest
from pipeline.clone import Clone
from workflows.conftest import WORKFLOWS
from workflows.github import Event, GitHub
from workflows.runner import read_workflow, run_workflow

TITLE = "The default branch does not reproduce its numbers"
# In place of tools/from_zero.sh, which makes a user and downloads a gigabyte.
STAND_IN = """\
#!/usr/bin/env bash
set -euo pipefail
case "$1" in "$HOME"/* | "$RUNNER_TEMP"/*) echo "The new user may not enter $1" >&2; exit 1 ;; esac
git clone --quiet . "$1/convlens"
mkdir -p "$1/convlens/.venv/bin"
for program in dvc python; do ln -s "$(command -v $program)" "$1/convlens/.venv/bin/$program"; done
cd "$1/convlens"
case "{outcome}" in
    stops) echo "validate: too many photos cannot be read"; exit 1 ;;
    moved) sed -i 's/0.9/0.8/' numbers.json ;;
    rounded) sed -i 's/0.9/0.9001/' numbers.json ;;
    looks) echo 'print("`docs/page.png` is not what its page looks like now."); exit(1)' > tools/pictures.py ;;
esac
echo "from zero: make repro: 3 min 2 s"
"""


@pytest.fixture
def github(tmp_path, make_repository):
    source = make_repository({"numbers.json": json.dumps({"accuracy": 0.9}), "dvc.yaml": "metrics: [numbers.json]\n"})
    (source / "tools/pictures.py").write_text("import sys; sys.exit(sys.argv[1:] != ['--check'])\n")
    Clone(source).commit("Pictures")
    return GitHub(tmp_path / "github", source)


def run(github, tmp_path, outcome):
    clone = tmp_path / f"clone-{outcome}"
    github.git("clone", "--quiet", str(github.origin), str(clone))
    script = clone / "tools/from_zero.sh"
    script.write_text(STAND_IN.replace("{outcome}", outcome))
    script.chmod(0o755)
    made = Clone(clone)
    made.commit("Stand-in")
    owner = github.folder / "owner"
    owner.mkdir(exist_ok=True)
    (owner / "may-push").touch()
    made.run(
        "git", "push", "--quiet", "origin", "HEAD:main", STUB_GH=str(owner), STUB_PERMISSIONS='{"contents": "write"}'
    )
    commit = github.git("rev-parse", "main")
    return run_workflow(github, WORKFLOWS / "weekly.yml", Event("schedule", commit))


def test_an_issue_is_opened_updated_and_closed(github, tmp_path):
    def opened():
        return [(issue["title"], issue["open"]) for issue in github.state.get("issues", [])]

    jobs = run(github, tmp_path, "rounded")
    assert {name: job.result for name, job in jobs.items()} == dict.fromkeys(("from-zero", "tell"), "success"), [
        job.log for job in jobs.values()
    ]
    assert opened() == []
    assert "The numbers and the pictures are the committed ones." in jobs["from-zero"].summary
    assert "make repro: 3 min 2 s" in jobs["from-zero"].summary

    jobs = run(github, tmp_path, "moved")
    assert opened() == [(TITLE, True)]
    assert "| numbers.json | accuracy | 0.9 | 0.8 |" in github.state["issues"][0]["body"]
    assert "| numbers.json | accuracy | 0.9 | 0.8 |" in jobs["from-zero"].summary

    jobs = run(github, tmp_path, "looks")
    assert {job.result for job in jobs.values()} == {"success"}
    assert opened() == [(TITLE, True)]
    assert "`docs/page.png` is not what its page looks like now." in github.state["issues"][0]["body"]
    assert "accuracy" not in github.state["issues"][0]["body"]

    jobs = run(github, tmp_path, "stops")
    assert jobs["from-zero"].result == "failure"
    assert opened() == [(TITLE, True)]
    assert "too many photos cannot be read" in github.state["issues"][0]["body"]

    run(github, tmp_path, "holds")
    assert opened() == [(TITLE, False)]


def test_it_uses_no_cache():
    workflow = read_workflow(WORKFLOWS / "weekly.yml")
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert not [step for step in steps if "cache" in step.get("uses", "") or "cache" in step.get("with", {})]
