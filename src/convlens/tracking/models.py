"""Log models, and check that what was packed predicts the same."""

import ast
import base64
import contextlib
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from PIL import Image

import convlens
from convlens.environment import hold_stderr
from convlens.errors import ConvLensError
from convlens.metrics.drift import REFERENCE
from convlens.models.classifier import SERVER_VARIABLE
from convlens.models.inference import OPERATING_POINT
from convlens.tracking.gate import Criterion, judge_packaged, judge_served
from convlens.tracking.runs import DECISION_TAG, KEY_TAG
from convlens.tracking.store import Store, describe_failure, no_warnings

# --- What the packaged model takes and gives, in MLflow's words ---


def photo_signature(classes: tuple[str, ...]) -> ModelSignature:
    """The signature of the model that takes photos.

    There is no schema for the input: MLflow's would refuse arrays, mixed lists and tables with further columns.
    Parameters that are not given are None, and the model decides as it was registered. The columns that `top_k` adds
    come after those named here.
    """
    label = ColSpec(DataType.string, "label", required=False)
    numbers = [ColSpec(DataType.double, f"probability_{name}", required=False) for name in classes]
    last = [ColSpec(DataType.boolean, "unsure", required=False), ColSpec(DataType.string, "error")]
    params = [ParamSpec("threshold", DataType.double, None), ParamSpec("top_k", DataType.long, None)]
    return ModelSignature(inputs=None, outputs=Schema([label, *numbers, *last]), params=ParamSchema(params))


# --- package ---
# Packs the trained network for people who have nothing but MLflow: code, loader, network and requirements in one.
#
# The code travels under a package name made from its own content (`convlens_model_<digest>`). So a loaded model always
# runs the loader it was packed with, whatever version of ConvLens the process has, and models of several versions live
# side by side in one process.

ENTRY_MODULE = "convlens.tracking.packaged_model"


def shipped_modules(entry: str = ENTRY_MODULE) -> dict[str, Path]:
    """Every module of ConvLens that the packaged model imports, by name, the entry and parent packages included."""
    waiting, found = [entry], dict[str, Path]()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = _source(name)
        waiting += _parents(name)
        waiting += [imported for imported in _imports(found[name]) if imported.split(".")[0] == convlens.__name__]
    return dict(sorted(found.items()))


def stage_code(folder: Path) -> tuple[Path, Path]:
    """Copy the shipped modules into `folder` under their new package name.

    Returns:
        The entry file, and the folder of the package.
    """
    modules = shipped_modules()
    content = b"".join(name.encode() + path.read_bytes() for name, path in modules.items())
    package = f"convlens_model_{hashlib.sha256(content).hexdigest()[:12]}"
    root = _source(convlens.__name__).parent
    for path in modules.values():
        copy = folder / package / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(_rename(path.read_text(encoding="utf-8"), package), encoding="utf-8")
    entry = modules[ENTRY_MODULE].relative_to(root)
    return folder / package / entry, folder / package


def _source(module: str) -> Path:
    root = Path(convlens.__file__).parent
    place = root.joinpath(*module.split(".")[1:])
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if not path.is_file():
        raise ConvLensError(
            f"Expected the source of {module} at {path}. Received: nothing there. Install ConvLens anew."
        )
    return path


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _rename(source: str, package: str) -> str:
    return re.sub(r"(?m)^(\s*(?:from|import)\s+)convlens(?=[.\s])", rf"\1{package}", source)


# --- Asks the packaged model about test photos, as people who pull it will: in Python, and over HTTP ---
#
# The server is MLflow's own for models, on 127.0.0.1, at a port of its choice, for the seconds that this takes.

NUM_ASKED = 64  # of the test photos
NUM_SERVED = 4
TOLERANCE = 1e-3  # of a probability; the evaluation may have been made on another processor
EXACT = 1e-6  # predictions.csv holds seven digits
SECONDS = 60.0
SERVING_VARIABLES = (SERVER_VARIABLE, "_MLFLOW_IS_IN_SERVING_ENVIRONMENT")
PREFIX = "probability_"
LoadImages = Callable[[np.ndarray], np.ndarray]


def check_packaged_model(version: ModelVersion, test: pd.DataFrame, load_images: LoadImages) -> list[Criterion]:
    """Whether the packaged model answers as in the evaluation, in Python and over HTTP.

    Args:
        version: of the registered model.
        test: one row per test photo: path, sha256, row and probability_<class>.
        load_images: gives uint8 arrays (n, S, S, 3) for values of `row`.
    """
    with no_warnings(), hold_stderr():
        model = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
        asked = _ask(model, _spread(test, NUM_ASKED), load_images)
        return [asked, _serve(model, _spread(test, NUM_SERVED), load_images)]


def _spread(test: pd.DataFrame, num_photos: int) -> pd.DataFrame:
    """So many photos from the whole table, which is ordered by class."""
    return test.iloc[np.unique(np.linspace(0, len(test) - 1, min(num_photos, len(test))).round().astype(int))]


def _ask(model: Any, asked: pd.DataFrame, load_images: LoadImages) -> Criterion:
    try:
        gaps = _gaps(model.predict(load_images(asked["row"].to_numpy())), asked)
    except Exception as error:  # whatever it is, the model is not fit to be a champion
        return judge_packaged(0, len(asked), f"it fails with {describe_failure(error)}")
    note = "to the last digit" if gaps.max() <= EXACT else f"within {TOLERANCE} of each probability"
    return judge_packaged(int((gaps <= TOLERANCE).sum()), len(asked), note)


def _serve(model: Any, asked: pd.DataFrame, load_images: LoadImages) -> Criterion:
    rows = asked[["path", "sha256", "row"]].itertuples(index=False)
    photos = [_photo_bytes(Path(path), digest, row, load_images) for path, digest, row in rows]
    try:
        answers = pd.DataFrame(predict_served(model, photos))
        return judge_served(int((_gaps(answers, asked) <= TOLERANCE).sum()), len(asked))
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        return judge_served(0, len(asked), f"it does not answer over HTTP: {describe_failure(error)}")


def _gaps(answers: pd.DataFrame, asked: pd.DataFrame) -> np.ndarray:
    """The largest difference of a probability, photo by photo; no answer at all is infinitely far."""
    expected = asked.filter(like=PREFIX)
    gaps = np.abs(answers[expected.columns].to_numpy(float) - expected.to_numpy(float))
    largest: np.ndarray = np.where(np.isnan(gaps), np.inf, gaps).max(axis=1)
    return largest


def _photo_bytes(path: Path, digest: str, row: int, load_images: LoadImages) -> bytes:
    """The photo's file while it is the one that was evaluated, else what the network gets of it, as PNG."""
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() == digest:
        return content
    buffer = io.BytesIO()
    Image.fromarray(load_images(np.array([row]))[0]).save(buffer, "PNG")
    return buffer.getvalue()


def predict_served(model: Any, photos: list[bytes]) -> list[dict[str, Any]]:
    """Serve a loaded model on 127.0.0.1, send it image files as base64 texts in JSON, and return its answers.

    Raises:
        OSError, http.client.HTTPException, ValueError: it does not start, refuses, or answers no JSON.
    """
    records = [{"image": base64.b64encode(photo).decode("ascii")} for photo in photos]
    with _serving(model) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        body = json.dumps({"dataframe_records": records})
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode("utf-8")
        connection.close()
    if response.status != 200:
        raise OSError(f"status {response.status}: {text}")
    answers: list[dict[str, Any]] = json.loads(text)["predictions"]
    return answers


@contextlib.contextmanager
def _serving(model: Any) -> Iterator[int]:
    """A server in a thread of its own; gives its port."""
    import uvicorn
    from mlflow.pyfunc import scoring_server

    with _as_server(), socket.create_server(("127.0.0.1", 0)) as listening:
        quiet = uvicorn.Config(
            scoring_server.init(model), log_config=None, log_level="critical", access_log=False, ws="none"
        )
        server = uvicorn.Server(quiet)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            _await_start(server, thread)
            yield int(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(SECONDS)


def _await_start(server: Any, thread: threading.Thread) -> None:
    deadline = time.monotonic() + SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise OSError("the server does not start")
        time.sleep(0.01)


@contextlib.contextmanager
def _as_server() -> Iterator[None]:
    """The environment of MLflow's model server for a while: the model then refuses paths, and answers for JSON."""
    before = {name: os.environ.get(name) for name in SERVING_VARIABLES}
    os.environ[SERVER_VARIABLE] = "here"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


# --- Logs a run's models: the Keras network as it is, and the packaged model that takes photos ---
#
# MLflow's `log_model` functions need a global active run, and that of Keras fails with an input example; so the models
# are saved to a folder and uploaded with the client.

NETWORK_NAME = "network"
PHOTO_MODEL_NAME = "photo_model"
Save = Callable[[Path, Model], None]


@dataclass(frozen=True)
class ModelFiles:
    """What the models are made of.

    Attributes:
        network: model.keras.
        card: card.json beside it.
        operating_point: folder of the operating point and, perhaps, the reference statistics.
        classes: names of the classes.
        image_size: side in pixels of the arrays that the network takes.
        examples: a few test photos, uint8 (n, image_size, image_size, 3).
        requirements: lines of pip, versions pinned.
        decision: names the operating point, where it is not the default one: the same network is packed anew for
            another threshold.
    """

    network: Path
    card: Path
    operating_point: Path
    classes: tuple[str, ...]
    image_size: int
    examples: np.ndarray
    requirements: list[str]
    decision: str = ""


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
    wanted = PHOTO_MODEL_NAME, files.decision
    if wanted not in there:
        _log_model(store, run, *wanted, save=lambda folder, model: _save_photo_model(folder, model, files))
    return finished_models(store, run)[wanted]


def finished_models(store: Store, run: Run) -> dict[tuple[str, str], LoggedModel]:
    """The models of a run by name and decision; those whose upload was interrupted are left out."""
    ready = [model for model in _models(store, run) if model.status == LoggedModelStatus.READY]
    return {(model.name, model.tags.get(DECISION_TAG, "")): model for model in ready}


def _models(store: Store, run: Run) -> list[LoggedModel]:
    chosen = f"source_run_id = '{run.info.run_id}'"
    return list(store.client.search_logged_models([run.info.experiment_id], filter_string=chosen))


def _log_model(store: Store, run: Run, name: str, decision: str = "", *, save: Save) -> None:
    """Save a model to a temporary folder and upload it; it counts as there when everything has arrived."""
    client, run_id = store.client, run.info.run_id
    for leftover in _models(store, run):
        if leftover.name == name and leftover.status != LoggedModelStatus.READY:
            client.delete_logged_model(leftover.model_id)
    tags = {KEY_TAG: run.data.tags[KEY_TAG], **({DECISION_TAG: decision} if decision else {})}
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


def _save_photo_model(folder: Path, model: Model, files: ModelFiles) -> None:
    with tempfile.TemporaryDirectory(prefix="convlens-") as code, _on_path(code):
        entry, package = stage_code(Path(code))
        mlflow.pyfunc.save_model(
            str(folder),
            mlflow_model=model,
            python_model=str(entry),
            artifacts=_artifacts(files),
            code_paths=[str(package)],
            signature=photo_signature(files.classes),
            input_example=pd.DataFrame({"image": [_base64_png(files.examples[0])]}),
            pip_requirements=files.requirements,
        )


def _artifacts(files: ModelFiles) -> dict[str, str]:
    found = {
        "network": files.network,
        "card": files.card,
        "operating_point": files.operating_point / OPERATING_POINT,
        "reference": files.operating_point / REFERENCE,
    }
    return {name: str(path) for name, path in found.items() if path.is_file()}


def _base64_png(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


@contextmanager
def _on_path(folder: str) -> Iterator[None]:
    """MLflow runs the entry file once while it saves the model."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
