"""Spread work on many photos over the cores of this machine or over a Dask cluster. Light: worker processes load it."""

import hashlib
import logging
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from pkgutil import resolve_name
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

from convlens.environment import cluster_address
from convlens.errors import ConvLensError

Item = TypeVar("Item")
Result = TypeVar("Result")

# --- on this machine, in several processes or threads ---

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

    def wait_and_exit() -> None:
        wait([parent.sentinel])  # type: ignore[union-attr]
        os._exit(1)

    if parent is not None:
        Thread(target=wait_and_exit, daemon=True).start()


def _map_in_pool(
    pool: Executor, function: Callable[[Item], Result], items: Sequence[Item], *, chunk: int, window: int
) -> Iterator[Result]:
    """Like `pool.map`, with at most `window` chunks under way, so that memory does not grow with the job.

    The pool is ended with the work: whoever stops asking for results stops it after the chunks that are under way.
    """
    pending: deque[Future[list[Result]]] = deque()
    with pool:
        try:
            for start in range(0, len(items), chunk):
                with _interrupts_held():
                    pending.append(pool.submit(_map_chunk, function, items[start : start + chunk]))
                if len(pending) >= window:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


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


# --- on the workers of a Dask cluster; Dask's one home ---
#
# The cluster is Dask's own: `dask scheduler` on one machine, `dask worker --nthreads 1 --nworkers 4 ADDRESS` on each,
# in the repository's folder and environment. Every batch of photos says which code it expects and how large its first
# file is; a worker that has other code or another folder refuses it, so that a result never depends on who computed it.
# See https://distributed.dask.org/en/stable/resilience.html for what Dask does when a worker is lost.

CONNECT_SECONDS = 15.0
WORKER_SECONDS = 60.0  # without any worker, before the work is given up
LOOK_SECONDS = 5.0
BATCHES_PER_THREAD = 4
PACKAGES = ("numpy", "pillow")  # what a photo's pixels and facts depend on, beside the code


def map_on_cluster(
    function: Callable[[Item], Result], items: Sequence[Item], *, address: str, chunk: int = 16
) -> Iterator[Result]:
    """Yield `function(item)` for every item, in order, as `map_in_processes` does.

    A batch whose worker is lost runs on another one; at most four batches per thread of the cluster are under way.

    Args:
        function: a picklable function of ConvLens (module level, or a `functools.partial` of one).
        items: picklable items; files are named as this process names them, on a folder that all machines share.
        address: of the scheduler, such as `tcp://10.0.0.1:8786`.
        chunk: items in a batch.

    Raises:
        ConvLensError: Dask is not installed, no scheduler answers, no worker is left, a worker has other code or does
            not see the photos, or a batch has ended several workers.
    """
    with _open_client(address) as client:
        window = BATCHES_PER_THREAD * max(sum(client.nthreads().values()), 1)
        pending: deque[Any] = deque()
        for start in range(0, len(items), chunk):
            batch = items[start : start + chunk]
            arguments = (batch, describe_code(), _measure_first(batch))
            pending.append(client.submit(run_batch, function, *arguments, pure=False))
            if len(pending) >= window:
                yield from _wait_for(client, pending.popleft(), address)
        while pending:
            yield from _wait_for(client, pending.popleft(), address)


def run_batch(function: Callable[[Item], Result], items: Sequence[Item], code: str, size: int) -> list[Result]:
    """Do the work of a batch, on a worker.

    Args:
        function: what to do.
        items: what to do it with.
        code: what `describe_code` says on the machine that asks.
        size: of the first item's file there, -1 if there is none.

    Raises:
        ConvLensError: this worker would not give the result that was asked for.
    """
    if code != describe_code():
        raise ConvLensError(
            f"Expected workers with {code}. Received: a worker with {describe_code()}. "
            "Bring its repository and its environment to the same commit (make setup) and start it again."
        )
    here, there = ("missing" if bytes_ < 0 else f"{bytes_:,} bytes" for bytes_ in (_measure_first(items), size))
    if here != there:
        raise ConvLensError(
            f"Expected workers that see the same photos. Received: a worker in {Path.cwd()} for which "
            f"{getattr(items[0], 'path', items[0])} is {here}, where it should be {there}. Start workers in the "
            "repository's folder, shared by all machines, or name an object store as data.source."
        )
    return _map_chunk(function, items)


def _measure_first(items: Sequence[Any]) -> int:
    """Bytes of the first item's file; -1 where there is none (an object of a store, a picture to paint)."""
    file = getattr(items[0], "path", items[0])
    try:
        return Path(file).stat().st_size if isinstance(file, str) else -1
    except (OSError, ValueError):
        return -1


@cache
def describe_code() -> str:
    """Which code decodes photos here: digest of the sources, version of what they call. Read once per process."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"ConvLens code {digest.hexdigest()[:12]}, {packages}, Python {sys.version_info[0]}.{sys.version_info[1]}"


@contextmanager
def _open_client(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        raise ConvLensError(
            f"Expected Dask, as CONVLENS_CLUSTER names a cluster at {address}. Received: an environment without "
            "'distributed'. Run `python -m pip install -e '.[cluster]'` in the folder of ConvLens, or unset "
            "CONVLENS_CLUSTER."
        ) from None
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # our errors say it, in one line
    try:
        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError, ImportError) as error:
            raise ConvLensError(
                f"Expected a Dask scheduler at {address} (CONVLENS_CLUSTER). Received: no answer: {_tell(error)}. "
                "Start it with `dask scheduler`, correct the address, or unset CONVLENS_CLUSTER to work here."
            ) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=WORKER_SECONDS)
            except TimeoutError as error:
                raise _miss_workers(address) from error
            # A worker that cannot import what it is sent ends without a word: ask first, with Python's own function.
            for answer in client.run(resolve_name, f"{__name__}:PACKAGES", on_error="return").values():
                if isinstance(answer, Exception):
                    raise _explain(answer, address) from answer
            yield client
    finally:
        logger.setLevel(level)


def _wait_for(client: Any, future: Any, address: str) -> list[Any]:
    """The result of a batch; how long it takes is not limited as long as there is a worker."""
    last_seen = monotonic()
    while True:
        try:
            results: list[Any] = future.result(timeout=LOOK_SECONDS)
            return results
        except ConvLensError:
            raise
        except TimeoutError as error:
            if future.status == "error":  # the function's own
                raise
            with suppress(OSError, TimeoutError):
                last_seen = monotonic() if client.nthreads() else last_seen
            if monotonic() - last_seen > WORKER_SECONDS:
                raise _miss_workers(address) from error
        except Exception as error:
            raise _explain(error, address) from error


def _miss_workers(address: str) -> ConvLensError:
    return ConvLensError(
        f"Expected workers at {address}. Received: none for {WORKER_SECONDS:g} s. Start some with "
        f"`dask worker --nthreads 1 --nworkers 4 {address}` in the repository's folder."
    )


def _explain(error: Exception, address: str) -> Exception:
    """Dask's own errors in the user's words; those of the function stay what they are."""
    kind = type(error).__name__
    if isinstance(error, ModuleNotFoundError) or "deserialization of the task graph" in str(error):
        missing = _tell(error) if isinstance(error, ModuleNotFoundError) else "the scheduler cannot import it"
        return ConvLensError(
            f"Expected ConvLens on the scheduler and the workers at {address}. Received: {missing}. Start them in the "
            "repository's folder and environment: make setup, then .venv/bin/dask scheduler or .venv/bin/dask worker."
        )
    if kind == "KilledWorker":
        return ConvLensError(
            f"Expected the workers at {address} to finish. Received: the same photos have ended several of them, "
            "perhaps for want of memory. Start fewer workers per machine, or lower validate.max_megapixels."
        )
    if kind in ("CancelledError", "FutureCancelledError"):
        return ConvLensError(
            f"Expected the scheduler at {address} to stay. Received: the connection is lost. Start it again, then "
            "`dvc repro`."
        )
    return error


def _tell(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
