"""Pillow's resampling as a graph of ordinary operations, for networks that run without Pillow.

Pillow weighs the pixels of each row, rounds to whole values, and then does the same with the columns; since version 13
with the columns first where that leaves less to do (measured on some 10,000 sizes). Weights of a side are a matrix, so
a resampling is two products. Weights have 22 binary digits, as Pillow's; sums are float32, so a value that falls on a
half may come out one step of 255 away.
"""

import math

import tensorflow as tf

PADDING_GREY = 128.0
WEIGHT_STEPS = float(1 << 22)
SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}


def resize_photos(photos: tf.Tensor, *, image_size: int, keep_aspect: bool, resampling: str) -> tf.Tensor:
    """Bring RGB pictures of one size to the square that the network takes, as `photos.loader.resize_photo` does.

    Args:
        photos: uint8 (N, height, width, 3), of any size.
        image_size: side of the square in pixels.
        keep_aspect: pad with mid grey instead of squashing.
        resampling: `bilinear`, `bicubic` or `lanczos`.

    Returns:
        uint8 (N, image_size, image_size, 3).
    """
    height, width = tf.shape(photos)[1], tf.shape(photos)[2]
    rows = _Side(height, width, image_size, keep_aspect, resampling)
    columns = _Side(width, height, image_size, keep_aspect, resampling)
    standing = tf.transpose(tf.cast(photos, tf.float32), (0, 3, 1, 2))  # (N, 3, height, width)
    columns_first = (height > rows.target) & (2 * (width - columns.target) < height - rows.target)
    picture = tf.cond(
        columns_first,
        lambda: columns.apply(rows.apply(standing, axis=2), axis=3),
        lambda: rows.apply(columns.apply(standing, axis=3), axis=2),
    )
    picture = tf.reshape(picture, (-1, 3, image_size, image_size))  # says what its shape is
    inside = rows.inside[:, None] * columns.inside[None, :]
    padded = picture * inside + PADDING_GREY * (1 - inside)
    return tf.cast(tf.transpose(padded, (0, 2, 3, 1)), tf.uint8)


class _Side:
    """How one side of a picture is brought to the side of the square.

    Attributes:
        target: pixels of the square that the picture fills.
        inside: 1 where it does, 0 for padding, float32 (image_size,).
    """

    def __init__(
        self, length: tf.Tensor, other: tf.Tensor, image_size: int, keep_aspect: bool, resampling: str
    ) -> None:
        """Work out what each pixel gives to each of the square: float32 (length, image_size)."""
        self.target = _shorten(length, other, image_size) if keep_aspect else tf.constant(image_size)
        place = tf.range(image_size) - _halve_to_even(image_size - self.target)
        self.inside = tf.cast((place >= 0) & (place < self.target), tf.float32)
        # The distance from the centre of each pixel: whole numbers as far as they go, so that it is exact.
        halves = (2 * tf.range(length)[:, None] + 1) * self.target - (2 * place[None, :] + 1) * length
        distance = tf.cast(halves, tf.float32) / tf.cast(2 * self.target, tf.float32)
        shrink = tf.minimum(1.0, tf.cast(self.target, tf.float32) / tf.cast(length, tf.float32))
        weights = _filter(distance * shrink, resampling) * self.inside[None, :]
        total = tf.reduce_sum(weights, axis=0, keepdims=True)
        weights = weights / tf.where(total == 0.0, tf.ones_like(total), total)
        self._weights = tf.round(weights * WEIGHT_STEPS) / WEIGHT_STEPS
        self._image_size = image_size

    def apply(self, values: tf.Tensor, *, axis: int) -> tf.Tensor:
        """Weigh axis 2 or 3 of float32 (N, 3, height, width); whole values in 0..255."""
        turned = values if axis == 3 else tf.transpose(values, (0, 1, 3, 2))
        shape = tf.shape(turned)
        sums = tf.matmul(tf.reshape(turned, tf.stack([-1, shape[3]])), self._weights)
        kept = tf.clip_by_value(tf.floor(sums + 0.5), 0.0, 255.0)
        kept = tf.reshape(kept, tf.stack([-1, 3, shape[2], self._image_size]))
        return kept if axis == 3 else tf.transpose(kept, (0, 1, 3, 2))


def _shorten(length: tf.Tensor, other: tf.Tensor, image_size: int) -> tf.Tensor:
    """The length of a side when the longer one gets `image_size`, a half to the even number, as Pillow rounds."""
    twice = 2 * length * image_size + other
    whole = twice // (2 * other)
    tie = tf.cast((twice % (2 * other) == 0) & (whole % 2 == 1), tf.int32)
    return tf.where(length >= other, tf.constant(image_size), whole - tie)


def _halve_to_even(number: tf.Tensor) -> tf.Tensor:
    """Half of a whole number, a half rounded to the even neighbour: of 1, 3, 5, 7 it is 0, 2, 2, 4."""
    whole = number // 2
    return whole + (number % 2) * (whole % 2)


def _filter(x: tf.Tensor, resampling: str) -> tf.Tensor:
    """Pillow's filters: triangle, Keys' cubic with a = -0.5, and Lanczos' with three lobes."""
    x = tf.abs(x)
    if resampling == "bilinear":
        value = 1 - x
    elif resampling == "bicubic":
        value = tf.where(x < 1, (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2)
    else:
        value = _sinc(x) * _sinc(x / 3)
    return tf.where(x < SUPPORT[resampling], value, tf.zeros_like(x))


def _sinc(x: tf.Tensor) -> tf.Tensor:
    turned = tf.where(x == 0.0, tf.ones_like(x), x) * math.pi
    return tf.where(x == 0.0, tf.ones_like(x), tf.sin(turned) / turned)
