"""From files to arrays on the same photos and cores: a loop with Pillow, Keras' loader, and ConvLens.

    python benchmarks/data.py --photos FOLDER --repeats 3

Every run has a process of its own; what a way needs is imported by its function, so that its peak memory is its own.
A last line tells how the search for near-duplicates does on synthetic photos, some of which are crops of others.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import harness

from convlens.data.workers import count_workers
from convlens.environment import hold_stderr
from convlens.params import Params, PreprocessParams, load_params
from convlens.progress import say
from convlens.wording import show_count

if TYPE_CHECKING:
    import numpy as np

BATCH_SIZE = 32
READING_EPOCHS = 10  # one epoch of reading is over too soon to be timed
COPIES, MAX_CROP, GRID = 50, 0.1, 12  # of synthetic photos, smooth noise on a grid, one of 50 is a crop of another
NOTES = """\
Every file had been read before; each run is a process of its own, starting its workers included, loading libraries
not. CPU time includes workers. Memory: own process + number of workers x largest worker, at most."""


@dataclass(frozen=True)
class ReadingTask:
    """What every way gets: photos, all of params.yaml, and a folder with the listing; `decode` writes there."""

    photos: harness.Contest
    params: Params
    workspace: Path

    @property
    def image_size(self) -> int:
        """Side of the arrays in pixels."""
        return self.params.preprocess.image_size


# --- ways ---


def loop_with_pillow(task: ReadingTask) -> harness.Usage:
    """Open, convert, resize, to an array, one photo after the other: what one writes at first."""
    import numpy as np
    from PIL import Image

    def work() -> None:
        for path in task.photos.paths["all"]:
            with Image.open(path) as image:
                np.asarray(image.convert("RGB").resize((task.image_size, task.image_size)))

    return harness.measure(work)


def read_with_keras(task: ReadingTask) -> harness.Usage:
    """Pass once over `image_dataset_from_directory`."""
    with hold_stderr():
        import keras

    folder, size = task.photos.links / "all", (task.image_size, task.image_size)
    load = partial(keras.utils.image_dataset_from_directory, image_size=size, batch_size=BATCH_SIZE, verbose=False)
    return harness.measure(lambda: [None for _ in load(folder)])


def scan(task: ReadingTask) -> harness.Usage:
    """Decode every photo and measure it, in several processes, as `validate` does."""
    import pandas as pd

    from convlens.data.validation import scan_photos

    wanted, table = set(task.photos.paths["all"]), pd.read_parquet(task.workspace / harness.LISTING)
    chosen = table[[os.path.abspath(path) in wanted for path in table["path"]]]
    return harness.measure(lambda: scan_photos(chosen, task.params.validate_))


def decode(task: ReadingTask) -> harness.Usage:
    """Decode and resize into a file, several at a time, as `preprocess` does."""
    path, paths, params = task.workspace / "photos.npy", task.photos.paths["all"], task.params.preprocess
    return harness.measure(lambda: harness.write_array(path, paths, params, image_size=task.image_size))


def read(task: ReadingTask) -> harness.Usage:
    """Read batches of prepared photos in random order, as `train` does; ten epochs."""
    import numpy as np

    from convlens.data.prepared import iterate_batches, order_photos

    images, labels = harness.open_array(task.workspace / "photos.npy"), np.array(task.photos.labels["all"], np.int64)

    def work() -> None:
        for epoch in range(READING_EPOCHS):
            order = order_photos(len(labels), seed=0, epoch=epoch)
            for _ in iterate_batches(images, labels, batch_size=BATCH_SIZE, order=order, prepare=lambda *batch: batch):
                pass

    return harness.measure(work)


WAYS: dict[str, tuple[str, Callable[[ReadingTask], harness.Usage]]] = {
    "pillow": ("Pillow loop", loop_with_pillow),
    "keras": ("Keras, one pass over the folder", read_with_keras),
    "scan": ("ConvLens: check every photo", scan),
    "decode": ("ConvLens: decode and resize", decode),
    "read": ("ConvLens: an epoch of prepared photos", read),
}

# --- near-duplicates ---


def search_duplicates(count: int, *, params: PreprocessParams) -> dict[str, Any]:
    """Search synthetic photos for near-duplicates.

    Returns:
        `num_photos`, `num_crops` (planted), `seconds`, `cpu_seconds`, `memory_megabytes` (peak of the process),
        `recall` (share of the crops found) and `num_wrong` (photos grouped that are no crops).
    """
    import numpy as np

    from convlens.data.duplicates import Groups, join_alike

    thumbnails, groups, crops = make_thumbnails(count), Groups(count), np.arange(COPIES - 1, count, COPIES)
    usage = harness.measure(lambda: join_alike(groups, thumbnails, np.arange(count), params))
    found = ~groups.are_apart(crops, crops - 1)
    return {
        "num_photos": count,
        "num_crops": len(crops),
        "seconds": usage.seconds,
        "cpu_seconds": usage.cpu_seconds,
        "memory_megabytes": usage.memory_megabytes,
        "recall": float(found.mean()),
        "num_wrong": count - len(np.unique(groups.labels)) - int(found.sum()),
    }


def make_thumbnails(count: int) -> "np.ndarray":
    """Make random smooth pictures, uint8 (count, 32, 32); each `COPIES`th is a crop of the one before it."""
    import numpy as np
    from PIL import Image

    from convlens.data.facts import HASHED_SIDE

    draw, side, shape = np.random.default_rng(0), 2 * HASHED_SIDE, (HASHED_SIDE, HASHED_SIDE)
    thumbnails, picture = np.empty((count, *shape), np.uint8), Image.new("L", (side, side))
    for row in range(count):
        cuts = draw.uniform(0, MAX_CROP * side, 4) if row % COPIES == COPIES - 1 else np.zeros(4)
        if not cuts.any():
            noise = draw.integers(0, 256, (GRID, GRID), dtype=np.uint8)
            picture = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)
        box = (cuts[0], cuts[1], side - cuts[2], side - cuts[3])
        thumbnails[row] = np.asarray(picture.resize(shape, box=box))
    return thumbnails


# --- result ---


def compare_reading(folder: Path | None, params: Params, *, repeats: int, num_synthetic: int) -> dict[str, Any]:
    """Measure every way several times, in turn; the run of median time counts.

    Returns:
        Plain values: machine, photos, a row per way, and how the search for near-duplicates did.

    Raises:
        ConvLensError: no such folder, too few photos, or a process was killed.
    """
    runs: dict[str, list[harness.Usage]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory(prefix="convlens-benchmark-") as place:
        photos = harness.gather_photos(folder, params, Path(place))
        task = ReadingTask(photos, params, Path(place))
        for number in range(repeats):
            for name, (title, way) in WAYS.items():
                say(f"benchmark: {title}, run {number + 1} of {repeats}.")
                runs[name].append(harness.in_new_process(way, task))
    ways: list[dict[str, Any]] = []
    for name, usages in runs.items():
        usage = sorted(usages, key=lambda run: run.seconds)[repeats // 2]
        num_read = len(photos.paths["all"]) * (READING_EPOCHS if name == "read" else 1)
        has_workers = name in ("scan", "decode") and usage.worker_memory_megabytes > 0
        row = {
            "name": name,
            "title": WAYS[name][0],
            "photos_per_second": num_read / usage.seconds,
            "cpu_seconds_per_photo": usage.cpu_seconds / num_read,
            "memory_megabytes": usage.memory_megabytes,
            "num_workers": count_workers(params.preprocess.num_workers) if has_workers else 0,
            "worker_memory_megabytes": usage.worker_memory_megabytes if has_workers else 0.0,
            "seconds_of_runs": [run.seconds for run in usages],
        }
        ways.append(row)
    say(f"benchmark: near-duplicates among {num_synthetic:,} synthetic photos.")
    duplicates = harness.in_new_process(partial(search_duplicates, params=params.preprocess), num_synthetic)
    head = {"benchmark": "data", "machine": harness.describe_machine(), "photos": photos.values}
    return {**head, "image_size": task.image_size, "repeats": repeats, "ways": ways, "duplicates": duplicates}


def format_reading(result: dict[str, Any]) -> str:
    """Format all that a person reads."""
    ways, found = result["ways"], result["duplicates"]
    table = [["", "photos per second", "CPU time per photo", "peak memory"]]
    for way in ways:
        workers = f" + {way['num_workers']} x {way['worker_memory_megabytes']:,.0f} MB" if way["num_workers"] else ""
        speed, memory = harness.show_speed(way, ways[0]), f"{way['memory_megabytes']:,.0f} MB{workers}"
        table.append([way["title"], speed, f"{1000 * way['cpu_seconds_per_photo']:,.2f} ms", memory])
    runs = f"median of {show_count(result['repeats'], 'run')}"
    head = f"From files to {result['image_size']} px arrays, {runs}. {harness.show_photos(result['photos'])}"
    notes = f"(2.0x): twice as fast as {ways[0]['title']}.\n{NOTES}"
    duplicates = (
        f"Near-duplicates among {found['num_photos']:,} synthetic photos: {found['seconds']:,.2f} s, "
        f"{found['cpu_seconds']:,.2f} s of CPU time, {found['memory_megabytes']:,.0f} MB;\n"
        f"{found['recall']:.1%} of {found['num_crops']:,} crops found, {found['num_wrong']:,} photos wrongly grouped."
    )
    return (
        f"{head}\n{harness.show_machine(result['machine'])}\n\n{harness.format_table(table)}\n\n{notes}\n\n{duplicates}"
    )


@click.command()
@harness.photos_option
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True, help="Runs; the median counts.")
@click.option("--synthetic", "num_synthetic", type=click.IntRange(COPIES), default=10_000, show_default=True,
              help="Photos to search for near-duplicates. A million takes minutes and 3 GB of memory.")  # fmt: skip
@harness.json_option
def main(photos: Path | None, repeats: int, num_synthetic: int, json_file: Path | None) -> None:
    """Read photos: a loop with Pillow, Keras' loader, and ConvLens checking, decoding and reading.

    Needs idle cores.
    """
    result = compare_reading(photos, load_params(), repeats=repeats, num_synthetic=num_synthetic)
    harness.report(result, format_reading(result), json_file)


if __name__ == "__main__":
    harness.run(main)
