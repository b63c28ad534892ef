"""`convlens bench data`: ways from files to arrays, on the same photos and cores, one after the other."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convlens.bench.data_contestants import NUM_PASSES, TITLES, WAYS, ReadingTask
from convlens.bench.machine import describe_machine
from convlens.bench.processes import Usage, in_new_process
from convlens.bench.sources import LISTING, gather_photos, link_photos
from convlens.bench.train import describe_photos
from convlens.data.workers import count_workers
from convlens.params import Params
from convlens.progress import say

PARALLEL = ("scan", "decode")
# (what is measured, against what, at least how many times as fast)
TARGETS = (("decode", "pillow", 3.0), ("read", "decode", 20.0))


def bench_data(
    folder: Path | None, params: Params, *, repeats: int = 3, call: Callable[..., Any] = in_new_process
) -> dict[str, Any]:
    """Measure every way several times, in turn; the run of median time counts.

    Args:
        folder: class folders of photos; None takes `data.source`.
        params: all of params.yaml.
        repeats: runs of each way.
        call: runs a function on a task, each time in a process of its own.

    Returns:
        Plain values: machine, photos, a row per way, and how the targets were met.

    Raises:
        ConvLensError: no such folder, too few photos, or a process was killed.
    """
    with tempfile.TemporaryDirectory(prefix="convlens-bench-") as place:
        workspace = Path(place)
        photos = gather_photos(folder, params, workspace)
        links = link_photos(photos.all, photos.classes, workspace / "links")
        task = ReadingTask(photos, links, workspace / LISTING, workspace / "photos.npy", params)
        runs: dict[str, list[Usage]] = {name: [] for name in WAYS}
        for number in range(repeats):
            for name, way in WAYS.items():
                say(f"bench: {TITLES[name]}, run {number + 1} of {repeats}.")
                runs[name].append(call(way, task))
    num_workers = count_workers(params.preprocess.num_workers)
    ways = [describe_way(name, runs[name], len(photos.all), num_workers=num_workers) for name in WAYS]
    return {
        "bench": "data",
        "machine": describe_machine().values,
        "photos": describe_photos(photos),
        "image_size": task.image_size,
        "repeats": repeats,
        "ways": ways,
        "targets": check_targets({way["name"]: way["photos_per_second"] for way in ways}),
    }


def describe_way(name: str, usages: list[Usage], num_photos: int, *, num_workers: int) -> dict[str, Any]:
    """Plain values about one way, from its run of median time.

    Args:
        name: of the way.
        usages: one per run.
        num_photos: of one pass.
        num_workers: processes that the ways with several use.
    """
    usage = sorted(usages, key=lambda run: run.seconds)[len(usages) // 2]
    num_read = num_photos * NUM_PASSES.get(name, 1)
    has_workers = name in PARALLEL and usage.worker_memory_megabytes > 0
    return {
        "name": name,
        "title": TITLES[name],
        "photos_per_second": num_read / usage.seconds,
        "cpu_seconds_per_photo": usage.cpu_seconds / num_read,
        "memory_megabytes": usage.memory_megabytes,
        "num_workers": num_workers if has_workers else 0,
        "worker_memory_megabytes": usage.worker_memory_megabytes if has_workers else 0.0,
        "seconds_of_runs": [run.seconds for run in usages],
    }


def check_targets(speeds: dict[str, float]) -> list[dict[str, Any]]:
    """Which of the promised ratios were reached, from photos per second by way."""
    return [
        {
            "name": name,
            "against": other,
            "expected": expected,
            "measured": speeds[name] / speeds[other],
            "met": speeds[name] / speeds[other] >= expected,
        }
        for name, other, expected in TARGETS
    ]
