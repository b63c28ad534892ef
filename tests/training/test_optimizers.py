import keras
import numpy as np
import pytest
import tensorflow as tf

from convlens.models.architectures import build_body
from convlens.params import load_params
from convlens.training.optimizers import NEWTON_SCHULZ, ConvMuon, build_optimizer, orthogonalize


def orthogonalize_in_numpy(matrix, num_iterations):
    a, b, c = NEWTON_SCHULZ
    value = matrix / np.linalg.norm(matrix)
    value = value.T if matrix.shape[0] > matrix.shape[1] else value
    for _ in range(num_iterations):
        gram = value @ value.T
        value = a * value + (b * gram + c * gram @ gram) @ value
    return value.T if matrix.shape[0] > matrix.shape[1] else value


@pytest.mark.parametrize("shape", [(27, 8), (8, 27), (16, 16)])
def test_orthogonalize_agrees_with_numpy(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = orthogonalize(tf.constant(matrix), num_iterations=3).numpy()
    expected = orthogonalize_in_numpy(matrix.astype(np.float64), 3)
    assert np.abs(found - expected).max() < 1e-4


def test_orthogonalize_brings_singular_values_near_one():
    matrix = np.random.default_rng(1).normal(size=(72, 16)).astype(np.float32)
    values = np.linalg.svd(orthogonalize(tf.constant(matrix), num_iterations=5).numpy(), compute_uv=False)
    assert values.min() > 0.5
    assert values.max() < 1.4


def step(optimizer, start, gradient):
    variable = keras.Variable(start)
    optimizer.build([variable])
    optimizer.apply_gradients([(tf.constant(gradient), variable)])
    return variable.numpy()


def test_a_kernel_is_brought_to_its_norm_and_moved_by_the_orthogonal_direction():
    rng = np.random.default_rng(2)
    start, gradient = rng.normal(size=(2, 3, 3, 4, 6)).astype(np.float32)
    found = step(ConvMuon(learning_rate=0.1, momentum=0.6), start, gradient)
    direction = orthogonalize_in_numpy((1.6 * gradient).reshape(-1, 6).astype(np.float64), 3)
    expected = start * np.sqrt(6) / np.linalg.norm(start) - 0.1 * direction.reshape(start.shape)
    assert np.abs(found - expected).max() < 1e-5


def test_without_normalisation_the_norm_of_a_kernel_is_left_alone():
    start = np.full((3, 3, 2, 4), 5.0, np.float32)
    found = step(ConvMuon(learning_rate=1e-9, keep_norm=False), start, np.ones_like(start))
    assert np.allclose(found, start)


def test_other_variables_get_nesterov_momentum():
    start, gradient = np.array([1.0, 2.0], np.float32), np.array([0.5, -1.0], np.float32)
    found = step(ConvMuon(learning_rate=0.1, other_rate=0.3, other_momentum=0.85), start, gradient)
    assert np.allclose(found, start - 0.03 * 1.85 * gradient)


def test_it_survives_serialization():
    optimizer = ConvMuon(learning_rate=0.2, momentum=0.7, keep_norm=False)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, ConvMuon)
    assert again.get_config() == optimizer.get_config()


def test_keras_muon_leaves_kernels_to_adamw():
    """Why ConvMuon exists; if Keras learns it, ConvMuon may go."""
    muon = keras.optimizers.Muon(0.01)
    kernel = keras.Variable(np.zeros((3, 3, 2, 4), np.float32))
    muon.build([kernel])
    assert muon._should_use_adamw(kernel)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("conv_muon", ConvMuon),
        ("adam", keras.optimizers.Adam),
        ("adamw", keras.optimizers.AdamW),
        ("sgd", keras.optimizers.SGD),
    ],
)
def test_optimizers_by_name(name, kind):
    params = load_params()
    body = build_body(params.model.model_copy(update={"architecture": "residual"}), num_classes=2, image_size=None)
    optimizer = build_optimizer(params.train.model_copy(update={"optimizer": name, "learning_rate": 0.25}), body)
    assert type(optimizer) is kind
    assert float(optimizer.learning_rate.numpy()) == pytest.approx(0.25)


def test_conv_muon_keeps_norms_only_where_the_network_normalizes():
    params = load_params()
    train = params.train.model_copy(update={"optimizer": "conv_muon"})
    for architecture, expected in (("residual", True), ("classic", False)):
        body = build_body(params.model.model_copy(update={"architecture": architecture}), num_classes=2, image_size=64)
        assert build_optimizer(train, body).keep_norm is expected
