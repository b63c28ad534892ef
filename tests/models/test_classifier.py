import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from convlens.errors import ConvLensError
from convlens.files import round_array
from convlens.models import classifier as photo_model
from convlens.models.classifier import SERVER_VARIABLE, PhotoClassifier, list_photos, read_photo
from convlens.models.inference import OperatingPoint

CARD = {"classes": ["cats", "dogs"], "image_size": 4}


class Brightness:
    """A network that answers with the mean brightness, and remembers how many photos it got at once."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        dogs = images.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - dogs, dogs], axis=1)


def load(photo: Any, card: Mapping[str, Any]) -> np.ndarray:
    if isinstance(photo, np.ndarray):
        return photo
    try:
        image = Image.open(io.BytesIO(photo) if isinstance(photo, bytes) else photo)
    except OSError as error:
        raise ConvLensError(f"unreadable: {type(error).__name__}") from error
    return np.asarray(image.resize((card["image_size"],) * 2))


def flat(brightness: int) -> np.ndarray:
    return np.full((4, 4, 3), brightness, np.uint8)


def png(brightness: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(flat(brightness)).save(buffer, "PNG")
    return buffer.getvalue()


def text(brightness: int) -> str:
    return base64.b64encode(png(brightness)).decode()


@pytest.fixture
def classifier() -> PhotoClassifier:
    return PhotoClassifier(CARD, OperatingPoint(), Brightness(), load)


def test_every_form_gets_the_same_answer(classifier: PhotoClassifier, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(255))
    wrapped = f"data:image/png;base64,{text(255)}"
    lines = base64.encodebytes(png(255)).decode()
    forms = [png(255), bytearray(png(255)), text(255), wrapped, lines, path, str(path), flat(255)]
    answer = classifier.predict(forms)
    assert answer.to_dict(orient="list") == {
        "label": ["dogs"] * 8,
        "probability_cats": [0.0] * 8,
        "probability_dogs": [1.0] * 8,
        "unsure": [False] * 8,
        "error": [""] * 8,
    }


@pytest.mark.parametrize(
    "given",
    [
        [png(0), png(255)],
        (text(0), text(255)),
        np.array([text(0), text(255)]),
        np.array([png(0), png(255)], dtype=object),
        pd.Series([png(0), png(255)], index=[7, 3]),
        pd.DataFrame({"id": [1, 2], "image": [text(0), text(255)]}, index=[5, 5]),
        {"image": [text(0), text(255)]},
        [{"image": text(0)}, {"image": text(255)}],
        [[text(0)], [text(255)]],
        np.array([[text(0)], [text(255)]]),
        np.stack([flat(0), flat(255)]),
    ],
    ids=lambda given: type(given).__name__,
)
def test_every_container_is_taken(classifier: PhotoClassifier, given: Any) -> None:
    answer = classifier.predict(given)
    assert answer["label"].tolist() == ["cats", "dogs"]
    assert answer.index.tolist() == [0, 1]


@pytest.mark.parametrize("given", [png(0), text(0), flat(0), {"image": text(0)}])
def test_one_photo_is_a_list_of_one(classifier: PhotoClassifier, given: Any) -> None:
    assert classifier.predict(given)["label"].tolist() == ["cats"]


def test_no_photos_give_an_empty_table(classifier: PhotoClassifier) -> None:
    answer = classifier.predict([])
    assert answer.columns.tolist() == ["label", "probability_cats", "probability_dogs", "unsure", "error"]
    assert len(answer) == 0


def test_bad_photos_are_told_in_their_rows(classifier: PhotoClassifier, tmp_path: Path) -> None:
    answer = classifier.predict([png(0), b"no photo", None, tmp_path / "lost.png", "no/such file", 3.5, png(255)])
    assert [label or None for label in answer["label"]] == ["cats", None, None, None, None, None, "dogs"]
    assert answer["probability_dogs"].isna().tolist() == [False, True, True, True, True, True, False]
    assert answer["unsure"].isna().tolist() == [False, True, True, True, True, True, False]
    errors = answer["error"].tolist()
    assert (errors[0], errors[6]) == ("", "")
    assert errors[1] == "unreadable: UnidentifiedImageError"
    assert errors[2].endswith("Received: nothing.")
    assert errors[3] == "unreadable: FileNotFoundError"
    assert errors[4] == ("Expected a photo file or the base64 text of one. Received: the text 'no/such file'.")
    assert errors[5].endswith("Received: a value of type float.")


def test_all_bad_photos_never_reach_the_network() -> None:
    network = Brightness()
    answer = PhotoClassifier(CARD, OperatingPoint(), network, load).predict([b"x", b"y"])
    assert network.batches == []
    assert answer["label"].tolist() == [None, None]


def test_many_photos_come_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_model, "PHOTOS_PER_BATCH", 3)
    network = Brightness()
    values = [10, 250, 20, 240, 30, 230, 40]
    answer = PhotoClassifier(CARD, OperatingPoint(), network, load).predict([flat(value) for value in values])
    assert network.batches == [3, 3, 1]
    assert answer["label"].tolist() == ["cats", "dogs"] * 3 + ["cats"]


def test_every_class_has_a_column() -> None:
    card = {"classes": ["a", "b", "c"], "image_size": 4}
    answer = PhotoClassifier(
        card, OperatingPoint(), lambda images: np.tile([0.2, 0.5, 0.3], (len(images), 1)), load
    ).predict([flat(0)])
    assert answer.to_dict(orient="records") == [
        {
            "label": "b",
            "probability_a": 0.2,
            "probability_b": 0.5,
            "probability_c": 0.3,
            "unsure": False,
            "error": "",
        }
    ]


def test_table_without_photos_is_refused() -> None:
    with pytest.raises(
        ConvLensError, match=r"Expected a column 'image' with the photos. Received columns: id, picture."
    ):
        list_photos(pd.DataFrame({"id": [1], "picture": ["x"]}))
    with pytest.raises(ConvLensError, match=r"Received: nothing."):
        list_photos(None)
    with pytest.raises(ConvLensError, match=r"Received: an array of float64 with shape \(2, 4, 4, 3\)."):
        list_photos(np.zeros((2, 4, 4, 3)))


def test_server_reads_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(0))
    monkeypatch.setenv(SERVER_VARIABLE, "/model")
    for photo in (str(path), path):
        with pytest.raises(ConvLensError, match="Expected the base64 text of a photo"):
            read_photo(photo)
    assert read_photo(text(0)) == png(0)


@pytest.mark.parametrize("array", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_arrays_of_another_kind_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ConvLensError, match=r"a uint8 array \(H, W, 3\). Received: an array of"):
        read_photo(array)


@pytest.mark.parametrize(("threshold", "least"), [(0.5, 0.0), (0.5, 0.8), (0.5, 1.0), (0.31, 0.6), (0.9, 0.9)])
def test_answers_are_those_of_the_evaluation(threshold: float, least: float) -> None:
    """Label, digits and `unsure` are what stage `evaluate` makes of the same probabilities, at the lines as well."""
    second = np.r_[np.random.default_rng(0).random(200), threshold, least, 1 - least, threshold + 1e-9, 0.0, 1.0]
    given = np.stack([1 - second, second], axis=1)
    point = OperatingPoint(threshold=threshold, min_confidence=least)
    answer = PhotoClassifier(CARD, point, lambda images: given[images[:, 0, 0, 0].astype(int)], load).predict(
        [flat(place) for place in range(len(given))]
    )
    kept = round_array(given)
    assert answer["probability_dogs"].tolist() == kept[:, 1].tolist()
    assert answer["label"].tolist() == [CARD["classes"][place] for place in point.predict(kept)]
    assert answer["unsure"].tolist() == point.is_unsure(kept).tolist()
    assert answer["unsure"].dtype == "boolean"


def test_unsure_answers_can_be_left_out(classifier: PhotoClassifier) -> None:
    classifier.operating_point = OperatingPoint(min_confidence=0.9)
    answer = classifier.predict([flat(0), b"no photo", flat(128)])
    assert answer[answer["unsure"]].index.tolist() == [2]
    assert answer[~answer["unsure"]].index.tolist() == [0]


def test_threshold_can_be_given_and_replaces_the_model_s(classifier: PhotoClassifier) -> None:
    photos = [flat(51), flat(153), flat(204)]
    assert classifier.predict(photos)["label"].tolist() == ["cats", "dogs", "dogs"]
    assert classifier.predict(photos, threshold=0.7)["label"].tolist() == ["cats", "cats", "dogs"]
    classifier.operating_point = OperatingPoint(threshold=0.7)
    assert classifier.predict(photos)["label"].tolist() == ["cats", "cats", "dogs"]
    assert classifier.predict(photos, threshold=0.5)["label"].tolist() == ["cats", "dogs", "dogs"]
    assert classifier.predict(photos, threshold=0)["label"].tolist() == ["dogs", "dogs", "dogs"]


def test_top_k_adds_columns_and_changes_none() -> None:
    card = {"classes": ["a", "b", "c"], "image_size": 4}
    asked = PhotoClassifier(card, OperatingPoint(), lambda images: np.tile([0.3, 0.4, 0.3], (len(images), 1)), load)
    plain, answer = asked.predict([flat(0), b"x"]), asked.predict([flat(0), b"x"], top_k=2)
    pd.testing.assert_frame_equal(answer[plain.columns.tolist()], plain)
    added = answer.drop(columns=plain.columns)
    assert added.columns.tolist() == ["top_1_label", "top_1_probability", "top_2_label", "top_2_probability"]
    assert added.iloc[0].tolist() == ["b", 0.4, "a", 0.3]  # of equals the first class
    assert added.iloc[1].isna().all()
    assert asked.predict([], top_k=2).columns.tolist() == answer.columns.tolist()
    pd.testing.assert_frame_equal(asked.predict([flat(0), b"x"], top_k=0), plain)


@pytest.mark.parametrize(
    ("classes", "params", "told"),
    [
        (2, {"threshold": 1.5}, "Expected a threshold from 0 to 1. Received: 1.5."),
        (2, {"threshold": float("nan")}, "Expected a threshold from 0 to 1. Received: nan."),
        (3, {"threshold": 0.4}, "Expected no threshold for 3 classes"),
        (2, {"top_k": 3}, "Expected top_k from 0 to 2, the classes. Received: 3."),
        (2, {"top_k": -1}, "Expected top_k from 0 to 2, the classes. Received: -1."),
    ],
)
def test_wrong_parameters_are_told(classes: int, params: dict[str, Any], told: str) -> None:
    card = {"classes": ["a", "b", "c"][:classes], "image_size": 4}
    with pytest.raises(ConvLensError, match=told):
        PhotoClassifier(card, OperatingPoint(), Brightness(), load).predict([flat(0)], **params)
