import json

import keras
import numpy as np
import pytest

from convlens.errors import ConvLensError
from convlens.models.architectures import build_body, build_model, finish_model
from convlens.models.inference import predict_probabilities
from convlens.params import ModelParams, load_params


def model_params(architecture, **changes) -> ModelParams:
    values = load_params().model.model_dump(mode="json")
    small = {"residual": {"width": 4}, "classic": {"dense_units": 8}, "dense": {"units": [8]}}
    for name, group in small.items():
        values[name] |= group
    values["architecture"] = architecture
    values[architecture] |= changes
    return ModelParams.model_validate_json(json.dumps(values))


PHOTOS = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)


@pytest.mark.parametrize("architecture", ["residual", "classic", "dense"])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_uint8_photos_to_probabilities(architecture, num_classes):
    model = build_model(model_params(architecture), num_classes=num_classes, image_size=40)
    assert model.inputs[0].dtype == "uint8"
    assert model.outputs[0].shape == (None, 1 if num_classes == 2 else num_classes)
    found = predict_probabilities(model, PHOTOS)
    assert found.shape == (5, num_classes)
    assert np.allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("architecture", ["residual", "classic", "dense"])
def test_the_finished_model_answers_as_its_body(architecture):
    params = model_params(architecture)
    body = build_body(params, num_classes=2, image_size=40)
    for weight in body.weights:
        weight.assign(weight + 0.1 * np.random.default_rng(1).random(weight.shape))  # normalization, too
    model = finish_model(body, params, num_classes=2, image_size=40)
    to_logits = keras.Model(model.inputs, model.get_layer("logits").output)
    expected = body(PHOTOS.astype(np.float32), training=False).numpy()
    assert np.allclose(to_logits([PHOTOS], training=False).numpy(), expected, rtol=1e-5)


def test_the_layers_have_the_agreed_names():
    names = [layer.name for layer in build_model(model_params("classic"), num_classes=2, image_size=40).layers]
    assert names == [
        *("rescale", "conv_1", "relu_1", "pool_1", "conv_2", "relu_2", "pool_2", "conv_3", "relu_3", "pool_3"),
        *("flatten", "dense_1", "logits", "probabilities"),
    ]


@pytest.mark.parametrize("architecture", ["residual", "classic", "dense"])
def test_a_plain_call_is_inference(architecture):
    """`model(photos)` must not normalize by the batch, nor change what the network has learnt."""
    model = build_model(model_params(architecture), num_classes=2, image_size=40)
    before = [weight.copy() for weight in model.get_weights()]
    answers = model(PHOTOS).numpy()
    assert np.allclose(answers[:1], model(PHOTOS[:1]).numpy(), atol=1e-6)
    assert all((old == new).all() for old, new in zip(before, model.get_weights(), strict=True))


def test_the_lecture_network_has_the_lecture_shapes():
    """150x150, three blocks from 16 filters, 512 dense units: 9,494,561 parameters, 23,584 of them in convolutions."""
    params = load_params().model.model_copy(update={"architecture": "classic"})
    model = build_model(params, num_classes=2, image_size=150)
    shapes = [layer.output.shape[1:] for layer in model.layers if layer.name.startswith(("conv", "pool"))]
    assert shapes == [(148, 148, 16), (74, 74, 16), (72, 72, 32), (36, 36, 32), (34, 34, 64), (17, 17, 64)]
    assert model.count_params() == 9_494_561
    assert sum(layer.count_params() for layer in model.layers if layer.name.startswith("conv")) == 23_584


def test_classic_parameters_change_the_network():
    params = model_params(
        "classic", num_blocks=2, filters=8, kernel_size=5, stride=2, padding="same", pooling="average", dropout=0.5
    )
    model = build_model(params, num_classes=2, image_size=30)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Conv2D") == 2
    assert kinds.count("AveragePooling2D") == 2
    assert kinds.count("Dropout") == 1
    assert model.get_layer("conv_2").kernel.shape == (5, 5, 8, 16)
    assert model.get_layer("conv_1").output.shape == (None, 15, 15, 8)


def test_a_network_that_shrinks_to_nothing_is_named():
    with pytest.raises(ConvLensError, match=r"Received: none after block 4 of 6, from preprocess.image_size 30"):
        build_model(model_params("classic", num_blocks=6), num_classes=2, image_size=30)


def test_residual_takes_any_size():
    body = build_body(model_params("residual"), num_classes=2, image_size=None)
    for size in (32, 48):
        assert body(np.zeros((1, size, size, 3), np.float32)).shape == (1, 1)
