from typing import Any

import numpy as np
import pandas as pd
import pytest
from external_model import make_reference, write_model

from convlens.models.files import load_trained_model
from convlens.pages.photos import Choice, Unreadable
from convlens.pages.user_photos import SHIFTS_REPORT_OWN as SHIFTS
from convlens.pages.user_photos import OwnPhotos, answer_own, find_unsure_limit, shift_copies

SIDE = 16
RELIABILITY = pd.DataFrame({
    "temperature": ["before", "after", "after"], "num_photos": [100, 40, 60], "confidence": [0.99, 0.7, 0.98],
    "accuracy": [0.0, 0.75, 1.0],
})  # fmt: skip


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_trained_model(write_model(tmp_path_factory.mktemp("own")))


def flat(*color: float) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), np.round(255 * np.array(color)), np.uint8)


def brightness(photos: np.ndarray) -> np.ndarray:
    """Dogs are brighter than a half."""
    dogs = 1 / (1 + np.exp(-10 * (photos.mean(axis=(1, 2, 3)) / 255 - 0.5)))
    return np.column_stack([1 - dogs, dogs])


def ask(network: Any, *choices: Choice, unreadable: tuple[Unreadable, ...] = (), answer: Any = brightness) -> OwnPhotos:
    return answer_own(
        choices, unreadable, model=network, answer=answer, reference=make_reference(), reliability=RELIABILITY
    )


def test_a_photo_like_those_of_the_training_is_believed(network: Any) -> None:
    found = ask(network, Choice("dogs/a.png", "user", "dogs", flat(0.9, 0.9, 0.9)))
    row = found.table.iloc[0]
    assert (row["path"], row["label"], row["predicted"], row["correct"]) == ("dogs/a.png", "dogs", "dogs", True)
    assert row["probability"] == row["probability_dogs"] == pytest.approx(0.982, abs=1e-3)
    assert (row["num_shifts"], row["num_same"], bool(row["believe"])) == (16, 16, True)
    assert row["why"] == (
        "Nothing speaks against it: the photo is like those it learned from, the answer stays the same when the photo "
        "is shifted by up to 3 pixels, and of 60 test photos answered about as surely all 60 were right."
    )
    assert found.pictures["dogs/a.png"].startswith(b"\x89PNG")


def test_doubts_are_named_with_their_numbers(network: Any) -> None:
    found = ask(network, Choice("red.png", "user", None, flat(0.9, 0.3, 0.3)))
    row = found.table.iloc[0]
    assert not row["believe"]
    assert row["distance"] > row["unlike_above"]
    assert row["probability"] < row["unsure_below"] == 0.75
    assert row["held_out_closer"] == 1.0
    assert row["why"] == (
        "Do not rely on it, for the photo is unlike those it learned from: further from them than every photo that was "
        "held out; and it is unsure: 50.2\N{NO-BREAK SPACE}% for cats, below 75.0\N{NO-BREAK SPACE}%."
    )


def test_answers_that_flip_are_doubted(network: Any) -> None:
    """This one decides by a single pixel, which shifting moves away."""
    pixels = flat(0.2, 0.2, 0.2)
    pixels[8, 8] = 255

    def by_one_pixel(photos: np.ndarray) -> np.ndarray:
        dogs = np.where(photos[:, 8, 8, 0] == 255, 0.95, 0.05)
        return np.column_stack([1 - dogs, dogs])

    row = ask(network, Choice("spot.png", "user", None, pixels), answer=by_one_pixel).table.iloc[0]
    assert (row["predicted"], row["num_same"], bool(row["believe"])) == ("dogs", 0, False)
    assert "the answer flips: 16 of 16 copies shifted by up to 3 pixels are answered otherwise" in row["why"]


def test_unreadable_photos_stand_in_the_table(network: Any) -> None:
    found = ask(
        network, Choice("b.png", "user", None, flat(0.9, 0.9, 0.9)), unreadable=(Unreadable("a.jpg", "broken"),)
    )
    assert found.table["path"].tolist() == ["a.jpg", "b.png"]
    assert found.table["error"].tolist() == ["broken", ""]
    assert list(found.pictures) == ["b.png"]


def test_no_photos_give_an_empty_table_with_its_columns(network: Any) -> None:
    found = ask(network)
    assert found.table.empty
    assert list(found.table.columns)[:6] == ["path", "label", "predicted", "correct", "probability_cats",
                                             "probability_dogs"]  # fmt: skip


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
def test_the_limit_of_sureness(metrics: dict[str, Any], num_classes: int, limit: float) -> None:
    assert find_unsure_limit(metrics, num_classes) == pytest.approx(limit)
