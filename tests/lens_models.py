"""Tiny networks of every shape the lens must open, with weights that make most filters answer."""

import keras
import numpy as np

SIZE = 24
CLASSES = ("cats", "dogs")


def photos(count: int = 4, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """Random uint8 photos (count, size, size, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def sequential() -> keras.Sequential:
    """The lecture's kind of network: activations fused into the convolutions, then pooling, flatten, dense."""
    layers = keras.layers
    return spread_weights(
        keras.Sequential(
            [
                keras.Input((SIZE, SIZE, 3), dtype="uint8"),
                layers.Resizing(20, 20, name="resize"),
                layers.Rescaling(1 / 255, name="rescale"),
                layers.Conv2D(4, 3, activation="relu", name="conv_1"),
                layers.MaxPooling2D(name="pool_1"),
                layers.Conv2D(6, 3, activation="relu", padding="same", name="conv_2"),
                layers.AveragePooling2D(3, strides=2, padding="same", name="pool_2"),
                layers.Dropout(0.5),
                layers.Flatten(name="flatten"),
                layers.Dense(2, name="logits"),
                layers.Activation("softmax", name="probabilities"),
            ],
            name="classic",
        )
    )


def residual() -> keras.Model:
    """Convolution, pooling, normalization and ReLU as layers of their own, a skip connection, one sigmoid."""
    layers = keras.layers
    start = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = layers.Resizing(16, 16, name="resize")(start)
    x = layers.Rescaling(1 / 127.5, -1, name="rescale")(x)
    x = _unit(x, 4, name="1", strides=2)
    x = _unit(x, 8, name="2", pool=True)
    y = _unit(_unit(x, 8, name="3"), 8, name="4")
    x = layers.Add(name="add_1")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(1, name="logits")(x)
    return spread_weights(keras.Model(start, layers.Activation("sigmoid", name="probabilities")(x), name="residual"))


def nested() -> keras.Model:
    """A functional backbone, with a Sequential inside it, inside a functional model."""
    layers = keras.layers
    shape = (SIZE, SIZE, 3)
    stem = keras.Sequential([keras.Input(shape), layers.Conv2D(4, 3, name="conv_1"), layers.ReLU()], name="stem")
    inner = keras.Input(shape)
    x = layers.Conv2D(6, 3, strides=2, use_bias=False, name="conv_2")(stem(inner))
    x = layers.BatchNormalization(name="norm_2")(x)
    backbone = keras.Model(inner, keras.ops.relu(x), name="backbone")
    start = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = backbone(layers.Rescaling(1 / 255)(start), training=False)
    x = layers.GlobalMaxPooling2D()(x)
    return spread_weights(keras.Model(start, layers.Dense(2, activation="softmax")(x), name="transfer"))


MODELS = (sequential, residual, nested)


def grouped() -> keras.Model:
    """Grouped, dilated, depthwise and separable convolutions, as MobileNet and ResNeXt have them."""
    layers = keras.layers
    return spread_weights(keras.Sequential(
        [keras.Input((SIZE, SIZE, 3), dtype="uint8"), layers.Rescaling(1 / 255), layers.ZeroPadding2D(((0, 1), (0, 1))),
         layers.Conv2D(6, 3, strides=2, groups=3, use_bias=False, name="grouped"), layers.BatchNormalization(),
         layers.ReLU(6.0), layers.Conv2D(4, 3, dilation_rate=2, padding="same", activation="relu", name="dilated"),
         layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="depthwise"), layers.Activation("silu"),
         layers.SeparableConv2D(5, 3, padding="same", activation="relu", name="separable"), layers.Flatten(),
         layers.Dense(1, activation="sigmoid")], name="grouped",
    ))  # fmt: skip


def gated() -> keras.Model:
    """Squeeze and excitation: maps times a factor per channel that sees the whole picture, as in EfficientNet."""
    layers = keras.layers
    start = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="hard_silu", name="stem")(
        layers.Rescaling(1 / 255)(start)
    )
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Conv2D(2, 1, activation="relu", name="squeeze")(y)
    y = layers.Conv2D(4, 1, activation="hard_sigmoid", name="excite")(y)
    x = layers.Conv2D(6, 1, name="project")(layers.Multiply()([x, y]))
    x = layers.GlobalMaxPooling2D()(layers.Activation("gelu")(x))
    return spread_weights(keras.Model(start, layers.Dense(2, activation="softmax")(x), name="gated"))


def joined() -> keras.Model:
    """Branches that are concatenated, with a Dropout and a Cropping on the way."""
    layers = keras.layers
    start = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = layers.Normalization(mean=[100.0, 110.0, 120.0], variance=[90.0, 95.0, 99.0])(start)
    left = layers.Conv2D(3, 3, padding="same", activation="relu", name="left")(x)
    right = layers.LeakyReLU()(layers.Conv2D(2, 5, padding="same", name="right")(x))
    x = layers.Cropping2D(2)(layers.Dropout(0.3)(layers.Concatenate()([left, right])))
    x = layers.ReLU()(layers.Conv2D(4, 3, name="after")(x))
    return spread_weights(keras.Model(start, layers.Dense(1)(layers.Flatten()(x)), name="joined"))


def inner_groups() -> keras.Model:
    """Models inside a model, two of them of one make, and layers of keras.ops between."""
    layers = keras.layers

    def unit(name: str, channels: int) -> keras.Model:
        start = keras.Input((SIZE, SIZE, channels))
        x = layers.Conv2D(4, 3, padding="same", name="conv")(start)
        x = layers.Activation("silu", name="activation")(layers.BatchNormalization(name="norm")(x))
        return keras.Model(start, keras.ops.abs(x), name=name)

    start = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = unit("unit", 3)(layers.Rescaling(1 / 255)(start))
    x = keras.ops.add(x, unit("unit_2", 4)(x))
    x = keras.ops.relu6(layers.Conv2D(3, 1, name="last")(x))
    return spread_weights(keras.Model(start, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)), name="outer"))


def padded() -> keras.Model:
    """Padding as a layer, groups, depthwise, separable, dilation, and a ReLU that is cut above."""
    layers = keras.layers
    start = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = layers.ZeroPadding2D(((1, 0), (2, 1)))(layers.Normalization(mean=[1, 2, 3], variance=[4, 5, 6])(start))
    x = layers.ReLU(name="relu_1")(layers.Conv2D(4, 3, strides=2, name="conv_1")(x))
    x = layers.ReLU(name="relu_2")(layers.Conv2D(6, 3, groups=2, padding="same", name="groups")(x))
    x = layers.Activation("relu", name="relu_3")(layers.DepthwiseConv2D(3, depth_multiplier=2, name="depth")(x))
    x = layers.ReLU(name="relu_4")(layers.SeparableConv2D(5, 3, name="separable")(x))
    x = layers.ReLU(6.0, name="relu_5")(layers.Conv2D(4, 2, dilation_rate=2, name="dilated")(x))
    x = layers.GlobalAveragePooling2D()(x)
    return spread_weights(keras.Model(start, layers.Dense(3, activation="softmax")(x), name="padded"))


UNUSUAL = (grouped, gated, joined, inner_groups)


def _unit(x: keras.KerasTensor, filters: int, *, name: str, strides: int = 1, pool: bool = False) -> keras.KerasTensor:
    layers = keras.layers
    x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False, name=f"conv_{name}")(x)
    if pool:
        x = layers.MaxPooling2D(name=f"pool_{name}")(x)
    x = layers.BatchNormalization(name=f"norm_{name}")(x)
    return layers.ReLU(name=f"relu_{name}")(x)


def spread_weights(model: keras.Model, seed: int = 0) -> keras.Model:
    """Random weights everywhere, moving averages and biases included; variances positive."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        values = generator.normal(0, 0.4, weight.shape)
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.path or "gamma" in weight.path else values)
    return model
