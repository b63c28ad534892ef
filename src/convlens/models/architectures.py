"""Architectures: what a network is before it has learned anything."""

import keras
import numpy as np
from keras import layers

from convlens.errors import ConvLensError
from convlens.models.transfer import HEAD, apply_transfer
from convlens.params import ClassicParams, DenseParams, ModelParams

# --- A small ResNet-9 that takes pictures of any size ---
#
# After the networks of the DAWNBench and CIFAR-10 speed runs (Page 2018, "How to train your ResNet"; Jordan 2024, "94%
# on CIFAR-10 in 3.29 seconds", arXiv:2404.00498). Pooling comes before normalization, so that normalization and ReLU
# touch a quarter of the values. The first convolution is 5x5, and brings the picture to a quarter of its side: a 3x3
# before it, with few filters on many pixels, took a third of the time and made nothing better.

BATCH_NORMALIZATION_MOMENTUM = 0.95


def apply_residual(pictures: keras.KerasTensor, *, width: int, dtype: str) -> keras.KerasTensor:
    """One 5x5 and seven 3x3 convolutions, four of them in pairs around a shortcut, and a global average.

    Args:
        pictures: (N, height, width, 3), values 0..255.
        width: the convolutions have 2, 4, 4, 4, 6, 6, 6 and 8 times as many filters.
        dtype: Keras dtype policy of the layers.

    Returns:
        Features of shape (N, 8 * width).
    """
    block = _Blocks(dtype)
    values = layers.Rescaling(1 / 64, offset=-2, name="rescale", dtype=dtype)(pictures)
    values = block.convolve(values, 2 * width, kernel_size=5, stride=2, pool=True)
    values = block.convolve(values, 4 * width, pool=True)
    values = block.add_pair(values, 4 * width)
    values = block.convolve(values, 6 * width, pool=True)
    values = block.add_pair(values, 6 * width)
    values = block.convolve(values, 8 * width, pool=True)
    return layers.GlobalAveragePooling2D(name="average", dtype=dtype)(values)


class _Blocks:
    """Numbers the layers as they are added: conv_1, normalise_1, relu_1 and so on."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._count = 0
        self._pairs = 0

    def convolve(
        self, values: keras.KerasTensor, filters: int, *, kernel_size: int = 3, stride: int = 1, pool: bool = False
    ) -> keras.KerasTensor:
        self._count += 1
        number, dtype = self._count, self._dtype
        values = layers.Conv2D(
            filters,
            kernel_size,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"conv_{number}",
            dtype=dtype,
        )(values)
        if pool:
            values = layers.MaxPooling2D(2, name=f"pool_{number}", dtype=dtype)(values)
        momentum = BATCH_NORMALIZATION_MOMENTUM
        values = layers.BatchNormalization(momentum=momentum, name=f"normalise_{number}", dtype=dtype)(values)
        return layers.ReLU(name=f"relu_{number}", dtype=dtype)(values)

    def add_pair(self, values: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        self._pairs += 1
        deeper = self.convolve(self.convolve(values, filters), filters)
        return layers.Add(name=f"shortcut_{self._pairs}", dtype=self._dtype)([values, deeper])


# --- architectures ---
# The networks by name: `residual`, the lecture's `classic`, its fully connected baseline `dense`, `transfer`.
#
# Every model takes uint8 photos as the loader gives them and answers with probabilities; scaling of the values is its
# first layer. What lies between photos and answer is the *body*, which is what is trained; it can be built alone, for
# floats in 0..255. No model resizes: `keras.layers.Resizing` puts all layers behind it into training mode when a model
# is called (seen in Keras 3.15), so that normalization would answer by the batch and forget what it has learnt.

GRAPHS = ("residual", "transfer")  # the others are Sequential


def count_outputs(num_classes: int) -> int:
    """One logit for two classes, else one per class."""
    return 1 if num_classes == 2 else num_classes


def build_body(params: ModelParams, *, num_classes: int, image_size: int | None, dtype: str = "float32") -> keras.Model:
    """The trainable part: float pictures (N, image_size, image_size, 3) in 0..255 to float32 logits (N, num_outputs).

    Args:
        params: the group `model`.
        num_classes: at least 2.
        image_size: side in pixels; None takes any, which only `residual` and `transfer` can.
        dtype: Keras dtype policy of the layers, such as `mixed_bfloat16`.
    """
    pictures = keras.Input((image_size, image_size, 3), name="pictures")
    if params.architecture in GRAPHS:
        features = _apply_graph(pictures, params, image_size, dtype)
        return keras.Model(pictures, _logits(num_classes)(features), name="body")
    return keras.Sequential([pictures, *_stack(params, num_classes, image_size or 0, dtype)], name="body")


def build_model(params: ModelParams, *, num_classes: int, image_size: int) -> keras.Model:
    """The whole network: uint8 photos (N, image_size, image_size, 3) to float32 probabilities.

    Two classes have one sigmoid output of shape (N, 1), the probability of the second class; more classes have a
    softmax over all, of shape (N, num_classes).
    """
    photos = keras.Input((image_size, image_size, 3), dtype="uint8", name="photos")
    answer = layers.Activation("sigmoid" if num_classes == 2 else "softmax", name="probabilities")
    if params.architecture in GRAPHS:
        features = _apply_graph(photos, params, image_size, "float32")
        return keras.Model(photos, answer(_logits(num_classes)(features)), name=params.architecture)
    stack = _stack(params, num_classes, image_size, "float32")
    return keras.Sequential([photos, *stack, answer], name=params.architecture)


def finish_model(body: keras.Model, params: ModelParams, *, num_classes: int, image_size: int) -> keras.Model:
    """Build the whole float32 network from uint8 photos to probabilities, with the weights of a trained body."""
    model = build_model(params, num_classes=num_classes, image_size=image_size)
    model.set_weights(body.get_weights())
    for layer in model._flatten_layers(include_self=False, recursive=True):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:  # the file would else depend on what dropout drew before, as after a restart
            generator.state.assign(np.zeros(generator.state.shape, generator.state.dtype))
    return model


def _apply_graph(
    pictures: keras.KerasTensor, params: ModelParams, image_size: int | None, dtype: str
) -> keras.KerasTensor:
    if params.architecture == "residual":
        return apply_residual(pictures, width=params.residual.width, dtype=dtype)
    return apply_transfer(pictures, params.transfer, image_size=image_size, dtype=dtype)


def _stack(params: ModelParams, num_classes: int, image_size: int, dtype: str) -> list[keras.Layer]:
    rescale = layers.Rescaling(1 / 255, name="rescale", dtype=dtype)
    if params.architecture == "classic":
        _check_classic_size(params.classic, image_size)
        return [rescale, *_classic(params.classic, dtype), _logits(num_classes)]
    return [rescale, *_dense(params.dense, dtype), _logits(num_classes)]


def _logits(num_classes: int) -> keras.Layer:
    return layers.Dense(count_outputs(num_classes), name=HEAD, dtype="float32")


def _classic(params: ClassicParams, dtype: str) -> list[keras.Layer]:
    pooling = layers.MaxPooling2D if params.pooling == "max" else layers.AveragePooling2D
    blocks: list[keras.Layer] = []
    for block in range(1, params.num_blocks + 1):
        filters = params.filters * 2 ** (block - 1)
        blocks += [
            layers.Conv2D(
                filters,
                params.kernel_size,
                strides=params.stride,
                padding=params.padding,
                kernel_initializer="he_uniform",
                name=f"conv_{block}",
                dtype=dtype,
            ),
            layers.ReLU(name=f"relu_{block}", dtype=dtype),
            pooling(2, name=f"pool_{block}", dtype=dtype),
        ]
    return [*blocks, layers.Flatten(name="flatten", dtype=dtype), *_head(params, dtype)]


def _head(params: ClassicParams, dtype: str) -> list[keras.Layer]:
    drop = [layers.Dropout(params.dropout, name="dropout", dtype=dtype)] if params.dropout else []
    return [*drop, layers.Dense(params.dense_units, activation="relu", name="dense_1", dtype=dtype)]


def _dense(params: DenseParams, dtype: str) -> list[keras.Layer]:
    hidden = [
        layers.Dense(units, activation="relu", name=f"dense_{number}", dtype=dtype)
        for number, units in enumerate(params.units, start=1)
    ]
    return [layers.Flatten(name="flatten", dtype=dtype), *hidden]


def _check_classic_size(params: ClassicParams, image_size: int) -> None:
    """Follow the size formula through the blocks, so that a network that shrinks to nothing is named before Keras."""
    size = image_size
    for block in range(1, params.num_blocks + 1):
        if params.padding == "same":
            size = -(-size // params.stride)
        else:
            size = (size - params.kernel_size) // params.stride + 1
        size //= 2
        if size < 1:
            raise ConvLensError(
                f"Expected a picture left after every block of model.classic. Received: none after block {block} of "
                f"{params.num_blocks}, from preprocess.image_size {image_size} with kernel_size {params.kernel_size}, "
                f"stride {params.stride}, padding {params.padding}. Use fewer blocks or larger photos."
            )
