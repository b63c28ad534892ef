"""The record of a training while it runs. Whatever happens to MLflow, training neither stops nor waits.

A thread of its own talks to the store; the training only leaves its numbers in a queue. At the first failure one
line says what is not recorded, and the rest is silence: `register` completes the record from files. Between epochs the
thread notes how busy the machine is.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from mlflow.entities import Metric, Run

from convlens.progress import say
from convlens.tracking.environment import (
    CHANGES_FILE,
    SystemSampler,
    describe_changes,
    epoch_metrics,
    git_tags,
    machine_tags,
    next_step,
)
from convlens.tracking.runs import (
    LIVE,
    RECORDED_TAG,
    add_params,
    add_tags,
    default_name,
    find_or_create_run,
    milliseconds,
    recorded_steps,
)
from convlens.tracking.store import STORE_FAILURES, Store, brief_requests, describe_failure, open_store

REQUEST_SECONDS = 3  # each request is tried once; after the first that fails there is none any more
FINISH_SECONDS = 5.0

NUM_PER_BATCH = 1000  # the most metrics MLflow takes at once


@dataclass(frozen=True)
class _Epoch:
    number: int
    values: Mapping[str, float]
    moment: int


@dataclass(frozen=True)
class _End:
    status: str


class LiveRun:
    """The MLflow run of a training in progress; a context manager that ends the run as finished, failed or killed."""

    def __init__(self, open_recorder: Callable[[], "_Recorder"]) -> None:
        self._open_recorder = open_recorder
        self._work: queue.SimpleQueue[_Epoch | _End] = queue.SimpleQueue()
        self._broken = False
        self._thread = threading.Thread(target=self._record, name="mlflow", daemon=True)
        self._thread.start()

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Record one epoch's values, named as in history.csv; an epoch that is recorded already stays as it is.

        Args:
            epoch: 1 for the first.
            values: for example `{"train_loss": 0.6, "validation_accuracy": 0.7}`; NaN is fine.
        """
        copied = {name: float(value) for name, value in values.items()}
        if not self._broken:
            self._work.put(_Epoch(epoch, copied, milliseconds()))

    def finish(self, status: str = "FINISHED") -> None:
        """End the run; waits five seconds at most for what is still to be recorded.

        Args:
            status: `FINISHED`, `FAILED` or `KILLED`.
        """
        self._work.put(_End(status))
        self._thread.join(FINISH_SECONDS)
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
                recorder.watch_machine()
                while not self._record_next(recorder):
                    recorder.watch_machine()
        except Exception as error:
            self._give_up(describe_failure(error))

    def _record_next(self, recorder: "_Recorder") -> bool:
        """Record all that the training has left by now, at once; whether that was the end."""
        try:
            items = [self._work.get(timeout=recorder.seconds_left)]
        except queue.Empty:  # it is the machine's turn
            return False
        while not self._work.empty():
            items.append(self._work.get())
        recorder.log_epochs([item for item in items if isinstance(item, _Epoch)])
        ends = [item.status for item in items if isinstance(item, _End)]
        if ends:
            recorder.finish(ends[0])
        return bool(ends)

    def _give_up(self, reason: str) -> None:
        if not self._broken:
            self._broken = True
            say(f"MLflow: epochs are not recorded live any more ({reason}). The stage `register` completes the record.")


def open_live_run(
    *,
    key: str,
    experiment: str,
    params: Mapping[str, str],
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> LiveRun:
    """Start to record a training, or resume the record of the same training after a kill. Returns at once.

    Args:
        key: digest of everything the training depends on; the same key is the same run.
        experiment: name of the MLflow experiment.
        params: flat parameters, see `flatten_params`.
        name: name of a new run; by default the DVC experiment's, else architecture and key.
        tags: further tags of the run.
    """
    shown = name or default_name(key, params.get("model.architecture", ""))
    return LiveRun(lambda: _open_recorder(key, experiment, params, shown, dict(tags or {})))


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
        new = [
            Metric(name, value, epoch.moment, epoch.number)
            for epoch in epochs
            for name, value in epoch_metrics(epoch.values).items()
            if self._is_new(name, epoch.number)
        ]
        for start in range(0, len(new), NUM_PER_BATCH):
            self._client.log_batch(self._run_id, metrics=new[start : start + NUM_PER_BATCH])

    def finish(self, status: str) -> None:
        self.watch_machine(now=True)
        self._client.set_terminated(self._run_id, status)

    def _is_new(self, name: str, epoch: int) -> bool:
        steps = self._steps.setdefault(name, set())
        is_new = epoch not in steps
        steps.add(epoch)
        return is_new


def _open_recorder(
    key: str, experiment: str, params: Mapping[str, str], name: str, tags: Mapping[str, str]
) -> _Recorder:
    store = open_store()
    run = find_or_create_run(store, experiment=experiment, key=key, name=name)
    store.client.update_run(run.info.run_id, status="RUNNING")
    add_params(store, run, params)
    add_tags(store, run, {RECORDED_TAG: LIVE, **git_tags(), **machine_tags(), **tags})
    _add_changes(store, run)
    return _Recorder(store, run)


def _add_changes(store: Store, run: Run) -> None:
    """Keep what was changed since the commit: it may be changed again before `register` comes to it."""
    changes = describe_changes()
    if changes:
        with contextlib.suppress(*STORE_FAILURES):  # curves may arrive where files do not
            store.client.log_text(run.info.run_id, changes, CHANGES_FILE)
