"""Regions: the part that tells is found, and none where none tells."""

import keras
import numpy as np
import pytest
from lens_models import CLASSES

from convlens.lens.attribution import activation_ratio, clip_box, random_boxes, region_effects, summarize_regions
from convlens.lens.forward import Scorer
from convlens.lens.lens import open_lens
from convlens.lens.statistics import PhotoSample, measure_filter_statistics

SIDE = 24
PARTS = ("ear", "paw", "tongue")


def painted(count: int, *, seed: int, tongue: bool = True) -> tuple[np.ndarray, np.ndarray, list[dict]]:
    """Gray noise with three parts at random places; only the color of the tongue goes by the class, if it does."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 150, (count, SIDE, SIDE, 3), dtype=np.uint8)
    labels, boxes = np.arange(count) % 2, []
    for image, label in zip(images, labels, strict=True):
        corners = rng.permutation([(r, c) for r in (1, 9, 17) for c in (1, 9, 17)])[:3] + rng.integers(0, 2, (3, 2))
        boxes.append(
            {name: (float(c), float(r), c + 5.0, r + 5.0) for name, (r, c) in zip(PARTS, corners, strict=True)}
        )
        for name, (r, c) in zip(PARTS, corners, strict=True):
            tells = name == "tongue" and tongue
            image[r : r + 5, c : c + 5] = (230, 30, 30) if (label if tells else rng.integers(2)) else (30, 230, 30)
        if tongue:  # the other parts have colors of their own, which say nothing
            for name in PARTS[:2]:
                left, top, *_ = map(int, boxes[-1][name])
                image[top : top + 5, left : left + 5] = (30, 30, 230) if rng.integers(2) else (230, 230, 30)
    return images, labels, boxes


def train(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    """A small network, trained for a second."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3), dtype="uint8"), layers.Rescaling(1 / 127.5, -1),
         layers.Conv2D(6, 3, activation="relu", name="conv_1"), layers.Conv2D(6, 3, activation="relu", name="conv_2"),
         layers.GlobalAveragePooling2D(), layers.Dense(1, name="logits"), layers.Activation("sigmoid")]
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    model.fit(images, labels, epochs=8, batch_size=32, verbose=0, shuffle=False)
    return model


@pytest.fixture(scope="module")
def informed() -> Scorer:
    images, labels, _ = painted(256, seed=0)
    return Scorer(open_lens(train(images, labels)))


def test_the_only_part_that_tells_is_the_only_one_found(informed: Scorer) -> None:
    images, labels, boxes = painted(24, seed=1)
    assert (informed.answers(informed.logits(images)) == labels).mean() > 0.95
    found = summarize_regions([
        region_effects(informed, image, own, int(label), num_null=3, seed=[i])
        for i, (image, own, label) in enumerate(zip(images, boxes, labels, strict=True))
    ])  # fmt: skip
    assert [(region.name, region.found) for region in found if region.found] == [("tongue", True)]
    assert found[0].name == "tongue"
    assert found[0].difference[0] > 0.2
    assert {region.num_photos for region in found} == {24}


def test_none_is_found_where_none_tells() -> None:
    images, labels, boxes = painted(64, seed=2, tongue=False)
    scorer = Scorer(open_lens(train(images, np.random.default_rng(3).permutation(labels))))
    images, labels, boxes = painted(24, seed=4, tongue=False)
    found = summarize_regions([
        region_effects(scorer, image, own, int(label), num_null=3, seed=[i])
        for i, (image, own, label) in enumerate(zip(images, boxes, labels, strict=True))
    ])  # fmt: skip
    assert [region.name for region in found if region.found] == []


def test_statistics_of_the_same_sample_are_the_same(informed: Scorer) -> None:
    images, labels, boxes = painted(6, seed=5)
    sample = PhotoSample(images, labels, CLASSES, painted(4, seed=6)[0], boxes)
    first, second = measure_filter_statistics(informed, sample), measure_filter_statistics(informed, sample)
    assert (first.num_sample, first.num_ablated, first.num_region_photos) == (6, 6, 6)
    assert first.filters.equals(second.filters)
    assert first.regions == second.regions
    assert set(first.ratios["conv_2"]) == set(PARTS)
    for name, ablation in first.ablations.items():
        np.testing.assert_array_equal(ablation.probability.value, second.ablations[name].probability.value)
    assert first.trust is not None
    assert first.trust.num_photos == 6


def test_activation_all_inside_a_box_is_one_over_its_share(informed: Scorer) -> None:
    block = informed.lens.blocks[0]  # a cell sees 3x3 pixels: the middle of cell i is pixel i + 1.5
    maps = np.zeros((22, 22, 2), np.float32)
    maps[2:6, 4:8, 0] = 1
    maps[..., 1] = -1
    ratio = activation_ratio(maps, block, (5.0, 3.0, 9.0, 7.0))
    assert ratio[0] == pytest.approx(22 * 22 / 16)
    assert np.isnan(ratio[1])


def test_boxes_are_cut_to_the_picture_and_random_ones_keep_their_size() -> None:
    assert clip_box((-3, 2, 5, 40), (20, 10)) == (0.0, 2, 5, 20.0)
    assert clip_box((12, 2, 15, 4), (20, 10)) is None
    box = (2.0, 3.0, 6.0, 8.0)
    for left, top, right, bottom in random_boxes(box, (20, 30), 50, np.random.default_rng(0)):
        assert (right - left, bottom - top) == pytest.approx((4, 5))
        assert min(left, top) >= 0
        assert right <= 30
        assert bottom <= 20
        assert right <= 2 or left >= 6 or bottom <= 3 or top >= 8
