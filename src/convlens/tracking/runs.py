"""Runs: find, create and complete them."""

import getpass
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from convlens.tracking.environment import epoch_metrics
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

# --- One MLflow run per training: found by the key of the training's inputs, created if missing, never doubled ---
#
# Everything here adds what is missing and leaves alone what is there, so it may be repeated at any time.

KEY_TAG = "convlens.key"
DECISION_TAG = "convlens.decision"
RECORDED_TAG = "convlens.recorded"
LIVE, FROM_FILES = "live", "from files"
PARENT_TAG = "mlflow.parentRunId"
NUM_PER_BATCH = 100  # the most params MLflow takes at once; it takes 1000 metrics
MAX_PARAM_LENGTH = 6000  # what MLflow stores
T = TypeVar("T")


def find_run(store: Store, experiment_id: str, key: str) -> Run | None:
    """The oldest run of this key that was not deleted."""
    runs = store.client.search_runs(
        [experiment_id], f"tags.`{KEY_TAG}` = '{key}'", max_results=1, order_by=["attributes.start_time ASC"]
    )
    return runs[0] if runs else None


def find_or_create_run(store: Store, *, experiment: str, key: str, name: str | None = None, parent: str = "") -> Run:
    """The run of this key; a new one is named after the DVC experiment, or by the key.

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
        tags = {KEY_TAG: key, "mlflow.source.name": "dvc repro", "mlflow.source.type": "PROJECT", **_user()}
        tags |= {PARENT_TAG: parent} if parent else {}
        return store.client.create_run(experiment_id, tags=tags, run_name=name or default_name(key))


def default_name(key: str, architecture: str = "") -> str:
    """What a run is called in lists: the DVC experiment if there is one, else the architecture and the key's start."""
    return os.environ.get("DVC_EXP_NAME") or f"{architecture} {key[:8]}".strip()


def add_params(store: Store, run: Run, params: Mapping[str, str]) -> dict[str, str]:
    """Record parameters the run lacks.

    Returns:
        Those the run holds with another value: MLflow never changes a parameter.
    """
    there = run.data.params
    missing = [Param(name, value[:MAX_PARAM_LENGTH]) for name, value in sorted(params.items()) if name not in there]
    for some in _chunks(missing):
        store.client.log_batch(run.info.run_id, params=some)
    return {name: value for name, value in params.items() if name in there and there[name] != value[:MAX_PARAM_LENGTH]}


def add_tags(store: Store, run: Run, tags: Mapping[str, str], *, replace: bool = False) -> None:
    """Record tags the run lacks; with `replace` also those it holds with another value."""
    there = run.data.tags
    new = [
        RunTag(name, value) for name, value in tags.items() if name not in there or (replace and there[name] != value)
    ]
    for some in _chunks(new):
        store.client.log_batch(run.info.run_id, tags=some)


def add_metrics(store: Store, run: Run, metrics: Mapping[str, float]) -> None:
    """Record metrics without steps that the run lacks or holds with another value."""
    now, there = milliseconds(), run.data.metrics
    new = [Metric(name, value, now, 0) for name, value in metrics.items() if there.get(name) != value]
    for some in _chunks(new):
        store.client.log_batch(run.info.run_id, metrics=some)


def recorded_steps(store: Store, run: Run) -> dict[str, set[int]]:
    """For every metric of the run, the steps it has."""
    history = store.client.get_metric_history
    return {name: {metric.step for metric in history(run.info.run_id, name)} for name in run.data.metrics}


def add_epochs(store: Store, run: Run, epochs: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    """Record curves, epoch by epoch; steps that are there stay as they are.

    Args:
        store: where the run is.
        run: the run.
        epochs: pairs of epoch (1..) and its values, named as in history.csv.
    """
    steps = recorded_steps(store, run)
    new = [
        Metric(name, value, moment, epoch)
        for (epoch, values), moment in zip(epochs, _moments(epochs), strict=True)
        for name, value in epoch_metrics(values).items()
        if epoch not in steps.get(name, ())
    ]
    for some in _chunks(new):
        store.client.log_batch(run.info.run_id, metrics=some)


def _moments(epochs: Sequence[tuple[int, Mapping[str, float]]]) -> list[int]:
    """When each epoch ended, had the last one ended now: as far apart as they took, where that is known."""
    moment, moments = milliseconds(), []
    for _, values in reversed(epochs):
        moments.append(moment)
        moment -= round(1000 * values.get("seconds", 0.0))
    return moments[::-1]


def _user() -> dict[str, str]:
    try:
        return {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError, ImportError):  # a container whose user has no name
        return {}


def milliseconds() -> int:
    """The present moment as MLflow counts it, since 1970."""
    return int(time.time() * 1000)


def _chunks(items: Sequence[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), NUM_PER_BATCH):
        yield list(items[start : start + NUM_PER_BATCH])


# --- How long trainings took, as their runs tell. Reads the store, never creates one ---

SECONDS = "curves/seconds"


def find_durations(keys: Iterable[str]) -> dict[str, float]:
    """Seconds that trainings took in all their epochs, by the keys of the trainings.

    A training without a run is left out. So are all if there is no store or it does not answer: a time is worth no
    failure.
    """
    uri = tracking_uri()
    database = database_path(uri)
    if database is not None and not database.is_file():
        return {}
    silence_mlflow()
    try:
        with no_warnings(), brief_requests(seconds=5, retries=0):
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            found = {key: _sum_epochs(client, key) for key in keys}
    except STORE_FAILURES:
        return {}
    return {key: seconds for key, seconds in found.items() if seconds}


def _sum_epochs(client: MlflowClient, key: str) -> float:
    """0 if there is no run of this key, or its epochs have no times."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    history = client.get_metric_history(runs[0].info.run_id, SECONDS) if runs else []
    return float(sum({metric.step: metric.value for metric in history}.values()))
