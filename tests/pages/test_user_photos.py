"""Photos of the user: predictions, what speaks against them, and their page."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from external_model import make_reference, write_model
from report_inputs import paint

from convlens.models.files import load_trained_model
from convlens.pages.photos import Choice, Unreadable
from convlens.pages.user_photos import (
    SHIFTS,
    UserPhotos,
    describe_user_photos,
    find_unsure_limit,
    predict_user_photos,
    render_user_photos,
    shift_copies,
)

SIDE = 16


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_trained_model(write_model(tmp_path_factory.mktemp("own")))


def flat(*color: float) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), np.round(255 * np.array(color)), np.uint8)


def by_brightness(photos: np.ndarray) -> np.ndarray:
    """Dogs are brighter than a half."""
    dogs = 1 / (1 + np.exp(-10 * (photos.mean(axis=(1, 2, 3)) / 255 - 0.5)))
    return np.column_stack([1 - dogs, dogs])


def predict(
    network: Any, *choices: Choice, unreadable: tuple[Unreadable, ...] = (), by: Any = by_brightness
) -> UserPhotos:
    return predict_user_photos(choices, unreadable, model=network, predict=by, reference=make_reference())


def test_a_photo_like_the_training_photos_has_no_warning(network: Any) -> None:
    found = predict(network, Choice("dogs/a.png", "user", "dogs", flat(0.9, 0.9, 0.9)))
    row = found.table.iloc[0]
    assert (row["path"], row["label"], row["predicted"], row["correct"]) == ("dogs/a.png", "dogs", "dogs", True)
    assert row["probability"] == row["probability_dogs"] == pytest.approx(0.982, abs=1e-3)
    assert (row["num_shifts"], row["num_same"], bool(row["believe"])) == (16, 16, True)
    assert row["why"] == (
        "No warning: the photo resembles the training photos, the prediction stays the same when the photo is shifted "
        "by up to 3 pixels, and 10 of 10 test photos with a similar probability were classified correctly."
    )
    assert found.pictures["dogs/a.png"].startswith(b"\x89PNG")


def test_warnings_come_with_their_numbers(network: Any) -> None:
    row = predict(network, Choice("red.png", "user", None, flat(0.9, 0.3, 0.3))).table.iloc[0]
    assert not row["believe"]
    assert row["distance"] > row["unlike_above"]
    assert row["probability"] < row["unsure_below"] == 0.75
    assert row["held_out_closer"] == 1.0
    assert row["why"].replace("\N{NO-BREAK SPACE}", " ") == (
        "Do not rely on it: the photo is unlike the training photos, further from them than every held-out photo; the "
        "network is unsure, 50.2 % for “cats”, below 75.0 %."
    )


def test_a_prediction_that_changes_when_shifted_is_unstable(network: Any) -> None:
    """This one decides by a single pixel, which shifting moves away."""
    pixels = flat(0.2, 0.2, 0.2)
    pixels[8, 8] = 255

    def by_one_pixel(photos: np.ndarray) -> np.ndarray:
        dogs = np.where(photos[:, 8, 8, 0] == 255, 0.95, 0.05)
        return np.column_stack([1 - dogs, dogs])

    row = predict(network, Choice("spot.png", "user", None, pixels), by=by_one_pixel).table.iloc[0]
    assert (row["predicted"], row["num_same"], bool(row["believe"])) == ("dogs", 0, False)
    assert "it is unstable, 16 of 16 copies shifted by up to 3 pixels are classified otherwise" in row["why"]


def test_unreadable_photos_are_in_the_table(network: Any) -> None:
    photo = Choice("b.png", "user", None, flat(0.9, 0.9, 0.9))
    found = predict(network, photo, unreadable=(Unreadable("a.jpg", "broken"),))
    assert found.table["path"].tolist() == ["a.jpg", "b.png"]
    assert found.table["error"].tolist() == ["broken", ""]
    assert list(found.pictures) == ["b.png"]


def test_no_photos_give_an_empty_table_with_its_columns(network: Any) -> None:
    table = predict(network).table
    assert table.empty
    expected = ["path", "label", "predicted", "correct", "probability_cats", "probability_dogs"]
    assert list(table.columns)[:6] == expected


def test_copies_are_the_photo_moved() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    copies = shift_copies(pixels)
    assert copies.shape == (16, SIDE, SIDE, 3)
    for copy, (down, across) in zip(copies, SHIFTS, strict=True):
        assert np.array_equal(copy[4:12, 4:12], pixels[4 - down : 12 - down, 4 - across : 12 - across])


@pytest.mark.parametrize(
    ("metrics", "num_classes", "limit"),
    [({}, 2, 0.75), ({"min_confidence": 0.9}, 2, 0.9), ({"min_confidence": 0.0}, 5, 0.6)],
)
def test_the_limit_of_unsure_predictions(metrics: dict[str, Any], num_classes: int, limit: float) -> None:
    assert find_unsure_limit(metrics, num_classes) == pytest.approx(limit)


# --- The page ---


def make_table(num_photos: int = 2) -> pd.DataFrame:
    rows = [
        {
            "path": f"photos of mine/{index} <b>.jpg", "label": "dogs" if index else "", "predicted": "cats",
            "correct": False if index else None, "probability_cats": 0.91, "probability_dogs": 0.09,
            "probability": 0.91, "unsure_below": 0.75, "distance": 0.4, "unlike_above": 0.3 + 0.2 * (index % 2),
            "held_out_closer": 0.99, "num_shifts": 16, "num_same": 16, "believe": bool(index % 2), "why": "A reason.",
            "error": "",
        }
        for index in range(num_photos)
    ]  # fmt: skip
    return pd.DataFrame([*rows, {"path": "broken.jpg", "error": "the file ends early"}])


def test_user_photos_have_a_page_with_their_evidence() -> None:
    table = make_table()
    predicted = UserPhotos(table, {path: paint(path) for path in table["path"]})
    page = render_user_photos(predicted, "photos version 3 (champion)").replace("\N{NO-BREAK SPACE}", " ")
    assert page.count("data:image/jpeg;base64,") == 2
    for words, times in {
        "2 photos of yours, 1 with a warning. By photos version 3 (champion).": 1,
        "do not rely on it": 1,
        "no warning</span>": 1,
        "photos of mine/1 &lt;b&gt;.jpg · labeled “dogs” by its folder: wrong": 1,
        '<dd class="doubtful">0.400, further than 99.0 % of the held-out photos; unlike above 0.300</dd>': 1,
        "; unlike above 0.500</dd>": 1,
        "the file ends early": 1,
        "classified 16 times more": 1,
    }.items():
        assert page.count(words) == times, words


def test_many_photos_are_shown_in_part() -> None:
    shown = describe_user_photos(make_table(75), {})
    assert (len(shown["photos"]), shown["num_hidden"], shown["num_photos"]) == (60, 15, 75)


def test_only_broken_photos() -> None:
    shown = describe_user_photos(make_table(0).assign(believe=None, label=""), {})
    assert (shown["sentence"], len(shown["failures"])) == ("None of your photos could be read.", 1)
