"""Log a run's models: the Keras network as it is, and the packaged model that takes photos; check what was packed."""

import ast
import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

import convlens
from convlens.environment import hold_stderr
from convlens.errors import ConvLensError
from convlens.files import encode_png, evenly_spaced
from convlens.tracking.gate import PACKAGED, SERVED, Criterion, judge_predictions
from convlens.tracking.runs import KEY_TAG, PACKAGE_TAG
from convlens.tracking.store import Store, describe_failure, no_warnings

if TYPE_CHECKING:  # whoever only promotes does not load TensorFlow
    from convlens.models.inference import OperatingPoint

# --- the code that is packed ---
#
# It travels under a package name made from its own content (`convlens_model_<digest>`). So a loaded model always runs
# the loader it was packed with, whatever version of ConvLens the process has, and models of several versions live side
# by side in one process.

ENTRY_MODULE = "convlens.tracking.packaged_model"
DECIDING = ("mirror", "center_crop", "temperature", "threshold", "min_confidence")


def shipped_modules(entry: str = ENTRY_MODULE) -> dict[str, Path]:
    """Return every module of ConvLens that the packaged model imports, by name, with the entry and parent packages."""
    root = Path(convlens.__file__).parent
    waiting, found = [entry], dict[str, Path]()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        place = root.joinpath(*name.split(".")[1:])
        found[name] = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if not found[name].is_file():
            raise ConvLensError(
                f"Expected the source of {name} at {found[name]}. Received: nothing there. Install ConvLens anew."
            )
        parts = name.split(".")
        waiting += [".".join(parts[:length]) for length in range(1, len(parts))]
        for node in ast.walk(ast.parse(found[name].read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            waiting += [imported for imported in names if imported.split(".")[0] == convlens.__name__]
    return dict(sorted(found.items()))


def stage_code(folder: Path) -> tuple[Path, Path]:
    """Copy the shipped modules into `folder` under their new package name.

    Returns:
        The entry file, and the folder of the package.
    """
    modules, root = shipped_modules(), Path(convlens.__file__).parent
    content = b"".join(name.encode() + path.read_bytes() for name, path in modules.items())
    package = f"convlens_model_{hashlib.sha256(content).hexdigest()[:12]}"
    for path in modules.values():
        copy = folder / package / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        source = path.read_text(encoding="utf-8")
        copy.write_text(re.sub(r"(?m)^(\s*(?:from|import)\s+)convlens(?=[.\s])", rf"\1{package}", source), "utf-8")
    return folder / package / modules[ENTRY_MODULE].relative_to(root), folder / package


def name_package(point: "OperatingPoint") -> str:
    """Name what is packed with a network: how its outputs become predictions, and the code that does so.

    Another name is another model and another version. Comments and docstrings of the code do not count.
    """
    sources = {name: _without_comments(path.read_text(encoding="utf-8")) for name, path in shipped_modules().items()}
    values = asdict(point)
    content = {"operating_point": {name: values[name] for name in DECIDING}, "code": sources}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _without_comments(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = node.body[1 if ast.get_docstring(node, clean=False) is not None else 0 :]
    return ast.dump(tree)


# --- logging ---
#
# MLflow's `log_model` functions need a global active run, and that of Keras fails with an input example; so the models
# are saved to a folder and uploaded with the client.

NETWORK_NAME = "network"
PHOTO_MODEL_NAME = "photo_model"
SOURCE_NAME = "convlens.photos"  # in the metadata of MLmodel
Save = Callable[[Path, Model], None]
LoadImages = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ModelFiles:
    """What the models are made of.

    Attributes:
        network: model.keras.
        packed: files that go with it into the packaged model: card, operating point, reference statistics.
        classes: names of the classes.
        image_size: side in pixels of the arrays that the network takes.
        examples: a few test photos, uint8 (n, image_size, image_size, 3).
        requirements: lines of pip, versions pinned.
        package: names what is packed with the network, see `name_package`.
        source: name of the photos it was trained on, told by whoever uses the model.
    """

    network: Path
    packed: tuple[Path, ...]
    classes: tuple[str, ...]
    image_size: int
    examples: np.ndarray
    requirements: list[str]
    package: str
    source: str = ""


@dataclass(frozen=True)
class _SavedNetwork:
    """Stands in for a Keras model where MLflow only wants to save it: the file is taken as it is, byte for byte."""

    path: Path

    def save(self, path: str) -> None:
        shutil.copyfile(self.path, path)


def ensure_models(store: Store, run: Run, files: ModelFiles) -> LoggedModel:
    """Log the models that the run lacks.

    Returns:
        The packaged model that takes photos.

    Raises:
        ConvLensError: there is no trained network.
    """
    if not files.network.is_file():
        raise ConvLensError(f"Expected a trained network at {files.network}. Received: nothing there. Run `dvc repro`.")
    there = finished_models(store, run)
    if (NETWORK_NAME, "") not in there:
        _log_model(store, run, NETWORK_NAME, save=lambda folder, model: _save_network(folder, model, files))
    wanted = PHOTO_MODEL_NAME, files.package
    if wanted not in there:
        _log_model(store, run, *wanted, save=lambda folder, model: save_photo_model(folder, model, files))
    return finished_models(store, run)[wanted]


def finished_models(store: Store, run: Run) -> dict[tuple[str, str], LoggedModel]:
    """Return the models of a run by name and package; those whose upload was interrupted are left out."""
    ready = [model for model in _list_models(store, run) if model.status == LoggedModelStatus.READY]
    return {(model.name, model.tags.get(PACKAGE_TAG, "")): model for model in ready}


def _list_models(store: Store, run: Run) -> list[LoggedModel]:
    chosen = f"source_run_id = '{run.info.run_id}'"
    return list(store.client.search_logged_models([run.info.experiment_id], filter_string=chosen))


def _log_model(store: Store, run: Run, name: str, package: str = "", *, save: Save) -> None:
    """Save a model to a temporary folder and upload it; it counts as there when everything has arrived."""
    client, run_id = store.client, run.info.run_id
    for leftover in _list_models(store, run):
        if leftover.name == name and leftover.status != LoggedModelStatus.READY:
            client.delete_logged_model(leftover.model_id)
    tags = {KEY_TAG: run.data.tags[KEY_TAG], **({PACKAGE_TAG: package} if package else {})}
    logged = client.create_logged_model(run.info.experiment_id, name=name, source_run_id=run_id, tags=tags)
    with tempfile.TemporaryDirectory(prefix="convlens-") as folder, no_warnings():
        with hold_stderr():  # Keras starts here
            save(Path(folder), Model(artifact_path=logged.artifact_location, run_id=run_id, model_id=logged.model_id))
        client.log_model_artifacts(logged.model_id, folder)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def _save_network(folder: Path, model: Model, files: ModelFiles) -> None:
    side, num_outputs = files.image_size, len(files.classes) if len(files.classes) > 2 else 1
    # Unnamed on purpose: MLflow refuses to predict with a single named tensor.
    inputs = Schema([TensorSpec(np.dtype("uint8"), (-1, side, side, 3))])
    outputs = Schema([TensorSpec(np.dtype("float32"), (-1, num_outputs))])
    mlflow.keras.save_model(
        _SavedNetwork(files.network),
        str(folder),
        mlflow_model=model,
        signature=ModelSignature(inputs=inputs, outputs=outputs),
        input_example=files.examples[:1],
        pip_requirements=files.requirements,
    )


def save_photo_model(folder: Path, model: Model, files: ModelFiles) -> None:
    """Save the packaged model: code, network, what goes with it, and its requirements in one folder."""
    artifacts = {"network": files.network, **{path.stem: path for path in files.packed if path.is_file()}}
    with tempfile.TemporaryDirectory(prefix="convlens-") as code:
        entry, package = stage_code(Path(code))
        sys.path.insert(0, code)  # MLflow runs the entry file once while it saves the model
        try:
            mlflow.pyfunc.save_model(
                str(folder),
                mlflow_model=model,
                python_model=str(entry),
                artifacts={name: str(path) for name, path in artifacts.items()},
                code_paths=[str(package)],
                signature=photo_signature(files.classes),
                input_example=pd.DataFrame({"image": [_to_text(encode_png(files.examples[0]))]}),
                pip_requirements=files.requirements,
                metadata={SOURCE_NAME: files.source} if files.source else None,
            )
        finally:
            sys.path.remove(code)


def photo_signature(classes: tuple[str, ...]) -> ModelSignature:
    """Describe what the packaged model takes and gives, in MLflow's words.

    There is no schema for the input: MLflow's would refuse arrays, mixed lists and tables with further columns.
    Parameters that are not given are None, and the model decides as it was registered. The columns that `top_k` adds
    come after those named here.
    """
    label = ColSpec(DataType.string, "label", required=False)
    numbers = [ColSpec(DataType.double, f"probability_{name}", required=False) for name in classes]
    last = [ColSpec(DataType.boolean, "unsure", required=False), ColSpec(DataType.string, "error")]
    params = [ParamSpec("threshold", DataType.double, None), ParamSpec("top_k", DataType.long, None)]
    return ModelSignature(inputs=None, outputs=Schema([label, *numbers, *last]), params=ParamSchema(params))


def _to_text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


# --- checking: the packaged model predicts test photos as the network did in the evaluation ---

NUM_CHECKED = 64  # of the test photos
NUM_SERVED = 4
TOLERANCE = 1e-3  # of a probability; the evaluation may have been made on another processor
EXACT = 1e-6  # predictions.csv holds seven digits
PREFIX = "probability_"


def check_packaged_model(version: ModelVersion, test: pd.DataFrame, load_images: LoadImages) -> list[Criterion]:
    """Judge whether the packaged model predicts as in the evaluation: from arrays, and from JSON as a server gets it.

    Args:
        version: of the registered model.
        test: one row per test photo: path, sha256, row and probability_<class>.
        load_images: gives uint8 arrays (n, S, S, 3) for values of `row`.
    """
    some, few = (test.iloc[evenly_spaced(len(test), most)] for most in (NUM_CHECKED, NUM_SERVED))
    with no_warnings(), hold_stderr():
        model = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
        try:
            gaps = _gaps(model.predict(load_images(some["row"].to_numpy())), some)
            note = "to the last digit" if gaps.max() <= EXACT else f"within {TOLERANCE} of each probability"
        except Exception as error:  # whatever it is, the model is not fit to be a champion
            gaps, note = np.full(len(some), np.inf), f"it fails with {describe_failure(error)}"
        alike = int((gaps <= TOLERANCE).sum())
        counted = f"the packaged model predicts {alike:,} of {len(some):,} test photos as in the evaluation"
        packaged = judge_predictions(PACKAGED, alike, len(some), f"{counted}, {note}")
        try:
            rows = zip(few["path"], few["sha256"], few["row"], strict=True)
            photos = [_read_photo(path, digest, row, load_images) for path, digest, row in rows]
            gaps = _gaps(pd.DataFrame(predict_served(model, photos)), few)
            alike = int((gaps <= TOLERANCE).sum())
            note = f"served, it predicts {alike:,} of {len(few):,} test photos as in the evaluation"
        except Exception as error:
            alike, note = 0, f"it does not predict when served: {describe_failure(error)}"
    return [packaged, judge_predictions(SERVED, alike, len(few), note)]


def predict_served(model: Any, photos: list[bytes]) -> list[dict[str, Any]]:
    """Predict image files as MLflow's model server does: base64 texts in JSON come in, JSON goes out.

    It is the function behind the server's `/invocations`, in the environment that the server sets; no port is opened.

    Raises:
        mlflow.exceptions.MlflowException, ValueError: the model refuses, or its predictions are no JSON.
    """
    from mlflow.pyfunc import scoring_server

    body = json.dumps({"dataframe_records": [{"image": _to_text(photo)} for photo in photos]})
    with _serving_environment():
        response = scoring_server.invocations(body, "application/json", model, model.metadata.get_input_schema())
    predictions: list[dict[str, Any]] = json.loads(response.response)["predictions"]
    return predictions


@contextlib.contextmanager
def _serving_environment() -> Iterator[None]:
    """The model then refuses paths, and gives what JSON can say."""
    from convlens.models.classifier import SERVER_VARIABLE

    before = os.environ.get(SERVER_VARIABLE)
    os.environ[SERVER_VARIABLE] = "here"
    try:
        yield
    finally:
        os.environ.pop(SERVER_VARIABLE)
        if before is not None:
            os.environ[SERVER_VARIABLE] = before


def _gaps(predictions: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """The largest difference of a probability, photo by photo; no prediction at all is infinitely far."""
    expected = test.filter(like=PREFIX)
    gaps = np.abs(predictions[expected.columns].to_numpy(float) - expected.to_numpy(float))
    largest: np.ndarray = np.where(np.isnan(gaps), np.inf, gaps).max(axis=1)
    return largest


def _read_photo(path: str, digest: str, row: int, load_images: LoadImages) -> bytes:
    """The photo's file while it is the one that was evaluated, else what the network gets of it, as PNG."""
    content = Path(path).read_bytes() if Path(path).is_file() else b""
    if hashlib.sha256(content).hexdigest() == digest:
        return content
    return encode_png(load_images(np.array([row]))[0])
