"""A process of its own for every contestant, and what it used: time, processor time, memory."""

import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from convlens.data.workers import end_with_parent
from convlens.errors import ConvLensError

Task = TypeVar("Task")
Result = TypeVar("Result")

STATUS = Path("/proc/self/status")


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
    """`function(task)` in a fresh process, so that its peak memory and its threads are its own.

    Args:
        function: a function of a module, not a nested one.
        task: anything that can be pickled.

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
    """Do a piece of work, and say what it used."""
    cpu, started = _cpu_seconds(), time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return Usage(seconds, _cpu_seconds() - cpu, peak_memory(), _to_megabytes(resource.RUSAGE_CHILDREN))


def peak_memory() -> float:
    """Most memory (resident set) that this process has had, in MB of 10^6 bytes.

    On Linux from its own record: `getrusage` also counts what the process was before it became this program, that is,
    a copy of whoever started it.
    """
    if STATUS.is_file():
        peaks = [line.split()[1] for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
        if peaks:
            return int(peaks[0]) * 1024 / 1e6
    return _to_megabytes(resource.RUSAGE_SELF)


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _to_megabytes(who: int) -> float:
    """In bytes on macOS, in kibibytes elsewhere."""
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
