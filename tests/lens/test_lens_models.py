import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import pytest
from lens_models import MODELS, SIZE, UNUSUAL, gated, nested, padded, photos, residual, sequential, spread_weights

from convlens.errors import ConvLensError
from convlens.lens.arithmetic import ConvolutionRecipe, find_recipes, read_source, work_out
from convlens.lens.lens import open_lens


@pytest.mark.parametrize("build", [*MODELS, *UNUSUAL, padded])
def test_every_kind_of_layer_opens_exactly_and_its_values_can_be_worked_out(
    build: Callable[[], keras.Model],
) -> None:
    model = build()
    lens = open_lens(model)
    recipes = {name: found for name, found in find_recipes(lens).items() if isinstance(found, ConvolutionRecipe)}
    if build not in UNUSUAL:
        assert set(recipes) == {block.name for block in lens.blocks}
    for photo in photos(2):
        activations = lens.run(photo)
        assert np.array_equal(activations.answer, np.asarray(model(photo[None], training=False))[0])
        for name, recipe in recipes.items():
            values = work_out(recipe, read_source(recipe.source, activations.maps, activations.picture))
            expected = activations.maps[recipe.up_to or name]
            np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4, err_msg=name)
    assert [row.name for row in lens.layers if row.agrees is False] == []
    assert sum(row.num_parameters for row in lens.layers) == model.count_params()


def test_a_difference_to_the_model_stops_the_look() -> None:
    lens = dataclasses.replace(open_lens(residual()), model=spread_weights(residual(), seed=1))
    with pytest.raises(ConvLensError, match=r"Expected the opened model to answer as 'residual' does. Received: \d"):
        lens.run(photos()[0])


def test_opening_leaves_the_model_as_it_was() -> None:
    model = residual()
    before = model.predict(photos(), verbose=0)
    open_lens(model)
    assert np.array_equal(model.predict(photos(), verbose=0), before)


def test_fused_activation_is_shown_before_and_after() -> None:
    activations = open_lens(sequential()).run(photos()[0])
    before, after = activations.maps["conv_1"], activations.maps["conv_1/activation"]
    assert before.min() < 0
    assert np.array_equal(after, np.maximum(before, 0))


def test_blocks_of_a_sequential_model() -> None:
    steps = {block.name: [step.name for step in block.steps] for block in open_lens(sequential()).blocks}
    assert steps == {
        "conv_1": ["conv_1", "conv_1/activation", "pool_1"],
        "conv_2": ["conv_2", "conv_2/activation", "pool_2"],
    }


def test_blocks_of_a_residual_model() -> None:
    lens = open_lens(residual())
    assert {block.name: [step.kind for step in block.steps] for block in lens.blocks} == {
        "conv_1": ["convolution", "normalization", "activation"],
        "conv_2": ["convolution", "pooling", "normalization", "activation"],
        "conv_3": ["convolution", "normalization", "activation"],
        "conv_4": ["convolution", "normalization", "activation"],
    }
    assert [block.response.name for block in lens.blocks] == ["relu_1", "relu_2", "relu_3", "relu_4"]


def test_activation_behind_a_sum_belongs_to_the_last_convolution() -> None:
    layers = keras.layers
    start = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 1, name="shortcut")(start)
    y = layers.Conv2D(4, 3, padding="same", name="conv_1")(start)
    out = layers.ReLU(name="relu")(layers.Add(name="add")([x, y]))
    lens = open_lens(keras.Model(start, layers.Flatten()(out)))
    assert {b.name: [s.name for s in b.steps] for b in lens.blocks} == {
        "shortcut": ["shortcut"],
        "conv_1": ["conv_1", "add", "relu"],
    }


def test_names_tell_where_a_nested_layer_lies() -> None:
    lens = open_lens(nested())
    assert [block.name for block in lens.blocks] == ["backbone/stem/conv_1", "backbone/conv_2"]
    assert [block.response.kind for block in lens.blocks] == ["activation", "activation"]


def test_normalisation_is_the_affine_function_it_says() -> None:
    lens = open_lens(residual())
    activations = lens.run(photos()[0])
    step = next(step for step in lens.steps if step.name == "norm_2")
    again = activations.maps["pool_2"] * step.scale + step.offset
    np.testing.assert_allclose(again, activations.maps["norm_2"], rtol=1e-5, atol=1e-6)


def test_picture_is_what_the_network_resized() -> None:
    lens = open_lens(residual())
    photo = np.full((SIZE, SIZE, 3), 77, np.uint8)
    activations = lens.run(photo)
    assert lens.picture_shape == (16, 16)
    assert np.array_equal(activations.picture, np.full((16, 16, 3), 77, np.uint8))


def test_parameters_against_dense() -> None:
    first = open_lens(sequential()).comparisons[0]
    assert (first.name, first.num_convolution) == ("conv_1", 3 * 3 * 3 * 4 + 4)
    assert first.num_dense == 20 * 20 * 3 * 18 * 18 * 4 + 18 * 18 * 4


def test_shared_and_transposed_layers_are_named_as_skipped() -> None:
    layers = keras.layers
    shared = layers.Conv2D(3, 3, padding="same", name="twice")
    start = keras.Input((8, 8, 3))
    x = layers.Conv2DTranspose(3, 2, strides=2, name="up")(shared(shared(start)))
    model = keras.Model(start, layers.Flatten()(x))
    lens = open_lens(model)
    assert [skip.name for skip in lens.skipped] == ["twice", "up"]
    assert lens.blocks == ()
    photo = np.random.default_rng(0).random((8, 8, 3), np.float32)
    assert np.array_equal(lens.run(photo).answer, np.asarray(model(photo[None]))[0])


def test_every_layer_of_the_unusual_networks_is_shown_or_named_as_skipped() -> None:
    shown = {build.__name__: [block.name for block in open_lens(build()).blocks] for build in UNUSUAL}
    assert shown == {
        "grouped": ["grouped", "dilated", "depthwise", "separable"],
        "gated": ["stem", "squeeze", "excite", "project"],
        "joined": ["right", "left", "after"],
        "inner_groups": ["unit/conv", "unit_2/conv", "last"],
    }
    assert [skip for build in UNUSUAL for skip in open_lens(build()).skipped] == []


def test_a_gate_keeps_the_place_of_the_maps_and_says_that_it_sees_all() -> None:
    blocks = {block.name: block for block in open_lens(gated()).blocks}
    stem, excite, project = (blocks[name].response.receptive_field for name in ("stem", "excite", "project"))
    assert stem is not None
    assert project is not None
    assert (stem.gated, excite, project.gated) == (False, None, True)
    assert (project.rows, project.columns) == (stem.rows, stem.columns)  # a 1×1 convolution sees no more


@pytest.mark.parametrize(
    "activation", ["relu", "relu6", "gelu", "silu", "hard_silu", "leaky_relu", "elu", "tanh", "sigmoid"]
)
def test_any_activation_is_shown_before_and_after(activation: str) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3), dtype="uint8"), layers.Rescaling(1 / 255),
         layers.Conv2D(3, 3, activation=activation, name="conv"), layers.Flatten(), layers.Dense(1)]
    )  # fmt: skip
    lens = open_lens(model)
    activations = lens.run(photos(1)[0])
    (block,) = lens.blocks
    assert [step.kind for step in block.steps] == ["convolution", "activation"]
    assert block.response.rectified == (activation in ("relu", "relu6"))
    after = np.asarray(keras.activations.get(activation)(activations.maps["conv"]))
    np.testing.assert_allclose(activations.maps["conv/activation"], after, rtol=1e-5, atol=1e-6)


def test_activations_and_units_are_named_in_words() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(3, 3, activation="hard_silu"),
         layers.Conv2D(3, 3, activation="log_sigmoid"), layers.Flatten(), layers.Dense(1000), layers.Dense(1)]
    )  # fmt: skip
    lens = open_lens(model)
    assert [step.label for step in lens.steps] == ["convolution", "hard SiLU", "convolution", "log sigmoid"]
    assert [row.formula for row in lens.layers[-2:]] == ["1,000 units", "1 unit"]


def test_a_thousand_filters_are_opened() -> None:
    layers = keras.layers
    start = keras.Input((8, 8, 3))
    x = layers.Conv2D(1024, 1, activation="relu", name="wide")(start)
    lens = open_lens(keras.Model(start, layers.Dense(1)(layers.GlobalAveragePooling2D()(x))))
    assert lens.run(np.ones((8, 8, 3), np.float32)).maps["wide/activation"].shape == (8, 8, 1024)


def test_a_shared_layer_with_its_activation_opens_and_is_named_as_skipped() -> None:
    layers = keras.layers
    shared = layers.Conv2D(3, 3, padding="same", activation="relu", name="twice")
    start = keras.Input((8, 8, 3))
    model = spread_weights(keras.Model(start, layers.Dense(1)(layers.Flatten()(shared(shared(start))))))
    lens = open_lens(model)
    assert ([skip.name for skip in lens.skipped], lens.blocks) == (["twice"], ())
    photo = np.random.default_rng(0).random((8, 8, 3), np.float32)
    assert np.array_equal(lens.run(photo).answer, np.asarray(model(photo[None]))[0])


def test_model_without_convolution_opens() -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), layers.Flatten(), layers.Dense(2)])
    lens = open_lens(model)
    assert (lens.blocks, lens.comparisons) == ((), ())
    assert lens.run(photos(1, 8)[0]).maps == {}


def test_several_inputs_are_refused_in_one_line() -> None:
    left, right = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    model = keras.Model([left, right], keras.layers.Add()([left, right]))
    with pytest.raises(ConvLensError, match=r"one input and one answer.*2 inputs"):
        open_lens(model)


def test_subclassed_models_are_refused_in_one_line() -> None:
    class Own(keras.Model):
        def call(self, x: object) -> object:
            return x

    with pytest.raises(ConvLensError, match=r"Expected a Sequential or functional Keras model.*Received: Own"):
        open_lens(Own())


def test_photo_of_another_size_is_refused() -> None:
    with pytest.raises(ConvLensError, match="Expected a photo of shape"):
        open_lens(sequential()).run(photos(1, 8)[0])
