"""For those who use models: find a version, load it, bring it home. Reads the store, never creates one."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from convlens.errors import ConvLensError
from convlens.tracking.failures import describe_failure, hide_passwords, store_must_answer
from convlens.tracking.quiet import no_warnings, quiet_mlflow
from convlens.tracking.registry import ABSENT, CHAMPION, find_alias
from convlens.tracking.store import Store, brief_requests, database_path, fluent_store, tracking_uri

SCHEME = "models:/"
REGISTER_FIRST = "Train and register one first: `make repro` (or `dvc repro`)."
ADVICE = "Start the server, or correct MLFLOW_TRACKING_URI."


def load_model(address: str) -> Any:
    """Load a packaged model.

    Args:
        address: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `runs:/RUN/photo_model`, or a pulled folder.

    Returns:
        MLflow's model, whose `predict` takes photos.

    Raises:
        ConvLensError: no store, no such model, version or alias, or the model cannot be loaded.
    """
    quiet_mlflow()
    if Path(address).is_dir():
        return _load(address, address)
    with open_existing() as store, fluent_store(store):
        return _load(_resolve(store, address), address)


def pull_model(name: str, alias: str, folder: Path) -> str:
    """Download the version an alias points at into a new or empty folder, whole or not at all.

    Returns:
        The version.

    Raises:
        ConvLensError: the folder is in use, or there is no store, model or alias.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConvLensError(f"Expected a new or empty folder. Received: {folder}, which has content. Name another one.")
    quiet_mlflow()
    with open_existing() as store, fluent_store(store):
        version = need_alias(store, name, alias)
        _download(f"{SCHEME}{name}/{version.version}", folder)
    return str(version.version)


@contextlib.contextmanager
def open_existing() -> Iterator[Store]:
    """Connect to the store, which must be there.

    Raises:
        ConvLensError: there is none, or it does not answer.
    """
    uri = tracking_uri()
    database = database_path(uri)
    if database is not None and not database.is_file():
        raise ConvLensError(
            f"Expected an MLflow store. Received: no database at {database}. {REGISTER_FIRST} "
            "Or set MLFLOW_TRACKING_URI to the store that has the model."
        )
    with store_must_answer(uri, ADVICE), brief_requests(seconds=10, retries=1):
        yield Store(uri, MlflowClient(tracking_uri=uri, registry_uri=uri))


def _resolve(store: Store, address: str) -> str:
    """An address without alias, after checking that it leads somewhere."""
    name, at, alias = address.removeprefix(SCHEME).partition("@")
    if not address.startswith(SCHEME) or not at:
        return address
    return f"{SCHEME}{name}/{need_alias(store, name, alias).version}"


def need_alias(store: Store, name: str, alias: str) -> ModelVersion:
    """The version with an alias.

    Raises:
        ConvLensError: there is no such model, or no such alias.
    """
    found = find_alias(store, name, alias)
    if found is not None:
        return found
    try:
        model = store.client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        where = hide_passwords(store.uri)
        raise ConvLensError(
            f"Expected a registered model '{name}'. Received: {where}, which has none. {REGISTER_FIRST}"
        ) from error
    aliases = ", ".join(sorted(model.aliases)) or "none"
    found_versions = store.client.search_model_versions(f"name = '{name}'")
    versions = sorted((int(item.version) for item in found_versions), reverse=True)
    hint = "A version becomes champion when it meets `register.criteria`. " if alias == CHAMPION else ""
    newest = f"Or take a version by number: {SCHEME}{name}/{versions[0]}." if versions else REGISTER_FIRST
    raise ConvLensError(
        f"Expected a version of '{name}' with the alias '{alias}'. Received: aliases {aliases}. {hint}{newest}"
    )


def _load(uri: str, address: str) -> Any:
    try:
        with no_warnings():
            return mlflow.pyfunc.load_model(uri)
    except MlflowException as error:
        raise ConvLensError(
            f"Expected a model that MLflow can load. Received: '{address}': {describe_failure(error)}"
        ) from error


def _download(uri: str, folder: Path) -> None:
    """A neighbour takes the folder's place when everything has arrived."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(part))
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
