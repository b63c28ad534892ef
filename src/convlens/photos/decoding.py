"""Decoding many photos through the one loader, several at a time. Light to import: workers of a cluster load it."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from convlens.environment import cluster_address
from convlens.photos.cache import Codec, ResultCache
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


def open_pixels(folder: Path | None, settings: LoaderSettings, digests: Sequence[str]) -> ResultCache[str, np.ndarray]:
    """The pixels that earlier runs decoded with the same settings, by the digest of the photo's file.

    Args:
        folder: of the cache; None keeps nothing.
        settings: of the loader.
        digests: of all photos of this run.
    """
    shape = (settings.image_size, settings.image_size, 3)
    codec = Codec(np.ndarray.tobytes, lambda content: np.frombuffer(content, np.uint8).reshape(shape))
    return ResultCache(folder, "pixels", codec=codec, depends_on=settings, keys=digests)


def _decode_one(path: str, *, settings: LoaderSettings) -> np.ndarray:
    try:
        return load_photo(read_photo(path), settings)
    except PhotoError as error:  # of an object the loader saw nothing but the bytes
        raise PhotoError(str(error).replace("Received: the photo", f"Received: {path}"), error.reason) from error
