"""A finished training in miniature, for tests of what comes after it: dark photos are cats, bright ones dogs.

The network is one dense unit on the mean brightness, so every answer is known beforehand.
"""

import atexit
import functools
import hashlib
import io
import json
import logging
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image

from convlens.params import EvaluateParams, Params, RegisterParams, load_params

if TYPE_CHECKING:
    from convlens.tracking.models import ModelFiles

SIDE = 16
CLASSES = ("cats", "dogs")
KEY = "ab" * 32
PARAMS = Path(__file__).parents[1] / "params.yaml"
HISTORY = "epoch,image_size,learning_rate,train_loss,validation_loss\n1,16,0.1,0.7,0.8\n2,16,0.05,0.5,0.6\n"
LOCK = "h5py==3.14.0\nkeras==3.15.1\nmlflow==3.17.2\nnumpy==2.4.6\npandas==3.0.6\npillow==13.0.0\ntensorflow==2.21.0\n"


@functools.cache
def blank_database() -> Path:
    """A fresh MLflow database, made once: its migrations take a second."""
    path = Path(tempfile.mkdtemp(prefix="convlens-tests-")) / "mlflow.db"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


def use_own_store(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in `root`, with an MLflow store there and nowhere else."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("DVC_ROOT", str(root))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    shutil.copyfile(blank_database(), root / "mlflow.db")


def write_network(path: Path, threshold: float = 0.5) -> None:
    """A network that says `dogs` for photos brighter than `threshold` (0..1)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    layers = [
        keras.Input((SIDE, SIDE, 3), dtype="uint8"),
        keras.layers.Rescaling(1 / 255, name="rescale"),
        keras.layers.GlobalAveragePooling2D(name="mean"),
        keras.layers.Dense(1, name="logits"),
        keras.layers.Activation("sigmoid", name="probabilities"),
    ]
    network = keras.Sequential(layers)
    network.set_weights([np.full((3, 1), 10 / 3, np.float32), np.array([-10 * threshold], np.float32)])
    path.parent.mkdir(parents=True, exist_ok=True)
    network.save(path)


def write_card(path: Path, key: str = KEY) -> None:
    card = {
        "key": key,
        "architecture": "dense",
        "classes": CLASSES,
        "image_size": SIDE,
        "keep_aspect": False,
        "resampling": "bicubic",
        "num_parameters": 4,
        "num_threads": 1,
        "precision": "float32",
        "device": "cpu",
        "best_epoch": 2,
        "data_digest": "d" * 64,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(card))


def write_operating_point(folder: Path, key: str = KEY, **values: Any) -> None:
    """One that takes the network as it is, but for `values`."""
    from convlens.models.inference import OperatingPoint

    OperatingPoint(key, **values).save(folder)


def model_files(root: Path) -> "ModelFiles":
    """Network, card and operating point in a folder, as they are logged."""
    from convlens.tracking.models import ModelFiles

    write_network(root / "model.keras")
    write_card(root / "card.json")
    write_operating_point(root)
    return ModelFiles(
        network=root / "model.keras",
        packed=(root / "card.json", root / "operating_point.json"),
        classes=CLASSES,
        image_size=SIDE,
        examples=np.full((1, SIDE, SIDE, 3), 200, np.uint8),
        requirements=LOCK.splitlines(),
        package="a1",
    )


def write_photo(path: Path, brightness: float) -> None:
    """A flat photo of one brightness (0..1)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 20), (round(brightness * 255),) * 3).save(path)


def demand(min_accuracy: float = 0.8, **criteria: Any) -> Params:
    """The parameters of the working directory, but that the gate demands an accuracy and what else is named here."""
    bounds = {"accuracy": {"min": min_accuracy}, **criteria.pop("evaluation", {})}
    slices = {"min_accuracy": 0.0, "min_photos": 1, "end": None, **criteria.pop("slices", {})}
    champion = {"verdict": "no_worse", "max_loss": 0.0, **criteria.pop("champion", {})}
    demanded = {
        "evaluation": bounds,
        "robustness": {},
        "label_errors": {},
        "slices": slices,
        "champion": champion,
        **criteria,
    }
    register = {"model_name": "convlens", "experiment": "trials", "criteria": demanded}
    params = load_params(Path("params.yaml") if Path("params.yaml").is_file() else PARAMS)
    return params.model_copy(update={"register_": RegisterParams.model_validate(register)})


def write_training(
    root: Path, *, key: str = KEY, threshold: float = 0.5, brightness: tuple[float, ...] = (0.1, 0.4, 0.6, 0.9)
) -> dict[str, Path]:
    """Write everything that the stage `register` reads; the working directory must be `root`.

    Args:
        root: folder of the project.
        key: of the training.
        threshold: brightness above which the network says `dogs`; right is 0.5.
        brightness: of the photos of every split; each is a photo of its own.

    Returns:
        The paths of the stage.
    """
    write_network(root / "data/model/model.keras", threshold)
    write_card(root / "data/model/card.json", key)
    write_operating_point(root / "data/operating_point", key)
    splits = _write_photos(root, brightness)
    _write_prepared(root / "data/prepared", splits)
    _write_reports(root / "reports", splits, threshold)
    (root / "params.yaml").write_text(PARAMS.read_text())
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "requirements.txt").write_text(LOCK)
    (root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  train:\n    cmd: train\n")
    return stage_paths(root)


def stage_paths(root: Path) -> dict[str, Path]:
    return {
        "prepared": root / "data/prepared",
        "model_folder": root / "data/model",
        "operating_point": root / "data/operating_point",
        "reports": root / "reports",
        "project": root,
        "registration": root / "reports/registration.json",
    }


def _write_photos(root: Path, brightness: tuple[float, ...]) -> pd.DataFrame:
    rows = []
    for shift, split in enumerate(("train", "validation", "test")):
        for row, value in enumerate(brightness):
            path = Path("photos") / split / f"{row}.png"
            write_photo(root / path, value + shift / 255)
            digest = hashlib.sha256((root / path).read_bytes()).hexdigest()
            label = CLASSES[value > 0.5]
            rows.append({"path": path.as_posix(), "label": label, "split": split, "row": row, "sha256": digest})
    return pd.DataFrame(rows).assign(width=24, height=20)


def _write_prepared(folder: Path, splits: pd.DataFrame) -> None:
    counts = {}
    for split, table in splits.groupby("split"):
        target = folder / str(split)
        target.mkdir(parents=True, exist_ok=True)
        images = [np.asarray(Image.open(folder.parents[1] / path).resize((SIDE, SIDE))) for path in table["path"]]
        np.save(target / "images-00000.npy", np.stack(images))
        np.save(target / "labels.npy", table["label"].map(CLASSES.index).to_numpy(np.int64))
        counts[split] = {name: int((table["label"] == name).sum()) for name in CLASSES}
    splits.to_csv(folder / "splits.csv", index=False)
    card: dict[str, Any] = {"classes": CLASSES, "image_size": SIDE, "keep_aspect": False, "resampling": "bicubic"}
    card |= {"counts": counts, "digest": "d" * 64, "source": "data/cards/flat.yaml"}
    (folder / "card.json").write_text(json.dumps(card))


def _write_reports(reports: Path, splits: pd.DataFrame, threshold: float) -> None:
    test = splits[splits["split"] == "test"]
    bright = np.array([np.asarray(Image.open(reports.parent / path)).mean() / 255 for path in test["path"]])
    correct = (bright > threshold) == (test["label"] == CLASSES[1]).to_numpy()
    dogs = 1 / (1 + np.exp(-10 * (bright - threshold)))
    _write_evaluation(reports / "evaluation", test, np.stack([1 - dogs, dogs], axis=1), correct)
    texts = {
        "training/history.csv": HISTORY,
        "training/timing.csv": f"key,epoch,seconds,photos_per_second\n{KEY},1,2.0,10\n{KEY},2,1.5,12\n",
        "validation/result.json": json.dumps(
            {"num_photos": 13, "num_usable": 12, "expectations": [{"success": False}]}
        ),
        "validation/data_docs/index.html": "<h1>Data Docs</h1>",
        "robustness/metrics.json": json.dumps({"model_shift_consistency": 0.98}),
        "robustness/curves.csv": "network,perturbation\n",
        "robustness/places.csv": "network,row\n",
        "label_errors/metrics.json": json.dumps({"num_suspicious": 3}),
        "label_errors/photos.csv": "path,suspicious\n",
        "label_errors/folds.csv": "fold,epoch\n",
        "report.html": "<h1>Report</h1>",
        "feature_maps.html": "<h1>Feature maps</h1>",
        "feature_maps/filters.csv": "layer,filter\n",
        "model_card.md": "# Model Card: Cats or dogs?\n\n## Uses\n\nSorting photos.\n",
        "summary.md": "# dense network\n\n| actual | cats | dogs |\n|---|---|---|\n| cats | 2 | 0 |\n",
    }
    for name, text in texts.items():
        (reports / name).parent.mkdir(parents=True, exist_ok=True)
        (reports / name).write_text(text)


def _write_evaluation(folder: Path, test: pd.DataFrame, probabilities: np.ndarray, correct: np.ndarray) -> None:
    """An evaluation with few metrics, one picture, and the darker and the brighter half of the photos as slices."""
    from convlens.metrics.evaluation import Evaluation, Predictions

    labels = test["label"].map(CLASSES.index).to_numpy()
    given = Predictions(list(test["path"]), CLASSES, labels, probabilities)
    found = Evaluation.measure(given, EvaluateParams(num_resamples=100, confidence=0.95, seed=0), validation=given)
    numbers = {"num_photos": len(test), "accuracy": float(correct.mean()), "accuracy_low": 0.4, "roc_auc": None}
    half = len(correct) // 2
    rows = [
        {"feature": "brightness", "slice": name, "num_photos": len(part), "num_correct": int(part.sum())}
        | {"accuracy": part.mean(), "low": part.mean() / 2, "high": 1.0, "worse": False}
        for name, part in (("dark", correct[:half]), ("bright", correct[half:]))
    ]
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(picture, "PNG")
    found = replace(found, metrics=numbers, slices=pd.DataFrame(rows))
    found.save(folder, {"confusion_matrix.png": picture.getvalue()})
