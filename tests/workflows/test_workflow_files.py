"""What the workflows promise that no linter knows: who may write what, and that forks get nothing."""

import json
import re

import pytest
from pipeline.clone import ROOT
from ruamel.yaml import YAML

FILES = {path.stem: path for path in (ROOT / ".github/workflows").glob("*.yml")}
WORKFLOWS = {name: YAML(typ="safe").load(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
JOBS = {(name, job): body for name, workflow in WORKFLOWS.items() for job, body in workflow["jobs"].items()}
WRITES = {
    ("reproduce", "comment"): {"pull-requests"},
    ("reproduce", "commit"): {"actions", "contents", "statuses"},
    ("weekly", "tell"): {"issues"},
}
OWN = "github.event.pull_request.head.repo.full_name == github.repository"
FOREIGN = "github.event_name == 'pull_request' && github.event.pull_request.head.repo.full_name != github.repository"


def steps(workflow: str, job: str, using: str = "") -> list[dict]:
    return [step for step in JOBS[workflow, job]["steps"] if using in json.dumps(step)]


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_job_may_do_what_it_must_and_no_more(workflow, job):
    body = JOBS[workflow, job]
    assert WORKFLOWS[workflow]["permissions"] == {}
    assert not {"pull_request_target", "workflow_run"} & set(WORKFLOWS[workflow]["on"])  # forks would get secrets
    assert {scope for scope, access in body["permissions"].items() if access == "write"} == WRITES.get(
        (workflow, job), set()
    )
    assert body["timeout-minutes"] <= 240
    for step in body["steps"]:
        assert re.fullmatch(r"actions/[\w/-]+@[0-9a-f]{40}", step.get("uses", f"actions/none@{'0' * 40}"))
        assert "${{" not in step.get("run", "")  # what people type is a variable, never a part of a script
        assert step.get("run", "").count("\n") <= 3, "longer logic is a script in tools/ci"
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_what_a_fork_changes_runs_without_the_teams_machines_and_tokens():
    job = JOBS["reproduce", "reproduce"]
    assert job["runs-on"] == f"${{{{ {FOREIGN} && 'ubuntu-latest' || vars.RUNNER || 'ubuntu-latest' }}}}"
    assert job["env"]["FORK"] == f"${{{{ {FOREIGN} }}}}"
    assert f"(github.event_name != 'pull_request' || {OWN}) && contains(vars.RUNNER, 'gpu')" in job["env"]["GPU"]
    assert (
        JOBS["reproduce", "comment"]["if"] == f"${{{{ !cancelled() && github.event_name == 'pull_request' && {OWN} }}}}"
    )
    assert f"(github.event_name != 'pull_request' || {OWN})" in JOBS["reproduce", "commit"]["if"]
    assert [step["if"] for step in steps("reproduce", "reproduce", "remote.sh push")] == ["${{ env.FORK != 'true' }}"]


def test_only_the_default_branch_is_recorded_on_the_server():
    """There a version may become the champion that others pull."""
    given = {
        (workflow, job, name): str(value)
        for workflow, job in JOBS
        for step in steps(workflow, job)
        for name, value in step.get("env", {}).items()
        if name.startswith("MLFLOW_")
    }
    assert {workflow for workflow, *_ in given} == {"reproduce", "promote"}
    assert set(WORKFLOWS["promote"]["on"]) == {"workflow_dispatch"}
    recorded = [value for (workflow, *_), value in given.items() if workflow == "reproduce"]
    assert len(recorded) == 4
    assert all(
        re.fullmatch(r"\$\{\{ github\.ref == 'refs/heads/main' && (vars|secrets)\.\w+ \|\| '' \}\}", value)
        for value in recorded
    )


def test_a_regression_fails_when_everything_has_been_told():
    *_, last = steps("reproduce", "reproduce")
    (compare,) = steps("reproduce", "reproduce", "compare.sh")
    assert compare["continue-on-error"] is True
    assert (last["if"], last["run"].split()[-2:]) == ("${{ steps.compare.outcome == 'failure' }}", ["exit", "1"])


def test_what_a_stopped_run_keeps_has_a_name_of_its_own():
    """A key is taken for good: under its own, half of the work would be all that later runs ever find."""
    (save,) = steps("reproduce", "reproduce", "cache/save")
    assert "steps.reproduce.outcome != 'success' && format('-unfinished-" in save["with"]["key"]
    assert not steps("weekly", "from-zero", "cache")  # from nothing


def test_every_file_that_is_named_is_there_and_every_script_is_used():
    texts = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}
    scripts = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tools/ci").iterdir()}
    named = {name for text in texts.values() for name in re.findall(r"tools/ci/\w+\.\w+", text)}
    inside = {name for name in scripts for other in scripts - {name} if name in (ROOT / other).read_text()}
    assert named | inside == scripts
    outputs = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert [page for page in re.findall(r"^ +(reports/\S+)$", texts["reproduce"], re.M) if page not in outputs] == []
    (light,) = re.findall(r"^TRAINING = (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert [name for name in light.split() if not (ROOT / "tests" / name).is_dir()] == []  # test.yml leaves them out
