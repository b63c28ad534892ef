import keras
import numpy as np
import pytest

from convlens.lens.graph import output_size, pad_window, size_formula
from convlens.lens.lens import open_lens

CASES = [(n, f, s, padding) for n in (6, 7, 13, 32, 150) for f in (1, 2, 3, 5) for s in (1, 2, 3)
         for padding in ("valid", "same")]  # fmt: skip


@pytest.mark.parametrize(("n", "f", "s", "padding"), CASES)
def test_size_by_the_formula_is_what_keras_computes(n: int, f: int, s: int, padding: str) -> None:
    shape = keras.layers.Conv2D(1, f, strides=s, padding=padding).compute_output_shape((1, n, n, 1))
    assert output_size(n, pad_window(n, f, stride=s, padding=padding)) == shape[1]


@pytest.mark.parametrize("dilation", [2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_size_with_dilation_is_what_keras_computes(dilation: int, padding: str) -> None:
    layer = keras.layers.Conv2D(1, 3, padding=padding, dilation_rate=dilation)
    window = pad_window(20, 3, stride=1, padding=padding, dilation=dilation)
    assert output_size(20, window) == layer.compute_output_shape((1, 20, 20, 1))[1]


def test_same_padding_puts_the_odd_cell_behind_as_tensorflow_does() -> None:
    window = pad_window(6, 3, stride=2, padding="same")
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[0, 0] = 1  # copies the upper left cell of every window
    layer = keras.layers.Conv2D(1, 3, strides=2, padding="same", use_bias=False)
    layer.build((None, 6, 6, 1))
    layer.set_weights([kernel])
    image = np.arange(36, dtype=np.float32).reshape(1, 6, 6, 1)
    assert (window.before, window.after) == (0, 1)
    assert np.asarray(layer(image))[0, :, :, 0].tolist() == image[0, ::2, ::2, 0].tolist()


def test_formula_reads_as_in_the_lecture() -> None:
    assert size_formula(150, pad_window(150, 3, stride=1, padding="valid")) == "⌊(150 + 2·0 − 3) / 1⌋ + 1 = 148"
    assert size_formula(128, pad_window(128, 3, stride=2, padding="same")) == "⌊(128 + (0 + 1) − 3) / 2⌋ + 1 = 64"


@pytest.mark.parametrize("bias", [True, False])
def test_parameters_are_compared_with_those_of_a_dense_layer_as_keras_counts_them(bias: bool) -> None:
    model = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Conv2D(5, 3, use_bias=bias)])
    dense = keras.layers.Dense(4 * 4 * 5, use_bias=bias)
    dense.build((None, 6 * 6 * 3))
    (found,) = open_lens(model).comparisons
    assert (found.num_convolution, found.num_dense) == (model.count_params(), dense.count_params())


def test_vertical_edge_of_the_lecture_gives_the_known_map() -> None:
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(1, 3, activation="relu", name="edge")])
    kernel = np.array([[1, 0, -1]] * 3, np.float32)[:, :, None, None]
    model.layers[0].set_weights([kernel, np.zeros(1, np.float32)])
    half_bright = np.zeros((6, 6, 1), np.float32)
    half_bright[:, :3] = 10
    maps = open_lens(model).run(half_bright).maps
    assert maps["edge"][:, :, 0].tolist() == [[0, 30, 30, 0]] * 4
    assert maps["edge/activation"][:, :, 0].tolist() == [[0, 30, 30, 0]] * 4
    turned = open_lens(model).run(half_bright[:, ::-1]).maps
    assert turned["edge"][:, :, 0].tolist() == [[0, -30, -30, 0]] * 4
    assert turned["edge/activation"][:, :, 0].tolist() == [[0, 0, 0, 0]] * 4
