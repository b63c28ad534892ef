"""Batches of training photos in an order that seed and epoch decide."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np

Ready = TypeVar("Ready")


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
    images: Images,
    labels: np.ndarray,
    *,
    batch_size: int,
    order: np.ndarray,
    prepare: Callable[[int, np.ndarray, np.ndarray], Ready],
) -> Iterator[Ready]:
    """Yield the batches of one epoch; the next one is read and prepared while the last is worked on.

    Args:
        images: photos.
        labels: int64 (num_photos,).
        batch_size: photos per batch; every batch is full unless there are fewer photos than that.
        order: rows in the order of the epoch.
        prepare: makes of number (from 0), photos and labels what is yielded; runs in a thread.
    """
    rows = [order[step * batch_size : (step + 1) * batch_size] for step in range(count_steps(len(order), batch_size))]

    def make(number: int) -> Ready:
        return prepare(number, images[rows[number]], labels[rows[number]])

    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(make, 0)
        for number in range(1, len(rows) + 1):
            batch = upcoming.result()
            if number < len(rows):
                upcoming = reader.submit(make, number)
            yield batch
