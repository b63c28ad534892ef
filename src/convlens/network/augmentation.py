"""Random changes to training photos, in the graph, from explicit seeds.

Crop, stretch, flip, rotation and resizing are one projective transform, so pixels are interpolated once. The random
numbers depend on the seed alone: the same step of the same run always sees the same pictures, also after a restart.
"""

import math
from dataclasses import dataclass

import tensorflow as tf

from convlens.params import AugmentParams

MAX_BOX_AREA = 0.5
MAX_BOX_ASPECT = 2.0


@dataclass(frozen=True)
class Share:
    """The part of a batch that one of several devices has.

    Attributes:
        rows: int32 positions of its photos in the batch.
        num_photos: of the whole batch.
    """

    rows: tf.Tensor
    num_photos: int


def augment(
    photos: tf.Tensor, seed: tf.Tensor, *, size: int, params: AugmentParams, share: Share | None = None
) -> tf.Tensor:
    """Change every photo at random and bring it to a size.

    Args:
        photos: uint8 (N, height, width, 3).
        seed: int32 (2,), one for each step.
        size: side in pixels of the result.
        params: the group `augment`; the values are the widest change either way.
        share: the part of a batch that the photos are; they are changed as they would be in the whole batch.

    Returns:
        float32 (N, size, size, 3), values 0..255.
    """
    seeds = tf.random.split(seed, 2)
    if _keeps_places(params) and size == photos.shape[1]:
        pictures = tf.cast(photos, tf.float32)
    else:
        pictures = _transform(photos, _draw_transforms(photos, _draw(6, photos, seeds[0], share), size, params), size)
    return (
        _change_colours(pictures, _draw(3, photos, seeds[1], share), params) if _changes_colours(params) else pictures
    )


def _keeps_places(params: AugmentParams) -> bool:
    return params.min_crop_area == 1 and params.max_crop_aspect == 1 and not params.rotation and not params.flip


def _changes_colours(params: AugmentParams) -> bool:
    return bool(params.brightness or params.contrast or params.saturation)


def cut_and_mix(
    pictures: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor, *, probability: float, share: Share | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Paste a box of another picture of the batch into some pictures, and mix their targets by area.

    Source: Yun et al. 2019, "CutMix", arXiv:1905.04899; here the box covers at most half of the picture, so that the
    picture below keeps the larger part.

    Args:
        pictures: float32 (N, size, size, 3).
        targets: float32 (N, num_outputs).
        seed: int32 (2,), one for each step.
        probability: share of the pictures that get a box.
        share: the part of a batch that the pictures are; with each picture it has the one at the mirrored position.
    """
    size = pictures.shape[1]
    area, stretch, x, y, chosen = tf.unstack(_draw(5, pictures, tf.random.split(seed, 3)[2], share))
    area = tf.where(chosen < probability, MAX_BOX_AREA * area, 0.0)
    aspect = tf.exp((2 * stretch - 1) * 0.5 * math.log(MAX_BOX_ASPECT))
    width, height = tf.minimum(tf.sqrt(area) * aspect, 1.0) * size, tf.minimum(tf.sqrt(area) / aspect, 1.0) * size
    inside = _span(x, width, size)[:, None, :] & _span(y, height, size)[:, :, None]
    covered = tf.reduce_mean(tf.cast(inside, tf.float32), axis=(1, 2))[:, None]
    mixed = tf.where(inside[..., None], tf.reverse(pictures, [0]), pictures)
    return mixed, (1 - covered) * targets + covered * tf.reverse(targets, [0])


def _span(place: tf.Tensor, length: tf.Tensor, size: int) -> tf.Tensor:
    """Which of `size` pixels a stretch of some length covers that lies at a place in 0..1: bool (N, size)."""
    start = (place * (size - length))[:, None]
    pixels = tf.range(size, dtype=tf.float32)[None, :] + 0.5
    return (pixels > start) & (pixels < start + length[:, None])


def _draw(num_kinds: int, photos: tf.Tensor, seed: tf.Tensor, share: Share | None) -> tf.Tensor:
    """Uniform random numbers in 0..1 for every photo: float32 (num_kinds, N)."""
    if share is None:
        return tf.random.stateless_uniform((num_kinds, tf.shape(photos)[0]), seed)
    return tf.gather(tf.random.stateless_uniform((num_kinds, share.num_photos), seed), share.rows, axis=1)


def _draw_transforms(photos: tf.Tensor, draws: tf.Tensor, size: int, params: AugmentParams) -> tf.Tensor:
    """One row of eight numbers per photo, as ImageProjectiveTransformV3 takes them (output to input pixels)."""
    height, width = float(photos.shape[1]), float(photos.shape[2])
    area, aspect, x, y, turn, mirror = tf.unstack(draws)
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
    pictures = tf.raw_ops.ImageProjectiveTransformV3(
        images=photos,  # as uint8: to turn all of their pixels into floats costs more than the transform
        transforms=transforms,
        output_shape=(size, size),
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )
    return tf.cast(pictures, tf.float32)


def _change_colours(pictures: tf.Tensor, draws: tf.Tensor, params: AugmentParams) -> tf.Tensor:
    """Saturation, then contrast, then brightness; multiplied out, so that the pictures are gone through once."""
    draws = 2 * draws[..., None, None, None] - 1
    saturation, contrast = 1 + params.saturation * draws[0], 1 + params.contrast * draws[1]
    brightness = 255 * params.brightness * draws[2]
    grey = tf.reduce_mean(pictures, axis=3, keepdims=True)
    mean = tf.reduce_mean(grey, axis=(1, 2, 3), keepdims=True)
    rest = contrast * (1 - saturation) * grey + ((1 - contrast) * mean + brightness)
    return tf.clip_by_value(contrast * saturation * pictures + rest, 0.0, 255.0)
