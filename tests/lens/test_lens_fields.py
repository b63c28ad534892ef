import keras
import numpy as np
import pytest
import tensorflow as tf

from convlens.lens.graph import ReceptiveField
from convlens.lens.lens import open_lens

SIZE = 40


def _model(padding: str) -> keras.Model:
    """Positive weights and average pooling, so that no path to a pixel vanishes."""
    layers = keras.layers
    start = keras.Input((SIZE, SIZE + 6, 1))
    x = layers.Conv2D(2, 3, strides=2, padding=padding, kernel_initializer="ones", name="conv_1")(start)
    x = layers.AveragePooling2D(2, padding=padding, name="pool_1")(x)
    y = layers.Conv2D(2, 3, padding="same", dilation_rate=2, kernel_initializer="ones", name="conv_2")(x)
    x = layers.Add(name="add")([x, layers.ReLU()(y)])
    x = layers.ZeroPadding2D(((1, 0), (2, 1)))(x)
    x = layers.Conv2D(1, (3, 2), padding=padding, kernel_initializer="ones", name="conv_3")(x)
    return keras.Model(start, layers.Flatten()(x))


def _seen_pixels(field: ReceptiveField, row: int, column: int, shape: tuple[int, int]) -> list[list[int]]:
    spans = []
    for span, index, length in ((field.rows, row, shape[0]), (field.columns, column, shape[1])):
        start = span.start + index * span.stride
        spans.append([max(start, 0), min(start + span.size, length)])
    return spans


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_receptive_fields_are_where_the_gradient_is(padding: str) -> None:
    lens = open_lens(_model(padding))
    photo = tf.constant(np.random.default_rng(0).random((1, SIZE, SIZE + 6, 1), np.float32))
    for index, step in enumerate(lens.steps):
        field = step.receptive_field
        assert field is not None
        rows, columns, _ = step.shape
        for row, column in [(0, 0), (rows // 2, columns // 2), (rows - 1, columns - 1)]:
            with tf.GradientTape() as tape:
                tape.watch(photo)
                value = lens.probe(photo, training=False)[2 + index][0, row, column, 0]
            ys, xs = np.nonzero(np.asarray(tape.gradient(value, photo))[0, :, :, 0])
            (top, bottom), (left, right) = _seen_pixels(field, row, column, (SIZE, SIZE + 6))
            if (row, column) == (rows // 2, columns // 2):
                found = [ys.min(), ys.max() + 1, xs.min(), xs.max() + 1]
                assert found == [top, bottom, left, right], step.name
            # At the border part of the field is padding of some layer between, so fewer pixels may count.
            assert np.all((ys >= top) & (ys < bottom) & (xs >= left) & (xs < right)), step.name


def test_what_follows_a_global_layer_sees_everything() -> None:
    start = keras.Input((8, 8, 3))
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(start)
    x = keras.layers.Add()([start, gate])
    lens = open_lens(keras.Model(start, keras.layers.Flatten()(keras.layers.Conv2D(2, 3, name="conv")(x))))
    assert lens.blocks[0].steps[0].receptive_field is None
