"""Runs to compare: made of hand-written predictions, as plain values or in a repository of Git and DVC."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dvc.repo import Repo
from photo_files import PARAMS
from ruamel.yaml import YAML

from convlens.compare.runs import Output, Snapshot
from convlens.params import CompareParams, EvaluateParams, read_yaml

EVALUATE = EvaluateParams(num_resamples=500, confidence=0.95, seed=0)
COMPARE = CompareParams(max_regression=0.02)
SIZE = 8
PREPARED_CARD = {"digest": "d" * 64, "source": "photos"}
# Other paths than the project's: where files are is read from dvc.yaml.
PIPELINE = """\
stages:
  validate:
    cmd: echo --photos made/list.parquet --manifest made/facts --report told/checks
    outs: [made/facts]
    metrics: [{told/checks/result.json: {cache: false}}]
  preprocess:
    cmd: echo --prepared made/arrays
    params: [preprocess]
    outs: [made/arrays]
  train:
    cmd: echo --prepared made/arrays --model-folder made/network --training told/training
    deps: [made/arrays, src/network.py]
    params: [train]
    outs: [made/network]
    plots: [{told/training/history.csv: {cache: false}}]
  evaluate:
    cmd: echo --evaluation told/numbers
    deps: [made/network]
    outs: [told/numbers/predictions.csv]
    metrics: [{told/numbers/metrics.json: {cache: false}}]
  report:
    cmd: echo
    outs: [told/report.html, told/feature_maps]
"""
EARLIER_PIPELINE = """\
stages:
  validate:
    cmd: echo --photos made/list.parquet --manifest made/facts --report told/checks
  train:
    cmd: echo --prepared made/arrays --model-folder made/network --history told/history.csv
  evaluate:
    cmd: echo --predictions told/predictions.csv --metrics told/numbers.json
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
    """The list of prepared photos; all are in the test split, in the order of its arrays."""
    return pd.DataFrame(
        {
            "path": paths,
            "label": labels,
            "split": "test",
            "row": range(len(paths)),
            "sha256": digests or [f"#{path}" for path in paths],
        }
    )


def make_metrics(right: Sequence[bool]) -> dict[str, Any]:
    accuracy = sum(right) / len(right)
    ends = {"accuracy_low": accuracy - 0.05, "accuracy_high": min(accuracy + 0.05, 1.0)}
    return {"num_photos": len(right), "accuracy": accuracy, **ends, "log_loss": 0.25, "roc_auc": None}


def make_history(num_epochs: int, *, loss: float = 0.5) -> pd.DataFrame:
    """Losses that fall from 1 to `loss`, and accuracies that rise as they do."""
    falling = np.linspace(1.0, loss, num_epochs)
    return pd.DataFrame(
        {
            "epoch": range(1, num_epochs + 1),
            "train_loss": falling,
            "train_accuracy": 1 - falling / 2,
            "validation_loss": falling,
            "validation_accuracy": 1 - falling / 2,
        }
    )


def make_validation(num_photos: int, *, dark: bool = False) -> dict[str, Any]:
    """Two expectations, of which the second is not met if the photos are dark."""
    rows = [("unreadable", True), ("dark", not dark)]
    return {
        "num_photos": num_photos,
        "num_usable": num_photos,
        "quarantine": {"unreadable": 0},
        "expectations": [
            {"name": name, "success": success, "severity": "warning", "observed": "3 photos do not meet it"}
            for name, success in rows
        ],
    }


def make_run(name: str, right: Sequence[bool], **changes: Any) -> Snapshot:
    """A run on the photos p0.png, p1.png …, whose files could all be had."""
    predictions = make_answers(right)
    values: dict[str, Any] = {
        "name": name,
        "params": {"train": {"epochs": 3}},
        "metrics": make_metrics(right),
        "history": make_history(3),
        "card": {"key": "k" * 64, "num_parameters": 12345},
        "prepared_card": {"source": "photos", "digest": "d" * 64, "counts": {"test": {"cats": 50, "dogs": 50}}},
        "validation": make_validation(1234),
        "maps": {"num_filters": 96, "num_dead_filters": 2, "mean_selectivity": 0.25},
        "places": {"model": "data/model", "prepared": "data/prepared", "report": "report.html"},
        "outputs": {
            "data/model": Output("data/model", "m.dir", 2_500_000),
            "data/prepared": Output("data/prepared", "p.dir", 9_000_000),
            "report.html": Output("report.html", "r", 700_000),
        },
        "predictions": predictions,
        "photos": make_photos(list(predictions["path"]), list(predictions["label"])),
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
        self.write("src/network.py", "WIDTH = 1\n")

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def write_results(self, right: Sequence[bool], *, key: str, **train: Any) -> None:
        """Results as if the pipeline had run with these parameters of `train`, and DVC's record of them."""
        self.change_params(**train)
        predictions = make_answers(right)
        photos = make_photos(list(predictions["path"]), list(predictions["label"]))
        self.write("made/arrays/splits.csv", photos.to_csv(index=False))
        self.write("made/arrays/card.json", json.dumps(PREPARED_CARD))
        self._write_arrays(len(right))
        self._write_facts(photos)
        self.write("made/network/card.json", json.dumps({"key": key, "num_parameters": 7}))
        self.write("made/network/model.keras", key)
        self.write("told/training/history.csv", make_history(2).to_csv(index=False))
        self.write("told/numbers/predictions.csv", predictions.to_csv(index=False))
        self.write("told/numbers/metrics.json", json.dumps(make_metrics(right)))
        self.write("told/checks/result.json", json.dumps(make_validation(len(right))))
        self.write("told/report.html", "report")
        self.write("told/feature_maps/maps_metrics.json", json.dumps({"num_filters": 4, "num_dead_filters": 1}))
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

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _write_arrays(self, num_photos: int) -> None:
        """Two shards; every photo is as bright as its number."""
        folder = self.root / "made/arrays/test"
        folder.mkdir(parents=True, exist_ok=True)
        images = (
            np.ones((num_photos, SIZE, SIZE, 3), np.uint8) * np.arange(num_photos, dtype=np.uint8)[:, None, None, None]
        )
        for number, shard in enumerate(np.array_split(images, 2)):
            np.save(folder / f"images-{number:05d}.npy", shard)

    def _write_facts(self, photos: pd.DataFrame) -> None:
        """Half of the photos are dark; all have the same size."""
        brightness = [0.1 + 0.8 * (2 * row >= len(photos)) for row in range(len(photos))]
        facts = photos[["path"]].assign(
            width=90, height=60, aspect=1.5, brightness=brightness, sharpness=100.0, format="PNG", signature="long"
        )
        (self.root / "made/facts").mkdir(parents=True, exist_ok=True)
        facts.to_parquet(self.root / "made/facts/manifest.parquet", index=False)


def params_with(**train: Any) -> Mapping[str, Any]:
    """The shipped parameters with others in `train`."""
    values = read_yaml(PARAMS)
    return {**values, "train": {**values["train"], **train}}
