"""The results of a benchmark as text for people, plain or Markdown, from plain values."""

from collections.abc import Sequence
from typing import Any

from convlens.bench import data_contestants
from convlens.bench.machine import Machine
from convlens.wording import show_count, show_share

NEVER = "not reached"
TRAIN_NOTES = (
    "Time to an accuracy: training until the end of the first epoch that reaches it, compiling included, answering the "
    "held-out photos not. Ready after: what comes before the first step. Accuracy: held-out photos, 95 % interval. "
    "ConvLens residual spends its minutes on held-out photos and on planning its epochs as well.",
    "Share of peak: operations of training (3 x forward; multiply-adds of convolutions and dense layers x 2) per "
    "second, over the fastest product of 2048 to 4096 wide matrices measured in this run, in the precision used.",
)
DATA_NOTES = (
    "Every file had been read before; each run is a process of its own, starting its workers included, loading "
    "libraries not. CPU time includes workers. Memory: own process + number of workers x largest worker, at most.",
)


def format_table(rows: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    """Rows of equal length, the first one the head: first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [
        [cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(pairs)]
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    if not markdown:
        return "\n".join("  ".join(row).rstrip() for row in padded)
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]])


def format_train(result: dict[str, Any], *, markdown: bool = False) -> str:
    """All that a person reads of `bench train`."""
    contestants = result["contestants"]
    first = contestants[0]
    rows = [
        ["", *(each["title"] for each in contestants)],
        ["precision of multiplication", *(each["precision"] for each in contestants)],
        ["ready after", *(_seconds(each["ready_seconds"]) for each in contestants)],
        ["photos per second, training", *(_speed(each, first) for each in contestants)],
        *(
            [f"time to {float(target):.0%} accuracy", *(_time(each, first, target) for each in contestants)]
            for target in first["seconds_to"]
        ),
        ["accuracy at the end", *(_accuracy(each) for each in contestants)],
        ["trained for", *(_length(each) for each in contestants)],
        ["peak memory", *(_megabytes(each["memory_megabytes"]) for each in contestants)],
        ["share of the machine's peak", *(show_share(each["share_of_peak"], 0) for each in contestants)],
    ]
    peaks = ", ".join(f"{name} {peak / 1e9:,.0f}" for name, peak in result["machine"]["peak_flops_per_second"].items())
    head = f"Training for {result['minutes']:g} min each. {_heading(result)}\nMeasured peak in GFLOP/s: {peaks}."
    return _join(head, format_table(rows, markdown=markdown), TRAIN_NOTES, first["title"])


def format_data(result: dict[str, Any], *, markdown: bool = False) -> str:
    """All that a person reads of `bench data`."""
    ways = result["ways"]
    rows = [["", "photos per second", "CPU time per photo", "peak memory"]]
    rows += [
        [
            way["title"],
            _speed(way, ways[0]),
            f"{1000 * way['cpu_seconds_per_photo']:,.2f} ms",
            _megabytes(way["memory_megabytes"])
            + (f" + {way['num_workers']} x {way['worker_memory_megabytes']:,.0f} MB" if way["num_workers"] else ""),
        ]
        for way in ways
    ]
    runs = f"Median of {show_count(result['repeats'], 'run')}." if result["repeats"] > 1 else "One run."
    head = f"From files to {result['image_size']} px arrays. {_heading(result)}\n{runs}"
    targets = tuple(_target(target) for target in result["targets"])
    return _join(head, format_table(rows, markdown=markdown), targets + DATA_NOTES, ways[0]["title"])


def _join(head: str, table: str, notes: Sequence[str], first: str) -> str:
    return "\n\n".join([head, table, "\n".join([f"(2.0x): twice as fast as {first}.", *notes])])


def _heading(result: dict[str, Any]) -> str:
    photos, machine = result["photos"], result["machine"]
    known = Machine(machine["num_cores"], machine["system"], tuple(machine["features"]), machine["packages"])
    return (
        f"{photos['num_train']:,} + {photos['num_held_out']:,} held-out photos of {len(photos['classes'])} classes.\n"
        f"{known.heading}."
    )


def _speed(row: dict[str, Any], first: dict[str, Any]) -> str:
    speed = row["photos_per_second"]
    return f"{speed:,.0f}" + (_ratio(speed / first["photos_per_second"]) if row is not first else "")


def _time(row: dict[str, Any], first: dict[str, Any], target: str) -> str:
    seconds, base = row["seconds_to"][target], first["seconds_to"][target]
    if seconds is None:
        return NEVER
    return _seconds(seconds) + (_ratio(base / seconds) if base is not None and row is not first else "")


def _accuracy(row: dict[str, Any]) -> str:
    low, high = (f"{100 * row[name]:.1f}" for name in ("accuracy_low", "accuracy_high"))
    return f"{show_share(row['accuracy'])} ({low} to {high})"


def _length(row: dict[str, Any]) -> str:
    return f"{_seconds(row['seconds'])}, {show_count(row['num_epochs'], 'epoch')}"


def _target(target: dict[str, Any]) -> str:
    titles = data_contestants.TITLES
    verdict = "met" if target["met"] else "missed"
    return (
        f"Target {verdict}: '{titles[target['name']]}' at least {target['expected']:g} times as fast as "
        f"'{titles[target['against']]}'; measured {target['measured']:.1f}."
    )


def _ratio(value: float) -> str:
    return f" ({value:,.1f}x)" if value < 100 else f" ({value:,.0f}x)"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else f"{value:,.0f} s"


def _megabytes(value: float) -> str:
    return f"{value:,.0f} MB"
