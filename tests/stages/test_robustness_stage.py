import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prepared_photos import write_prepared

import convlens.stages.robustness as stage
from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.params import RobustnessParams, load_params
from convlens.pipeline import path_names
from convlens.stages.robustness import choose_sample, robustness
from convlens.training.baseline import BASELINE, MODEL, Contestant, train_baseline

PARAMS = load_params()
SIDE, NUM_PHOTOS = 20, 30
FILES = {"metrics": "metrics.json", "curves": "curves.csv", "curves_figure": "curves.png", "places": "places.csv",
         "places_figure": "places.png"}  # fmt: skip
FEW = {"shift": (1, 3), "rotation": (20.0,), "scale": (0.5,), "brightness": (0.2,), "contrast": (0.5,), "blur": (1.0,),
       "noise": (0.1,), "jpeg": (20,), "occlusion": (0.2,)}  # fmt: skip
SMALL = PARAMS.robustness.baseline.model_copy(
    update={"image_size": 16, "units": (16,), "epochs": 15, "batch_size": 8, "learning_rate": 0.001}
)
SETTINGS = PARAMS.robustness.model_copy(update={**FEW, "baseline": SMALL})


def paint(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise; the second class is brighter."""
    labels = np.arange(NUM_PHOTOS) % 2
    images = np.random.default_rng(seed).integers(0, 156, (NUM_PHOTOS, SIDE, SIDE, 3), dtype=np.uint8)
    images[labels == 1] += 100
    return images, labels


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    painted = {split: paint(seed) for seed, split in enumerate(("train", "validation", "test"))}
    images, labels = ({split: pair[index] for split, pair in painted.items()} for index in (0, 1))
    return write_prepared(tmp_path_factory.mktemp("robustness") / "prepared", images, labels, ("cats", "dogs"))


@pytest.fixture
def run(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run the stage with two predictors in place of networks."""

    def run_stage(ours: Callable, dense: Callable, name: str = "out", params: RobustnessParams = SETTINGS) -> Path:
        monkeypatch.setattr(stage, "open_model", lambda folder, point: Contestant(MODEL, 7, ours))
        monkeypatch.setattr(stage, "train_baseline", lambda *_, **__: Contestant(BASELINE, 9, dense))
        paths = {parameter: tmp_path / name / file for parameter, file in FILES.items()}
        robustness(prepared=prepared, model_folder=tmp_path, operating_point=tmp_path, model=PARAMS.model,
                   train=PARAMS.train, evaluate=PARAMS.evaluate, robustness=params, **paths)  # fmt: skip
        return tmp_path / name

    return run_stage


def always(photos: np.ndarray) -> np.ndarray:
    return np.zeros(len(photos), np.int64)


def by_mean(photos: np.ndarray) -> np.ndarray:
    return (photos.mean(axis=(1, 2, 3)) > 127).astype(np.int64)


def by_one_pixel(photos: np.ndarray) -> np.ndarray:
    return (photos[:, SIDE // 2, SIDE // 2, 0] > 127).astype(np.int64)


def test_a_constant_predictor_is_perfectly_consistent_and_one_by_the_mean_nearly(run):
    out = run(by_mean, always)
    table = pd.read_csv(out / "curves.csv")
    constant = table[table["network"] == BASELINE]
    assert (constant["consistency"] == 1).all()
    assert (constant["accuracy"] == 0.5).all()
    shifted = table[(table["network"] == MODEL) & (table["distortion"] == "shift")]
    assert (shifted["consistency"] == 1).all()  # the mean hardly moves
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["model_accuracy"] == metrics["model_flip_consistency"] == metrics["model_places_agreement"] == 1
    assert (metrics["num_photos"], metrics["model_num_parameters"]) == (NUM_PHOTOS, 7)


def test_a_predictor_that_looks_at_one_pixel_is_as_consistent_as_neighboring_pixels_agree(run, prepared):
    table = pd.read_csv(run(by_one_pixel, always) / "curves.csv")
    images = Prepared.load(prepared).images("test")[:]
    before = by_one_pixel(images)
    for pixels in (1, 3):
        ways = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if down or across]
        rolled = [np.roll(images, (pixels * down, pixels * across), axis=(1, 2)) for down, across in ways]
        expected = np.mean([by_one_pixel(photos) == before for photos in rolled])
        row = table[(table["network"] == MODEL) & (table["distortion"] == "shift") & (table["strength"] == pixels)]
        assert row["consistency"].item() == pytest.approx(expected)
        assert row["num_variants"].item() == 8
        assert row["consistency_low"].item() < expected < row["consistency_high"].item()


def test_the_files_are_the_same_bytes_each_time_and_tell_everything(run):
    first, second = run(by_one_pixel, by_mean), run(by_one_pixel, by_mean, "again")
    assert sorted(path.name for path in first.iterdir()) == sorted(FILES.values())
    for file in FILES.values():
        assert (first / file).read_bytes() == (second / file).read_bytes()
    table = pd.read_csv(first / "curves.csv")
    ends = [f"{name}{end}" for name in ("accuracy", "consistency") for end in ("", "_low", "_high")]
    assert list(table.columns) == ["network", "distortion", "strength", "num_photos", "num_variants", *ends]
    wanted = ["none", "shift", "shift", *(name for name in FEW if name != "shift"), "flip", "gray"]
    assert list(table["distortion"]) == wanted * 2
    places = pd.read_csv(first / "places.csv")
    assert list(zip(places["row"], places["column"], strict=True)) == [(r, c) for r in range(3) for c in range(3)] * 2
    kinds = [*FEW, "flip", "gray"]
    names = ["accuracy", *(f"{kind}_{what}" for kind in kinds for what in ("accuracy", "consistency"))]
    names += ["places_accuracy", "places_agreement"]
    expected = {f"{network}_{name}{end}" for network in (MODEL, BASELINE) for name in names
                for end in ("", "_low", "_high")}  # fmt: skip
    parameters = {f"{network}_num_parameters" for network in (MODEL, BASELINE)}
    assert set(json.loads((first / "metrics.json").read_text())) == expected | parameters | {"num_photos"}


def test_the_paths_are_those_of_the_signature():
    assert path_names(robustness) == ["prepared", "model_folder", "operating_point", *FILES]


def test_at_most_so_many_photos_are_taken_evenly(prepared):
    data = Prepared.load(prepared)
    assert choose_sample(data, 4).rows.tolist() == [0, 10, 19, 29]
    sample = choose_sample(data, 1000)
    assert sample.rows.tolist() == list(range(NUM_PHOTOS))
    np.testing.assert_array_equal(sample.labels, data.labels("test"))


def test_no_test_photos_are_told(tmp_path):
    images = {"test": np.zeros((0, SIDE, SIDE, 3), np.uint8)}
    folder = write_prepared(tmp_path / "prepared", images, {"test": np.zeros(0, np.int64)}, ("cats", "dogs"))
    with pytest.raises(ConvLensError, match=r"Expected photos in the test split"):
        choose_sample(Prepared.load(folder), 10)


def test_the_baseline_is_dense_learns_and_is_the_same_each_time(tmp_path):
    """One class is bright above, the other below."""
    labels = np.arange(NUM_PHOTOS) % 2
    images = np.random.default_rng(0).integers(0, 56, (NUM_PHOTOS, SIDE, SIDE, 3), dtype=np.uint8)
    images[labels == 0, : SIDE // 2] += 200
    images[labels == 1, SIDE // 2 :] += 200
    splits = ("train", "validation", "test")
    folder = write_prepared(
        tmp_path / "prepared", dict.fromkeys(splits, images), dict.fromkeys(splits, labels), ("cats", "dogs")
    )
    data = Prepared.load(folder)
    found = [train_baseline(data, SETTINGS, model=PARAMS.model, train=PARAMS.train) for _ in range(2)]
    assert found[0].name == BASELINE
    assert found[0].num_parameters == (16 * 16 * 3 + 1) * 16 + 17
    answers = [contestant.answer(images) for contestant in found]
    np.testing.assert_array_equal(*answers)
    np.testing.assert_array_equal(answers[0], labels)
    moved = np.roll(images, SIDE // 2, axis=1)  # what it learnt above says the contrary below
    np.testing.assert_array_equal(found[0].answer(moved), 1 - labels)
