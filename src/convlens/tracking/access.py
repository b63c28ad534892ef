"""Open models by name, alias, folder or file, predict with them, and pull them. Reads the store, never creates one."""

import atexit
import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from convlens.params import read_yaml
from convlens.tracking.models import SOURCE_NAME
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

# --- finding a model, which loads no network ---

SCHEMES = ("models:/", "runs:/")
KERAS_FILES = (".keras", ".h5", ".hdf5")
NETWORK, CARD, DESCRIPTION, ORIGIN = "model.keras", "card.json", "MLmodel", "registered_model_meta"
PROBABILITY = "probability_"
MAX_CLASSES = 12  # named in a line
REGISTER_FIRST = "Train and register one first: `make repro` (or `dvc repro`)."
ADVICE = "Start the server, or correct MLFLOW_TRACKING_URI."


@dataclass(frozen=True)
class FoundModel:
    """A model that was found, but not opened yet.

    Attributes:
        address: as the user gave it.
        name: what it is called: `photos version 3 (champion)`, or the address.
        place: the folder with MLmodel, the folder with model.keras, or a file of Keras.
        classes: of the model, as far as they are known without opening it.
        data: the photos it was trained on, by name and digest; empty if it does not say.
    """

    address: str
    name: str
    place: Path
    classes: tuple[str, ...] = ()
    data: str = ""

    def describe(self) -> str:
        """Name model, version, alias, classes and data in one line."""
        shown = ", ".join(self.classes[:MAX_CLASSES])
        more = len(self.classes) - MAX_CLASSES
        classes = f": {shown}{f' and {more} more classes' if more > 0 else ''}" if shown else ""
        return f"{self.name}{classes}{f'; trained on {self.data}' if self.data else ''}"


def find_model(address: str, classes: Sequence[str] | None = None) -> FoundModel:
    """Find a model by its address.

    Args:
        address: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `runs:/RUN/photo_model`, a pulled folder, a folder with
            model.keras and card.json, or a file of Keras.
        classes: of a file of Keras.

    Raises:
        ConvLensError: no store, or no such model, version or alias.
    """
    path = Path(address)
    if path.suffix in KERAS_FILES and not address.startswith(SCHEMES):
        if not path.is_file():
            raise ConvLensError(f"Expected a Keras model in a file. Received: {path}, which is not there.")
        if not (path.name == NETWORK and path.with_name(CARD).is_file()):
            return FoundModel(address, address, path, tuple(classes or ()))
        path = path.parent  # the file of a model of ConvLens
    if (path / NETWORK).is_file():
        return _describe_folder(address, address, path, path / CARD)
    if (path / DESCRIPTION).is_file():
        return _describe_package(address, f"{address}{_read_origin(path)}", path)
    if address.startswith(SCHEMES):
        silence_mlflow()
        with open_existing() as store, fluent_store(store):
            return _find_registered(store, address)
    raise ConvLensError(
        "Expected a model: models:/NAME@ALIAS, models:/NAME/VERSION, a pulled folder, data/model, or a .keras file. "
        f"Received: '{address}', which is none of these."
    )


def _find_registered(store: Store, address: str) -> FoundModel:
    version = find_version_at(store, address)
    uri, name = address, address
    if version is not None:
        uri = f"models:/{version.name}/{version.version}"
        name = f"{version.name} version {version.version}" + (
            f" ({', '.join(version.aliases)})" if version.aliases else ""
        )
    target = None
    if database_path(store.uri) is None:  # else the files are taken where they are
        target = tempfile.mkdtemp(prefix="convlens-")
        atexit.register(shutil.rmtree, target, ignore_errors=True)
    try:
        with no_warnings():
            place = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=target))
    except (MlflowException, OSError) as error:
        if "No such artifact" in str(error):
            raise _incomplete(name, (DESCRIPTION,)) from error
        raise _unloadable(address, error) from error
    _require_whole(place, name)
    return _describe_package(address, name, place)


def find_version_at(store: Store, address: str) -> ModelVersion | None:
    """Return the version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` names; None for another address.

    Raises:
        ConvLensError: there is no such version.
    """
    rest = address.removeprefix("models:/")
    name, _, alias = rest.partition("@")
    if rest != address and alias:
        return need_alias(store, name, alias)
    name, _, number = rest.rpartition("/")
    if rest == address or not number.isdecimal():
        return None
    try:
        return store.client.get_model_version(name, number)
    except MlflowException as error:
        raise _unloadable(address, error) from error


def _read_origin(folder: Path) -> str:
    """Say of which version a pulled folder is, as MLflow notes it there; '' where it does not."""
    if not (folder / ORIGIN).is_file():
        return ""
    noted = read_yaml(folder / ORIGIN)
    known = isinstance(noted, dict) and "model_name" in noted
    return f" ({noted['model_name']} version {noted.get('model_version')})" if known else ""


def _describe_package(address: str, name: str, place: Path) -> FoundModel:
    """Read what MLmodel and the packed card say."""
    described = Model.load(str(place / DESCRIPTION))
    packed = described.flavors.get("python_function", {}).get("artifacts", {})
    found = _describe_folder(address, name, place, place / packed.get("card", {}).get("path", CARD))
    columns = described.signature.outputs.input_names() if described.signature and described.signature.outputs else []
    named = tuple(column.removeprefix(PROBABILITY) for column in columns if str(column).startswith(PROBABILITY))
    source = (described.metadata or {}).get(SOURCE_NAME)
    data = f"{source} ({found.data.removeprefix('photos ')})" if source and found.data else found.data
    return replace(found, classes=found.classes or named, data=data)


def _describe_folder(address: str, name: str, place: Path, card: Path) -> FoundModel:
    """Read a card; a broken one is told when the model is opened."""
    values: Any = {}
    with contextlib.suppress(OSError, ValueError):
        values = json.loads(card.read_text(encoding="utf-8"))
    classes, digest = values.get("classes", ()), str(values.get("data_digest", ""))[:12]
    return FoundModel(address, name, place, tuple(classes), f"photos {digest}" if digest else "")


# --- pulling a version ---


def pull_model(address: str, folder: Path) -> FoundModel:
    """Download a registered model into a new or empty folder, whole or not at all.

    Args:
        address: as of `find_model`, but of the registry.
        folder: where to.

    Raises:
        ConvLensError: the folder is in use, there is no such model, or not all of it has arrived.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConvLensError(f"Expected a new or empty folder. Received: {folder}, which has content. Name another one.")
    if not address.startswith(SCHEMES):
        raise ConvLensError(
            f"Expected a registered model: models:/NAME@ALIAS or models:/NAME/VERSION. Received: {address}."
        )
    found = find_model(address)
    with new_folder(folder) as part:
        try:
            shutil.copytree(found.place, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        except OSError as error:
            raise ConvLensError(f"Expected to write {folder}. Received: {error}. Free space or permissions.") from error
        _require_whole(part, found.name)
    return found


def _require_whole(folder: Path, name: str) -> None:
    """Check that everything a packaged model names has arrived: a place without files is no error to MLflow.

    Raises:
        ConvLensError: something is missing.
    """
    described = folder / DESCRIPTION
    parts = Model.load(str(described)).flavors.get("python_function", {}) if described.is_file() else {}
    named = [item["path"] for item in parts.get("artifacts", {}).values()]
    named += [parts[name] for name in ("code", "env") if isinstance(parts.get(name), str)]
    missing = [path for path in (DESCRIPTION, *named) if not (folder / path).exists()]
    if missing:
        raise _incomplete(name, missing)


def _incomplete(name: str, missing: Sequence[str]) -> ConvLensError:
    return ConvLensError(
        f"Expected the files of {name} in the store. Received: one without {', '.join(missing)}. They were moved or "
        "removed: bring the store's mlartifacts back, or register the model anew."
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
        names = ", ".join(sorted(each.name for each in store.client.search_registered_models())) or "none"
        raise ConvLensError(
            f"Expected a registered model '{name}'. Received: {hide_passwords(store.uri)}, which has {names}. "
            f"{REGISTER_FIRST}"
        ) from error
    aliases = ", ".join(sorted(model.aliases)) or "none"
    found_versions = store.client.search_model_versions(f"name = '{name}'")
    versions = sorted((int(item.version) for item in found_versions), reverse=True)
    hint = "A version becomes champion when it meets `register.criteria`. " if alias == CHAMPION else ""
    newest = f"Or take a version by number: --model models:/{name}/{versions[0]}." if versions else REGISTER_FIRST
    raise ConvLensError(
        f"Expected a version of '{name}' with the alias '{alias}'. Received: aliases {aliases}. {hint}{newest}"
    )


def _unloadable(address: str, error: Exception) -> ConvLensError:
    return ConvLensError(f"Expected a model that MLflow can load. Received: '{address}': {describe_failure(error)}")


# --- opening a model with everything that was packed with it ---

OPERATING_POINT_FOLDER = "operating_point"
UNKNOWN = "The model has no reference statistics of its training photos: `dvc repro` makes and registers them."


def open_with_reference(address: str) -> OpenedModel:
    """Find and open a model.

    Raises:
        ConvLensError: there is no such model, or its reference statistics cannot be read.
    """
    return open_model(find_model(address))


def open_model(found: FoundModel) -> OpenedModel:
    """Open a model of ConvLens with its operating point and its reference statistics.

    Raises:
        ConvLensError: it cannot be loaded, or its reference statistics cannot be read.
    """
    from convlens.models.inference import OperatingPoint, find_operating_point

    packaged = None
    folder: Path | None = found.place
    if (found.place / DESCRIPTION).is_file():
        try:
            with no_warnings():
                packaged = mlflow.pyfunc.load_model(str(found.place))
            packed = packaged.unwrap_python_model()
        except (MlflowException, OSError) as error:
            raise _unloadable(found.address, error) from error
        classifier, folder = packed.classifier, getattr(packed, "folder", None)
    else:
        from convlens.models.classifier import open_classifier

        classifier = open_classifier(found.place)
    if folder is None:
        point = OperatingPoint.from_card(classifier.card)
        return OpenedModel(found.address, classifier, point, None, None, UNKNOWN, packaged=packaged)
    reference, note = _find_reference(folder, str(classifier.card.get("key", "")))
    point = find_operating_point(folder, classifier.card)
    return OpenedModel(found.address, classifier, point, folder, reference, note, packaged=packaged)


def load_network(model: OpenedModel) -> Any:
    """Return the Keras model of an opened one.

    Raises:
        ConvLensError: it was packed without.
    """
    if model.network is not None:
        return model.network
    if model.folder is None:
        raise ConvLensError(f"Expected a model with its network's file. Received: '{model.address}'. Register it anew.")
    from convlens.models.files import load_trained_model

    return load_trained_model(model.folder)


def predict_photos(model: OpenedModel, photos: Sequence[Any], params: Mapping[str, Any]) -> pd.DataFrame:
    """Predict photos, whatever version of ConvLens packed the model.

    Args:
        model: that was opened.
        photos: paths, bytes, base64 texts or arrays.
        params: `threshold` and `top_k`, those that were given.

    Raises:
        ConvLensError: the model does not take these parameters, or not these values.
    """
    if model.packaged is None:
        predicted: pd.DataFrame = model.classifier.predict(photos, **params)
        return predicted
    schema = model.packaged.metadata.get_params_schema()
    known = {spec.name for spec in schema.params} if schema else set()
    unknown = ", ".join(sorted(set(params) - known))
    if unknown:  # MLflow would go on without them
        raise ConvLensError(f"Expected a model that takes {unknown}. Received: one packed without. Register it anew.")
    try:
        with no_warnings():
            predicted = model.packaged.predict(list(photos), params=dict(params) or None)
    except MlflowException as error:
        raise ConvLensError(error.message) from error
    return predicted


def _find_reference(folder: Path, key: str) -> tuple[ReferenceStatistics | None, str]:
    """The reference statistics packed with a model, or those beside it, as the pipeline leaves them."""
    for place in (folder, folder.absolute().parent / OPERATING_POINT_FOLDER):
        if any((place / name).is_file() for name in (REFERENCE, FORMER_NAME)):
            reference = ReferenceStatistics.load(place)
            if reference.key == key:
                return reference, ""
            return None, f"The reference statistics in {place} are of another training than the model: run `dvc repro`."
    return None, UNKNOWN
