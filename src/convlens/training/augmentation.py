"""Random changes to training photos, on the CPU beside the training step, from explicit seeds.

Crop, stretch, flip, rotation and resizing are one affine transform, so pixels are interpolated once. The random numbers
depend on the seed alone: the same step of the same run always sees the same pictures, also after a restart and on any
number of devices. OpenCV changes a batch in a fifth of the time of TensorFlow's operations, whose loops are not
vectorised; that time is taken from the training step, which needs the same cores.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from convlens.params import AugmentParams

MAX_BOX_AREA = 0.5
MAX_BOX_ASPECT = 2.0
PLACES, COLORS, BOXES = range(3)  # each kind of change has random numbers of its own


def augment(photos: np.ndarray, *, seed: Sequence[int], size: int, params: AugmentParams) -> np.ndarray:
    """Change every photo at random and bring it to a size.

    Args:
        photos: uint8 (N, height, width, 3).
        seed: whole numbers from 0, others for each step.
        size: side in pixels of the result.
        params: the group `augment`; the values are the widest change either way.

    Returns:
        uint8 (N, size, size, 3).
    """
    if _keeps_places(params) and photos.shape[1:3] == (size, size):
        pictures = photos.copy()
    else:
        pictures = np.empty((len(photos), size, size, photos.shape[3]), np.uint8)
        matrices = _draw_transforms(photos.shape, _draw(6, len(photos), [*seed, PLACES]), size, params)
        for picture, photo, matrix in zip(pictures, photos, matrices, strict=True):
            _transform(photo, matrix, into=picture)
    if params.brightness or params.contrast or params.saturation:
        draws = 2 * _draw(3, len(photos), [*seed, COLORS]) - 1
        for picture, draw in zip(pictures, draws.T, strict=True):
            _change_colors(picture, draw, params)
    return pictures


def _keeps_places(params: AugmentParams) -> bool:
    return params.min_crop_area == 1 and params.max_crop_aspect == 1 and not params.rotation and not params.flip


def cut_and_mix(
    pictures: np.ndarray, targets: np.ndarray, *, seed: Sequence[int], probability: float
) -> tuple[np.ndarray, np.ndarray]:
    """Paste a box of another picture of the batch into some pictures, and mix their targets by area.

    Source: Yun et al. 2019, "CutMix", arXiv:1905.04899; here the box covers at most half of the picture, so that the
    picture below keeps the larger part. The other picture is the one at the mirrored position of the batch.

    Args:
        pictures: uint8 (N, size, size, 3).
        targets: float32 (N, num_outputs).
        seed: whole numbers from 0, others for each step.
        probability: share of the pictures that get a box.
    """
    size = pictures.shape[1]
    area, stretch, x, y, chosen = _draw(5, len(pictures), [*seed, BOXES])
    area = np.where(chosen < probability, MAX_BOX_AREA * area, 0.0)
    aspect = np.exp((2 * stretch - 1) * 0.5 * math.log(MAX_BOX_ASPECT))
    left, right = _span(x, np.minimum(np.sqrt(area) * aspect, 1.0), size)
    top, bottom = _span(y, np.minimum(np.sqrt(area) / aspect, 1.0), size)
    mixed, others = pictures.copy(), pictures[::-1]
    for number in np.flatnonzero((right > left) & (bottom > top)):
        box = np.s_[number, top[number] : bottom[number], left[number] : right[number]]
        mixed[box] = others[box]
    covered = ((right - left) * (bottom - top) / size**2).astype(np.float32)[:, None]
    return mixed, (1 - covered) * targets + covered * targets[::-1]


def _span(place: np.ndarray, length: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The first pixel, and the one behind the last, of a stretch (share of a side) that lies at a place in 0..1."""
    start = place * (1 - length) * size
    return np.round(start).astype(int), np.round(start + length * size).astype(int)


def _draw(num_kinds: int, num_photos: int, seed: Sequence[int]) -> np.ndarray:
    """Uniform random numbers in 0..1 for every photo: float64 (num_kinds, N)."""
    return np.random.default_rng(seed).random((num_kinds, num_photos))


def _draw_transforms(shape: tuple[int, ...], draws: np.ndarray, size: int, params: AugmentParams) -> np.ndarray:
    """A matrix for each photo that takes pixels of the picture to pixels of the photo: (N, 2, 3)."""
    height, width = shape[1:3]
    area, aspect, x, y, turn, mirror = draws
    area = params.min_crop_area + (1 - params.min_crop_area) * area
    stretch = np.exp((2 * aspect - 1) * 0.5 * math.log(params.max_crop_aspect))
    crop_width = np.minimum(np.sqrt(area) * stretch, 1.0) * width
    crop_height = np.minimum(np.sqrt(area) / stretch, 1.0) * height
    center_x = crop_width / 2 + x * (width - crop_width)
    center_y = crop_height / 2 + y * (height - crop_height)
    angle = (2 * turn - 1) * math.radians(params.rotation)
    sign = np.where(mirror < 0.5, -1.0, 1.0) if params.flip else 1.0
    a, b = sign * np.cos(angle) * crop_width / size, -np.sin(angle) * crop_height / size
    c, d = sign * np.sin(angle) * crop_width / size, np.cos(angle) * crop_height / size
    middle = (size - 1) / 2
    offset_x, offset_y = center_x - 0.5 - (a + b) * middle, center_y - 0.5 - (c + d) * middle
    return np.stack([a, b, offset_x, c, d, offset_y], axis=1).reshape(-1, 2, 3)


def _transform(photo: np.ndarray, matrix: np.ndarray, *, into: np.ndarray) -> None:
    """One photo; the transform looks at four pixels only, so what is to shrink by more than that is averaged before."""
    shrink = int(math.sqrt(abs(np.linalg.det(matrix[:, :2]))) + 1e-6)
    if shrink > 1:
        height, width = photo.shape[:2]
        photo = cv2.resize(photo, (max(width // shrink, 1), max(height // shrink, 1)), interpolation=cv2.INTER_AREA)
        ratio = np.array([[photo.shape[1] / width], [photo.shape[0] / height]])
        matrix = matrix * ratio
        matrix[:, 2:] += 0.5 * ratio - 0.5  # pixels are counted at their middles
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cv2.warpAffine(photo, matrix, into.shape[:2], dst=into, flags=flags, borderMode=cv2.BORDER_REFLECT)


def _change_colors(picture: np.ndarray, draws: np.ndarray, params: AugmentParams) -> None:
    """Saturation, then contrast, then brightness, in place; multiplied out, so that it is gone through once."""
    saturation, contrast = 1 + params.saturation * draws[0], 1 + params.contrast * draws[1]
    mean = sum(cv2.mean(picture)[:3]) / 3
    colors = contrast * (saturation * np.eye(3) + (1 - saturation) / 3)  # gray is the mean of the three
    offset = np.full((3, 1), (1 - contrast) * mean + 255 * params.brightness * draws[2])
    cv2.transform(picture, np.hstack([colors, offset]), dst=picture)
