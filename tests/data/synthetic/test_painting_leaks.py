"""Only shape tells cats from dogs: what a linear model can learn from color, size and place is next to nothing."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convlens.data.synthetic.recipe import SyntheticPhoto, SyntheticRecipe, list_photos, paint_photo

NUM_PHOTOS = 300


@pytest.fixture(scope="module")
def photos() -> list[SyntheticPhoto]:
    recipe = SyntheticRecipe(num_photos=NUM_PHOTOS, image_size=48)
    return [paint_photo(recipe, label, index) for label, index in list_photos(recipe)]


def accuracy(photos: list[SyntheticPhoto], features: list[np.ndarray]) -> float:
    labels = np.array([photo.label == "dogs" for photo in photos])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(cross_val_score(model, np.array(features), labels, cv=folds).mean())


def color_features(photo: SyntheticPhoto) -> np.ndarray:
    pixels = np.asarray(photo.image).reshape(-1, 3)
    counts = [np.histogram(channel, 8, (0, 256))[0] for channel in pixels.T]
    return np.concatenate(
        [pixels.mean(axis=0), pixels.std(axis=0), *np.percentile(pixels, (5, 50, 95), axis=0), *counts]
    )


def place_features(photo: SyntheticPhoto) -> np.ndarray:
    face = photo.regions["face"]
    width, height = face.right - face.left, face.bottom - face.top
    return np.array([face.left + width / 2, face.top + height / 2, np.sqrt(width * height), photo.jpeg_quality])


def test_colors_do_not_tell(photos):
    assert accuracy(photos, [color_features(photo) for photo in photos]) < 0.6


def test_size_place_and_compression_do_not_tell(photos):
    assert accuracy(photos, [place_features(photo) for photo in photos]) < 0.6


def test_pixels_do_not_tell_a_linear_model(photos):
    assert accuracy(photos, [np.asarray(photo.image.convert("L").resize((32, 32))).ravel() for photo in photos]) < 0.65


def test_the_tongue_does_not_tell(photos):
    shares = {
        label: np.mean(["tongue" in photo.regions for photo in photos if photo.label == label])
        for label in ("cats", "dogs")
    }
    assert abs(shares["cats"] - shares["dogs"]) < 0.15


def test_a_planted_place_is_found_by_a_linear_model():
    """The check has teeth: what a recipe plants, it sees."""
    recipe = SyntheticRecipe(num_photos=40, image_size=32, horizontal_position={"cats": (0, 0.3), "dogs": (0.7, 1)})
    planted = [paint_photo(recipe, label, index) for label, index in list_photos(recipe)]
    assert accuracy(planted, [place_features(photo) for photo in planted]) > 0.9
