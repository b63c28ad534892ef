"""`tools/ci/compare.sh` where there is nothing to compare with: it says so, and not what an earlier run said."""

import pytest
from pipeline.clone import Clone


@pytest.fixture
def clone(make_repository):
    """A repository with the comparison of an earlier run."""
    clone = Clone(make_repository({".gitignore": ".venv\n/ci-results/\n"}))
    (clone.folder / "ci-results").mkdir()
    for name in ("comparison.md", "comparison.html"):
        (clone.folder / "ci-results" / name).write_text("### Better: an earlier run\n")
    return clone


def told(clone):
    return (clone.folder / "ci-results/comparison.md").read_text()


def test_a_revision_that_is_none_is_told(clone):
    done = clone.run("tools/ci/compare.sh", "nosuch", check=False)
    assert done.returncode == 2
    assert done.stdout.startswith("Expected a Git revision to compare with. Received: 'nosuch', which is none here.\n")
    assert told(clone).startswith("### The results could not be compared\n<!-- convlens compare -->\n")
    assert "There is nothing to compare with" in told(clone)
    assert not (clone.folder / "ci-results/comparison.html").exists()
    assert not (clone.folder / "ci-results/base").exists()


def test_a_branch_that_has_nothing_in_common_is_told(clone):
    """As a pull request from an orphan branch: its pipeline has not stopped, and the summary does not say it had."""
    clone.run("git", "update-ref", "refs/remotes/origin/main", "HEAD")
    clone.run("git", "checkout", "--quiet", "--orphan", "other")
    clone.commit("Another start")
    done = clone.run("tools/ci/compare.sh", check=False, GITHUB_BASE_REF="main")
    assert done.returncode == 2
    assert "Expected a commit that this branch and main have in common. Received: none." in done.stdout
    assert told(clone).startswith("### The results could not be compared")
