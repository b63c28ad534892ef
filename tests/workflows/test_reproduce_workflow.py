"""`reproduce.yml` by running its steps: pull requests for the worse, for the better and from a fork, and a push."""

import json
import sqlite3
from contextlib import closing

import pytest
from ruamel.yaml import YAML
from workflows.conftest import WORKFLOWS
from workflows.expressions import fill_in
from workflows.github import Event
from workflows.runner import read_workflow, use_environment

MARKER = "<!-- convlens compare -->"
SECRETS = {f"MLFLOW_TRACKING_{name}": name for name in ("USERNAME", "PASSWORD", "TOKEN")}
PAGES = {"ci-results/comparison.html", "reports/report.html", "reports/feature_maps.html", "reports/model_card.md"}


def accuracy(team, revision):
    return json.loads(team.github.git("show", f"{revision}:reports/evaluation/metrics.json"))["accuracy"]


def answers(lock):
    """Digest of the answers that a dvc.lock names."""
    outputs = YAML(typ="safe").load(lock)["stages"]["evaluate"]["outs"]
    (entry,) = (output for output in outputs if output["path"].endswith("/predictions.csv"))
    return entry["md5"]


def outcomes(jobs):
    return {name: job.result for name, job in jobs.items()}


def told(jobs):
    return "\n".join(job.log for job in jobs.values())


class TestWorse:
    def test_it_fails_after_everything_was_told(self, worse):
        _, jobs = worse
        assert outcomes(jobs) == {"reproduce": "failure", "comment": "success", "commit": "success"}, jobs[
            "reproduce"
        ].log
        steps = [step["outcome"] for step in jobs["reproduce"].steps.values()]
        assert steps[-1] == "failure"
        assert jobs["reproduce"].steps["compare"]["outcome"] == "failure"
        assert steps.count("failure") == 2

    def test_the_reason_is_in_the_summary(self, worse):
        event, jobs = worse
        summary = jobs["reproduce"].summary
        assert "REGRESSION" in summary
        assert f"`workspace` is what this run made, `{event.base[:7]}` the commit that it is compared with." in summary
        assert "evaluate.threshold" in summary
        assert "fork" not in summary

    def test_the_comment_says_the_same(self, team, worse):
        first = team.github.state["comments"][0]["body"]
        assert MARKER in first
        # The next pull request has written it anew, if it has run by now: one comment, whatever happens.
        assert len(team.github.state["comments"]) == 1

    def test_only_what_changed_ran(self, worse):
        log = worse[1]["reproduce"].log
        assert "Running stage 'evaluate'" in log
        assert "Running stage 'train'" not in log
        assert "The cache has no answers" not in log

    def test_the_results_are_on_the_branch_with_their_verdict(self, team, worse):
        event, _ = worse
        head = team.head("worse")
        assert team.github.git("log", "-1", "--format=%s", head) == f"Results of {event.commit[:9]} [skip ci]"
        assert team.github.git("rev-parse", f"{head}^") == event.commit
        assert accuracy(team, head) < accuracy(team, event.commit) - 0.3
        changed = set(team.github.git("diff", "--name-only", event.commit, head).splitlines())
        assert "dvc.lock" in changed
        assert all(name == "dvc.lock" or name.startswith("reports/") for name in changed)
        (status,) = (found for found in team.github.state["statuses"] if found["commit"] == head)
        assert (status["context"], status["state"]) == ("reproduce", "failure")
        assert ["test.yml", "worse"] in team.github.state["workflows"]

    def test_what_is_kept_for_later_runs_holds_these_answers_and_those_of_the_base(self, team, worse):
        event, jobs = worse
        assert "WARNING: This will remove all cache except items used in the workspace" in jobs["reproduce"].log
        caches = [folder for folder in (team.github.folder / "caches").iterdir() if folder.name != "dvc-Linux-main"]
        kept = min(caches, key=lambda folder: folder.stat().st_mtime)  # the first one that was kept
        for revision in (event.base, team.head("worse")):
            digest = answers(team.github.git("show", f"{revision}:dvc.lock"))
            assert (kept / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).is_file()

    def test_the_pages_can_be_had(self, team, worse):
        pages = team.github.artifact("pages")
        assert pages >= PAGES
        assert any(name.startswith("reports/validation/data_docs/") for name in pages)

    def test_the_bundle_opens_elsewhere(self, team, worse):
        folder = team.github.folder / "artifacts/mlflow"
        with closing(sqlite3.connect(folder / "mlflow.db")) as database:
            (places,) = zip(*database.execute("SELECT artifact_uri FROM runs"), strict=True)
        assert all((folder / place / "report.html").is_file() for place in places)


class TestFork:
    def test_it_needs_no_token(self, forked):
        _, jobs = forked
        assert outcomes(jobs) == {"reproduce": "failure", "comment": "skipped", "commit": "skipped"}

    def test_the_summary_says_why_there_is_no_comment(self, forked):
        summary = forked[1]["reproduce"].summary
        assert summary.startswith("A pull request from a fork has a read-only token.")
        assert "REGRESSION" in summary

    def test_the_cache_of_the_first_run_served(self, forked):
        log = forked[1]["reproduce"].log
        assert "Running stage 'evaluate'" not in log
        assert "Running stage 'register'" in log


class TestBetter:
    def test_it_passes(self, better):
        assert outcomes(better[1]) == dict.fromkeys(("reproduce", "comment", "commit"), "success")
        assert "REGRESSION" not in better[1]["reproduce"].summary

    def test_the_comment_is_updated_in_place(self, team, better):
        (comment,) = team.github.state["comments"]
        assert "REGRESSION" not in comment["body"]
        assert "/team/convlens/actions/runs/42" in comment["body"]

    def test_the_results_are_on_the_branch(self, team, better):
        head = team.head("better")
        assert accuracy(team, head) > accuracy(team, better[0].base) + 0.3
        (status,) = (found for found in team.github.state["statuses"] if found["commit"] == head)
        assert status["state"] == "success"


class TestPushToTheDefaultBranch:
    def test_it_is_recorded_on_the_server_and_changes_nothing(self, team, merged):
        event, jobs = merged
        assert outcomes(jobs) == {"reproduce": "success", "comment": "skipped", "commit": "skipped"}, jobs[
            "reproduce"
        ].log
        assert team.head("main") == event.commit
        assert (team.github.folder / "server.db").is_file()
        assert "evaluate.threshold" in jobs["reproduce"].summary  # compared with what was there before the push


class TestStopped:
    def test_it_fails_and_says_where(self, team, stopped):
        assert outcomes(stopped) == {"reproduce": "failure", "comment": "success", "commit": "skipped"}
        assert stopped["reproduce"].summary.startswith("### The pipeline stopped\n")
        assert "failed to reproduce 'evaluate'" in stopped["reproduce"].summary
        (comment,) = team.github.state["comments"]
        assert comment["body"].startswith("### The pipeline stopped\n")

    def test_what_it_did_is_kept_until_a_run_has_done_all(self, team, stopped):
        """A key is taken for good: under its own, half of the work would be all that later runs ever find."""
        key = stopped["reproduce"].steps["cache"]["outputs"]["cache-primary-key"]
        kept = [folder.name for folder in (team.github.folder / "caches").glob(f"{key}*")]
        assert kept == [f"{key}-unfinished-42-1"]


@pytest.mark.parametrize(
    ("event", "label", "gpu"),
    [
        (Event("pull_request", "c" * 40), "gpu-large", "1"),
        (Event("pull_request", "c" * 40, fork=True), "ubuntu-latest", ""),
        (Event("push", "c" * 40), "gpu-large", "1"),
    ],
)
def test_the_runner_of_the_team_is_not_for_forks(event, label, gpu):
    job = read_workflow(WORKFLOWS / "reproduce.yml")["jobs"]["reproduce"]
    contexts = {"github": event.context, "vars": {"RUNNER": "gpu-large"}}
    functions = {"contains": lambda text, part: part in text}
    assert fill_in(job["runs-on"], contexts, functions) == label
    assert fill_in(job["env"]["GPU"], contexts, functions) == gpu


@pytest.mark.parametrize(
    ("event", "recorded"),
    [
        (Event("push", "c" * 40), True),
        (Event("workflow_dispatch", "c" * 40), True),
        (Event("workflow_dispatch", "c" * 40, branch="an-idea"), False),
        (Event("pull_request", "c" * 40, branch="an-idea"), False),
        (Event("pull_request", "c" * 40, branch="main", fork=True), False),
    ],
)
def test_only_the_default_branch_is_recorded_on_the_server(event, recorded):
    """There a version may become the champion that others pull."""
    steps = read_workflow(WORKFLOWS / "reproduce.yml")["jobs"]["reproduce"]["steps"]
    (step,) = (step for step in steps if step.get("name") == "Reproduce")
    contexts = {"github": event.context, "vars": {"MLFLOW_TRACKING_URI": "https://m"}, "secrets": SECRETS}
    given = {fill_in(value, contexts, {}) for value in step["env"].values()}
    assert given == ({"https://m", *SECRETS.values()} if recorded else {""})


@pytest.mark.parametrize(
    ("changed", "runs"),
    [
        ("README.md", False),
        ("docs/feature_maps.png", False),
        ("params.yaml", True),
        ("src/convlens/training/fit.py", True),
        ("data/cards/synthetic.yaml", True),
        ("requirements.txt", True),
    ],
)
@pytest.mark.parametrize("event", ["pull_request", "push"])
def test_what_starts_it(changed, runs, event):
    from workflows.triggers import starts

    assert starts(read_workflow(WORKFLOWS / "reproduce.yml"), event, branch="main", changed=[changed]) is runs


def test_a_change_of_the_readme_does_not_run(team):
    main = team.head("main")
    commit = team.branch("words", main, lambda folder: (folder / "README.md").write_text("# Words\n"))
    assert team.run("reproduce.yml", Event("pull_request", commit, branch="words", base=main)) == {}
    assert team.run("reproduce.yml", Event("push", commit, branch="words", base=main)) == {}


def test_answers_of_the_base_that_the_cache_lost_are_made_again(team, tmp_path):
    """On a new runner: here the base's lock names answers that are nowhere, as those of another machine are."""

    def lose(folder):
        text = (folder / "dvc.lock").read_text()
        (folder / "dvc.lock").write_text(text.replace(answers(text), "ab" * 16))

    lost = team.branch("lost", "origin/main", lose)
    team.clone.run("git", "checkout", "--quiet", "--force", "--detach", "origin/main")
    use_environment(team.clone.folder, team.github.folder / "programs")
    done = team.clone.run("tools/ci/base.sh", lost)
    made = done.stdout.splitlines()[-1]
    assert f"The cache has no answers of {lost} to compare with: making them." in done.stdout
    assert team.clone.run("git", "rev-parse", f"{made}^").stdout.strip() == lost
    assert team.clone.run("git", "diff", "--name-only", lost, made).stdout.split() == ["dvc.lock"]
    true = answers(team.github.git("show", "main:dvc.lock"))
    assert answers(team.clone.run("git", "show", f"{made}:dvc.lock").stdout) == true != "ab" * 16
    assert len(team.clone.run("git", "worktree", "list").stdout.splitlines()) == 1
    assert team.clone.run("tools/ci/base.sh", made).stdout.strip() == made  # now they are at hand
