"""Networks whose layers are named as Keras names its operations: by hand, or by the process that saved them."""

import keras
import numpy as np
from lens_models import CLASSES, SIZE, photos, spread_weights

from convlens.lens.filters import gather_responses
from convlens.lens.forward import Scorer
from convlens.lens.graph import operate
from convlens.lens.lens import open_lens
from convlens.lens.statistics import PhotoSample, measure_filter_statistics

NAMES = ("cast", "greater", "max", "min", "mean", "reshape", "argmax", "take", "clip", "log", "subtract")


def named_as_operations() -> keras.Model:
    """One convolution behind layers that do nothing, in a model of floats inside one of whole numbers; no sigmoid."""
    layers = keras.layers
    inner = keras.Input((SIZE, SIZE, 3))
    x = inner
    for name in NAMES:
        x = layers.Activation("linear", name=name)(x)
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    backbone = keras.Model(inner, layers.GlobalAveragePooling2D()(x), name="backbone")
    start = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    chance = layers.Dense(1, activation=keras.activations.hard_sigmoid)(backbone(start))
    return spread_weights(keras.Model(start, chance))


def test_everything_is_measured_whatever_the_layers_are_called() -> None:
    model = named_as_operations()
    keras.utils.clear_session()  # Keras starts its numbers anew, as a process does that loads the model
    lens = open_lens(model)
    sample = PhotoSample(
        photos(6), np.array([0, 1] * 3), CLASSES, photos(4, seed=1), [{"nose": (2.0, 2.0, 9.0, 9.0)}] * 6
    )
    statistics = measure_filter_statistics(Scorer(lens), sample)
    assert (
        list(statistics.profiles)
        == list(statistics.patches)
        == ["backbone/conv"]
        == list(gather_responses(lens, photos(2)))
    )
    assert (len(statistics.filters), [region.name for region in statistics.regions]) == (4, ["nose"])


def test_an_operation_leaves_types_and_values_alone() -> None:
    start = keras.Input((4,), dtype="uint8")
    doubled = operate(lambda values: (values * 2, keras.ops.cast(values, "float32")), start)
    values = np.arange(4, dtype=np.uint8)[np.newaxis]
    whole, real = keras.Model(start, doubled)(values)
    assert (np.asarray(whole).tolist(), np.asarray(whole).dtype) == ((values * 2).tolist(), np.uint8)
    assert np.asarray(real).dtype == np.float32
