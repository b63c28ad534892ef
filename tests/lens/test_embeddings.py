import keras
import numpy as np
import pytest
from lens_models import SIZE, photos, residual

from convlens.errors import ConvLensError
from convlens.lens.forward import embed_photos, open_features
from convlens.models.architectures import build_model
from convlens.params import load_params


def test_features_are_what_the_last_layer_decides_by() -> None:
    model = residual()
    seen = photos(3)
    features = open_features(model)(seen)
    weights, bias = model.get_layer("logits").get_weights()
    answer = 1 / (1 + np.exp(-(features @ weights + bias)))
    assert features.dtype == np.float32
    assert answer == pytest.approx(np.asarray(model(seen, training=False)), abs=1e-5)


@pytest.mark.parametrize("architecture", ["residual", "classic", "dense"])
def test_every_architecture_has_features(architecture: str) -> None:
    params = load_params().model.model_copy(update={"architecture": architecture})
    widths = {
        "residual": 8 * params.residual.width,
        "classic": params.classic.dense_units,
        "dense": params.dense.units[-1],
    }
    model = build_model(params, num_classes=3, image_size=64)
    assert open_features(model)(photos(2, 64)).shape == (2, widths[architecture])


def test_rows_are_embedded_in_their_order() -> None:
    look = open_features(residual())
    images = photos(70)
    rows = np.array([69, 3, 3, *range(66)])
    assert embed_photos(look, images, rows) == pytest.approx(look(images)[rows], abs=1e-6)


def test_a_network_of_another_make_is_told() -> None:
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(ConvLensError, match="a layer 'logits'"):
        open_features(model)
