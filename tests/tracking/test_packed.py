"""MLflow's own server for models, started for a moment."""

import base64
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from convlens.models.classifier import is_served
from convlens.tracking.models import SERVING_VARIABLES, predict_served
from convlens.tracking.store import no_warnings


def tell_lengths(model_input: pd.DataFrame) -> pd.DataFrame:
    """How long each photo is; an empty one is refused."""
    photos = [base64.b64decode(text) for text in model_input["image"]]
    if not all(photos):
        raise MlflowException.invalid_parameter_value("an empty photo")
    return pd.DataFrame({"length": [len(photo) for photo in photos], "served": is_served()})


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Any]:
    with no_warnings():  # of MLflow about itself
        mlflow.pyfunc.save_model(str(tmp_path / "model"), python_model=tell_lengths, pip_requirements=[])
        yield mlflow.pyfunc.load_model(str(tmp_path / "model"))


def test_photos_travel_as_base64_and_answers_come_back(model: Any) -> None:
    before = {name: os.environ.get(name) for name in SERVING_VARIABLES}
    assert predict_served(model, [b"abc", b"\x00\xff"]) == [
        {"length": 3, "served": True},
        {"length": 2, "served": True},
    ]
    assert {name: os.environ.get(name) for name in SERVING_VARIABLES} == before
    assert not is_served()


def test_a_refusal_is_told(model: Any) -> None:
    with pytest.raises(OSError, match=r"status 400: .*an empty photo"):
        predict_served(model, [b""])


def test_a_port_that_cannot_be_had_is_told(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("not allowed here")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(OSError, match="not allowed here"):
        predict_served(model, [b"abc"])


def test_proxies_are_not_asked(model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert len(predict_served(model, [b"abc"])) == 1
