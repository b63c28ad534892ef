"""A painted photo: its picture, its label, and the box of every painted part."""

import io
from dataclasses import dataclass

from PIL import Image

from convlens.photos.painting.geometry import Points

_FULL_COLOUR_FROM = 80


@dataclass(frozen=True)
class Box:
    """The smallest upright rectangle around a part, in pixels of the photo and clipped to it."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class PaintedPhoto:
    """One painted photo before compression, with the box of every part by its name.

    Left and right are the viewer's. The boxes tell where a part was painted, even if something hides it.
    """

    label: str
    image: Image.Image
    regions: dict[str, Box]
    jpeg_quality: int


def box_around(points: Points, image_size: int) -> Box:
    """Return the box of points given in shares of the photo's side."""
    left, top = (points.min(axis=0).clip(0, 1) * image_size).tolist()
    right, bottom = (points.max(axis=0).clip(0, 1) * image_size).tolist()
    return Box(left, top, right, bottom)


def encode_photo(photo: PaintedPhoto) -> bytes:
    """Return the photo as JPEG bytes; below quality 80 colours are stored at half the resolution, as phones do."""
    stream = io.BytesIO()
    subsampling = 0 if photo.jpeg_quality >= _FULL_COLOUR_FROM else 2
    photo.image.save(stream, format="JPEG", quality=photo.jpeg_quality, subsampling=subsampling)
    return stream.getvalue()
