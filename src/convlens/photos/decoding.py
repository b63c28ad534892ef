"""Decoding many photos through the one loader, in several processes. Light to import: worker processes load it."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from convlens.photos.loader import LoaderSettings, load_photo
from convlens.photos.workers import map_in_processes


def decode_photos(paths: Sequence[str], settings: LoaderSettings, *, num_workers: int = 0) -> Iterator[np.ndarray]:
    """Yield every photo as uint8 (image_size, image_size, 3), in order, a bounded number at a time.

    Raises:
        PhotoError: a photo cannot be read (any more).
    """
    return map_in_processes(partial(_decode_one, settings=settings), paths, num_workers=num_workers)


def _decode_one(path: str, *, settings: LoaderSettings) -> np.ndarray:
    return load_photo(Path(path), settings)
