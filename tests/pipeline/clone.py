"""A fresh clone of this repository, as it stands in the working tree, made small enough for tests."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
TINY_CARD = """\
kind: synthetic
name: tiny
license: CC0-1.0
recipe:
  num_photos: 60
  image_size: 48
  seed: 1
"""
EPOCHS = 6
TINY = {
    "data.source": "data/cards/tiny.yaml",
    "validate.min_photos_per_class": 5,
    "preprocess.image_size": 48,
    "preprocess.photos_per_shard": 16,
    "model.residual.width": 4,
    "model.residual.training_sizes": [{"until": 1.0, "size": 32}],
    "train.epochs": EPOCHS,
    "train.batch_size": 16,
    "evaluate.num_resamples": 200,
    "report.num_correct": 2,
    "report.num_errors": 1,
    "register.criteria.evaluation.accuracy.min": 0.0,
}
GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.com")


@dataclass
class Clone:
    """A clone and how to run commands in it, as a user would in an activated environment."""

    folder: Path
    first_output: str = ""

    @property
    def environment(self) -> dict[str, str]:
        private = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "TF_"))}
        home = self.folder.parent / "home"
        home.mkdir(exist_ok=True)
        return {
            **private,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "GIT_AUTHOR_NAME": "Test",
            "GIT_AUTHOR_EMAIL": "test@example.com",
            "GIT_COMMITTER_NAME": "Test",
            "GIT_COMMITTER_EMAIL": "test@example.com",
        }

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command; its two outputs come as one, in `stdout`."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return done

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def repro(self) -> list[str]:
        """Run `dvc repro`; the stages that ran."""
        return stages_run(self.run("dvc", "repro").stdout)

    def change(self, **values: Any) -> None:
        """Change parameters, named with `__` for a dot."""
        change_params(self.folder / "params.yaml", {name.replace("__", "."): value for name, value in values.items()})

    def commit(self, message: str = "change") -> None:
        self.run(*GIT, "add", "--all")
        self.run(*GIT, "commit", "--quiet", "--allow-empty", "--message", message)

    def changed_files(self) -> list[str]:
        """What `git status` says, a line per file."""
        return self.run("git", "status", "--porcelain", "--untracked-files=all").stdout.splitlines()


def stamp_environment(folder: Path) -> None:
    """Let `make setup` take the environment of a clone for complete."""
    stamp = r'''echo "dev $(pwd) $({ cat requirements-dev.txt; sed '/^\[tool/,$d' pyproject.toml; } | cksum)"'''
    done = subprocess.run(["sh", "-c", stamp], cwd=folder, capture_output=True, text=True, check=True)
    (folder / ".venv/complete-dev").write_text(done.stdout)


def lose_training(clone: Clone) -> None:
    """Remove the network and its MLflow run from a clone and its cache: `dvc.lock` names what cannot be had."""
    cache = clone.folder / ".dvc/cache"
    shutil.rmtree(clone.folder / "data/model")
    stages = YAML(typ="safe").load((clone.folder / "dvc.lock").read_text())["stages"]
    for out in stages["train"]["outs"]:
        (cache / "files/md5" / out["md5"][:2] / out["md5"][2:]).unlink(missing_ok=True)
    for name in (cache / "runs", clone.folder / "mlartifacts"):
        shutil.rmtree(name)
    for name in ("mlflow.db", "reports/registration.json", "reports/training/timing.csv"):
        (clone.folder / name).unlink()


def stages_run(output: str) -> list[str]:
    return re.findall(r"^Running stage '(\w+)'", output, flags=re.MULTILINE)


def change_params(path: Path, values: dict[str, Any]) -> None:
    yaml = YAML()
    params = yaml.load(path.read_text(encoding="utf-8"))
    for name, value in values.items():
        *groups, last = name.split(".")
        group = params
        for part in groups:
            group = group[part]
        if last not in group:
            raise KeyError(name)
        group[last] = value
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(params, file)


def make_clone(folder: Path) -> Clone:
    """Copy what git would clone, make it tiny, commit it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        if source.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    (folder / "data/cards/tiny.yaml").write_text(TINY_CARD)
    change_params(folder / "params.yaml", TINY)
    clone = Clone(folder)
    clone.run("git", "init", "--quiet", "--initial-branch=main")
    clone.commit("Start")
    return clone


def reproduce_once(base: Path) -> Clone:
    """The clone in which the whole pipeline has run once, made by whichever test process asks first.

    Args:
        base: pytest's folder for temporary files; with xdist, the folder above it is common to all processes.
    """
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "reproduced"
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = home / "output.txt"
        if not told.is_file():
            shutil.rmtree(home / "convlens", ignore_errors=True)  # what a failed attempt left
            clone = make_clone(home / "convlens")
            told.write_text(clone.run("dvc", "repro").stdout)
        return Clone(home / "convlens", told.read_text())
