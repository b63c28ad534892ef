"""Batches of training photos in an order that seed and epoch decide."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np


class Images(Protocol):
    """uint8 photos (num_photos, height, width, 3) that may lie on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


def order_photos(num_photos: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch (counted from 0): a permutation that depends on seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(num_photos)


def count_steps(num_photos: int, batch_size: int) -> int:
    """Full batches in an epoch; what is left over takes its turn in another epoch."""
    return max(1, num_photos // batch_size)


def iterate_batches(
    images: Images, labels: np.ndarray, *, batch_size: int, order: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (photos, labels) of one epoch; the next batch is read while the last is worked on.

    Args:
        images: photos.
        labels: int64 (num_photos,).
        batch_size: photos per batch; every batch is full unless there are fewer photos than that.
        order: rows in the order of the epoch.
    """
    rows = [order[step * batch_size : (step + 1) * batch_size] for step in range(count_steps(len(order), batch_size))]
    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(_read, images, labels, rows[0])
        for following in [*rows[1:], None]:
            batch = upcoming.result()
            if following is not None:
                upcoming = reader.submit(_read, images, labels, following)
            yield batch


def _read(images: Images, labels: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return images[rows], labels[rows]
