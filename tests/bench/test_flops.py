import keras
import pytest
from keras import layers

from convlens.bench.convlens_training import LECTURE_NETWORK
from convlens.bench.flops import count_flops
from convlens.bench.keras_training import build_lecture_network
from convlens.bench.peak import measure_peaks
from convlens.models.architectures import build_body
from convlens.params import load_params


def nested(image_size):
    """A model for any size inside another one, as pretrained networks come."""
    inside = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Conv2D(8, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    pictures = keras.Input((image_size, image_size, 3))
    return keras.Model(pictures, layers.Dense(5)(inside(pictures)))


def others():
    """Grouped and transposed convolutions, and a product of two tensors."""
    pictures = keras.Input((5, 5, 3))
    four = layers.Conv2D(4, 1)(pictures)
    grouped = layers.Conv2D(4, 3, groups=2, padding="same")(four)
    wider = layers.Conv2DTranspose(2, 2, strides=2)(grouped)
    rows = layers.Reshape((100, 2))(wider)
    return keras.Model(pictures, layers.Dot(axes=2)([rows, rows]))


@pytest.mark.parametrize(
    ("network", "image_size", "multiply_adds"),
    [
        (
            lambda: build_lecture_network(150, 2),
            150,
            148**2 * 16 * 9 * 3 + 72**2 * 32 * 9 * 16 + 34**2 * 64 * 9 * 32 + 17**2 * 64 * 512 + 512,
        ),
        (lambda: nested(16), 16, 8 * 8 * 8 * 9 * 3 + 8 * 8 * 8 * 9 + 8 * 5),
        (others, 5, 25 * 4 * 3 + 25 * 4 * 9 * 2 + 25 * 4 * 2 * 4 + 100 * 100 * 2),
    ],
    ids=["lecture", "nested", "others"],
)
def test_operations_are_those_counted_by_hand(network, image_size, multiply_adds):
    assert count_flops(network(), image_size) == 2 * multiply_adds


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_both_sides_train_the_same_network(dtype):
    params = load_params().model.model_copy(update={"architecture": "classic", "classic": LECTURE_NETWORK})
    ours = build_body(params, num_classes=2, image_size=150, dtype=dtype)
    theirs = build_lecture_network(150, 2)
    assert [weight.shape for weight in ours.weights] == [weight.shape for weight in theirs.weights]
    assert count_flops(ours, 150) == count_flops(theirs, 150)


def test_a_network_for_any_size_is_counted_at_the_size_asked_for():
    params = load_params().model.model_copy(update={"architecture": "residual"})
    small, large = (count_flops(build_body(params, num_classes=2, image_size=None), size) for size in (64, 128))
    assert 3.9 < large / small < 4.0  # the dense layer does not grow with the picture


def test_the_peak_is_measured_in_both_precisions():
    peaks = measure_peaks(sizes=(16, 32), num_trials=1)
    assert sorted(peaks) == ["bfloat16", "float32"]
    assert min(peaks.values()) > 0
