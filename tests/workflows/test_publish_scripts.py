"""`tools/ci/comment.sh`, `collect.sh`, `push_results.sh` and `moved_issue.sh`: what is put on GitHub."""

import pytest

RUN = {"RUN_URL": "https://github.example/runs/42", "GITHUB_REPOSITORY": "team/convlens", "GH_REPO": "team/convlens"}
# Pushes are for who has told Git of the token; a protected branch takes none.
HOOK = """\
#!/bin/sh
grep -q '^auth setup-git$' "$STANDS_IN/asked" || { echo "could not read Username" >&2; exit 1; }
[ ! -e "$STANDS_IN/protected" ]
"""


@pytest.fixture
def clone(make_repository):
    return make_repository({"dvc.lock": "before\n", "reports/metrics.json": "0.8\n", "params.yaml": "threshold: 0.5\n"})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", "api --silent --method POST repos/team/convlens/issues/7/comments --field body=@comparison.md"),
        ("3\n5\n", "api --silent --method PATCH repos/team/convlens/issues/comments/5 --field body=@comparison.md"),
    ],
)
def test_one_comment_is_written_and_then_updated(clone, answer, expected):
    (clone.programs / "answer").write_text(answer)
    clone.write("comparison.md", "### Better\n<!-- convlens compare -->\n")
    clone.run("tools/ci/comment.sh", "comparison.md", PULL_REQUEST="7", **RUN)
    search, written = clone.asked
    assert search.startswith("api --paginate repos/team/convlens/issues/7/comments --jq ")
    assert '.user.type == "Bot" and (.body | contains("<!-- convlens compare -->"))' in search
    assert written == expected
    assert clone.read("comparison.md").endswith("[artifacts of this run](https://github.example/runs/42).\n")


@pytest.mark.parametrize(
    ("moved", "known", "expected"),
    [
        ("accuracy", "", "issue create --title The default branch does not reproduce its numbers --body-file moved.md"),
        ("accuracy", "9\n", "issue edit 9 --body-file moved.md"),
        ("", "9\n", f"issue close 9 --comment The numbers are reproduced again: {RUN['RUN_URL']}"),
        ("", "", None),
    ],
)
def test_one_issue_is_open_while_numbers_moved(clone, moved, known, expected):
    (clone.programs / "answer").write_text(known)
    clone.write("moved.md", moved)
    clone.run("tools/ci/moved_issue.sh", "moved.md", **RUN)
    assert clone.asked[0].startswith("issue list --state open ")
    assert clone.asked[1:] == ([expected] if expected else [])
    assert clone.read("moved.md") == (f"accuracy\n\nFrom nothing, in {RUN['RUN_URL']}.\n" if moved else "")


@pytest.fixture
def pushed(clone):
    """Pushes what a run has changed to the branch `idea`, as two jobs do; what is said, and the branch's commit."""
    origin = clone.folder.parent / "origin.git"
    clone.run("git", "clone", "--quiet", "--bare", str(clone.folder), str(origin))
    (origin / "hooks/pre-receive").write_text(HOOK)
    (origin / "hooks/pre-receive").chmod(0o755)
    clone.run("git", "remote", "add", "origin", str(origin))

    def push(tested=None):
        output = clone.folder.parent / "output"
        clone.run("tools/ci/collect.sh", GITHUB_OUTPUT=str(output))
        assert output.read_text() == "changed=true\n"
        clone.run("git", "reset", "--quiet", "--hard")
        given = {"BRANCH": "idea", "TESTED": tested or clone.head(), "VERDICT": "failure", **RUN}
        told = clone.run("tools/ci/push_results.sh", "ci-results/results.patch", **given).stdout
        return told, clone.run("git", "ls-remote", str(origin), "refs/heads/idea").stdout[:40]

    return push


def test_results_are_committed_with_their_verdict(clone, pushed):
    tested = clone.head()
    clone.write("dvc.lock", "after\n")
    clone.write("reports/new.json", "0.9\n")
    clone.write("params.yaml", "threshold: 0.7\n")  # no result
    _, commit = pushed()
    assert clone.run("git", "log", "-1", "--format=%s", commit).stdout == f"Results of {tested[:9]} [skip ci]\n"
    assert clone.head(f"{commit}^") == tested
    assert clone.run("git", "diff", "--name-only", tested, commit).stdout.split() == ["dvc.lock", "reports/new.json"]
    status, tests = clone.asked[1:]
    assert status.startswith(
        f"api --silent --method POST repos/team/convlens/statuses/{commit} --field context=reproduce"
    )
    assert "--field state=failure" in status
    assert tests == "workflow run test.yml --ref idea"


def test_a_branch_that_moved_on_is_left_alone(clone, pushed):
    clone.write("dvc.lock", "after\n")
    told, commit = pushed(tested="c" * 40)
    assert told.startswith("::notice::idea has moved on since ccc")
    assert (commit, clone.asked) == ("", [])


def test_a_protected_branch_costs_no_run(clone, pushed):
    (clone.programs / "protected").touch()
    clone.write("dvc.lock", "after\n")
    told, commit = pushed()
    assert "::warning::idea does not take the results" in told
    assert (commit, clone.asked) == ("", ["auth setup-git"])


def test_without_a_change_there_is_nothing_to_push(clone):
    output = clone.folder.parent / "output"
    clone.run("tools/ci/collect.sh", GITHUB_OUTPUT=str(output))
    assert not output.exists()
    assert clone.read("ci-results/results.patch") == ""
