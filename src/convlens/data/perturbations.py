"""Perturbed photos: shifted, rotated, darkened and so on, to see whether a network's predictions stay.

Arrays are uint8 (N, size, size, 3), values in and values out; what is moved in from outside the photo is its mirror
image at the border (NumPy's `reflect`: the outermost pixel is not doubled). Random numbers depend on seed and photo
alone, never on the order or the number of photos perturbed together. Kept apart from the augmentation of the training,
whose code every trained network depends on.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

from convlens.data.loader import FILTERS, PADDING_GRAY
from convlens.params import RobustnessParams

# Takes photos (N, size, size, 3) and their numbers (N,), which random numbers depend on.
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]

DIRECTIONS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # down, across
PLACES = tuple((row, column) for row in range(3) for column in range(3))
NOISE, OCCLUSION = 0, 1  # purposes of random numbers


@dataclass(frozen=True)
class Perturbation:
    """One kind of perturbation at one strength.

    Attributes:
        name: `shift`, say: a field of `RobustnessParams`, or `flip` or `gray`, which have no strength.
        strength: as in `RobustnessParams`; 1 for `flip` and `gray`.
        changes: what is done; more than one where a strength has several directions.
    """

    name: str
    strength: float
    changes: tuple[Change, ...]


def list_perturbations(params: RobustnessParams) -> Iterator[Perturbation]:
    """List every perturbation that the parameters ask for, weakest first as far as they are sorted."""
    makers: dict[str, Callable[[float], tuple[Change, ...]]] = {
        "shift": lambda pixels: tuple(
            _of_pixels(shift, down=int(pixels) * down, across=int(pixels) * across) for down, across in DIRECTIONS
        ),
        "rotation": lambda degrees: (_of_pixels(rotate, degrees=degrees), _of_pixels(rotate, degrees=-degrees)),
        "scale": lambda factor: (_of_pixels(zoom, factor=factor),),
        "brightness": lambda share: (_of_pixels(brighten, share=share),),
        "contrast": lambda factor: (_of_pixels(stretch_contrast, factor=factor),),
        "blur": lambda radius: (_of_pixels(blur, radius=radius),),
        "noise": lambda spread: (partial(add_noise, spread=spread, seed=params.seed),),
        "jpeg": lambda quality: (_of_pixels(compress, quality=int(quality)),),
        "occlusion": lambda share: (partial(occlude, share=share, seed=params.seed),),
    }
    for name, make in makers.items():
        for strength in getattr(params, name):
            yield Perturbation(name, float(strength), make(strength))
    yield Perturbation("flip", 1.0, (lambda photos, _: photos[:, :, ::-1],))
    yield Perturbation("gray", 1.0, (_of_pixels(turn_gray),))


def list_places(share: float) -> Iterator[tuple[int, int, Change]]:
    """List the nine places of a shrunken photo: row and column (0..2, from the upper left), and how it gets there."""
    for row, column in PLACES:
        yield row, column, _of_pixels(place, share=share, row=row, column=column)


def shift(photos: np.ndarray, down: int, across: int) -> np.ndarray:
    """Move photos by whole pixels, down and to the right where positive."""
    size, reach = photos.shape[1], max(abs(down), abs(across))
    wide = np.pad(photos, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    return np.ascontiguousarray(wide[:, reach - down :, reach - across :][:, :size, :size])


def rotate(photos: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate photos counter-clockwise about their center, bilinear."""
    size = photos.shape[1]
    wide, edge = _extend(photos, 2**0.5)
    box = (edge, edge, edge + size, edge + size)
    return _by_pillow(wide, lambda photo: photo.rotate(degrees, Image.Resampling.BILINEAR).crop(box))


def zoom(photos: np.ndarray, factor: float) -> np.ndarray:
    """Make the content of photos `factor` times as large, about their center, bicubic."""
    size = photos.shape[1]
    wide, edge = _extend(photos, max(1.0, 1 / factor))
    middle, half = edge + size / 2, size / factor / 2
    box = (middle - half, middle - half, middle + half, middle + half)
    return _by_pillow(wide, lambda photo: photo.resize((size, size), Image.Resampling.BICUBIC, box=box))


def brighten(photos: np.ndarray, share: float) -> np.ndarray:
    """Add a share of the full range to every value."""
    return _to_bytes(photos.astype(np.float32) + 255 * share)


def stretch_contrast(photos: np.ndarray, factor: float) -> np.ndarray:
    """Multiply the distance of the values from the photo's mean brightness by `factor`."""
    values = photos.astype(np.float32)
    middle = values.mean(axis=(1, 2, 3), keepdims=True)
    return _to_bytes(middle + factor * (values - middle))


def turn_gray(photos: np.ndarray) -> np.ndarray:
    """Remove color: luma of ITU-R BT.601 in all three channels."""
    luma = photos.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.repeat(_to_bytes(luma)[..., None], 3, axis=3)


def blur(photos: np.ndarray, radius: float) -> np.ndarray:
    """Blur photos by a Gaussian; the radius is its standard deviation in pixels."""
    return _by_pillow(photos, lambda photo: photo.filter(ImageFilter.GaussianBlur(radius)))


def compress(photos: np.ndarray, quality: int) -> np.ndarray:
    """Compress photos as JPEG of a quality, and decode them."""

    def through_jpeg(photo: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        photo.save(stream, "JPEG", quality=quality)
        return Image.open(stream).convert("RGB")

    return _by_pillow(photos, through_jpeg)


def add_noise(photos: np.ndarray, numbers: np.ndarray, spread: float, seed: int) -> np.ndarray:
    """Add Gaussian noise; the same noise at every strength, times `spread` of the full range."""
    draws = [_random(seed, number, NOISE).standard_normal(photos.shape[1:], np.float32) for number in numbers]
    return _to_bytes(photos + np.float32(255 * spread) * np.stack(draws))


def occlude(photos: np.ndarray, numbers: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Hide a share of the area behind a gray square, wholly inside; a photo keeps its place at all shares."""
    size = photos.shape[1]
    side = max(1, round(size * share**0.5))
    hidden = photos.copy()
    for photo, number in zip(hidden, numbers, strict=True):
        top, left = (_random(seed, number, OCCLUSION).random(2) * (size - side + 1)).astype(int)
        photo[top : top + side, left : left + side] = PADDING_GRAY
    return hidden


def place(photos: np.ndarray, share: float, row: int, column: int) -> np.ndarray:
    """Shrink photos to a share of their side, on a canvas of their mean color: at row and column of nine."""
    size = photos.shape[1]
    side = max(1, round(size * share))
    top, left = (round((size - side) * step / 2) for step in (row, column))
    canvas = np.empty_like(photos)
    canvas[:] = _to_bytes(photos.mean(axis=(1, 2), keepdims=True, dtype=np.float64))
    canvas[:, top : top + side, left : left + side] = resize(photos, side)
    return canvas


def resize(photos: np.ndarray, size: int, resampling: str = "bicubic") -> np.ndarray:
    """Bring photos to another size, uint8 (N, size, size, 3), by one of the loader's filters."""
    if not len(photos):
        return np.empty((0, size, size, 3), np.uint8)
    return _by_pillow(photos, lambda photo: photo.resize((size, size), FILTERS[resampling]))


def _random(seed: int, number: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, int(number), purpose]))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def _of_pixels(change: Callable[..., np.ndarray], **strength: float) -> Change:
    """Make a change of one that depends on the pixels alone."""
    return lambda photos, _: change(photos, **strength)


def _by_pillow(photos: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(photo))) for photo in photos])


def _extend(photos: np.ndarray, factor: float) -> tuple[np.ndarray, int]:
    """Put the mirror image around photos, so that they are at least `factor` times as wide; pixels on each side."""
    edge = int(np.ceil(photos.shape[1] * (factor - 1) / 2)) + (factor > 1)
    return np.pad(photos, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="reflect"), edge
