"""Versions of the registered model: one per training, found by its key; aliases say which one to use."""

from mlflow.entities import LoggedModel, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from convlens.tracking.runs import DECISION_TAG, KEY_TAG
from convlens.tracking.store import Store, lock_store

# MLflow's pages show no tag that begins with `mlflow.`: these are for programs, and would hide those for people.
HIDDEN = "mlflow.convlens."
CHALLENGER = "challenger"
CHAMPION = "champion"
PREVIOUS = "previous"
ABSENT = "RESOURCE_DOES_NOT_EXIST"
PRESENT = "RESOURCE_ALREADY_EXISTS"
MODEL_DESCRIPTION = (
    "Classifies photos. Takes paths, bytes or base64 texts, as a list or in a column `image`; returns a data frame "
    "with `label`, a probability per class and `error`. Its alias `champion` is the version to use; `previous` is the "
    "one before it, `challenger` the newest that has not become champion."
)


def ensure_version(store: Store, name: str, run: Run, model: LoggedModel, description: str) -> ModelVersion:
    """The version of this training's model, registered if it is not yet; another threshold is another version.

    Args:
        store: where the registry is.
        name: of the registered model.
        run: the training's run; its tag is the key.
        model: the packaged model of the run.
        description: Markdown about the version; replaces what an earlier call wrote.
    """
    key, decision = run.data.tags[KEY_TAG], (model.tags or {}).get(DECISION_TAG, "")
    tags = {KEY_TAG: key, **({DECISION_TAG: decision} if decision else {})}
    with lock_store(store.uri):
        _ensure_name(store, name)
        found = find_version(store, name, key, decision)
        if found is not None:
            return _redescribe(store, found, description)
        source = f"models:/{model.model_id}"
        return store.client.create_model_version(
            name, source, run_id=run.info.run_id, tags=tags, description=description, model_id=model.model_id
        )


def find_version(store: Store, name: str, key: str, decision: str = "") -> ModelVersion | None:
    """The version of this key and decision, aliases and tags included."""
    found = store.client.search_model_versions(f"name = {_quote(name)} and tags.`{KEY_TAG}` = '{key}'")
    versions = sorted(int(version.version) for version in found if version.tags.get(DECISION_TAG, "") == decision)
    return store.client.get_model_version(name, str(versions[0])) if versions else None


def find_alias(store: Store, name: str, alias: str) -> ModelVersion | None:
    """The version an alias points at; None if there is no such model or alias."""
    try:
        version: ModelVersion = store.client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in (ABSENT, "INVALID_PARAMETER_VALUE"):  # no model; no alias
            return None
        raise
    return version


def list_versions(store: Store, name: str) -> list[ModelVersion]:
    """All versions of a model, tags included, the oldest first."""
    found, token = list[ModelVersion](), None
    while True:
        page = store.client.search_model_versions(f"name = {_quote(name)}", page_token=token)
        found, token = [*found, *page], page.token
        if not token:
            return sorted(found, key=lambda version: int(version.version))


def _redescribe(store: Store, version: ModelVersion, description: str) -> ModelVersion:
    """A report may have been made anew for the same training."""
    if version.description == description:
        return version
    store.client.update_model_version(version.name, version.version, description)
    return store.client.get_model_version(version.name, version.version)


def _ensure_name(store: Store, name: str) -> None:
    try:
        store.client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        try:
            store.client.create_registered_model(name, description=MODEL_DESCRIPTION)
        except MlflowException as race:
            if race.error_code != PRESENT:
                raise


def _quote(name: str) -> str:
    return '"' + name + '"' if "'" in name else f"'{name}'"
