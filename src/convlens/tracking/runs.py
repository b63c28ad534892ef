"""Runs: one MLflow run per training, found by the training's key, created if missing, never doubled.

Everything here adds what is missing and leaves alone what is there, so it may be repeated at any time. Training imports
this module, so it imports nothing but the store.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from convlens.tracking.environment import (
    user_name,
)
from convlens.tracking.store import (
    STORE_FAILURES,
    Store,
    brief_requests,
    database_path,
    ensure_experiment,
    lock_store,
    no_warnings,
    silence_mlflow,
    tracking_uri,
)

# --- finding and creating ---

KEY_TAG = "convlens.key"
PACKAGE_TAG = "convlens.package"  # of models and versions, see `name_package`
RECORDED_TAG = "convlens.recorded"
LIVE, FROM_FILES = "live", "from files"
PARENT_TAG = "mlflow.parentRunId"

Epochs = Sequence[tuple[int, Mapping[str, float]]]  # epoch (1..) and its values, named as in history.csv


def find_run(store: Store, experiment_id: str, key: str) -> Run | None:
    """Return the oldest run of this key that was not deleted."""
    runs = store.client.search_runs(
        [experiment_id], f"tags.`{KEY_TAG}` = '{key}'", max_results=1, order_by=["attributes.start_time ASC"]
    )
    return runs[0] if runs else None


def find_or_create_run(store: Store, *, experiment: str, key: str, name: str | None = None, parent: str = "") -> Run:
    """Return the run of this key; a new one is named after the DVC experiment, or by the key.

    Args:
        store: where to look.
        experiment: name of the MLflow experiment; created on first use.
        key: names the run.
        name: of a new run.
        parent: id of the run that a new one is part of.
    """
    experiment_id = ensure_experiment(store, experiment)
    with lock_store(store.uri):
        found = find_run(store, experiment_id, key)
        if found is not None:
            return found
        tags = {KEY_TAG: key, "mlflow.source.name": "dvc repro", "mlflow.source.type": "PROJECT"}
        tags |= {"mlflow.user": user_name(), **({PARENT_TAG: parent} if parent else {})}
        return store.client.create_run(experiment_id, tags=tags, run_name=name or default_name(key))


def default_name(key: str, architecture: str = "") -> str:
    """Name a run for lists: the DVC experiment if there is one, else the architecture and the key's start."""
    return os.environ.get("DVC_EXP_NAME") or f"{architecture} {key[:8]}".strip()


# --- adding what is missing ---
#
# The MLflow UI makes a section of what stands before the first `/` of a metric's name, and sorts the sections: first
# `curves/` (one step per epoch), then `label_errors/`, `robustness/` and `test/` (the evaluation).

MAX_PARAM_LENGTH = 6000  # what MLflow stores
NUM_PER_BATCH = 100  # the most params MLflow takes at once; it takes 1000 metrics
T = TypeVar("T")


def epoch_metrics(values: Mapping[str, float]) -> dict[str, float]:
    """Name the values of one epoch as MLflow's metrics: `train_loss` becomes `curves/train_loss`."""
    return {f"curves/{name}": float(value) for name, value in values.items() if name != "epoch"}


def evaluation_metrics(values: Mapping[str, Any], *, section: str = "test") -> dict[str, float]:
    """Name the numbers of a metrics.json as MLflow's metrics, `test/accuracy`; what is undefined is left out."""
    return {
        f"{section}/{name}": float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def add_params(store: Store, run: Run, params: Mapping[str, str]) -> dict[str, str]:
    """Record parameters the run lacks.

    Returns:
        Those the run holds with another value: MLflow never changes a parameter.
    """
    there = run.data.params
    short = {name: value[:MAX_PARAM_LENGTH] for name, value in params.items()}
    for some in _chunks([Param(name, value) for name, value in sorted(short.items()) if name not in there]):
        store.client.log_batch(run.info.run_id, params=some)
    return {name: params[name] for name, value in short.items() if there.get(name, value) != value}


def add_tags(store: Store, run: Run, tags: Mapping[str, str], *, replace: bool = False) -> None:
    """Record tags the run lacks; with `replace` also those it holds with another value."""
    there = run.data.tags
    new = {name: value for name, value in tags.items() if name not in there or (replace and there[name] != value)}
    for some in _chunks([RunTag(name, value) for name, value in new.items()]):
        store.client.log_batch(run.info.run_id, tags=some)


def add_metrics(store: Store, run: Run, metrics: Mapping[str, float]) -> None:
    """Record metrics without steps that the run lacks or holds with another value."""
    now, there = milliseconds(), run.data.metrics
    new = [Metric(name, value, now, 0) for name, value in metrics.items() if there.get(name) != value]
    for some in _chunks(new):
        store.client.log_batch(run.info.run_id, metrics=some)


def add_epochs(store: Store, run: Run, epochs: Epochs) -> None:
    """Record curves; steps that are there stay as they are.

    New ones get the times they had if the last epoch ended now: as far apart as the epochs took, where that is known.
    """
    steps, moment = recorded_steps(store, run), milliseconds()
    new: list[Metric] = []
    for epoch, values in reversed(epochs):
        named = epoch_metrics(values).items()
        new += [Metric(name, value, moment, epoch) for name, value in named if epoch not in steps.get(name, ())]
        moment -= round(1000 * values.get("seconds", 0.0))
    for some in _chunks(new[::-1]):
        store.client.log_batch(run.info.run_id, metrics=some)


def recorded_steps(store: Store, run: Run) -> dict[str, set[int]]:
    """Return, for every metric of the run, the steps it has."""
    history = store.client.get_metric_history
    return {name: {metric.step for metric in history(run.info.run_id, name)} for name in run.data.metrics}


def milliseconds() -> int:
    """Return the present moment as MLflow counts it, since 1970."""
    return int(time.time() * 1000)


def _chunks(items: Sequence[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), NUM_PER_BATCH):
        yield list(items[start : start + NUM_PER_BATCH])


# --- how long trainings took ---

SECONDS = "curves/seconds"


def find_durations(keys: Iterable[str]) -> dict[str, float]:
    """Return the seconds that trainings took in all their epochs, by the keys of the trainings; creates no store.

    A training without a run is left out. So are all if there is no store or it does not answer: a time is worth no
    failure.
    """
    uri = tracking_uri()
    database = database_path(uri)
    if database is not None and not database.is_file():
        return {}
    silence_mlflow()
    found: dict[str, float] = {}
    try:
        with no_warnings(), brief_requests(seconds=5, retries=0):
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            experiments = [experiment.experiment_id for experiment in client.search_experiments()]
            for key in keys:
                runs = client.search_runs(experiments, f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
                history = client.get_metric_history(runs[0].info.run_id, SECONDS) if runs else []
                found[key] = float(sum({metric.step: metric.value for metric in history}.values()))
    except STORE_FAILURES:
        return {}
    return {key: seconds for key, seconds in found.items() if seconds}
