"""A network after earlier epochs: its weights then, on the same photos."""

import keras
import numpy as np
import pytest
from lens_models import photos, residual, sequential

from convlens.errors import ConvLensError
from convlens.lens.forward import Scorer
from convlens.lens.lens import open_lens
from convlens.lens.over_time import Watched, borrow_weights, choose_layers, follow, formed_at, shrink_map

CHOSEN = {"conv_1": np.array([1, 3]), "conv_4": np.array([0, 5, 2])}


def earlier(model: keras.Model) -> list[np.ndarray]:
    """The same network with filter 0 of conv_2 dead and filter 1 of conv_1 another one."""
    weights = [values.copy() for values in model.get_weights()]
    names = [variable.path for variable in model.weights]
    weights[names.index("norm_2/gamma")][0] = 0
    weights[names.index("norm_2/beta")][0] = -1
    kernel = weights[names.index("conv_1/kernel")]
    kernel[..., 1] = np.random.default_rng(5).normal(0, 0.3, kernel.shape[:3])
    return weights


@pytest.fixture(scope="module")
def model():
    return residual()


@pytest.fixture(scope="module")
def snapshots(model):
    scorer = Scorer(open_lens(model))

    def answer(images):
        return np.asarray(model(images, training=False))  # Resizing would train it else

    watched = Watched(photos(2), photos(6, seed=1), CHOSEN, answer, answer(photos(2)))
    before = [values.copy() for values in model.get_weights()]
    found = follow(scorer, {2: earlier(model), 7: before, 9: before}, 7, watched)
    for values, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(values, expected)
    return found


def test_moments_stand_in_order_and_the_kept_one_once(snapshots):
    assert [(snapshot.epoch, snapshot.is_kept) for snapshot in snapshots] == [(2, False), (7, True), (9, False)]


def test_the_end_is_like_itself_and_the_beginning_is_not(snapshots):
    for layer in snapshots[1].layers.values():
        np.testing.assert_allclose(layer.correlation[~layer.dead], 1)
    then = snapshots[0].layers["conv_1"].correlation
    assert then[1] < 0.9
    np.testing.assert_allclose(then[[0, 2, 3]], 1)


def test_a_filter_that_was_dead_then_is_told(snapshots):
    assert snapshots[0].layers["conv_2"].dead[0]
    assert snapshots[0].layers["conv_2"].firing_rate[0] == 0
    assert snapshots[0].layers["conv_2"].correlation[0] == 0
    assert not snapshots[1].layers["conv_2"].dead[0]


def test_maps_and_answers_are_those_of_the_network_then(model, snapshots):
    pixels = photos(2)
    for snapshot, weights in ((snapshots[0], earlier(model)), (snapshots[1], model.get_weights())):
        with borrow_weights(model, weights):
            lens = open_lens(model)
            runs = [lens.run(photo) for photo in pixels]
        np.testing.assert_allclose(
            snapshot.probabilities[:, 0], [activations.answer[0] for activations in runs], rtol=1e-5
        )
        for name, filters in CHOSEN.items():
            step = next(block.response for block in lens.blocks if block.name == name)
            expected = np.stack([activations.maps[step.name][:, :, filters].transpose(2, 0, 1) for activations in runs])
            np.testing.assert_allclose(snapshot.maps[name], expected, rtol=1e-4, atol=1e-6)


def test_kernels_are_those_of_the_first_convolution(model, snapshots):
    expected = model.get_layer("conv_1").kernel.numpy().transpose(3, 2, 0, 1)
    np.testing.assert_array_equal(snapshots[1].kernels, expected)
    assert not np.array_equal(snapshots[0].kernels[1], expected[1])


def test_snapshots_of_another_network_are_refused(model):
    own = model.get_weights()
    with (
        pytest.raises(ConvLensError, match="Expected a snapshot of 'residual'"),
        borrow_weights(model, sequential().get_weights()),
    ):
        pass
    np.testing.assert_array_equal(model.get_weights()[0], own[0])


def test_a_filter_has_formed_when_it_stays_what_it_is():
    correlations = np.array([[0.1, 0.95, 0.95, 0.2], [0.95, 0.3, 0.92, 0.3], [1, 1, 1, 0.4]])
    assert formed_at(correlations).tolist() == [1, 2, 0, 3]


def test_small_maps_are_means_of_squares():
    values = np.arange(30, dtype=float).reshape(1, 5, 6)
    np.testing.assert_allclose(shrink_map(values, 3)[0], [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5], [24.5, 26.5, 28.5]])
    np.testing.assert_array_equal(shrink_map(values, 6), values)


def test_deep_networks_show_twelve_layers():
    blocks = open_lens(residual()).blocks
    assert choose_layers(blocks) == [block for block in blocks if block.is_convolution]
    many = [blocks[0]] * 6 + list(blocks[1:3]) * 20
    chosen = choose_layers(many)
    assert len(chosen) == 12
    assert (chosen[0], chosen[-1]) == (many[0], many[-1])
