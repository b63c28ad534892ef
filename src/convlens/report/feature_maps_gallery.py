"""The training photos that patches are cut from, each once and small."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

LONGEST_SIDE = 144
QUALITY = 82


def number_gallery(facts: Mapping[str, Any]) -> list[int]:
    """Photos that patches name, in order; afterwards the patches name them by their place in this list.

    Args:
        facts: facts of each block by its name, changed in place.
    """
    lists = [patches for known in facts.values() if known and known["patches"] for patches in known["patches"]]
    used = sorted({int(patch[0]) for patches in lists for patch in patches})
    places = {number: place for place, number in enumerate(used)}
    for patches in lists:
        for patch in patches:
            patch[0] = places[int(patch[0])]
    return used


def encode_gallery(
    photos: Sequence[np.ndarray], *, picture_shape: tuple[int, int], names: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    """JPEGs of photos, none longer than 144 pixels.

    Args:
        photos: uint8 (rows, columns, 3), as the loader gives them.
        picture_shape: rows and columns of the picture that receptive fields count in.
        names: of the photos.
        labels: their classes.
    """
    scale = min(1.0, LONGEST_SIDE / max(picture_shape))
    size = (round(picture_shape[1] * scale), round(picture_shape[0] * scale))
    pictures = [_jpeg(Image.fromarray(photo), size) for photo in photos]
    return {"scale": scale, "pictures": pictures, "names": list(names), "labels": list(labels)}


def _jpeg(image: Image.Image, size: tuple[int, int]) -> str:
    small = image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
