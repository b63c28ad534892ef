"""Asks the packaged model about test photos, as people who pull it will: in Python, and over HTTP.

The server is MLflow's own for models, on 127.0.0.1, at a port of its choice, for the seconds that this takes.
"""

import base64
import contextlib
import hashlib
import http.client
import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from PIL import Image

from convlens.environment import hold_stderr
from convlens.tracking.failures import describe_failure
from convlens.tracking.gate import Criterion, judge_package, judge_served
from convlens.tracking.photo_input import SERVER_VARIABLE
from convlens.tracking.quiet import no_warnings

NUM_ASKED = 64  # of the test photos
NUM_SERVED = 4
TOLERANCE = 1e-3  # of a probability; the evaluation may have been made on another processor
EXACT = 1e-6  # predictions.csv holds seven digits
SECONDS = 60.0
SERVING_VARIABLES = (SERVER_VARIABLE, "_MLFLOW_IS_IN_SERVING_ENVIRONMENT")
PREFIX = "probability_"
LoadImages = Callable[[np.ndarray], np.ndarray]


def judge_packed(version: ModelVersion, test: pd.DataFrame, load_images: LoadImages) -> list[Criterion]:
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
        return judge_package(0, len(asked), f"it fails with {describe_failure(error)}")
    note = "to the last digit" if gaps.max() <= EXACT else f"within {TOLERANCE} of each probability"
    return judge_package(int((gaps <= TOLERANCE).sum()), len(asked), note)


def _serve(model: Any, asked: pd.DataFrame, load_images: LoadImages) -> Criterion:
    rows = asked[["path", "sha256", "row"]].itertuples(index=False)
    photos = [_photo_bytes(Path(path), digest, row, load_images) for path, digest, row in rows]
    try:
        answers = pd.DataFrame(ask_served(model, photos))
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


def ask_served(model: Any, photos: list[bytes]) -> list[dict[str, Any]]:
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
