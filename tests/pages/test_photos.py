"""Which test photos the feature-map page shows: predictions and pixels belong together by path."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prepared_photos import write_prepared

from convlens.data.loader import LoaderSettings
from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.pages.photos import choose_test_photos, find_regions, shorten_path
from convlens.params import ReportParams

SHOW = ReportParams(num_correct=4, num_errors=2, max_filters=8)
COUNT = 10


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Ten photos per split; every pixel of the test photo `test/3.png` is 3."""
    images = {split: np.zeros((COUNT, 4, 4, 3), np.uint8) for split in ("train", "validation", "test")}
    images["test"] += np.arange(COUNT, dtype=np.uint8)[:, None, None, None]
    labels = {split: np.arange(COUNT) % 2 for split in images}
    return Prepared.load(write_prepared(tmp_path / "prepared", images, labels, ("cats", "dogs")))


@pytest.fixture
def predictions(prepared: Prepared) -> pd.DataFrame:
    """Every photo is predicted to be a cat, the later ones the more confidently."""
    test = prepared.photos("test")
    cats = np.linspace(0.6, 0.9, COUNT)
    return pd.DataFrame({
        "path": test["path"], "label": test["label"], "predicted": "cats", "correct": test["label"] == "cats",
        "probability_cats": cats, "probability_dogs": 1 - cats,
    })  # fmt: skip


def test_errors_come_first_then_correct_ones_spread_over_confidence(
    prepared: Prepared, predictions: pd.DataFrame
) -> None:
    chosen = list(choose_test_photos(predictions, prepared, SHOW))
    assert [(choice.name, choice.group) for choice in chosen] == [
        *(("test/9.png", "error"), ("test/7.png", "error")),
        *(("test/8.png", "correct"), ("test/6.png", "correct"), ("test/2.png", "correct"), ("test/0.png", "correct")),
    ]


def test_pixels_are_those_of_the_photo_whatever_the_order_of_the_predictions(
    prepared: Prepared, predictions: pd.DataFrame
) -> None:
    for table in (predictions, predictions.iloc[::-1], predictions.sample(frac=1, random_state=0)):
        for choice in choose_test_photos(table, prepared, SHOW):
            assert (choice.pixels == int(Path(choice.name).stem)).all(), choice.name


@pytest.mark.parametrize("wrong", ["fewer", "others"])
def test_predictions_of_other_photos_are_refused(prepared: Prepared, predictions: pd.DataFrame, wrong: str) -> None:
    table = predictions.head(7) if wrong == "fewer" else predictions.assign(path=predictions["path"] + "x")
    with pytest.raises(ConvLensError, match=r"Expected predictions of the 10 test photos .* Run `dvc repro`\."):
        list(choose_test_photos(table, prepared, SHOW))


def test_a_photo_that_does_not_decode_has_no_boxes() -> None:
    box = {"name": "nose", "left": 10.0, "top": 20.0, "right": 20.0, "bottom": 40.0}
    manifest = pd.DataFrame({
        "path": ["whole.jpg", "broken.jpg", "plain.jpg"], "width": [100, 0, 100], "height": [200, 0, 200],
        "regions": [[box], [box], None],
    })  # fmt: skip
    assert find_regions(manifest, LoaderSettings(50)) == {"whole.jpg": {"nose": (5.0, 5.0, 10.0, 10.0)}}


@pytest.mark.parametrize(
    ("path", "source", "shown"),
    [
        ("/home/eve/photos/cats/1.jpg", "/home/eve/photos", "cats/1.jpg"),
        ("../photos/cats/1.jpg", "../photos", "cats/1.jpg"),
        ("/mnt/cache/cats/1.jpg", "data/cards/pets.yaml", "cats/1.jpg"),
        ("data/raw/cats/1.jpg", "data/cards/synthetic.yaml", "data/raw/cats/1.jpg"),
        ("/home/eve/photos", "/home/eve/photos", "photos"),
        ("photos", "photos", "photos"),
    ],
)
def test_paths_tell_nothing_of_the_makers_machine(path: str, source: str, shown: str) -> None:
    assert shorten_path(path, source) == shown
