from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_training import KEY, PARAMS, write_training

from convlens.errors import ConvLensError
from convlens.metrics.drift import decode_profile, round_features
from convlens.params import load_params
from convlens.stages.profile import gather_statistics, profile, spread_evenly

EVALUATE = load_params(PARAMS).evaluate


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("profile")
    write_training(root)
    splits = pd.read_csv(root / "data/prepared/splits.csv")
    facts = {"brightness": 0.5, "contrast": 0.1, "sharpness": 300.0, "aspect": 1.2}
    splits[["path", "width", "height"]].assign(**facts).to_parquet(root / "data/manifest.parquet")
    return root


def run(root: Path, target: Path, **changes: Path) -> None:
    paths = {
        "manifest": root / "data",
        "prepared": root / "data/prepared",
        "model_folder": root / "data/model",
        "metrics": root / "reports/evaluation/metrics.json",
        "predictions": root / "reports/evaluation/predictions.csv",
        "profile": target,
    }
    profile(**(paths | changes), evaluate=EVALUATE)


def test_the_profile_holds_numbers_and_no_photo(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "profile.npz")
    content = (tmp_path / "profile.npz").read_bytes()
    found = decode_profile(content, "profile.npz")
    assert (found.key, found.classes, found.settings) == (KEY, ("cats", "dogs"), EVALUATE.model_dump(mode="json"))
    assert found.metrics["accuracy"] == 1.0
    assert {name: values.tolist() for name, values in found.statistics.items()} == {
        "brightness": [0.5] * 4, "contrast": [np.float32(0.1)] * 4, "sharpness": [300.0] * 4,
        "aspect": [np.float32(1.2)] * 4, "megapixels": [np.float32(480 / 1e6)] * 4,
    }  # fmt: skip
    assert found.train_features.shape == (4, 3)
    assert np.array_equal(found.train_features, round_features(np.ones((4, 3))))  # grays, whose direction is one
    assert found.held_out_features.shape == (8, 3)
    assert found.held_out_distances.tolist() == [0.0] * 8
    assert found.test_labels.tolist() == [0, 0, 1, 1]
    assert found.test_probabilities.argmax(axis=1).tolist() == [0, 0, 1, 1]
    assert b"photos/train" not in content


def test_the_same_training_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        run(root, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_missing_answers_are_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvLensError, match=r"lost\.csv. Received: nothing there"):
        run(root, tmp_path / "profile.npz", predictions=tmp_path / "lost.csv")
    assert list(tmp_path.iterdir()) == []


def test_rows_are_spread_evenly() -> None:
    assert spread_evenly(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert spread_evenly(100, 3).tolist() == [0, 50, 99]
    assert spread_evenly(1, 3).tolist() == [0]
    assert spread_evenly(0, 3).tolist() == []


def test_statistics_follow_the_photos() -> None:
    manifest = pd.DataFrame({
        "path": ["a", "b"], "brightness": [0.1, 0.2], "contrast": 0.0, "sharpness": 1.0, "aspect": 2.0,
        "width": [1000, 2000], "height": [1000, 500],
    })  # fmt: skip
    found = gather_statistics(pd.DataFrame({"path": ["b", "a"]}), manifest)
    assert found["brightness"].tolist() == [np.float32(0.2), np.float32(0.1)]
    assert found["megapixels"].tolist() == [1.0, 1.0]
