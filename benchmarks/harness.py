"""What the benchmarks share: a process for every contestant, the photos all of them get, tables and JSON files.

Light to import: the process of every contestant loads this module, and its memory is measured.
"""

import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from convlens.data.workers import count_workers, end_with_parent
from convlens.environment import CPU_INFO, cpu_flags, prepare_environment
from convlens.errors import ConvLensError, printable
from convlens.params import DataParams, Params, PreprocessParams
from convlens.progress import say

if TYPE_CHECKING:
    import pandas as pd

    from convlens.data.prepared import ShardedImages

Task = TypeVar("Task")
Result = TypeVar("Result")
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
PACKAGES = ("convlens", "tensorflow", "tensorflow-cpu", "keras", "pillow", "numpy")
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "GIF": ".gif"}  # what Keras reads from a folder
HELD_OUT = 0.3
MIN_PHOTOS = 8
LISTING = "photos.parquet"

# --- command line ---


def _check_folder(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"Expected a file in an existing folder. Received: {path}.")
    return path


PHOTOS_HELP = "A folder with a folder of photos for each class. Default: data.source of params.yaml."
photos_option = click.option("--photos", type=click.Path(path_type=Path), metavar="FOLDER", help=PHOTOS_HELP)
json_type = click.Path(path_type=Path, dir_okay=False)
json_option = click.option(
    "--json", "json_file", type=json_type, callback=_check_folder, help="Write the numbers there."
)


def run(command: click.Command) -> None:
    """Run a benchmark's command; errors meant for users come as one line, without traceback."""
    prepare_environment()
    try:
        command()
    except ConvLensError as error:
        click.echo(printable(str(error), keep="\n"), err=True)
        sys.exit(1)


def report(result: dict[str, Any], text: str, json_file: Path | None) -> None:
    """Print the text, and write the result as JSON where a file is named."""
    if json_file is not None:
        from convlens.files import write_json

        write_json(json_file, result)
    click.echo(text)


# --- processes ---


@dataclass(frozen=True)
class Usage:
    """What a piece of work used.

    Attributes:
        seconds: wall clock.
        cpu_seconds: processor time of this process and of the processes it started and waited for.
        memory_megabytes: peak of this process since it began (not only of this work).
        worker_memory_megabytes: peak of the largest process it started, at most; 0 if it started none.
    """

    seconds: float
    cpu_seconds: float
    memory_megabytes: float
    worker_memory_megabytes: float


def in_new_process(function: Callable[[Task], Result], task: Task) -> Result:
    """Call `function(task)` in a fresh process, so that its peak memory and its threads are its own.

    The process ends with this one: a benchmark that is killed leaves no training behind.

    Raises:
        ConvLensError: the process was killed.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        try:
            return pool.submit(function, task).result()
        except BrokenProcessPool as error:
            raise ConvLensError(
                "Expected the process of a contestant to finish. Received: it was killed, perhaps for want of memory. "
                "Close other programs, or take fewer photos with --photos."
            ) from error


def measure(work: Callable[[], object]) -> Usage:
    """Do a piece of work, and return what it used."""
    cpu, started = _cpu_seconds(), time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return Usage(seconds, _cpu_seconds() - cpu, peak_memory(), _max_memory(resource.RUSAGE_CHILDREN))


def peak_memory(status: Path = Path("/proc/self/status")) -> float:
    """Return the most memory (resident set) that this process has had, in MB of 10^6 bytes.

    On Linux from its own record: `getrusage` also counts a copy of whoever started it.
    """
    lines = status.read_text().splitlines() if status.is_file() else []
    peaks = [int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else _max_memory(resource.RUSAGE_SELF)


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _max_memory(who: int) -> float:
    """In MB; the system counts in bytes on macOS, in kibibytes elsewhere."""
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


# --- photos ---


@dataclass(frozen=True)
class Contest:
    """The photos of a benchmark, by part: `train`, `held_out` and `all`.

    Attributes:
        classes: names, in the order of the labels.
        paths: absolute paths of the photos of each part.
        labels: the index of each one's class.
        links: folder with a folder for each part: class folders of symbolic links, as Keras wants them.
        values: what JSON says of them.
    """

    classes: list[str]
    paths: dict[str, list[str]]
    labels: dict[str, list[int]]
    links: Path
    values: dict[str, Any]


def gather_photos(folder: Path | None, params: Params, workspace: Path) -> Contest:
    """List, check and split the photos of a folder, else of `data.source`; the same share of every class is held out.

    Reads every file once, so that no contestant is the one who finds them on a cold disk. What not every contestant can
    read is left out, and so are copies. The seed of the split in `params` counts, its fractions do not.

    Raises:
        ConvLensError: no such folder, or too few photos in a class.
    """
    import numpy as np

    found, source = scan_source(folder, params, workspace)
    table = found.loc[found["usable"] & found["format"].isin(list(SUFFIXES))].drop_duplicates(subset=["sha256"])
    classes, draw = sorted(found["label"].unique()), np.random.default_rng(params.preprocess.seed)
    is_held_out = np.zeros(len(table), bool)
    for name in classes:
        rows = np.flatnonzero((table["label"] == name).to_numpy())
        if len(rows) < MIN_PHOTOS:
            raise ConvLensError(
                f"Expected at least {MIN_PHOTOS} photos of every class ({', '.join(SUFFIXES)}, none twice) to measure "
                f"with. Received: {len(rows)} of '{name}' in {source}. Name a larger folder with --photos."
            )
        is_held_out[draw.permutation(rows)[: round(len(rows) * HELD_OUT)]] = True
    paths, labels, links = {}, {}, workspace / "links"
    for part, rows in {"train": ~is_held_out, "held_out": is_held_out, "all": is_held_out | True}.items():
        paths[part] = [os.path.abspath(path) for path in table["path"][rows]]
        labels[part] = [classes.index(name) for name in table["label"][rows]]
        for name in classes:
            (links / part / name).mkdir(parents=True)
        suffixes = [SUFFIXES[kind] for kind in table["format"][rows]]
        for number, (path, label, suffix) in enumerate(zip(paths[part], labels[part], suffixes, strict=True)):
            (links / part / classes[label] / f"{number:06d}{suffix}").symlink_to(path)
    counts = {"num_train": len(paths["train"]), "num_held_out": len(paths["held_out"])}
    values = {"source": source, "classes": classes, **counts, "num_left_out": len(found) - len(table)}
    say(
        "benchmark: {num_train:,} photos to train on, {num_held_out:,} held out, {num_left_out:,} left out.".format(
            **values
        )
    )
    return Contest(classes, paths, labels, links, values)


def scan_source(folder: Path | None, params: Params, workspace: Path) -> "tuple[pd.DataFrame, str]":
    """Return the manifest of the photos of a folder, else of `data.source`, and the name of the source.

    Raises:
        ConvLensError: no such folder.
    """
    import pandas as pd

    from convlens.data.validation import scan_photos
    from convlens.stages.ingest import ingest

    if folder is not None and not folder.is_dir():
        raise ConvLensError(
            f"Expected a folder with a folder of photos for each class after --photos. Received: {folder}, which is "
            "no folder."
        )
    source, listing = params.data.source if folder is None else str(folder), workspace / LISTING
    ingest(photos=listing, raw=workspace / "raw", data=DataParams(source=source))
    return scan_photos(pd.read_parquet(listing), params.validate_), source


def write_array(path: Path, paths: Sequence[str], params: PreprocessParams, *, image_size: int) -> None:
    """Decode photos as `preprocess` does, one by one, into a file of uint8 (num_photos, image_size, image_size, 3)."""
    from numpy.lib.format import write_array_header_1_0

    from convlens.data.decoding import decode_photos
    from convlens.data.loader import LoaderSettings

    settings = LoaderSettings(image_size, params.keep_aspect, params.resampling)
    shape = (len(paths), image_size, image_size, 3)
    with open(path, "wb") as file:
        write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for photo, _ in decode_photos(paths, settings, num_workers=params.num_workers):
            file.write(photo.tobytes())


def open_array(path: Path) -> "ShardedImages":
    """Open the photos of such a file as `train` does; they are read when asked for."""
    import numpy as np

    from convlens.data.prepared import ShardedImages

    return ShardedImages([np.load(path, mmap_mode="r")])


# --- machine and tables ---


def describe_machine(cpu_info: Path = CPU_INFO) -> dict[str, Any]:
    """Describe what the numbers depend on: cores, system, the processor's features for fast products, versions."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:  # TensorFlow has several packages, of which one is here
            continue
    features, system = cpu_flags(cpu_info), f"{platform.system()} {platform.machine()}"
    known = [name for name in FEATURES if name in features]
    return {"num_cores": count_workers(0), "system": system, "features": known, "packages": packages}


def show_machine(machine: dict[str, Any]) -> str:
    """Show the values of `describe_machine` in one line."""
    system = ", ".join(filter(None, [machine["system"], " ".join(machine["features"])]))
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return f"{machine['num_cores']} cores ({system}); {packages}."


def show_photos(photos: dict[str, Any]) -> str:
    """Show the values of a contest in one line."""
    return f"{photos['num_train']:,} + {photos['num_held_out']:,} held-out photos of {len(photos['classes'])} classes."


def show_speed(row: dict[str, Any], first: dict[str, Any]) -> str:
    """Show photos per second, beside the ratio to the first contestant's."""
    speed = row["photos_per_second"]
    return f"{speed:,.0f}" + ("" if row is first else show_ratio(speed / first["photos_per_second"]))


def show_ratio(value: float) -> str:
    """Show how many times as fast, in brackets."""
    return f" ({value:,.1f}x)" if value < 100 else f" ({value:,.0f}x)"


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows of equal length, the first one the head, as padded Markdown: first column left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in [rows[0], rule, *rows[1:]]:
        first, *others = zip(row, widths, strict=True)
        lines.append([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
