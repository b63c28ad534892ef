"""Patches, histograms, correlations, intervals and the arithmetic of filters, against plain counting."""

import keras
import numpy as np
import pytest
from lens_models import MODELS, SIZE, padded, photos, residual, spread_weights

from convlens.lens.arithmetic import ConvolutionRecipe, Program, find_program, find_recipes, work_out
from convlens.lens.filters import (
    auc_interval,
    cell_means,
    correlate,
    crop_field,
    edge_strength,
    estimate,
    profile_filters,
    strongest_patches,
)
from convlens.lens.forward import Scorer
from convlens.lens.graph import PIXEL, ReceptiveField, Span
from convlens.lens.lens import Lens, open_lens


def _recipes(lens: Lens) -> dict[str, ConvolutionRecipe]:
    return {name: recipe for name, recipe in find_recipes(lens).items() if isinstance(recipe, ConvolutionRecipe)}


def test_what_is_no_plain_relu_ends_the_arithmetic() -> None:
    ends = {name: recipe.up_to for name, recipe in _recipes(open_lens(padded())).items()}
    assert ends == {"conv_1": "relu_1", "groups": "relu_2", "depth": "relu_3", "separable": "relu_4", "dilated": ""}


def test_an_input_that_is_not_held_is_named() -> None:
    layers = keras.layers
    start = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = layers.Multiply(name="gate")(
        [layers.Conv2D(3, 1, name="a")(layers.Rescaling(0.1)(start)), layers.Rescaling(0.1)(start)]
    )
    x = layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, name="b")(x)))
    found = find_recipes(open_lens(spread_weights(keras.Model(start, x))))
    assert found["b"] == "It reads what gate (Multiply) gives, which is not held on the page."
    assert isinstance(found["a"], ConvolutionRecipe)


def test_patches_are_the_right_pixels_of_different_photos() -> None:
    lens, images = open_lens(residual()), photos(12)
    found = strongest_patches(Scorer(lens), images)
    maps = {block.name: np.stack([lens.run(photo).maps[block.response.name] for photo in images])
            for block in lens.blocks}  # fmt: skip
    for name, patches in found.items():
        highest = maps[name].max(axis=(1, 2))
        for k in range(highest.shape[1]):
            kept = patches.photo[k] >= 0
            assert len(set(patches.photo[k][kept].tolist())) == kept.sum()
            np.testing.assert_allclose(patches.value[k][kept], np.sort(highest[:, k])[::-1][: kept.sum()], rtol=1e-5)
            for photo, row, column, value in zip(patches.photo[k][kept], patches.row[k][kept], patches.column[k][kept],
                                                 patches.value[k][kept], strict=True):  # fmt: skip
                assert maps[name][photo, row, column, k] == pytest.approx(value, rel=1e-5)


def test_a_patch_is_cut_to_the_receptive_field_and_the_border() -> None:
    picture = np.arange(100).reshape(10, 10)
    field = ReceptiveField(Span(5, 2, -1), Span(3, 2, 0))
    assert np.array_equal(crop_field(picture, field, 0, 1), picture[:4, 2:5])
    assert np.array_equal(crop_field(picture, field, 3, 4), picture[5:10, 8:10])
    assert np.array_equal(crop_field(picture, None, 0, 0), picture)


def test_histograms_count_every_value() -> None:
    lens, images = open_lens(residual()), photos(5)
    profile = profile_filters(Scorer(lens), images)["conv_2"]
    maps = np.concatenate([lens.run(photo).maps["relu_2"].reshape(-1, 8) for photo in images])
    for k in range(8):
        values = maps[:, k][maps[:, k] > 0]
        counts = np.histogram(values, bins=24, range=(0, max(float(profile.high[k]), 1e-9)))[0]
        assert profile.counts[k].sum() == len(values)
        assert np.abs(np.cumsum(profile.counts[k]) - np.cumsum(counts)).max() <= 1  # a value on a border


def test_edges_and_brightness_are_found() -> None:
    """The first filter is brightness, the second edges across, the third always the same."""
    model = keras.Sequential(
        [keras.Input((16, 16, 3), dtype="uint8"), keras.layers.Rescaling(1.0),
         keras.layers.Conv2D(3, 3, padding="same", name="conv"),
         keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")]
    )  # fmt: skip
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[1, 1, :, 0] = 0.299, 0.587, 0.114
    model.get_layer("conv").set_weights([kernel, np.array([0, 0, 5], np.float32)])
    images = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    profile = profile_filters(Scorer(open_lens(model)), images)["conv"]
    np.testing.assert_allclose(profile.brightness.value[0], 1, atol=1e-4)
    assert np.isnan(profile.brightness.value[1:]).all()
    step = np.zeros((6, 6))
    step[:, 3:] = 10
    assert edge_strength(step)[3].tolist() == [0, 0, 40, 40, 0, 0]


def test_cells_are_compared_with_the_picture_around_their_middle() -> None:
    values = np.arange(16.0).reshape(4, 4)
    field = ReceptiveField(Span(4, 2, -1), Span(4, 2, -1))
    assert cell_means(values, field, (2, 2)).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert np.array_equal(cell_means(values, PIXEL, (4, 4)), values)
    assert correlate(np.array([[1.0, 3], [2, 2], [3, 1]]), np.array([1.0, 2, 3])).tolist() == [1.0, -1.0]


def test_mean_with_students_interval_leaves_out_what_is_not_known() -> None:
    found = estimate(np.array([[1.0, 5.0], [2.0, np.nan], [3.0, np.nan]]))
    np.testing.assert_allclose(found[0], [2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5], rtol=1e-6)
    assert found[1][0] == 5.0
    assert np.isnan(found[1][1:]).all()
    assert found.num.tolist() == [3, 1]


def test_interval_of_an_area_under_a_curve_has_a_width_at_its_ends() -> None:
    low, high = auc_interval(np.array([1.0, 0.5, 0.8]), np.array([20, 20, 0]), np.array([20, 20, 20]))
    assert high[0] == 1.0
    assert 0.8 < low[0] < 0.95
    np.testing.assert_allclose(low[1], 1 - high[1], atol=1e-9)
    assert (low[2], high[2]) == (0.0, 1.0)


def _run(program: Program, recipes: dict[str, ConvolutionRecipe], picture: np.ndarray) -> np.ndarray:
    """Programs run the way the page does."""
    values: list[np.ndarray] = []
    for step in program.operations:
        x, *others = (picture.astype(float) if i < 0 else values[i] for i in step.inputs)
        if step.kind == "convolution":
            x = work_out(ConvolutionRecipe(**{**vars(recipes[step.name]), "steps": ()}), x)
        elif step.kind in ("maximum", "average"):
            rows, columns = step.windows
            x = np.array([[_window(x, i * rows.stride - rows.before, rows.size, j * columns.stride - columns.before,
                                   columns.size, step.kind) for j in range(step.shape[1])]
                          for i in range(step.shape[0])])  # fmt: skip
        elif step.kind == "affine":
            x = x * step.scale + step.offset
        elif step.kind == "dense":
            x = x @ step.weights + (0 if step.bias is None else step.bias)
        else:
            simple = {"relu": np.maximum(x, 0), "sum": sum(others, x), "flatten": x.ravel(),
                      "globalAverage": x.mean(axis=tuple(range(x.ndim - 1)))}  # fmt: skip
            x = simple[step.kind]
        values.append(x)
    return values[-1]


def _window(x: np.ndarray, top: int, height: int, left: int, width: int, kind: str) -> np.ndarray:
    seen = x[max(top, 0) : top + height, max(left, 0) : left + width]
    return seen.max(axis=(0, 1)) if kind == "maximum" else seen.mean(axis=(0, 1))


@pytest.mark.parametrize("build", MODELS[:2])
def test_a_program_gives_the_networks_logits(build) -> None:
    lens = open_lens(build())
    scorer, recipes = Scorer(lens), _recipes(lens)
    whole = {block.name: np.arange(block.num_filters) for block in lens.blocks}
    program, why = find_program(scorer, planned=set(recipes), chosen=whole)
    assert why == ""
    photo = photos()[0]
    np.testing.assert_allclose(
        _run(program, recipes, lens.run(photo).picture), scorer.logits(photo[None])[0], rtol=1e-4
    )


def test_a_network_that_cannot_be_run_says_why() -> None:
    lens = open_lens(padded())
    whole = {block.name: np.arange(block.num_filters) for block in lens.blocks}
    program, why = find_program(Scorer(lens), planned=set(whole), chosen=whole)
    assert program is None
    assert why.startswith("This network cannot be run on the page: the layer normalization")
