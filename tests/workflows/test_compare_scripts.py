"""`tools/ci/base.sh`, `compare.sh` and `summary.sh`: what a run is compared with, and what is told of it."""

import shutil

import pytest

PIPELINE = """\
stages:
  evaluate:
    cmd: cp threshold.txt reports/evaluation/predictions.csv
    deps: [threshold.txt]
    outs: [reports/evaluation/predictions.csv]
"""
SUMMARY = "# Results\n\n- [The report](report.html)\n\n## Test photos\n\nNine of ten.\n"
# In place of `convlens`: compares, and ends as VERDICT says; the real command runs in tests/pipeline.
CONVLENS = """\
#!/bin/sh
[ "${VERDICT:-0}" -lt 2 ] || { echo "Expected metrics. Received: none." >&2; exit 2; }
printf '### A title\\n<!-- convlens compare -->\\n\\n%s\\n' "$*"
exit "${VERDICT:-0}"
"""


@pytest.fixture
def clone(make_repository):
    """A branch that has left `main` where the results are committed, and a commit that `main` has gone on to."""
    clone = make_repository({"dvc.yaml": PIPELINE, "threshold.txt": "0.5\n", "reports/summary.md": SUMMARY})
    clone.stand_in("convlens", CONVLENS)
    clone.write("reports/evaluation/.gitignore", "/predictions.csv\n")
    clone.run("dvc", "repro", "--quiet")
    clone.commit("Results")
    clone.run("git", "checkout", "--quiet", "-b", "idea")
    clone.write("threshold.txt", "0.9\n")
    clone.commit("Idea")
    clone.run("git", "checkout", "--quiet", "main")
    clone.commit("Later")
    clone.run("git", "update-ref", "refs/remotes/origin/main", "HEAD")
    clone.run("git", "checkout", "--quiet", "idea")
    return clone


def lose_answers(clone, *, of_another_machine=False):
    """Empty the cache; let the lock of `main` name answers that are made nowhere here."""
    shutil.rmtree(clone.folder / ".dvc/cache")
    if of_another_machine:
        digest = clone.read("dvc.lock").split("md5: ")[-1].split()[0]
        clone.write("dvc.lock", clone.read("dvc.lock").replace(digest, "ab" * 16))
        clone.commit("Another machine")
    return clone.head()


class TestBase:
    @pytest.mark.parametrize(
        ("arguments", "variables", "expected"),
        [
            ((), {"GITHUB_BASE_REF": "main"}, "origin/main~1"),  # where the pull request left it, not where it is now
            ((), {"BEFORE": "origin/main"}, "origin/main"),  # what a push found
            ((), {"BEFORE": "0" * 40}, "origin/main~1"),  # the first push of a branch found nothing
            ((), {}, "origin/main~1"),
            (("idea~1",), {"BEFORE": "origin/main"}, "idea~1"),
        ],
    )
    def test_it_is_chosen(self, clone, arguments, variables, expected):
        if variables.get("BEFORE") == "origin/main":
            variables = {"BEFORE": clone.head("origin/main")}
        assert clone.run("tools/ci/base.sh", *arguments, **variables).stdout == clone.head(expected) + "\n"

    def test_answers_that_the_cache_lost_are_made_again(self, clone):
        lose_answers(clone)
        base = clone.head("main")
        told = clone.run("tools/ci/base.sh", base).stdout
        assert f"The cache has no answers of {base} to compare with: making them." in told
        assert told.endswith(f"\n{base}\n")  # they are the same as they were
        assert clone.run("tools/ci/base.sh", base).stdout == f"{base}\n"  # now they are at hand

    def test_answers_that_differ_on_this_machine_are_committed_beside_the_branch(self, clone):
        lost = lose_answers(clone, of_another_machine=True)
        made = clone.run("tools/ci/base.sh", lost).stdout.splitlines()[-1]
        assert clone.head(f"{made}^") == lost == clone.head("idea")
        assert clone.run("git", "diff", "--name-only", lost, made).stdout.split() == ["dvc.lock"]
        assert len(clone.run("git", "worktree", "list").stdout.splitlines()) == 1
        told = clone.run("tools/ci/compare.sh", made).stdout
        assert f"what commit {lost[:7]} gave when it was run again on this machine.\n" in told

    def test_answers_that_cannot_be_made_are_told(self, clone):
        clone.write("dvc.yaml", PIPELINE.replace("cp threshold", "cp nothing"))
        lost = lose_answers(clone, of_another_machine=True)
        told = clone.run("tools/ci/base.sh", lost).stdout
        assert f"The results of {lost} could not be made again.\n" in told
        assert f"\n{lost}\n" in told


class TestCompare:
    @pytest.mark.parametrize("verdict", [0, 1])
    def test_it_is_told_and_a_regression_fails(self, clone, verdict):
        done = clone.run("tools/ci/compare.sh", check=False, VERDICT=str(verdict))
        base = clone.head("main~1")
        assert done.returncode == verdict
        assert done.stdout == clone.read("ci-results/comparison.md")
        assert done.stdout.startswith(
            "### A title\n<!-- convlens compare -->\n\n`workspace` is what this run made, "
            f"`{base[:7]}` the commit that it is compared with.\n"
        )
        assert f"--html ci-results/comparison.html {base} workspace\n" in done.stdout
        assert clone.read("ci-results/base") == f"{base}\n"

    def test_a_revision_that_is_none_is_told_and_not_what_an_earlier_run_said(self, clone):
        for name in ("comparison.md", "comparison.html", "base"):
            clone.write(f"ci-results/{name}", "### Better: an earlier run\n")
        done = clone.run("tools/ci/compare.sh", "nosuch", check=False)
        assert done.returncode == 2
        assert done.stdout.startswith("Expected a Git revision to compare with. Received: 'nosuch', which is none here")
        told = clone.read("ci-results/comparison.md")
        assert told.startswith("### The results could not be compared\n<!-- convlens compare -->\n")
        assert "There is nothing to compare with" in told
        assert {path.name for path in (clone.folder / "ci-results").iterdir()} == {"comparison.md", "comparison.log"}

    def test_a_branch_that_has_nothing_in_common_is_told(self, clone):
        """As a pull request from an orphan branch: its pipeline has not stopped, and nothing says it had."""
        clone.run("git", "checkout", "--quiet", "--orphan", "other")
        clone.commit("Another start")
        done = clone.run("tools/ci/compare.sh", check=False, GITHUB_BASE_REF="main")
        assert done.returncode == 2
        assert "Expected a commit that this branch and main have in common. Received: none." in done.stdout
        assert clone.read("ci-results/comparison.md").startswith("### The results could not be compared")

    def test_a_comparison_that_fails_is_told(self, clone):
        done = clone.run("tools/ci/compare.sh", check=False, VERDICT="2")
        assert done.returncode == 2
        assert "    Expected metrics. Received: none.\n" in done.stdout


class TestSummary:
    def test_the_results_stand_below_the_comparison(self, clone):
        clone.write("ci-results/comparison.md", "### Better\n")
        told = clone.run("tools/ci/summary.sh", NOTE="A fork.").stdout
        assert told.startswith("A fork.\n\n### Better\n\n\n### Results\n\n\n#### Test photos\n\nNine of ten.\n")
        assert "report.html" not in told

    @pytest.mark.parametrize(
        ("log", "told"), [("0 %\rfailed\n", "    0 %\n    failed\n"), (None, "It was not reached")]
    )
    def test_a_pipeline_that_stopped_says_where_in_the_comment_too(self, clone, log, told):
        if log:
            clone.write("ci-results/repro.log", log)
        summary = clone.run("tools/ci/summary.sh").stdout
        assert summary.startswith(f"### The pipeline stopped\n<!-- convlens compare -->\n\n{told}")
        assert clone.read("ci-results/comparison.md") == summary
