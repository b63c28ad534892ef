"""Random changes to training photos, in the graph, from explicit seeds.

Crop, stretch, flip, rotation and resizing are one projective transform, so pixels are interpolated once. The random
numbers depend on the seed alone: the same step of the same run always sees the same pictures, also after a restart.
"""

import math

import tensorflow as tf

from convlens.params import AugmentParams


def augment(photos: tf.Tensor, seed: tf.Tensor, *, size: int, params: AugmentParams) -> tf.Tensor:
    """Change every photo at random and bring it to a size.

    Args:
        photos: uint8 (N, height, width, 3).
        seed: int32 (2,), one for each step.
        size: side in pixels of the result.
        params: the group `augment`; the values are the widest change either way.

    Returns:
        float32 (N, size, size, 3), values 0..255.
    """
    seeds = tf.random.split(seed, 2)
    pictures = _transform(photos, _draw_transforms(photos, seeds[0], size, params), size)
    return _change_colours(pictures, seeds[1], params)


def _draw_transforms(photos: tf.Tensor, seed: tf.Tensor, size: int, params: AugmentParams) -> tf.Tensor:
    """One row of eight numbers per photo, as ImageProjectiveTransformV3 takes them (output to input pixels)."""
    count = tf.shape(photos)[0]
    height, width = float(photos.shape[1]), float(photos.shape[2])
    area, aspect, x, y, turn, mirror = tf.unstack(tf.random.stateless_uniform((6, count), seed))
    area = params.min_crop_area + (1 - params.min_crop_area) * area
    stretch = tf.exp((2 * aspect - 1) * 0.5 * math.log(params.max_crop_aspect))
    crop_width = tf.minimum(tf.sqrt(area) * stretch, 1.0) * width
    crop_height = tf.minimum(tf.sqrt(area) / stretch, 1.0) * height
    centre_x = crop_width / 2 + x * (width - crop_width)
    centre_y = crop_height / 2 + y * (height - crop_height)
    angle = (2 * turn - 1) * (params.rotation * math.pi / 180)
    sign = tf.where(mirror < 0.5, -1.0, 1.0) if params.flip else tf.ones_like(mirror)
    a, b = sign * tf.cos(angle) * crop_width / size, -tf.sin(angle) * crop_height / size
    c, d = sign * tf.sin(angle) * crop_width / size, tf.cos(angle) * crop_height / size
    middle = (size - 1) / 2
    offset_x = centre_x - 0.5 - (a + b) * middle
    offset_y = centre_y - 0.5 - (c + d) * middle
    nothing = tf.zeros_like(a)
    return tf.stack([a, b, offset_x, c, d, offset_y, nothing, nothing], axis=1)


def _transform(photos: tf.Tensor, transforms: tf.Tensor, size: int) -> tf.Tensor:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(photos, tf.float32),
        transforms=transforms,
        output_shape=(size, size),
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )


def _change_colours(pictures: tf.Tensor, seed: tf.Tensor, params: AugmentParams) -> tf.Tensor:
    count = tf.shape(pictures)[0]
    draws = 2 * tf.random.stateless_uniform((3, count, 1, 1, 1), seed) - 1
    saturation, contrast, brightness = tf.unstack(draws)
    if params.saturation:
        grey = tf.reduce_mean(pictures, axis=3, keepdims=True)
        pictures = grey + (1 + params.saturation * saturation) * (pictures - grey)
    if params.contrast:
        mean = tf.reduce_mean(pictures, axis=(1, 2, 3), keepdims=True)
        pictures = mean + (1 + params.contrast * contrast) * (pictures - mean)
    if params.brightness:
        pictures = pictures + 255 * params.brightness * brightness
    return tf.clip_by_value(pictures, 0.0, 255.0)
