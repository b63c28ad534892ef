import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from convlens.params import flatten_params
from convlens.tracking import environment as git
from convlens.tracking.environment import (
    CHANGES_TAG,
    describe_changes,
    digest_changes,
    epoch_metrics,
    evaluation_metrics,
    git_tags,
)


def test_params_are_flat_texts() -> None:
    nested = {"train": {"epochs": 3, "optimizer": "adam", "sizes": [{"until": 1.0, "size": 64}]}, "flip": True}
    assert flatten_params(nested) == {
        "train.epochs": "3",
        "train.optimizer": "adam",
        "train.sizes": '[{"until": 1.0, "size": 64}]',
        "flip": "true",
    }


def test_epoch_metrics_are_curves() -> None:
    assert epoch_metrics({"epoch": 1, "train_loss": 0.5}) == {"curves/train_loss": 0.5}


def test_evaluation_metrics_are_numbers() -> None:
    values = {"num_photos": 4, "accuracy": 0.5, "roc_auc": None, "name": "x", "ok": True}
    assert evaluation_metrics(values) == {"test/num_photos": 4.0, "test/accuracy": 0.5}
    assert evaluation_metrics({"shift": 1}, section="robustness") == {"robustness/shift": 1.0}


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Commits all files of the working directory, which is no repository before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)

    def run() -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
            subprocess.run(["git", *command], check=True)

    return run


def test_git_tags_name_commit_and_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: Callable[[], None]
) -> None:
    assert git_tags() == {}
    assert describe_changes() == ""
    (tmp_path / "params.yaml").write_text("a: 1\n")
    (tmp_path / "dvc.lock").write_text("a: 1\n")
    (tmp_path / "notes.txt").write_text("mine\n")
    commit()
    assert set(git_tags()) == {"mlflow.source.git.commit", "convlens.git_dirty"}
    (tmp_path / "dvc.lock").write_text("a: 2\n")  # DVC writes it during every run
    assert git_tags()["convlens.git_dirty"] == "false"
    (tmp_path / "params.yaml").write_text("a: 2\n")
    (tmp_path / "notes.txt").write_text("yours\n")
    monkeypatch.setenv("DVC_EXP_NAME", "wide")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "f" * 40)
    changes = describe_changes()
    tags = git_tags()
    del tags["mlflow.source.git.commit"]
    assert tags == {
        "convlens.git_dirty": "true",
        CHANGES_TAG: digest_changes(changes),
        "convlens.dvc_experiment": "wide",
        "convlens.dvc_baseline": "f" * 40,
    }
    assert [line for line in changes.splitlines() if line[:1] in "+-"] == [
        *("--- a/params.yaml", "+++ b/params.yaml", "-a: 1", "+a: 2"),
    ]


def test_changes_can_be_applied_again(tmp_path: Path, commit: Callable[[], None]) -> None:
    code = tmp_path / "src/näme.py"
    code.parent.mkdir()
    code.write_text("a = 1\n")
    commit()
    code.write_text("a = 'ü'\n")
    changed = code.read_bytes()
    (tmp_path / "src/new.py").write_text("b = 2\n")
    changes = describe_changes()
    assert changes.startswith("# not in git: src/new.py\ndiff --git")
    subprocess.run(["git", "checkout", "-q", "src"], check=True)
    subprocess.run(["git", "apply"], input=changes.encode(), check=True)
    assert code.read_bytes() == changed


def test_endless_changes_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: Callable[[], None]) -> None:
    (tmp_path / "params.yaml").write_text("a: 1\n")
    commit()
    (tmp_path / "params.yaml").write_text("b: 2\n" * 1000)
    whole = describe_changes()
    monkeypatch.setattr(git, "MAX_CHANGES", 500)
    assert describe_changes() == f"{whole[:500]}\n# … and {len(whole) - 500:,} characters\n"
