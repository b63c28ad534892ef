"""The same work on many photos, in several processes or threads, or on a cluster."""

import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import TypeVar

from convlens.environment import cluster_address
from convlens.errors import ConvLensError
from convlens.photos.cluster import map_on_cluster

Item = TypeVar("Item")
Result = TypeVar("Result")

SMALL_JOB = 48  # below this, starting processes costs more than they save


def count_workers(num_workers: int) -> int:
    """How many processes to use: as asked, or one per core this process may run on when 0."""
    if num_workers:
        return num_workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], *, num_workers: int = 0, chunk: int = 16
) -> Iterator[Result]:
    """Yield `function(item)` for every item, in order; results do not depend on the number of processes.

    Where `CONVLENS_CLUSTER` names a Dask scheduler, its workers do the work instead (see `cluster.py`).

    Args:
        function: a picklable function (module level, or a `functools.partial` of one).
        items: picklable items.
        num_workers: processes; 0 takes one per core.
        chunk: items handed over at a time.

    Raises:
        ConvLensError: a process was killed, mostly by a system that is out of memory; or the cluster fails.
    """
    workers, address = count_workers(num_workers), cluster_address()
    if address and len(items) >= SMALL_JOB:
        yield from map_on_cluster(function, items, address=address, chunk=chunk)
        return
    if workers == 1 or len(items) < SMALL_JOB:
        yield from map(function, items)
        return
    # Fresh processes, not forks: a fork copies the locks of libraries' threads but not the threads.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent)
    try:
        yield from _map_in_pool(pool, function, items, chunk=chunk, window=4 * workers)
    except BrokenProcessPool as error:
        raise ConvLensError(
            f"Expected {workers} worker processes to finish. Received: one was killed, perhaps for want of memory. "
            "Run again, with a smaller preprocess.num_workers if it keeps happening."
        ) from error


def map_in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], *, num_workers: int = 0, chunk: int = 16
) -> Iterator[Result]:
    """Like `map_in_processes`, in threads: for work in libraries that let other threads run meanwhile.

    Nothing has to be started and no result sent, but what crashes a thread crashes the program. Warnings are off while
    it runs: Python's switch for them is one for all threads.
    """
    workers = count_workers(num_workers)
    if workers == 1:
        yield from map(function, items)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from _map_in_pool(ThreadPoolExecutor(workers), function, items, chunk=chunk, window=4 * workers)


def end_with_parent() -> None:
    """Let this process end when the one that started it is killed: it would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_wait_and_exit, args=(parent.sentinel,), daemon=True).start()


def _wait_and_exit(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _map_in_pool(
    pool: Executor, function: Callable[[Item], Result], items: Sequence[Item], *, chunk: int, window: int
) -> Iterator[Result]:
    """Like `pool.map`, with at most `window` chunks under way, so that memory does not grow with the job.

    The pool is ended with the work: whoever stops asking for results stops it after the chunks that are under way.
    """
    with pool:
        try:
            yield from _map_in_window(pool, function, items, chunk=chunk, window=window)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _map_in_window(
    pool: Executor, function: Callable[[Item], Result], items: Sequence[Item], *, chunk: int, window: int
) -> Iterator[Result]:
    pending: deque[Future[list[Result]]] = deque()
    for start in range(0, len(items), chunk):
        with _interrupts_held():
            pending.append(pool.submit(_map_chunk, function, items[start : start + chunk]))
        if len(pending) >= window:
            yield from pending.popleft().result()
    while pending:
        yield from pending.popleft().result()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let the processes that are started here never see Ctrl-C, which a terminal sends to all: this one ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def _map_chunk(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]
