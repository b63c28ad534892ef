import subprocess
from pathlib import Path

import pytest

from convlens.tracking.git import git_tags
from convlens.tracking.values import epoch_metrics, evaluation_metrics, flatten_params


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
    assert evaluation_metrics({"shift": 1}, section="invariance") == {"invariance/shift": 1.0}


def test_git_tags_name_commit_and_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    assert git_tags() == {}
    (tmp_path / "params.yaml").write_text("a: 1\n")
    (tmp_path / "dvc.lock").write_text("a: 1\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], check=True)
    assert set(git_tags()) == {"mlflow.source.git.commit", "convlens.git_dirty"}
    (tmp_path / "dvc.lock").write_text("a: 2\n")  # DVC writes it during every run
    assert git_tags()["convlens.git_dirty"] == "false"
    (tmp_path / "params.yaml").write_text("a: 2\n")
    assert git_tags()["convlens.git_dirty"] == "true"
