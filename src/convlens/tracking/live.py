"""The record of a training while it runs. Whatever happens to MLflow, training neither stops nor waits.

A thread of its own talks to the store; the training only leaves its numbers in a queue. At the first failure one
line says what is not recorded, and nothing more is tried: `register` completes the record from files. Between epochs
the thread notes how busy the machine is.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from mlflow.entities import Metric, Run
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from convlens.progress import say
from convlens.tracking.environment import CHANGES_FILE, describe_changes, git_tags, machine_tags
from convlens.tracking.runs import (
    LIVE,
    RECORDED_TAG,
    add_params,
    add_tags,
    default_name,
    epoch_metrics,
    find_or_create_run,
    milliseconds,
    recorded_steps,
)
from convlens.tracking.store import (
    STORE_FAILURES,
    Store,
    brief_requests,
    database_path,
    describe_failure,
    open_store,
    tracking_uri,
)

REQUEST_SECONDS = 3  # each request is tried once; after the first that fails there is none any more
FINISH_SECONDS = 5.0
LOCAL_FINISH_SECONDS = 20.0  # a database of our own answers, but on a busy machine takes its time to be made
NUM_PER_BATCH = 1000  # the most metrics MLflow takes at once

# --- the training's side ---


class _Epoch(NamedTuple):
    number: int
    values: Mapping[str, float]
    moment: int


class LiveRun:
    """The MLflow run of a training in progress; a context manager that ends the run as finished, failed or killed."""

    def __init__(self, open_recorder: Callable[[], "_Recorder"]) -> None:
        self._open_recorder = open_recorder
        self._work: queue.SimpleQueue[_Epoch | str] = queue.SimpleQueue()  # epochs, and at last the run's status
        self._broken = False
        self._thread = threading.Thread(target=self._record, name="mlflow", daemon=True)
        self._thread.start()

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Record one epoch's values, named as in history.csv; an epoch that is recorded already stays as it is.

        Args:
            epoch: 1 for the first.
            values: for example `{"train_loss": 0.6, "validation_accuracy": 0.7}`; NaN is fine.
        """
        if not self._broken:
            self._work.put(_Epoch(epoch, {name: float(value) for name, value in values.items()}, milliseconds()))

    def finish(self, status: str = "FINISHED") -> None:
        """End the run; waits five seconds at most for a server that has still to record something.

        Args:
            status: `FINISHED`, `FAILED` or `KILLED`.
        """
        self._work.put(status)
        self._thread.join(FINISH_SECONDS if database_path(tracking_uri()) is None else LOCAL_FINISH_SECONDS)
        if self._thread.is_alive():
            self._give_up("it does not answer")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = "FAILED" if kind is not None and issubclass(kind, Exception) else "KILLED"
        self.finish("FINISHED" if kind is None else failure)

    def _record(self) -> None:
        try:
            with brief_requests(seconds=REQUEST_SECONDS, retries=0):
                recorder = self._open_recorder()
                ended = False
                while not ended:
                    recorder.watch_machine()
                    ended = self._record_next(recorder)
        except Exception as error:
            self._give_up(describe_failure(error))

    def _record_next(self, recorder: "_Recorder") -> bool:
        """Record all that the training has left by now, at once; return whether that was the end."""
        try:
            items = [self._work.get(timeout=recorder.seconds_left)]
        except queue.Empty:  # it is the machine's turn
            return False
        while not self._work.empty():
            items.append(self._work.get())
        recorder.log_epochs([item for item in items if isinstance(item, _Epoch)])
        statuses = [item for item in items if isinstance(item, str)]
        if statuses:
            recorder.finish(statuses[0])
        return bool(statuses)

    def _give_up(self, reason: str) -> None:
        if not self._broken:
            self._broken = True
            say(f"MLflow: epochs are not recorded live any more ({reason}). The stage `register` completes the record.")


def open_live_run(*, key: str, experiment: str, params: Mapping[str, str], name: str | None = None) -> LiveRun:
    """Start to record a training, or resume the record of the same training after a kill. Returns at once.

    Args:
        key: digest of everything the training depends on; the same key is the same run.
        experiment: name of the MLflow experiment.
        params: flat parameters, see `flatten_params`.
        name: name of a new run; by default the DVC experiment's, else architecture and key.
    """
    shown = name or default_name(key, params.get("model.architecture", ""))

    def open_recorder() -> _Recorder:
        store = open_store()
        run = find_or_create_run(store, experiment=experiment, key=key, name=shown)
        store.client.update_run(run.info.run_id, status="RUNNING")
        add_params(store, run, params)
        add_tags(store, run, {RECORDED_TAG: LIVE, **git_tags(), **machine_tags()})
        changes = describe_changes()  # kept now: they may be other ones when `register` comes to it
        if changes:
            with contextlib.suppress(*STORE_FAILURES):  # curves may arrive where files do not
                store.client.log_text(run.info.run_id, changes, CHANGES_FILE)
        return _Recorder(store, run)

    return LiveRun(open_recorder)


# --- the thread's side ---


class _Recorder:
    """Writes to one run; lives in the thread of a `LiveRun`."""

    def __init__(self, store: Store, run: Run) -> None:
        self._client = store.client
        self._run_id = run.info.run_id
        self._steps = recorded_steps(store, run)
        self._sampler = SystemSampler(next_step(self._steps.items()))

    @property
    def seconds_left(self) -> float | None:
        """Until the machine is to be looked at again; None if it is not."""
        return self._sampler.seconds_left

    def watch_machine(self, *, now: bool = False) -> None:
        """Record how busy the machine is, if that is due."""
        if self.seconds_left is not None and (now or self.seconds_left == 0):
            step, moment = self._sampler.step, milliseconds()
            metrics = [Metric(name, value, moment, step) for name, value in self._sampler.sample().items()]
            self._client.log_batch(self._run_id, metrics=metrics)

    def log_epochs(self, epochs: Sequence[_Epoch]) -> None:
        """Record those values that the run does not hold yet."""
        new: list[Metric] = []
        for number, values, moment in epochs:
            for name, value in epoch_metrics(values).items():
                steps = self._steps.setdefault(name, set())
                if number not in steps:
                    steps.add(number)
                    new.append(Metric(name, value, moment, number))
        for start in range(0, len(new), NUM_PER_BATCH):
            self._client.log_batch(self._run_id, metrics=new[start : start + NUM_PER_BATCH])

    def finish(self, status: str) -> None:
        """End the run, after a last look at the machine."""
        self.watch_machine(now=True)
        self._client.set_terminated(self._run_id, status)


# --- how busy the machine is, under the names that MLflow's page of system metrics looks for ---
#
# MLflow's own thread for this waits for its server without end when a run ends; here only its gauges are used.

PREFIX = "system/"
SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
INTERVAL = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"
SECONDS = 10.0
DIGITS = 3
GAUGES = (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor)


class SystemSampler:
    """Takes samples of processor, memory, disk, network and, with `nvidia-ml-py` installed, GPU.

    Args:
        step: of the first sample; a run that is resumed goes on counting.
        gauges: classes of gauges; one that does not work on this machine is left out.
    """

    def __init__(self, step: int = 0, gauges: Iterable[type[BaseMetricsMonitor]] = GAUGES) -> None:
        self.step = step
        self._gauges: list[BaseMetricsMonitor] = []
        wanted = os.environ.get(SWITCH, "true").strip().lower() not in ("false", "0")
        for gauge in gauges if wanted else ():
            with contextlib.suppress(Exception):  # each has failures of its own: no GPU, no network, no permission
                started = gauge()
                _read(started)  # the next reading counts from this one
                self._gauges.append(started)
        try:
            self._seconds = max(1.0, float(os.environ.get(INTERVAL, "")))
        except ValueError:
            self._seconds = SECONDS
        self._next = time.monotonic()

    @property
    def seconds_left(self) -> float | None:
        """Until the next sample is due; None if there will be none."""
        return max(0.0, self._next - time.monotonic()) if self._gauges else None

    def sample(self) -> dict[str, float]:
        """Return the present values by their MLflow names, with units; the next sample is due one interval later."""
        self._next = time.monotonic() + self._seconds
        self.step += 1
        values: dict[str, float] = {}
        for gauge in self._gauges:
            values |= _read(gauge)
        return {f"{PREFIX}{name}": round(float(value), DIGITS) for name, value in values.items()}


def next_step(steps: Iterable[tuple[str, set[int]]]) -> int:
    """Return the step after the last sample of a run, from the steps of its metrics by name."""
    return max((max(found) + 1 for name, found in steps if name.startswith(PREFIX) and found), default=0)


def _read(gauge: BaseMetricsMonitor) -> dict[str, float]:
    try:
        gauge.collect_metrics()
        values: dict[str, float] = gauge.aggregate_metrics()
    except Exception:  # a figure about the machine is worth no failure
        return {}
    gauge.clear_metrics()
    return values
