"""Names and preprocessing of the backbones; no large network is built here."""

import sys

import keras
import numpy as np
import pytest
from keras import layers

from convlens.errors import ConvLensError
from convlens.models.transfer import (
    Preprocessing,
    apply_backbone,
    find_builder,
    list_backbones,
    probe_preprocessing,
)

NAMES = list_backbones()
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)


def test_every_network_of_keras_is_known():
    assert len(NAMES) >= 38
    assert {"MobileNetV3Large", "EfficientNetV2B0", "ResNet50", "ConvNeXtTiny", "NASNetMobile", "VGG16"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_preprocessing_is_what_keras_does(name):
    pictures = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(pictures, probe_preprocessing(name).apply(pictures))
    found = model(PIXELS).numpy()
    values = PIXELS.astype(np.float32)
    if name.startswith("EfficientNetB"):
        inside = (values / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]  # as its authors trained it
        assert np.allclose(found / 255, inside, atol=1e-5)
    else:
        expected = sys.modules[find_builder(name).__module__].preprocess_input(values)
        assert np.allclose(found, expected, rtol=1e-6, atol=3e-5)


def test_the_three_ways_of_keras():
    assert probe_preprocessing("ResNet50") == Preprocessing((1.0, 1.0, 1.0), (-123.68, -116.779, -103.939), True)
    assert probe_preprocessing("ResNet50V2") == Preprocessing((0.0078431372549,) * 3, (-1.0,) * 3, False)
    assert probe_preprocessing("MobileNetV3Small") == Preprocessing((1.0,) * 3, (0.0,) * 3, False)
    assert np.allclose(1 / np.array(probe_preprocessing("DenseNet121").scale), 255 * np.array([0.229, 0.224, 0.225]))


def test_preprocessing_is_done_in_float32_and_the_backbone_in_its_own_type():
    pictures = keras.Input((32, 32, 3))
    _, found = apply_backbone(pictures, "MobileNetV3Small", image_size=32, dtype="mixed_bfloat16")
    by_name = {layer.name: layer for layer in found}
    assert by_name["preprocess"].compute_dtype == "float32"
    assert by_name["conv"].compute_dtype == "bfloat16"
    assert by_name["conv"].variable_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_layers_are_called_the_same_however_many_networks_were_built_before():
    names = []
    for _ in range(2):
        layers.Rescaling(1.0)  # counts, too
        _, found = apply_backbone(keras.Input((32, 32, 3)), "MobileNetV3Small", image_size=32, dtype="float32")
        names.append([layer.name for layer in found[1:]])
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("efficientnetv2b0", "Did you mean EfficientNetV2B0"),
        ("MobileNet-v3-small", "Did you mean MobileNetV3Small"),
        ("resnet", "Did you mean ResNet"),
        ("zzz", "There are ConvNeXtBase, "),
        ("resnet50", "Did you mean ResNet50"),
        ("imagenet_utils", "There are ConvNeXtBase, "),
    ],
)
def test_unknown_names_get_suggestions(name, told):
    with pytest.raises(ConvLensError) as caught:
        find_builder(name)
    assert f"Received: '{name}'. {told}" in str(caught.value)


@pytest.mark.parametrize(("name", "least"), [("MobileNetV3Small", 32), ("InceptionV3", 75), ("Xception", 71)])
def test_photos_that_are_too_small_are_told(name, least):
    with pytest.raises(ConvLensError) as caught:
        apply_backbone(keras.Input((31, 31, 3)), name, image_size=31, dtype="float32")
    assert str(caught.value) == (
        f"Expected preprocess.image_size to be at least {least} for the backbone {name}. Received: 31."
    )
