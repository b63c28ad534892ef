"""Photos decoded into one array on disk, as `preprocess` does it, and read back, as `train` does it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.format import write_array_header_1_0

from convlens.data.loader import LoaderSettings
from convlens.data.prepared import decode_photos

if TYPE_CHECKING:
    from convlens.data.prepared import ShardedImages


def write_array(path: Path, paths: Sequence[str], settings: LoaderSettings, *, num_workers: int) -> None:
    """Decode photos into a file of uint8 (num_photos, image_size, image_size, 3), one photo in memory at a time."""
    shape = (len(paths), settings.image_size, settings.image_size, 3)
    with open(path, "wb") as file:
        write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for photo in decode_photos(paths, settings, num_workers=num_workers):
            file.write(photo.tobytes())


def open_array(path: Path) -> "ShardedImages":
    """The photos of such a file, read when asked for."""
    from convlens.data.prepared import ShardedImages

    return ShardedImages([np.load(path, mmap_mode="r")])
