"""Features of a frozen backbone: the same with and without what was kept, and in whatever company."""

import numpy as np
import pytest

from convlens.params import TransferParams, load_params
from convlens.training.features import build_extractor, extract_features

SIZE = 32
IMAGES = np.random.default_rng(0).integers(0, 256, (37, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def params() -> TransferParams:
    return load_params().model.transfer.model_copy(update={"backbone": "EfficientNetLite0", "weights": "imagenet"})


@pytest.fixture(scope="module")
def extractor(params):
    return build_extractor(params, image_size=SIZE)


def test_features_are_those_of_the_network_and_kept_by_photo_and_view(extractor, params, tmp_path, monkeypatch):
    views = ("photo", "mirror")
    plain = extract_features(extractor, params, IMAGES, views=views)
    assert plain.shape == (2, 37, 1280)
    expected = extractor(IMAGES.astype(np.float32), training=False).numpy()
    assert np.allclose(plain[0], expected, atol=1e-5)
    assert np.allclose(plain[1], extractor(IMAGES[:, :, ::-1].astype(np.float32), training=False), atol=1e-5)

    some = extract_features(extractor, params, IMAGES[5:8], folder=tmp_path)  # as if a run had been killed
    assert np.array_equal(some[0], plain[0, 5:8])
    order = np.random.default_rng(1).permutation(37)
    assert np.array_equal(
        extract_features(extractor, params, IMAGES[order], views=views, folder=tmp_path), plain[:, order]
    )
    monkeypatch.setattr("convlens.training.features.tf.function", lambda run: pytest.fail)  # nothing is computed
    assert np.array_equal(extract_features(extractor, params, IMAGES, views=views, folder=tmp_path), plain)


def test_features_of_other_weights_are_others(extractor, params, tmp_path):
    first = extract_features(extractor, params, IMAGES[:2], folder=tmp_path)
    layer = extractor.get_layer("head_normalize")
    kept = layer.get_weights()
    layer.set_weights([kept[0], kept[1] + 1, *kept[2:]])
    second = extract_features(extractor, params, IMAGES[:2], folder=tmp_path)
    layer.set_weights(kept)
    assert not np.array_equal(first, second)
    assert len(list(tmp_path.iterdir())) == 1  # those of the former weights are gone


def test_backbones_side_by_side_share_what_is_kept(params, tmp_path):
    both = params.model_copy(update={"backbone": "EfficientNetLite0+EfficientNetLite1"})
    features = extract_features(build_extractor(both, image_size=SIZE), both, IMAGES[:3], folder=tmp_path)
    assert features.shape == (1, 3, 2560)
    for number, name in enumerate(("EfficientNetLite0", "EfficientNetLite1")):
        one = params.model_copy(update={"backbone": name})
        alone = extract_features(build_extractor(one, image_size=SIZE), one, IMAGES[:3])
        assert np.array_equal(alone[0], features[0, :, 1280 * number : 1280 * (number + 1)])
