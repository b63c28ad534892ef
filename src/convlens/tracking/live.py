"""The record of a training while it runs. Whatever happens to MLflow, training neither stops nor waits.

A thread of its own talks to the store; the training only leaves its numbers in a queue. At the first failure one
line says what is not recorded, and the rest is silence: `register` completes the record from files.
"""

import queue
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from mlflow.entities import Metric, Run

from convlens.progress import say
from convlens.tracking.failures import describe_failure
from convlens.tracking.git import git_tags
from convlens.tracking.runs import (
    add_params,
    add_tags,
    default_name,
    find_or_create_run,
    milliseconds,
    recorded_steps,
)
from convlens.tracking.store import Store, brief_requests, open_store
from convlens.tracking.values import epoch_metrics

REQUEST_SECONDS = 3
FINISH_SECONDS = 10.0

Work = Callable[["_Recorder"], None]


class LiveRun:
    """The MLflow run of a training in progress; a context manager that ends the run as finished, failed or killed."""

    def __init__(self, open_recorder: Callable[[], "_Recorder"]) -> None:
        self._open_recorder = open_recorder
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
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
        moment = milliseconds()
        self._put(lambda recorder: recorder.log_epoch(epoch, copied, moment))

    def finish(self, status: str = "FINISHED") -> None:
        """End the run; waits ten seconds at most for what is still to be recorded.

        Args:
            status: `FINISHED`, `FAILED` or `KILLED`.
        """
        self._put(lambda recorder: recorder.finish(status))
        self._work.put(None)
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

    def _put(self, work: Work) -> None:
        if not self._broken:
            self._work.put(work)

    def _record(self) -> None:
        try:
            with brief_requests(seconds=REQUEST_SECONDS, retries=0):
                recorder = self._open_recorder()
                while (work := self._work.get()) is not None:
                    work(recorder)
        except Exception as error:
            self._give_up(describe_failure(error))

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

    def log_epoch(self, epoch: int, values: Mapping[str, float], moment: int) -> None:
        named = epoch_metrics(values)
        new = [Metric(name, value, moment, epoch) for name, value in named.items() if self._is_new(name, epoch)]
        self._client.log_batch(self._run_id, metrics=new)

    def finish(self, status: str) -> None:
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
    add_tags(store, run, {**git_tags(), **tags})
    return _Recorder(store, run)
