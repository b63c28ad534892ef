"""Filters of two networks matched by what they say about the same photos."""

import keras
import numpy as np
import pytest
from lens_models import photos, residual, sequential

from convlens.lens.filters import GRID_SIDE, correlate_columns, gather_responses, standardize
from convlens.lens.lens import open_lens
from convlens.lens.over_time import assign, match_networks, pair_layers

ORDER = [3, 0, 5, 1, 4, 2]  # of the filters of conv_2, in the other network
DEAD = 4


def shuffled(model: keras.Model) -> keras.Model:
    """The same network with the filters of conv_2 in another order, and one of them dead."""
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    second, dense = other.get_layer("conv_2"), other.get_layer("logits")
    kernel, bias = second.get_weights()
    kernel, bias = kernel[..., ORDER], bias[ORDER]
    kernel[..., DEAD], bias[DEAD] = 0, -1
    second.set_weights([kernel, bias])
    weights, addend = dense.get_weights()
    places = weights.reshape(-1, 6, weights.shape[-1])[:, ORDER]
    dense.set_weights([places.reshape(weights.shape), addend])
    return other


@pytest.fixture(scope="module")
def matches():
    model = sequential()
    networks = [open_lens(model), open_lens(shuffled(model))]
    return match_networks(*(gather_responses(lens, photos(8)) for lens in networks))


def test_a_planted_permutation_is_found_one_to_one(matches):
    first, second = matches
    assert [(pair.base, pair.head) for pair in first.pairs if pair.correlation == 1] == [
        (number, number) for number in range(4) if number not in first.dead_base
    ]
    found = {pair.head: pair.base for pair in second.pairs}
    alive = {head: base for head, base in enumerate(ORDER) if head != DEAD and base not in second.dead_base}
    assert found == alive
    assert all(pair.correlation == pytest.approx(1, abs=1e-6) for pair in second.pairs)


def test_a_planted_dead_filter_is_found(matches):
    second = matches[1]
    assert DEAD in second.dead_head
    assert second.died == (ORDER[DEAD],)
    assert second.born == ()


def test_mixed_up_photos_match_less(matches):
    for match in matches:
        assert match.chance < match.correlation


def test_the_assignment_is_the_best_of_all():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(40, 2, 3))
    head = np.concatenate([base[..., [2, 0]] + 0.1 * rng.normal(size=(40, 2, 2)), rng.normal(size=(40, 2, 2))], -1)
    head = np.concatenate([head, np.ones((40, 2, 1))], -1)
    found = {(pair.base, pair.head) for pair in assign(base, head) if pair.correlation > 0.9}
    assert found == {(2, 0), (0, 1)}
    assert len(assign(base, head)) == 3


def test_constant_columns_have_no_correlation():
    values = np.stack([np.arange(6.0), np.ones(6)], axis=-1).reshape(3, 2, 2)
    np.testing.assert_allclose(correlate_columns(values, values), [1, 0])
    assert not standardize(values)[:, 1].any()


def test_layers_of_other_networks_are_paired_by_depth():
    assert pair_layers(["a", "b"], ["a", "b"]) == [("a", "a"), ("b", "b")]
    assert pair_layers(["a", "b", "c"], ["1", "2", "3", "4", "5"]) == [("a", "1"), ("b", "3"), ("c", "5")]
    assert pair_layers(["1", "2", "3", "4", "5"], ["a", "b"]) == [("1", "a"), ("5", "b")]
    assert pair_layers(["a"], ["1", "2"]) == [("a", "1")]
    assert pair_layers([], ["1"]) == []
    long = [str(number) for number in range(53)]
    for count in range(1, 54):
        assert len({head for _, head in pair_layers([f"b{n}" for n in range(count)], long)}) == count


def test_networks_of_other_shapes_are_matched():
    found = match_networks(*(gather_responses(open_lens(model), photos(6)) for model in (sequential(), residual())))
    assert [(match.base, match.head) for match in found] == [("conv_1", "conv_1"), ("conv_2", "conv_4")]
    for match in found:
        assert len(match.pairs) + len(match.died) + len(match.dead_base) == match.num_base
        assert len(match.pairs) + len(match.born) + len(match.dead_head) == match.num_head


def test_responses_are_those_of_the_maps():
    lens = open_lens(residual())
    pixels = photos(3)
    found = gather_responses(lens, pixels)
    assert list(found) == [block.name for block in lens.blocks if block.is_convolution]
    runs = [lens.run(photo) for photo in pixels]
    for block in lens.blocks:
        maps = np.stack([activations.maps[block.response.name] for activations in runs])
        responses = found[block.name]
        np.testing.assert_allclose(responses.highest, maps.max(axis=(1, 2)), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(responses.lowest, maps.min(axis=(1, 2)), rtol=1e-5, atol=1e-6)
        rows, columns = maps.shape[1:3]
        middle = responses.values.reshape(3, GRID_SIDE, GRID_SIDE, -1)[:, 3, 3]
        np.testing.assert_allclose(middle, maps[:, rows // 2, columns // 2], rtol=1e-5, atol=1e-6)
    assert gather_responses(lens, pixels[:0]) == {}
