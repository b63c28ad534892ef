"""Disturbed photos: shifted, turned, darkened and so on, to see whether a network's answers stay.

Arrays are uint8 (N, size, size, 3), values in and values out; what is moved in from outside the photo is its mirror
image at the border (NumPy's `reflect`: the outermost pixel is not doubled). Random numbers depend on seed and photo
alone, never on the order or the number of photos disturbed together. Kept apart from the augmentation of the training,
whose code every trained network depends on.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from convlens.data.loader import FILTERS, PADDING_GRAY
from convlens.params import RobustnessParams

# Takes photos (N, size, size, 3) and their numbers (N,), which random numbers depend on.
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]

DIRECTIONS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # down, across
PLACES = tuple((row, column) for row in range(3) for column in range(3))
NOISE, PLACE = 0, 1  # purposes of random numbers


@dataclass(frozen=True)
class Distortion:
    """One kind of disturbance at one strength.

    Attributes:
        name: `shift`, say: a field of `RobustnessParams`, or `flip` or `gray`, which have no strength.
        strength: as in `RobustnessParams`; 1 for `flip` and `gray`.
        changes: what is done; more than one where a strength has several directions.
    """

    name: str
    strength: float
    changes: tuple[Change, ...]


def list_distortions(params: RobustnessParams) -> Iterator[Distortion]:
    """Every disturbance that the parameters ask for, weakest first as far as they are sorted."""
    makers: dict[str, Callable[[float], tuple[Change, ...]]] = {
        "shift": lambda pixels: tuple(_shift_by(int(pixels), *way) for way in DIRECTIONS),
        "rotation": lambda degrees: (_each(_rotate, degrees), _each(_rotate, -degrees)),
        "scale": lambda factor: (_each(_zoom, factor),),
        "brightness": lambda share: (lambda photos, _: brighten(photos, share),),
        "contrast": lambda factor: (lambda photos, _: stretch_contrast(photos, factor),),
        "blur": lambda radius: (_each(_blur, radius),),
        "noise": lambda spread: (lambda photos, numbers: add_noise(photos, numbers, spread, seed=params.seed),),
        "jpeg": lambda quality: (_each(_compress, quality),),
        "occlusion": lambda share: (lambda photos, numbers: occlude(photos, numbers, share, seed=params.seed),),
    }
    for name, make in makers.items():
        for strength in getattr(params, name):
            yield Distortion(name, float(strength), make(strength))
    yield Distortion("flip", 1.0, (lambda photos, _: photos[:, :, ::-1],))
    yield Distortion("gray", 1.0, (lambda photos, _: turn_gray(photos),))


def list_places(share: float) -> Iterator[tuple[int, int, Change]]:
    """The nine places of a shrunken photo: row and column (0..2, from the upper left), and how it gets there."""
    for row, column in PLACES:
        yield row, column, _place_at(share, row, column)


def shift(photos: np.ndarray, down: int, across: int) -> np.ndarray:
    """Photos moved by whole pixels, down and to the right where positive."""
    size, reach = photos.shape[1], max(abs(down), abs(across))
    if not reach:
        return photos.copy()
    wide = np.pad(photos, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    return np.ascontiguousarray(wide[:, reach - down :, reach - across :][:, :size, :size])


def rotate(photos: np.ndarray, degrees: float) -> np.ndarray:
    """Photos turned counter-clockwise about their center, bilinear."""
    return _each(_rotate, degrees)(photos, np.arange(len(photos)))


def zoom(photos: np.ndarray, factor: float) -> np.ndarray:
    """Photos whose content is `factor` times as large, about their center, bicubic."""
    return _each(_zoom, factor)(photos, np.arange(len(photos)))


def brighten(photos: np.ndarray, share: float) -> np.ndarray:
    """Photos with a share of the full range added to every value."""
    return _to_bytes(photos.astype(np.float32) + 255 * share)


def stretch_contrast(photos: np.ndarray, factor: float) -> np.ndarray:
    """Photos whose values are `factor` times as far from the photo's mean brightness."""
    values = photos.astype(np.float32)
    middle = values.mean(axis=(1, 2, 3), keepdims=True)
    return _to_bytes(middle + factor * (values - middle))


def turn_gray(photos: np.ndarray) -> np.ndarray:
    """Photos without color: luma of ITU-R BT.601 in all three channels."""
    luma = photos.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.repeat(_to_bytes(luma)[..., None], 3, axis=3)


def add_noise(photos: np.ndarray, numbers: np.ndarray, spread: float, *, seed: int) -> np.ndarray:
    """Photos with Gaussian noise; the same noise at every strength, times `spread` of the full range."""
    draws = [_random(seed, number, NOISE).standard_normal(photos.shape[1:], np.float32) for number in numbers]
    return _to_bytes(photos + np.float32(255 * spread) * np.stack(draws))


def occlude(photos: np.ndarray, numbers: np.ndarray, share: float, *, seed: int) -> np.ndarray:
    """Photos with a gray square over a share of their area, wholly inside; a photo keeps its place at all shares."""
    size = photos.shape[1]
    side = max(1, round(size * share**0.5))
    hidden = photos.copy()
    for photo, number in zip(hidden, numbers, strict=True):
        top, left = (_random(seed, number, PLACE).random(2) * (size - side + 1)).astype(int)
        photo[top : top + side, left : left + side] = PADDING_GRAY
    return hidden


def place(photos: np.ndarray, share: float, row: int, column: int) -> np.ndarray:
    """Photos made smaller, to a share of their side, on a canvas of their mean color: at row and column of nine."""
    size = photos.shape[1]
    side = max(1, round(size * share))
    top, left = (round((size - side) * step / 2) for step in (row, column))
    canvas = np.empty_like(photos)
    canvas[:] = _to_bytes(photos.mean(axis=(1, 2), keepdims=True, dtype=np.float64))
    canvas[:, top : top + side, left : left + side] = resize(photos, side)
    return canvas


def resize(photos: np.ndarray, size: int, resampling: str = "bicubic") -> np.ndarray:
    """Photos at another size, uint8 (N, size, size, 3), by one of the loader's filters."""
    small = [np.asarray(Image.fromarray(photo).resize((size, size), FILTERS[resampling])) for photo in photos]
    return np.stack(small) if small else np.empty((0, size, size, 3), np.uint8)


def _random(seed: int, number: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, int(number), purpose]))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def _shift_by(pixels: int, down: int, across: int) -> Change:
    return lambda photos, _: shift(photos, pixels * down, pixels * across)


def _place_at(share: float, row: int, column: int) -> Change:
    return lambda photos, _: place(photos, share, row, column)


def _each(change: Callable[[np.ndarray, float], Image.Image], strength: float) -> Change:
    """A change of one photo after the other, by Pillow."""
    return lambda photos, _: np.stack([np.asarray(change(photo, strength)) for photo in photos])


def _rotate(photo: np.ndarray, degrees: float) -> Image.Image:
    wide, edge = _extend(photo, 2**0.5)
    turned = wide.rotate(degrees, Image.Resampling.BILINEAR)
    return turned.crop((edge, edge, edge + len(photo), edge + len(photo)))


def _zoom(photo: np.ndarray, factor: float) -> Image.Image:
    wide, edge = _extend(photo, max(1.0, 1 / factor))
    middle, half = edge + len(photo) / 2, len(photo) / factor / 2
    box = (middle - half, middle - half, middle + half, middle + half)
    return wide.resize((len(photo), len(photo)), Image.Resampling.BICUBIC, box=box)


def _extend(photo: np.ndarray, factor: float) -> tuple[Image.Image, int]:
    """The photo with its mirror image around it, at least `factor` times as wide; and how many pixels on each side."""
    edge = int(np.ceil(len(photo) * (factor - 1) / 2)) + (factor > 1)
    return Image.fromarray(np.pad(photo, ((edge, edge), (edge, edge), (0, 0)), mode="reflect")), edge


def _blur(photo: np.ndarray, radius: float) -> Image.Image:
    return Image.fromarray(photo).filter(ImageFilter.GaussianBlur(radius))


def _compress(photo: np.ndarray, quality: float) -> Image.Image:
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "JPEG", quality=int(quality))
    return Image.open(stream).convert("RGB")
