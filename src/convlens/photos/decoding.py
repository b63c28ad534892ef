"""Decoding many photos through the one loader, several at a time. Light to import: workers of a cluster load it."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from convlens.environment import cluster_address
from convlens.photos.loader import LoaderSettings, PhotoError, load_photo
from convlens.photos.reading import read_photo
from convlens.photos.workers import map_in_processes, map_in_threads


def decode_photos(paths: Sequence[str], settings: LoaderSettings, *, num_workers: int = 0) -> Iterator[np.ndarray]:
    """Yield every photo as uint8 (image_size, image_size, 3), in order, a bounded number at a time.

    In threads, which decode half as fast again as processes do: Pillow lets others run while it decodes and resizes,
    and nothing has to be sent. These photos have been decoded before, by processes that might have crashed over them.
    Where a cluster is named, it does the work.

    Raises:
        PhotoError: a photo cannot be read (any more).
    """
    map_photos = map_in_processes if cluster_address() else map_in_threads
    return map_photos(partial(_decode_one, settings=settings), paths, num_workers=num_workers)


def _decode_one(path: str, *, settings: LoaderSettings) -> np.ndarray:
    try:
        return load_photo(read_photo(path), settings)
    except PhotoError as error:  # of an object the loader saw nothing but the bytes
        raise PhotoError(str(error).replace("Received: the photo", f"Received: {path}"), error.reason) from error
