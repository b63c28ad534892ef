"""How long trainings took, as their runs tell. Reads the store, never creates one."""

from collections.abc import Iterable

from mlflow import MlflowClient

from convlens.tracking.failures import STORE_FAILURES
from convlens.tracking.quiet import no_warnings, quiet_mlflow
from convlens.tracking.runs import KEY_TAG
from convlens.tracking.store import brief_requests, database_path, tracking_uri

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
    quiet_mlflow()
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
