import keras
import numpy as np
import pytest
from lens_models import CLASSES, photos, residual, sequential

from convlens.lens.filters import FILTER_COLUMNS, area_under_curve, measure_filters
from convlens.lens.lens import open_lens


def _pointwise(biases: list[float]) -> keras.Model:
    """Each filter is the red channel plus its bias, cut at zero."""
    layer = keras.layers.Conv2D(len(biases), 1, activation="relu", name="conv")
    model = keras.Sequential([keras.Input((4, 4, 3), dtype="uint8"), keras.layers.Rescaling(1 / 255), layer])
    kernel = np.zeros((1, 1, 3, len(biases)), np.float32)
    kernel[0, 0, 0] = 1
    layer.set_weights([kernel, np.array(biases, np.float32)])
    return model


def test_dead_rare_and_selective_filters_are_found() -> None:
    images = np.zeros((40, 4, 4, 3), np.uint8)
    images[20:, :, :, 0] = 200  # dogs are red
    images[7, 0, 0, 0] = 255  # one cell of one cat is redder
    labels = np.repeat([0, 1], 20)
    table = measure_filters(open_lens(_pointwise([0.0, -2.0, -0.9])), images, labels=labels, classes=CLASSES)
    assert table["dead"].tolist() == [False, True, False]
    assert table["firing_rate"].tolist() == [21 / 40, 0.0, 1 / 40]
    assert table["prefers"].tolist() == ["dogs", "", "cats"]
    np.testing.assert_allclose(table["auc_mean"], [1.0, 0.5, 0.525])
    np.testing.assert_allclose(table["active_share"], [(20 * 16 + 1) / 640, 0, 1 / 640], atol=1e-6)
    np.testing.assert_allclose(table["maximum"], [1.0, 0.0, 0.1], atol=1e-6)
    assert list(table.columns) == list(FILTER_COLUMNS)


@pytest.mark.parametrize("build", [sequential, residual])
def test_facts_are_those_of_the_maps(build) -> None:
    lens, images = open_lens(build()), photos(5)
    labels = np.array([0, 1, 0, 1, 1])
    table = measure_filters(lens, images, labels=labels, classes=CLASSES)
    for block in lens.blocks:
        maps = np.stack([lens.run(photo).maps[block.response.name] for photo in images])
        rows = table[table["layer"] == block.name]
        np.testing.assert_allclose(rows["maximum"], maps.max(axis=(0, 1, 2)), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(rows["mean"], maps.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(rows["firing_rate"], (maps.max(axis=(1, 2)) > 0).mean(axis=0))


def test_area_under_curve_is_the_share_of_ordered_pairs() -> None:
    generator = np.random.default_rng(0)
    scores, positive = generator.integers(0, 5, (30, 3)).astype(float), generator.random(30) < 0.4
    pairs = scores[positive][:, None] - scores[~positive][None]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean(axis=(0, 1))
    np.testing.assert_allclose(area_under_curve(scores, positive), expected)


def test_one_class_only_is_chance() -> None:
    assert area_under_curve(np.ones((3, 2)), np.ones(3, bool)).tolist() == [0.5, 0.5]
