"""`convlens bench train`: contestants train on the same photos and cores, one after the other."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from convlens.bench.contestants import CONTESTANTS, measure_peaks
from convlens.bench.curves import Training, time_to_accuracy
from convlens.bench.machine import describe_machine
from convlens.bench.photo_lists import BenchPhotos
from convlens.bench.processes import in_new_process
from convlens.bench.sources import gather_photos, link_photos
from convlens.bench.training_task import LECTURE_SIZE, TITLES, TrainingTask
from convlens.metrics.intervals import wilson_interval
from convlens.params import Params
from convlens.progress import say

DEFAULT_NAMES = ("keras", "classic", "residual")
TARGETS = (0.69, 0.83)  # where the lecture's network ends, and where the textbook's best without pretraining does


def bench_train(
    folder: Path | None,
    params: Params,
    *,
    minutes: float,
    names: Sequence[str] = DEFAULT_NAMES,
    call: Callable[..., Any] = in_new_process,
    lecture_size: int = LECTURE_SIZE,
) -> dict[str, Any]:
    """Measure the machine, then every contestant.

    Args:
        folder: class folders of photos; None takes `data.source`.
        params: all of params.yaml.
        minutes: of training for each contestant; preparing photos and answering held-out ones comes on top.
        names: of the contestants, in order; ratios are to the first.
        call: runs a function on a task, each time in a process of its own.
        lecture_size: side of the photos in pixels for the lecture's network.

    Returns:
        Plain values: machine, photos, and a row per contestant with its curve.

    Raises:
        ConvLensError: no such folder, too few photos, or a contestant's process was killed.
    """
    with tempfile.TemporaryDirectory(prefix="convlens-bench-") as place:
        workspace = Path(place)
        photos = gather_photos(folder, params, workspace)
        links = workspace / "links"
        link_photos(photos.train, photos.classes, links / "train")
        link_photos(photos.held_out, photos.classes, links / "held_out")
        say("bench: measuring the machine's peak.")
        peaks = call(measure_peaks, params)
        task = TrainingTask(photos, links, workspace, params, 60 * minutes, lecture_size)
        trainings = [_train(name, task, call) for name in names]
    return {
        "bench": "train",
        "machine": {**describe_machine().values, "peak_flops_per_second": peaks},
        "photos": describe_photos(photos),
        "minutes": minutes,
        "contestants": [describe_training(training, len(photos.held_out), peaks) for training in trainings],
    }


def describe_photos(photos: BenchPhotos) -> dict[str, Any]:
    """Plain values about the photos."""
    return {
        "source": photos.source,
        "classes": list(photos.classes),
        "num_train": len(photos.train),
        "num_held_out": len(photos.held_out),
        "num_left_out": photos.num_left_out,
    }


def describe_training(training: Training, num_held_out: int, peaks: dict[str, float]) -> dict[str, Any]:
    """Plain values about one contestant.

    Args:
        training: what it did.
        num_held_out: photos that accuracy rests on.
        peaks: floating-point operations per second by precision.
    """
    low, high = wilson_interval(training.accuracy * num_held_out, num_held_out)
    return {
        "name": training.name,
        "title": TITLES[training.name],
        "precision": training.precision,
        "ready_seconds": training.ready_seconds,
        "photos_per_second": training.photos_per_second,
        "seconds_to": {f"{target:.2f}": time_to_accuracy(training.points, target) for target in TARGETS},
        "accuracy": training.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "num_epochs": len(training.points),
        "seconds": training.points[-1].seconds,
        "step_seconds": training.step_seconds,
        "memory_megabytes": training.memory_megabytes,
        "flops_per_second": training.flops_per_second,
        "share_of_peak": training.flops_per_second / peaks[training.precision],
        "curve": [asdict(point) for point in training.points],
    }


def _train(name: str, task: TrainingTask, call: Callable[..., Any]) -> Training:
    say(f"bench: {TITLES[name]}, {task.seconds:.0f} s of training.")
    training: Training = call(CONTESTANTS[name], task)
    return training
