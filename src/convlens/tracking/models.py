"""Logs a run's models: the Keras network as it is, and the packaged model that takes photos.

MLflow's `log_model` functions need a global active run, and that of Keras fails with an input example; so the models
are saved to a folder and uploaded with the client.
"""

import base64
import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Run
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from PIL import Image

from convlens.environment import hold_stderr
from convlens.errors import ConvLensError
from convlens.tracking.package import stage_code
from convlens.tracking.quiet import no_warnings
from convlens.tracking.runs import DECISION_TAG, KEY_TAG
from convlens.tracking.signature import photo_signature
from convlens.tracking.store import Store

NETWORK_NAME = "network"
PHOTO_MODEL_NAME = "photo_model"
Save = Callable[[Path, Model], None]


@dataclass(frozen=True)
class ModelFiles:
    """What the models are made of.

    Attributes:
        network: model.keras.
        card: card.json beside it.
        classes: names of the classes.
        image_size: side in pixels of the arrays that the network takes.
        examples: a few test photos, uint8 (n, image_size, image_size, 3).
        requirements: lines of pip, versions pinned.
        profile: what the photos of the training are like (npz); None, or a file that is not there, packs none.
        decision: names what makes answers of probabilities, where it is not simply the most probable class: the same
            network is packed anew for another threshold.
    """

    network: Path
    card: Path
    classes: tuple[str, ...]
    image_size: int
    examples: np.ndarray
    requirements: list[str]
    profile: Path | None = None
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
    found = {"network": files.network, "card": files.card, "profile": files.profile}
    return {name: str(path) for name, path in found.items() if path is not None and path.is_file()}


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
