"""How the search for near-duplicates grows: synthetic photos, of which some are crops of others."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from convlens.bench.machine import describe_machine
from convlens.bench.processes import in_new_process, measure
from convlens.bench.tables import format_table
from convlens.data.duplicates import THUMBNAIL_SIDE, Groups, join_alike
from convlens.params import PreprocessParams

COPIES = 50  # one photo of so many is a crop of the one before it
MAX_CROP = 0.1
NUM_WAVES = 12
CHUNK = 2000
SEED = 0


def bench_duplicates(
    counts: Sequence[int], params: PreprocessParams, *, call: Callable[..., Any] = in_new_process
) -> dict[str, Any]:
    """Time the search at several numbers of photos.

    Args:
        counts: numbers of photos.
        params: the group `preprocess`.
        call: runs a function on a number, each time in a process of its own.

    Returns:
        Plain values: `machine`, `duplicate_distance`, `exponent` (of the number of photos, by least squares of the
        logarithms of processor time; null for one number), and a row for each number with `photos`, `seconds`,
        `cpu_seconds`, `memory_megabytes` (the peak of the process, with the thumbnails of 1 kB a photo), `found` (share
        of the crops found) and `wrong` (photos grouped that are no crops).
    """
    rows = [call(partial(time_search, params=params), count) for count in counts]
    return {
        "machine": describe_machine().values,
        "duplicate_distance": params.duplicate_distance,
        "exponent": _fit_exponent(rows),
        "rows": rows,
    }


def format_duplicates(result: dict[str, Any], *, markdown: bool = False) -> str:
    """All that a person reads of `bench duplicates`."""
    rows = [
        [
            f"{row['photos']:,}",
            f"{row['seconds']:,.2f} s",
            f"{row['cpu_seconds']:,.2f} s",
            f"{row['memory_megabytes']:,.0f} MB",
            f"{row['found']:.1%}",
            f"{row['wrong']:,}",
        ]
        for row in result["rows"]
    ]
    head = [["photos", "search", "processor time", "peak memory", "crops found", "wrongly grouped"]]
    lines = [format_table(head + rows, markdown=markdown)]
    if result["exponent"] is not None:
        lines.append(f"Processor time grows with the number of photos to the power of {result['exponent']:.2f}.")
    return "\n\n".join(lines)


def paint_thumbnails(count: int) -> np.ndarray:
    """Random smooth pictures; each `COPIES`th is a crop of the one before it. Uint8 (count, 32, 32)."""
    generator = np.random.default_rng(SEED)
    thumbnails = np.empty((count, THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8)
    decay = 1 / (1 + np.add.outer(np.arange(NUM_WAVES), np.arange(NUM_WAVES)))
    for start in range(0, count, CHUNK):
        waves = generator.normal(size=(min(CHUNK, count - start), NUM_WAVES, NUM_WAVES)) * decay
        thumbnails[start : start + CHUNK] = _draw(waves, (0, 0), (0, 0))
        originals = waves[COPIES - 2 :: COPIES]
        down, across = generator.uniform(0, MAX_CROP, (2, 2))
        copies = _draw(originals, tuple(down), tuple(across))
        thumbnails[start : start + CHUNK][COPIES - 1 :: COPIES] = copies[: len(waves) // COPIES]
    return thumbnails


def _draw(waves: np.ndarray, down: tuple[float, ...], across: tuple[float, ...]) -> np.ndarray:
    """Pictures (num_photos, 32, 32) of waves, without some of the top and bottom and of the left and right."""
    rows, columns = (np.cos(np.pi * np.outer(_places(*cut), np.arange(NUM_WAVES))) for cut in (down, across))
    values = rows @ waves @ columns.T
    return np.asarray(np.clip(128 + 40 * values / values.std(axis=(1, 2), keepdims=True), 0, 255))


def _places(before: float, after: float) -> np.ndarray:
    middles = (np.arange(THUMBNAIL_SIDE) + 0.5) / THUMBNAIL_SIDE
    return np.asarray(before + middles * (1 - before - after))


def time_search(count: int, *, params: PreprocessParams) -> dict[str, Any]:
    """One row of `bench_duplicates`."""
    thumbnails = paint_thumbnails(count)
    groups = Groups(count)
    usage = measure(lambda: join_alike(groups, thumbnails, np.arange(count), params))
    copies = np.arange(COPIES - 1, count, COPIES)
    found = ~groups.are_apart(copies, copies - 1)
    grouped = count - len(np.unique(groups.labels))
    return {
        "photos": count,
        "seconds": usage.seconds,
        "cpu_seconds": usage.cpu_seconds,
        "memory_megabytes": usage.memory_megabytes,
        "found": float(found.mean()) if len(found) else 1.0,
        "wrong": int(grouped - found.sum()),
    }


def _fit_exponent(rows: Sequence[dict[str, Any]]) -> float | None:
    if len(rows) < 2:
        return None
    photos, seconds = (np.log([row[name] for row in rows]) for name in ("photos", "cpu_seconds"))
    return float(np.polyfit(photos, seconds, 1)[0])
