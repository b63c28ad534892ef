"""Trainings in miniature: a finished one for tests of what comes after it, and ways to run one.

Finished: dark photos are cats, bright ones dogs, and the network is one dense unit on the mean brightness, so that
every answer is known beforehand. Run: a network of a few hundred weights learns noise, in this process or as one of
several machines; as a program this file trains as a machine of TF_CONFIG, or on several devices, and prints JSON.
"""

import atexit
import functools
import hashlib
import io
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image

from convlens.params import EvaluateParams, Params, RegisterParams, TrainingRecipe, load_params

if TYPE_CHECKING:  # TensorFlow is imported by what needs it
    import keras

    from convlens.tracking.models import ModelFiles
    from convlens.training.devices import Devices
    from convlens.training.fit import EpochReport, FitResult, Photos
    from convlens.training.runtime import Runtime

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
    write_params(root)


def write_params(root: Path) -> None:
    """The repository's params.yaml, but that it names the registered model."""
    text = PARAMS.read_text().replace("  model_name: ", "  model_name: convlens ")
    (root / "params.yaml").write_text(text)


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
    write_params(root)
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


# --- trainings that run ---

NOISE_SIDE = 40


def cpu() -> "Runtime":
    """This machine's processor, one thread per core, float32."""
    from convlens.training.runtime import Runtime

    return Runtime("cpu", "float32", 0)


def tiny_photos(count: int = 32, side: int = NOISE_SIDE, seed: int = 0) -> "Photos":
    """Noise; photos of the second class are redder."""
    from convlens.training.fit import Photos

    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 128, (count, side, side, 3), dtype=np.uint8)
    images[labels == 1, :, :, 0] += 100
    return Photos(images, labels)


def tiny_recipe(
    architecture: str = "residual", *, cutmix: float = 0.0, model: dict[str, Any] | None = None, **train: Any
) -> TrainingRecipe:
    """The shipped recipe with a small network, four epochs, batches of eight and other changes of `train`."""
    values = load_params().recipe.model_dump(mode="json")
    values["model"]["architecture"] = architecture
    values["model"]["residual"] = {
        "width": 4,
        "training_sizes": [{"until": 0.5, "size": 32}, {"until": 1.0, "size": NOISE_SIDE}],
    }
    values["model"]["classic"] |= {"num_blocks": 1, "filters": 4, "dense_units": 4, "dropout": 0.3}
    values["model"]["transfer"] |= model or {}
    values["augment"]["cutmix"] = cutmix
    values["train"] |= {"epochs": 4, "batch_size": 8, "precision": "float32", **train}
    return TrainingRecipe.model_validate_json(json.dumps(values))


def train_tiny(
    recipe: TrainingRecipe,
    folder: Path | None = None,
    *,
    runtime: "Runtime | None" = None,
    train: "Photos | None" = None,
    stop_after: int | None = None,
) -> "tuple[FitResult, list[EpochReport]]":
    """Train, with checkpoints in `folder`; `stop_after` interrupts after so many epochs, before the state is saved."""
    from convlens.training import fit as fitting
    from convlens.training.checkpoints import Checkpoint

    told: list[EpochReport] = []

    def on_epoch(report: "EpochReport") -> None:
        told.append(report)
        if len(told) == stop_after:
            raise KeyboardInterrupt

    checkpoint = Checkpoint(folder) if folder else None
    result = fitting.fit(
        recipe,
        train or tiny_photos(),
        validation=tiny_photos(17, seed=1),
        num_classes=2,
        runtime=runtime or cpu(),
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    return result, told


# --- Several devices ---


def tiny_body(*_: object, **__: object) -> "keras.Model":
    """Everything that several devices must agree on."""
    import keras

    layers = [
        keras.Input((NOISE_SIDE, NOISE_SIDE, 3)),
        keras.layers.Rescaling(1 / 64, offset=-2),
        keras.layers.Conv2D(4, 3, strides=4, use_bias=False),
        keras.layers.BatchNormalization(momentum=0.5),
        keras.layers.ReLU(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(1, name="logits"),
    ]
    return keras.Sequential(layers)


def shared_recipe(**train: Any) -> TrainingRecipe:
    """Batches of nine, which two devices share unevenly."""
    return tiny_recipe("classic", cutmix=0.5, batch_size=9, optimizer="sgd", learning_rate=0.1, **train)


def train_shared(recipe: TrainingRecipe, runtime: "Runtime", folder: Path, **options: Any) -> dict[str, object]:
    """Train `tiny_body`; gives history and weights, as JSON takes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convlens.training.fit.build_body", tiny_body)
        result, _ = train_tiny(recipe, folder, runtime=runtime, train=tiny_photos(37), **options)
    return {"history": result.history, "weights": [weight.tolist() for weight in result.body.get_weights()]}


def train_as_machine(folder: Path) -> dict[str, Any]:
    """As one of the machines of TF_CONFIG: train, be interrupted and resume, and lose the other machine."""
    from convlens.errors import ConvLensError
    from convlens.training.devices import Rendezvous
    from convlens.training.runtime import prepare_runtime

    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    recipe = shared_recipe(max_minutes=60)
    runtime = prepare_runtime(recipe.train, Rendezvous("the same", is_chief=index == 0, seconds=60))
    devices = runtime.devices
    message = devices.from_chief(lambda: b"thirteen byte" if devices.is_chief else b"never made")
    answers: dict[str, Any] = {"devices": devices.describe("cpu"), "message": message.decode()}
    answers["whole"] = train_shared(recipe, runtime, folder / "whole")
    try:
        train_shared(recipe, runtime, folder / "cut", stop_after=3)
    except KeyboardInterrupt:
        answers["resumed"] = train_shared(recipe, runtime, folder / "cut")
    answers["files"] = sorted(path.name for path in folder.rglob("*"))
    if index:
        print(json.dumps(answers), flush=True)
        os._exit(9)  # as if its power had failed
    try:
        train_shared(recipe, runtime, folder / "lost")
    except ConvLensError as error:
        answers["error"] = str(error)
    return answers


def train_mirrored(folder: Path) -> dict[str, Any]:
    """On this machine's processor as one device, then as two."""
    import tensorflow as tf

    from convlens.training.devices import Rendezvous
    from convlens.training.runtime import prepare_runtime

    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    single, mirrored = (shared_recipe(strategy=name) for name in ("single", "mirrored"))
    one, two = (prepare_runtime(recipe.train, Rendezvous("")) for recipe in (single, mirrored))
    return {
        "devices": [one.devices.describe("cpu"), two.devices.describe("cpu")],
        "single": train_shared(single, one, folder / "single"),
        "mirrored": train_shared(mirrored, two, folder / "mirrored"),
        "too few": [train_few(shared_recipe(), devices) for devices in (one.devices, two.devices)],
        "dropout": dropout_masks(two.devices),
    }


def train_few(recipe: TrainingRecipe, devices: "Devices") -> list[float]:
    """A step with a single photo, fewer than devices: loss, hits, and the sum of the weights afterwards."""
    import keras

    from convlens.models.transfer import phase_at
    from convlens.training.steps import Steps

    keras.utils.set_random_seed(0)
    with devices.scope():
        steps = Steps(tiny_body(), recipe, devices)
        batch = steps.prepare(tiny_photos(1).images, np.array([1]), (0, 0), size=SIDE)
        loss, hits = steps.train(batch, rate=0.1, phase=phase_at(0.0, recipe.model, steps.body))
    return [loss, hits, float(sum(abs(weight).sum() for weight in steps.body.get_weights()))]


def dropout_masks(devices: "Devices") -> dict[str, list[list[float]]]:
    """What a dropout layer lets through on each device, in two epochs and in the first one again."""
    import keras
    import tensorflow as tf

    from convlens.training.steps import Steps

    with devices.scope():
        body = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
        steps = Steps(body, shared_recipe(), devices)
        dropout = body.layers[0]

    def masks(epoch: int) -> list[list[float]]:
        steps.reseed(seed=0, epoch=epoch)
        answers = devices.strategy.run(lambda: dropout(tf.ones((1, 64)), training=True))
        return [answer[0].numpy().tolist() for answer in devices.strategy.experimental_local_results(answers)]

    return {"first": masks(0), "second": masks(1), "first again": masks(0)}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    kind, target = sys.argv[1:]
    print(json.dumps({"machine": train_as_machine, "mirrored": train_mirrored}[kind](Path(target))))
