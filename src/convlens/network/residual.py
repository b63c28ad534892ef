"""A small ResNet-9 that takes pictures of any size.

After the networks of the DAWNBench and CIFAR-10 speed runs (Page 2018, "How to train your ResNet"; Jordan 2024,
"94% on CIFAR-10 in 3.29 seconds", arXiv:2404.00498). Pooling comes before normalisation, so that normalisation and
ReLU touch a quarter of the values. The first convolution is 5x5, and brings the picture to a quarter of its side: a 3x3
before it, with few filters on many pixels, took a third of the time and made nothing better.
"""

import keras
from keras import layers

BATCH_NORMALISATION_MOMENTUM = 0.95


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
        momentum = BATCH_NORMALISATION_MOMENTUM
        values = layers.BatchNormalization(momentum=momentum, name=f"normalise_{number}", dtype=dtype)(values)
        return layers.ReLU(name=f"relu_{number}", dtype=dtype)(values)

    def add_pair(self, values: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        self._pairs += 1
        deeper = self.convolve(self.convolve(values, filters), filters)
        return layers.Add(name=f"shortcut_{self._pairs}", dtype=self._dtype)([values, deeper])
