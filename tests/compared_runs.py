"""Runs to compare: made of hand-written answers, as plain values or in a repository of Git and DVC."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import pandas as pd
from dvc.repo import Repo
from photo_files import PARAMS
from ruamel.yaml import YAML

from convlens.comparison.snapshot import Snapshot
from convlens.params import CompareParams, EvaluateParams, read_yaml

EVALUATE = EvaluateParams(num_resamples=500, confidence=0.95, seed=0, threshold=0.5, max_error=0.01)
COMPARE = CompareParams(max_regression=0.02)
# Other paths than the project's: where files are is read from dvc.yaml.
PIPELINE = """\
stages:
  preprocess:
    cmd: echo --prepared made/arrays
    params: [preprocess]
    outs: [made/arrays]
  train:
    cmd: echo --prepared made/arrays --model-folder made/network --history told/history.csv
    deps: [made/arrays]
    params: [train]
    outs: [made/network]
    plots: [{told/history.csv: {cache: false}}]
  evaluate:
    cmd: echo --predictions told/answers.csv --metrics told/numbers.json
    deps: [made/network]
    outs: [told/answers.csv]
    metrics: [{told/numbers.json: {cache: false}}]
"""


def make_answers(right: Sequence[bool], *, prefix: str = "p") -> pd.DataFrame:
    """Answers of 90 %, right or wrong, to photos that are cats and dogs in turn."""
    truth = ["cats" if index % 2 == 0 else "dogs" for index in range(len(right))]
    cats = [0.9 if (label == "cats") == good else 0.1 for label, good in zip(truth, right, strict=True)]
    return pd.DataFrame(
        {
            "path": [f"{prefix}{index}.png" for index in range(len(right))],
            "label": truth,
            "predicted": ["cats" if chance > 0.5 else "dogs" for chance in cats],
            "correct": list(right),
            "probability_cats": cats,
            "probability_dogs": [round(1 - chance, 1) for chance in cats],
        }
    )


def make_photos(paths: Sequence[str], labels: Sequence[str], digests: Sequence[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {"path": paths, "label": labels, "split": "test", "sha256": digests or [f"#{p}" for p in paths]}
    )


def make_metrics(right: Sequence[bool]) -> dict[str, Any]:
    accuracy = sum(right) / len(right)
    ends = {"accuracy_low": accuracy - 0.05, "accuracy_high": min(accuracy + 0.05, 1.0)}
    return {"num_photos": len(right), "accuracy": accuracy, **ends, "log_loss": 0.25, "roc_auc": None}


def make_run(name: str, right: Sequence[bool], **changes: Any) -> Snapshot:
    """A run on the photos p0.png, p1.png …, whose files could all be had."""
    answers = make_answers(right)
    values: dict[str, Any] = {
        "name": name,
        "params": {"train": {"epochs": 3}},
        "metrics": make_metrics(right),
        "history": pd.DataFrame({"epoch": [1, 2, 3]}),
        "card": {"key": "k" * 64, "num_parameters": 12345},
        "model_bytes": 2_500_000,
        "predictions": answers,
        "photos": make_photos(list(answers["path"]), list(answers["label"])),
        "seconds": 95.0,
    }
    return Snapshot(**(values | changes))


def good(num_right: int, num_wrong: int) -> list[bool]:
    return [True] * num_right + [False] * num_wrong


class Repository:
    """A repository of Git and DVC whose results are written by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run("git", "init", "--quiet", "--initial-branch=main")
        self.run("git", "config", "user.name", "Test")
        self.run("git", "config", "user.email", "test@example.com")
        Repo.init(str(root)).close()
        (root / "dvc.yaml").write_text(PIPELINE)
        (root / "params.yaml").write_bytes(PARAMS.read_bytes())

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def write_results(self, right: Sequence[bool], *, key: str, **train: Any) -> None:
        """Results as if the pipeline had run with these parameters of `train`, and DVC's record of them."""
        self.change_params(**train)
        answers = make_answers(right)
        photos = make_photos(list(answers["path"]), list(answers["label"]))
        self._write("made/arrays/splits.csv", photos.to_csv(index=False))
        self._write("made/network/card.json", json.dumps({"key": key, "num_parameters": 7}))
        self._write("made/network/model.keras", key)
        self._write("told/history.csv", "epoch\n1\n2\n")
        self._write("told/answers.csv", answers.to_csv(index=False))
        self._write("told/numbers.json", json.dumps(make_metrics(right)))
        with chdir(self.root), Repo() as repo:  # DVC looks at the working directory
            repo.commit(force=True)

    def change_params(self, **train: Any) -> None:
        yaml = YAML()
        params = yaml.load((self.root / "params.yaml").read_text(encoding="utf-8"))
        params["train"].update(train)
        with (self.root / "params.yaml").open("w", encoding="utf-8") as file:
            yaml.dump(params, file)

    def save_experiment(self, name: str) -> None:
        with chdir(self.root), Repo() as repo:  # DVC looks at the working directory
            repo.experiments.save(name=name)

    def commit(self) -> str:
        """Commit everything to Git; the commit."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "run")
        return self.run("git", "rev-parse", "HEAD").strip()

    def _write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def params_with(**train: Any) -> Mapping[str, Any]:
    """The shipped parameters with others in `train`."""
    values = read_yaml(PARAMS)
    return {**values, "train": {**values["train"], **train}}
