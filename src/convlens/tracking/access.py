"""Open models by name, alias, folder or file, predict with them, and pull them. Reads the store, never creates one."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from convlens.environment import hide_passwords
from convlens.errors import ConvLensError
from convlens.files import new_folder
from convlens.metrics.drift import FORMER_NAME, REFERENCE, OpenedModel, ReferenceStatistics
from convlens.tracking.places import claim_artifacts
from convlens.tracking.registry import ABSENT, CHAMPION, find_alias
from convlens.tracking.store import (
    Store,
    brief_requests,
    database_path,
    describe_failure,
    fluent_store,
    no_warnings,
    silence_mlflow,
    store_must_answer,
    tracking_uri,
)

# --- finding, loading and pulling a version ---

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
    silence_mlflow()
    if Path(address).is_dir():
        return _load(address, address)
    with open_existing() as store, fluent_store(store):
        name, at, alias = address.removeprefix(SCHEME).partition("@")
        if address.startswith(SCHEME) and at:
            return _load(f"{SCHEME}{name}/{need_alias(store, name, alias).version}", address)
        return _load(address, address)


def pull_model(name: str, alias: str, folder: Path) -> str:
    """Download the version an alias points at into a new or empty folder, whole or not at all.

    Returns:
        The version.

    Raises:
        ConvLensError: the folder is in use, or there is no store, model or alias.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConvLensError(f"Expected a new or empty folder. Received: {folder}, which has content. Name another one.")
    silence_mlflow()
    with open_existing() as store, fluent_store(store):
        version = need_alias(store, name, alias)
        with new_folder(folder) as part, store_must_answer(store.uri, ADVICE):
            mlflow.artifacts.download_artifacts(artifact_uri=f"{SCHEME}{name}/{version.version}", dst_path=str(part))
            _require_whole(part, f"{name} version {version.version}")
    return str(version.version)


def _require_whole(folder: Path, name: str) -> None:
    """Check that everything a packaged model names has arrived: a place without files is no error to MLflow.

    Raises:
        ConvLensError: something is missing.
    """
    described = folder / "MLmodel"
    parts = Model.load(str(described)).flavors["python_function"] if described.is_file() else {}
    named = [item["path"] for item in parts.get("artifacts", {}).values()] + [
        parts[key] for key in ("code",) if key in parts
    ]
    missing = [name for name in ("MLmodel", "requirements.txt", *named) if not (folder / name).exists()]
    if missing:
        raise ConvLensError(
            f"Expected the files of {name} in the store. Received: one without {', '.join(missing)}. They were "
            "moved or removed: bring the store's mlartifacts back, or register the model anew."
        )


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
    if database is not None:
        claim_artifacts(database)
    with store_must_answer(uri, ADVICE), brief_requests(seconds=10, retries=1):
        yield Store(uri, MlflowClient(tracking_uri=uri, registry_uri=uri))


def need_alias(store: Store, name: str, alias: str) -> ModelVersion:
    """Return the version with an alias.

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


def predict_photos(model: Any, photos: Sequence[Any], params: Mapping[str, Any]) -> pd.DataFrame:
    """Predict photos with a model that `open_model` gave, whatever version of ConvLens packed it.

    Args:
        model: a classifier, or a packaged one as MLflow opened it.
        photos: paths, bytes, base64 texts or arrays.
        params: `threshold` and `top_k`, those that were given.

    Raises:
        ConvLensError: the model does not take these parameters, or not these values.
    """
    if hasattr(model, "predict_arrays"):
        predicted: pd.DataFrame = model.predict(photos, **params)
        return predicted
    schema = model.metadata.get_params_schema()
    known = {spec.name for spec in schema.params} if schema else set()
    unknown = ", ".join(sorted(set(params) - known))
    if unknown:  # MLflow would go on without them
        raise ConvLensError(f"Expected a model that takes {unknown}. Received: one packed without. Register it anew.")
    try:
        with no_warnings():
            predicted = model.predict(list(photos), params=dict(params) or None)
    except MlflowException as error:
        raise ConvLensError(error.message) from error
    return predicted


# --- opening a model with everything that was packed with it ---

NETWORK = "model.keras"
OPERATING_POINT_FOLDER = "operating_point"
UNKNOWN = "The model has no reference statistics of its training photos: `dvc repro` makes and registers them."


def open_model(model: str) -> Any:
    """Open a model by its address: something whose `predict` takes paths and gives a data frame.

    Raises:
        ConvLensError: there is no such model.
    """
    folder = Path(model)
    if (folder / NETWORK).is_file():
        from convlens.models.classifier import open_classifier

        return open_classifier(folder)
    if not model.startswith(("models:/", "runs:/")) and not (folder / "MLmodel").is_file():
        raise ConvLensError(
            "Expected a model: models:/NAME@ALIAS, models:/NAME/VERSION, a pulled folder, or data/model. "
            f"Received: '{model}', which is none of these."
        )
    return load_model(model)


def open_with_reference(model: str) -> OpenedModel:
    """Open a model with its operating point and its reference statistics.

    Raises:
        ConvLensError: there is no such model, or its reference statistics cannot be read.
    """
    from convlens.models.inference import OperatingPoint, find_operating_point

    opened = open_model(model)
    folder: Path | None = Path(model)
    if hasattr(opened, "unwrap_python_model"):
        packed = opened.unwrap_python_model()
        opened, folder = packed.classifier, getattr(packed, "folder", None)
    card = opened.card
    if folder is None:
        return OpenedModel(model, opened, OperatingPoint.from_card(card), None, None, UNKNOWN)
    reference, note = _find_reference(folder, str(card.get("key", "")))
    return OpenedModel(model, opened, find_operating_point(folder, card), folder, reference, note)


def _find_reference(folder: Path, key: str) -> tuple[ReferenceStatistics | None, str]:
    """The reference statistics packed with a model, or those beside it, as the pipeline leaves them."""
    for place in (folder, folder.absolute().parent / OPERATING_POINT_FOLDER):
        if any((place / name).is_file() for name in (REFERENCE, FORMER_NAME)):
            reference = ReferenceStatistics.load(place)
            if reference.key == key:
                return reference, ""
            return None, f"The reference statistics in {place} are of another training than the model: run `dvc repro`."
    return None, UNKNOWN
