"""Ways from files to arrays. Light to import: what a way needs is loaded in its own process."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convlens.bench.photo_lists import BenchPhotos, Listed
from convlens.bench.processes import Usage, measure
from convlens.bench.reading import open_array, write_array
from convlens.data.loader import LoaderSettings
from convlens.environment import hold_stderr
from convlens.params import Params

BATCH_SIZE = 32
READING_EPOCHS = 10  # one epoch of reading is over too soon to be timed


@dataclass(frozen=True)
class ReadingTask:
    """What every way gets.

    Attributes:
        photos: the files.
        links: class folders of links to the same files.
        listing: the list of the source that `ingest` wrote.
        array: the file of decoded photos: `decode` writes it, `read` reads it.
        params: all of params.yaml.
    """

    photos: BenchPhotos
    links: Path
    listing: Path
    array: Path
    params: Params

    @property
    def listed(self) -> Listed:
        """All photos."""
        return self.photos.all

    @property
    def image_size(self) -> int:
        """Side of the arrays in pixels."""
        return self.params.preprocess.image_size


def loop_with_pillow(task: ReadingTask) -> Usage:
    """What one writes at first: open, convert, resize, to an array; one photo after the other."""
    import numpy as np
    from PIL import Image

    side, paths = (task.image_size, task.image_size), task.listed.paths

    def work() -> None:
        for path in paths:
            with Image.open(path) as image:
                np.asarray(image.convert("RGB").resize(side))

    return measure(work)


def read_with_keras(task: ReadingTask) -> Usage:
    """One pass over `image_dataset_from_directory`."""
    with hold_stderr():
        import keras

    side = (task.image_size, task.image_size)

    def work() -> None:
        dataset = keras.utils.image_dataset_from_directory(
            task.links, image_size=side, batch_size=BATCH_SIZE, verbose=False
        )
        for _ in dataset:
            pass

    return measure(work)


def scan(task: ReadingTask) -> Usage:
    """What `validate` does: decode every photo and measure it, in several processes."""
    import pandas as pd

    from convlens.data.facts import scan_photos

    wanted, table = set(task.listed.paths), pd.read_parquet(task.listing)
    chosen = table[[os.path.abspath(path) in wanted for path in table["path"]]]
    return measure(lambda: scan_photos(chosen, task.params.validate_))


def decode(task: ReadingTask) -> Usage:
    """What `preprocess` does: decode and resize, in several processes, into a file."""
    params = task.params.preprocess
    settings = LoaderSettings(params.image_size, params.keep_aspect, params.resampling)
    return measure(lambda: write_array(task.array, task.listed.paths, settings, num_workers=params.num_workers))


def _take(_: int, photos: Any, labels: Any) -> tuple[Any, Any]:
    return photos, labels


def read(task: ReadingTask) -> Usage:
    """What `train` does: batches from prepared photos in random order; ten epochs."""
    import numpy as np

    from convlens.data.prepared import iterate_batches, order_photos

    images, labels = open_array(task.array), np.array(task.listed.labels, np.int64)

    def work() -> None:
        for epoch in range(READING_EPOCHS):
            order = order_photos(len(labels), seed=0, epoch=epoch)
            for _ in iterate_batches(images, labels, batch_size=BATCH_SIZE, order=order, prepare=_take):
                pass

    return measure(work)


WAYS: dict[str, Callable[[ReadingTask], Usage]] = {
    "pillow": loop_with_pillow,
    "keras": read_with_keras,
    "scan": scan,
    "decode": decode,
    "read": read,
}
TITLES = {
    "pillow": "Pillow loop",
    "keras": "Keras, one pass over the folder",
    "scan": "ConvLens: check every photo",
    "decode": "ConvLens: decode and resize",
    "read": "ConvLens: an epoch of prepared photos",
}
NUM_PASSES = {"read": READING_EPOCHS}
