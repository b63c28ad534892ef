"""The tracking store: where it is, and what is done when it fails."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from convlens.environment import hide_passwords, hide_secrets, repository_root
from convlens.errors import ConvLensError
from convlens.tracking.places import ARTIFACTS_NAME, LOCK_SECONDS, claim_artifacts, lock_path

# --- quiet ---
# MLflow's talk, kept from our users: migrations of a new database, remarks about signatures it cannot know better.

CHATTY = ("mlflow", "alembic")


def silence_mlflow() -> None:
    """Let only errors of MLflow and of its migrations through: no bar per file, no address when a run ends."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Run MLflow's functions without the Python warnings they raise about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- What goes wrong between us and the store, told in one line without secrets ---

STORE_FAILURES = (MlflowException, RequestException, SQLAlchemyError, OSError, Timeout)
MAX_SHOWN = 200


def describe_failure(error: BaseException) -> str:
    """The first line of an error's message, short, without secrets."""
    text = hide_secrets(str(error).strip().partition("\n")[0]) or type(error).__name__
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


@contextlib.contextmanager
def store_must_answer(uri: str, advice: str) -> Iterator[None]:
    """Turn the many errors of a store into the one that users read.

    Args:
        uri: address of the store.
        advice: what to do about it.

    Raises:
        ConvLensError: whatever the store raised in the block.
    """
    try:
        yield
    except STORE_FAILURES as error:
        raise ConvLensError(
            f"Expected the MLflow store {hide_passwords(uri)} to answer. Received: {describe_failure(error)} {advice}"
        ) from error


# --- store ---
# Where runs are kept: `MLFLOW_TRACKING_URI`, else a database at the repository's root with the artifacts beside it.

DATABASE_NAME = "mlflow.db"
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # the UI shows trainings, not chats
    "mlflow.note.content": "Each run is one training, from photos to a registered model. `report.html` and "
    "`feature_maps.html` are among the artifacts of each run.",
}


@dataclass(frozen=True)
class Store:
    """An opened tracking store.

    Attributes:
        uri: address of the store, without surprises from the working directory.
        client: MLflow's client for runs and for the registry of the same store.
    """

    uri: str
    client: MlflowClient


def tracking_uri() -> str:
    """The address of the store: what the user set, else `sqlite:///<root>/mlflow.db` (root: see `repository_root`)."""
    chosen = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return chosen or f"sqlite:///{Path(repository_root()).absolute() / DATABASE_NAME}"


def database_path(uri: str) -> Path | None:
    """The file of a local database; None for a server or a database elsewhere."""
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None


@contextlib.contextmanager
def lock_store(uri: str, purpose: str = "", seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Let one process at a time do what follows; servers order their clients themselves.

    Args:
        uri: the store.
        purpose: work of another purpose does not wait.
        seconds: how long to wait for the others.
    """
    database = database_path(uri)
    if database is None:
        yield
        return
    lock = lock_path(database, purpose)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock, timeout=seconds):
        yield


def open_store() -> Store:
    """Connect to the store; a local database is created or refused here, once, whoever comes first.

    The artifacts of one that was moved or copied are those beside it.

    Raises:
        ConvLensError: it was moved, and cannot be written.
        mlflow.exceptions.MlflowException, OSError: the store does not answer or refuses.
    """
    uri = tracking_uri()
    silence_mlflow()
    with lock_store(uri):  # the migrations of a new database cannot be run by two processes at once
        database = database_path(uri)
        if database is not None and "?" not in uri and not database.exists():
            _create(database)
        client = _connect(uri)
    if database is not None:
        claim_artifacts(database)
    return Store(uri, client)


def _connect(uri: str) -> MlflowClient:
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    return client


def _create(database: Path) -> None:
    """Make a new database, whole or not at all: MLflow can neither use half of its migrations nor go on with them."""
    part = database.with_name(f"{database.name}.part")
    for left in (part, part.with_name(f"{part.name}-journal")):  # by a process that was killed here
        left.unlink(missing_ok=True)
    _connect(f"sqlite:///{part}")
    os.replace(part, database)


def ensure_experiment(store: Store, name: str) -> str:
    """The id of the experiment, created on first use; its artifacts lie at an absolute place.

    Raises:
        ConvLensError: an experiment of this name was deleted.
    """
    with lock_store(store.uri):
        found: Experiment | None = store.client.get_experiment_by_name(name)
        if found is None:
            place = _artifact_location(store.uri)
            return str(store.client.create_experiment(name, artifact_location=place, tags=EXPERIMENT_TAGS))
    if found.lifecycle_stage != "active":
        raise ConvLensError(
            f"Expected an active MLflow experiment '{name}'. Received: a deleted one. Restore it with "
            f"`mlflow experiments restore -x {found.experiment_id}`, or change `register.experiment` in params.yaml."
        )
    return str(found.experiment_id)


def _artifact_location(uri: str) -> str | None:
    """Beside a local database; None leaves it to the server. A `file:` address survives spaces and `#` in the path."""
    database = database_path(uri)
    return None if database is None else (database.parent / ARTIFACTS_NAME).as_uri()


@contextlib.contextmanager
def brief_requests(*, seconds: int, retries: int) -> Iterator[None]:
    """Make MLflow's HTTP requests give up soon; its defaults wait for minutes. What the user has set stays."""
    patience = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        # A busy server may ask to come back in an hour.
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    }
    added = {name: value for name, value in patience.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def fluent_store(store: Store) -> Iterator[None]:
    """Point MLflow's module-level functions at the store for a while: they read the environment."""
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    os.environ.update(dict.fromkeys(before, store.uri))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
