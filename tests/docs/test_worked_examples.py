"""The worked examples of CONTRIBUTING.md are performed on a copy of the repository in which the pipeline has run."""

import shutil

import pytest
from docs.blocks import ROOT, Block, read_blocks
from docs.examples import change_text, perform
from pipeline.clone import Clone

EXAMPLES = ("Add a stage", "Add an architecture", "Add an expectation", "Add a view of the feature-map page")
BLOCKS = read_blocks("CONTRIBUTING.md")


def steps(section: str) -> list[Block]:
    return [block for block in BLOCKS if block.section == section]


@pytest.mark.parametrize("section", EXAMPLES)
def test_the_example_can_be_followed(section: str, reproduced: Clone, tmp_path) -> None:
    if "node " in "".join(block.text for block in steps(section)) and shutil.which("node") is None:
        pytest.skip("Node is not installed; the page's modules are tested with it.")
    ignored = shutil.ignore_patterns("mlartifacts", "mlflow.db*", "cache" if section != EXAMPLES[0] else "")
    shutil.copytree(reproduced.folder, tmp_path / "convlens", symlinks=True, ignore=ignored)
    clone = Clone(tmp_path / "convlens")
    shutil.copy(ROOT / "params.yaml", clone.folder)  # whose layout tests look at; the results stay
    told = "".join(perform(block, clone) for block in steps(section))
    assert " passed" in told
    assert "All checks passed!" in told


@pytest.mark.parametrize("section", EXAMPLES)
def test_the_example_has_code_a_test_and_commands(section: str) -> None:
    marks = [block.mark for block in steps(section)]
    assert any(mark.startswith(("new file: src/", "change: src/")) for mark in marks)
    assert any(mark.startswith(("new file: tests/", "change: tests/")) for mark in marks)
    assert any(block.is_run for block in steps(section))


def test_changes_are_applied_where_they_fit() -> None:
    assert change_text("a\nb\nc\n", " a\n-b\n+B\n@@\n c\n+d\n") == "a\nB\nc\nd\n"
    assert change_text("x = [1, 2]  # y\n", "-… 1, …\n+… 0, 1, …\n") == "x = [0, 1, 2]  # y\n"
    with pytest.raises(ValueError, match="is not there"):
        change_text("a\n", " b\n+c\n")
    with pytest.raises(ValueError, match="is there 2 times"):
        change_text("a\na\n", " a\n+c\n")
