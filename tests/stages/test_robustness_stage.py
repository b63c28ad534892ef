import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from prepared_photos import write_prepared
from small_training import CLASSES, SIDE, write_card, write_network, write_operating_point

from convlens.auxiliary.baseline import baseline_recipe, train_baseline
from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.metrics.robustness import Robustness
from convlens.params import Params, load_params
from convlens.stages.robustness import robustness
from convlens.training.runtime import prepare_runtime

NUM_PHOTOS = 30
KINDS = ("shift", "rotation", "scale", "brightness", "contrast", "blur", "noise", "jpeg", "occlusion")


def quick(**train: object) -> Params:
    """Parameters with two perturbations and a small baseline."""
    params = load_params()
    baseline = params.robustness.baseline.model_copy(
        update={"image_size": 16, "units": (16,), "epochs": 15, "batch_size": 8, "learning_rate": 0.001}
    )
    kinds = {**dict.fromkeys(KINDS, ()), "shift": (3,), "brightness": (-0.5,), "max_photos": 20, "baseline": baseline}
    changed = {"robustness": params.robustness.model_copy(update=kinds), "train": params.train.changed(**train)}
    return params.model_copy(update=changed)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Dark cats, bright dogs, and a network that tells them apart."""
    labels = np.arange(NUM_PHOTOS) % 2
    images = np.random.default_rng(0).integers(0, 100, (NUM_PHOTOS, SIDE, SIDE, 3), dtype=np.uint8)
    images[labels == 1] += 120
    splits = ("train", "validation", "test")
    write_prepared(tmp_path / "prepared", dict.fromkeys(splits, images), dict.fromkeys(splits, labels), CLASSES)
    write_network(tmp_path / "model/model.keras")
    write_card(tmp_path / "model/card.json")
    write_operating_point(tmp_path / "operating_point")
    return tmp_path


def run(home: Path, name: str, params: Params) -> Path:
    robustness(prepared=home / "prepared", model_folder=home / "model", operating_point=home / "operating_point",
               results=home / name, model=params.model, train=params.train, evaluate=params.evaluate,
               robustness=params.robustness)  # fmt: skip
    return home / name


def test_the_network_and_a_baseline_are_measured_on_the_same_photos_and_the_files_are_the_same_each_time(home):
    first, second = run(home, "first", quick()), run(home, "second", quick())
    files = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    assert [path.as_posix() for path in files] == [
        "curves.csv", "metrics.json", "places.csv", "plots/curves.png", "plots/places.png"]  # fmt: skip
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in files)
    metrics = Robustness.load(first).metrics
    assert (metrics["num_photos"], metrics["model_num_parameters"]) == (20, 4)
    assert metrics["baseline_num_parameters"] == (16 * 16 * 3 + 1) * 16 + 17
    assert metrics["model_accuracy"] == metrics["model_shift_accuracy"] == metrics["model_places_agreement"] == 1
    assert metrics["model_brightness_accuracy"] == 0.5  # by half of the range darker all photos are cats


def test_the_prediction_is_that_of_the_operating_point(home):
    write_operating_point(home / "operating_point", threshold=0.999999)
    metrics = Robustness.load(run(home, "results", quick())).metrics
    assert (metrics["model_accuracy"], metrics["model_flip_consistency"]) == (0.5, 1.0)  # no photo is dog enough


def test_no_test_photos_are_told(home):
    images = {"test": np.zeros((0, SIDE, SIDE, 3), np.uint8)}
    write_prepared(home / "other/prepared", images, {"test": np.zeros(0, np.int64)}, CLASSES)
    with pytest.raises(ConvLensError, match="Expected photos in the test split"):
        run(home / "other", "results", quick())


def test_the_baseline_is_dense_learns_and_is_the_same_each_time(tmp_path):
    """One class is bright above, the other below."""
    labels = np.arange(NUM_PHOTOS) % 2
    images = np.random.default_rng(0).integers(0, 56, (NUM_PHOTOS, 20, 20, 3), dtype=np.uint8)
    images[labels == 0, :10] += 200
    images[labels == 1, 10:] += 200
    splits = ("train", "validation")
    folder = write_prepared(tmp_path / "data", dict.fromkeys(splits, images), dict.fromkeys(splits, labels), CLASSES)
    params = quick()
    recipe = baseline_recipe(params.robustness.baseline, params.model, params.train, seed=0)
    runtime = prepare_runtime(recipe.train)
    first, second = (train_baseline(Prepared.load(folder), recipe, 20, runtime=runtime) for _ in range(2))
    assert first.count_params() == (20 * 20 * 3 + 1) * 16 + 17
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(first.predict(images, verbose=0)[:, 0] > 0.5, labels)
    moved = np.roll(images, 10, axis=1)  # what it learned above says the contrary below
    np.testing.assert_array_equal(first.predict(moved, verbose=0)[:, 0] > 0.5, 1 - labels)


def test_threads_and_determinism_are_set_before_tensorflow_starts(home):
    params = quick(num_threads=1, deterministic=True)
    (home / "params.yaml").write_text(json.dumps(params.model_dump(mode="json", by_alias=True)))
    folders = ["--prepared", "prepared", "--model-folder", "model", "--operating-point", "operating_point"]
    command = [sys.executable, "-m", "convlens.pipeline", "robustness", *folders, "--results", "results"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert Robustness.load(home / "results").metrics["model_accuracy"] == 1
