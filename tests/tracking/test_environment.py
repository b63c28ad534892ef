import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from convlens.errors import ConvLensError
from convlens.tracking import environment
from convlens.tracking.environment import (
    CHANGES_TAG,
    NEEDED,
    describe_changes,
    digest_changes,
    git_tags,
    pinned_requirements,
)

# --- Git ---


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
    monkeypatch.setattr(environment, "MAX_CHANGES", 500)
    assert describe_changes() == f"{whole[:500]}\n# … and {len(whole) - 500:,} characters\n"


# --- what a packaged model needs ---

PROJECT_LOCK = Path(__file__).parents[2] / "requirements.txt"
LOCK = """\
# made by uv
h5py==3.14.0 \\
    --hash=sha256:00
keras==3.15.1
mlflow==3.17.2 --hash=sha256:00
numpy==2.4.6 ; python_version < '3.12'
numpy==2.5.5 ; python_version >= '3.12'
pandas==3.0.6
Pillow==13.0.0
requests==2.34.2
tensorflow==2.21.0 ; sys_platform == 'sunos'
tensorflow-cpu==2.21.0 ; sys_platform != 'sunos'
-r other.txt
"""


def test_pins_what_models_need_for_every_platform(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(LOCK)
    assert pinned_requirements(lock) == [
        "h5py==3.14.0",
        "keras==3.15.1",
        "mlflow==3.17.2",
        'numpy==2.4.6; python_version < "3.12"',
        'numpy==2.5.5; python_version >= "3.12"',
        "pandas==3.0.6",
        "Pillow==13.0.0",
        'tensorflow==2.21.0; sys_platform == "sunos"',
        'tensorflow-cpu==2.21.0; sys_platform != "sunos"',
    ]


def test_the_project_s_lock_has_them_all() -> None:
    names = {line.split("==")[0] for line in pinned_requirements(PROJECT_LOCK)}
    assert names == set(NEEDED)


@pytest.mark.parametrize(
    ("lost", "named"),
    [("keras==3.15.1\n", "keras"), ("tensorflow-cpu==2.21.0 ; sys_platform != 'sunos'\n", "tensorflow")],
)
def test_missing_package_is_told(tmp_path: Path, lost: str, named: str) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(LOCK.replace(lost, ""))
    with pytest.raises(ConvLensError, match=f"Expected {named} in "):
        pinned_requirements(lock)
