"""Synthetic photos, where the truth is known: the cue that was planted is found, and none where none is.

Each network learns from synthetic photos by the run's recipe in miniature, and is measured as stage `report` does.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prepared_photos import write_prepared
from scipy.stats import t as student

from convlens.data.prepared import Prepared
from convlens.data.synthetic.recipe import KINDS, SyntheticPhoto, SyntheticRecipe, list_photos, paint_photo
from convlens.lens.lens import open_lens
from convlens.models.architectures import finish_model
from convlens.pages.feature_maps.maps import FeatureMaps, PageSettings, gather_sample, make_feature_maps
from convlens.pages.photos import find_regions
from convlens.params import ModelParams, TrainingRecipe, load_params
from convlens.training.fit import Photos, fit
from convlens.training.runtime import Runtime

SEED = 0
SIDE = 48
ENDS = {"train": 400, "validation": 460, "test": 560}
HEADS: dict[str, Any] = {"head_size": (0.5, 0.7), "occlusion_probability": 0.2}  # some tongues stay behind a cup
PLANTED = {"shape_tells": False, "tongue_probability": {"cats": 0.0, "dogs": 1.0}}
NOT_PLANTED = {"shape_tells": True, "tongue_probability": {"cats": 0.5, "dogs": 0.5}}
AWAY_FROM_THE_TONGUE = {"left_ear", "right_ear", "left_eye", "right_eye", "nose"}
AROUND_THE_TONGUE = {"muzzle", "whiskers", "face", "outline"}  # to cover these boxes is to cover the tongue


def paint(**cue: Any) -> list[SyntheticPhoto]:
    """All photos of a recipe, shuffled."""
    recipe = SyntheticRecipe(num_photos=ENDS["test"], image_size=SIDE, seed=SEED, **HEADS, **cue)
    photos = [paint_photo(recipe, label, index) for label, index in list_photos(recipe)]
    return [photos[place] for place in np.random.default_rng(SEED).permutation(len(photos))]


def prepare(photos: list[SyntheticPhoto], folder: Path) -> tuple[Prepared, pd.DataFrame]:
    """The photos in splits, and their rows of the manifest that name the parts."""
    starts = dict(zip(ENDS, (0, *ENDS.values()), strict=False))
    parts = {split: photos[starts[split] : end] for split, end in ENDS.items()}
    images = {split: np.stack([np.asarray(photo.image) for photo in part]) for split, part in parts.items()}
    labels = {split: np.array([KINDS.index(photo.label) for photo in part]) for split, part in parts.items()}
    rows = [
        {"path": f"{split}/{row}.png", "regions": [{"name": name, **vars(box)} for name, box in photo.regions.items()]}
        for split, part in parts.items()
        for row, photo in enumerate(part)
    ]
    prepared = Prepared.load(write_prepared(folder / "prepared", images, labels, KINDS))
    return prepared, pd.DataFrame(rows).assign(width=SIDE, height=SIDE)


def make_recipe() -> TrainingRecipe:
    """The run's recipe for a narrow network and few epochs; a crop or a turn hardly ever loses the tongue."""
    params = load_params()
    residual = {"width": 4, "training_sizes": ({"until": 1.0, "size": SIDE},)}
    model = ModelParams.model_validate({**params.model.model_dump(), "architecture": "residual", "residual": residual})
    augment = params.augment.model_copy(update={"min_crop_area": 0.7, "rotation": 0.0})
    train = params.train.changed(epochs=25, batch_size=32, learning_rate=0.1, seed=SEED, precision="float32")
    return TrainingRecipe(model=model, augment=augment, train=train)


def train_and_measure(folder: Path, **cue: Any) -> tuple[float, FeatureMaps]:
    """Accuracy on the held-out photos of a network trained on the others, and what the report stage writes of it."""
    data, manifest = prepare(paint(**cue), folder)
    recipe = make_recipe()
    train, validation = (Photos(data.images(split), data.labels(split)) for split in ("train", "validation"))
    runtime = Runtime("cpu", "float32", 0)
    result = fit(recipe, train, validation=validation, num_classes=len(KINDS), runtime=runtime)
    network = finish_model(result.body, recipe.model, num_classes=len(KINDS), image_size=SIDE)
    lens = open_lens(network)
    sample = gather_sample(data, find_regions(manifest, data.loader), picture_shape=lens.picture_shape)
    chances = network.predict(np.asarray(sample.held_out[:]), verbose=0)[:, 0]
    accuracy = float(((chances > 0.5) == sample.labels).mean())
    return accuracy, make_feature_maps(lens, [], sample, PageSettings(classes=KINDS, max_filters=1))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, FeatureMaps]:
    """Only the tongue tells: dogs have one, and the rest of them is painted as a cat's."""
    return train_and_measure(tmp_path_factory.mktemp("planted"), **PLANTED)


@pytest.fixture(scope="module")
def not_planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, FeatureMaps]:
    """The shape tells: every other cat and every other dog has a tongue."""
    return train_and_measure(tmp_path_factory.mktemp("not_planted"), **NOT_PLANTED)


def test_the_planted_tongue_is_found_and_tells_most(planted: tuple[float, FeatureMaps]) -> None:
    accuracy, maps = planted
    table = maps.tables["regions.csv"]
    tongue = table.iloc[0]
    assert accuracy > 0.9
    assert tongue["region"] == "tongue"
    assert tongue["found"]
    assert tongue["effect"] == table["effect"].max()
    assert tongue["difference"] > 0.5
    assert tongue["difference_low"] > 0.2
    assert abs(tongue["null"]) < 0.05  # so that the excess varies as the effect does, and only the confidence differs
    plain, widened = (tongue[f"{name}_high"] - tongue[f"{name}_low"] for name in ("effect", "difference"))
    degrees, error = tongue["num_photos"] - 1, 0.05 / len(table)
    assert widened / plain == pytest.approx(student.ppf(1 - error / 2, degrees) / student.ppf(0.975, degrees), rel=0.1)


def test_only_what_hides_the_planted_tongue_is_found_beside_it(planted: tuple[float, FeatureMaps]) -> None:
    _, maps = planted
    table = maps.tables["regions.csv"]
    assert set(table["region"]) == {"tongue"} | AROUND_THE_TONGUE | AWAY_FROM_THE_TONGUE
    assert table["found"].tolist() == (table["difference_low"] > 0).tolist()
    assert set(table["region"][table["found"]]) - AROUND_THE_TONGUE == {"tongue"}
    assert maps.metrics["num_regions"] == len(table)
    assert maps.metrics["num_regions_found"] == table["found"].sum()


def test_a_tongue_that_tells_nothing_is_not_found(not_planted: tuple[float, FeatureMaps]) -> None:
    accuracy, maps = not_planted
    table = maps.tables["regions.csv"].set_index("region")
    tongue = table.loc["tongue"]
    assert accuracy > 0.9
    assert tongue["num_photos"] >= 6
    assert not tongue["found"]
    assert tongue["difference_low"] <= 0
    assert tongue["difference_high"] < 0.2  # not for want of photos: the planted one lies far above
    assert table.loc["outline", "effect_low"] > 0  # what tells is in the head, and the network goes by it
