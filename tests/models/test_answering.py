import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import pytest

from convlens.errors import ConvLensError
from convlens.models.architectures import build_model
from convlens.models.inference import OperatingPoint, Predictor, predict_probabilities
from convlens.params import load_params

SIDE = 32


def build(architecture: str, num_classes: int) -> keras.Model:
    keras.utils.set_random_seed(1)
    params = load_params().model.model_copy(update={"architecture": architecture})
    return build_model(params, num_classes=num_classes, image_size=SIDE)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize(("architecture", "num_classes"), [("dense", 2), ("residual", 2), ("residual", 3)])
@pytest.mark.parametrize("views", [{}, {"mirror": True}, {"mirror": True, "center_crop": 0.875}])
def test_answers_are_the_evaluation_s_to_the_last_bit(
    photos: np.ndarray, architecture: str, num_classes: int, views: dict[str, Any]
) -> None:
    model = build(architecture, num_classes)
    point = OperatingPoint(temperature=0.7, **views)
    expected = predict_probabilities(model, photos, point)
    answer = Predictor(model, point)
    assert np.array_equal(answer(photos), expected)
    for size in (1, 3):  # whatever comes along
        assert np.array_equal(
            np.concatenate([answer(photos[at : at + size]) for at in range(0, 9, size)]), expected[:9]
        )


def test_a_photo_alone_in_the_last_batch_gets_the_same_bits(photos: np.ndarray) -> None:
    model = build("dense", 2)
    alone, among = (predict_probabilities(model, photos[:65], batch_size=size) for size in (64, 65))
    assert np.array_equal(alone, among)


def test_threads_do_not_affect_each_other(photos: np.ndarray) -> None:
    answer = Predictor(build("residual", 2), OperatingPoint(mirror=True))
    ready = threading.Barrier(4)

    def ask(first: int) -> np.ndarray:
        ready.wait()
        return np.concatenate([answer(photos[at : at + 5]) for at in range(first, first + 15, 5)])

    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(ask, range(0, 60, 15)))
    assert np.array_equal(np.concatenate(given), answer(photos[:60]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_with_weights_that_are_not_finite_is_called_that(photos: np.ndarray, value: float) -> None:
    network = build("dense", 2)
    weight = network.weights[0]
    values = weight.numpy()
    values[0, 0] = value
    weight.assign(values)
    with pytest.raises(ConvLensError, match=r"^Expected a network whose weights are finite numbers\. Received: NaN"):
        Predictor(network, OperatingPoint())
