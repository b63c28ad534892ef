"""Tiny photos, and parameters that train a tiny network on them. What is fast or accurate is not asked here."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import pytest
from photo_files import ROOT, write_classes

from convlens.params import Params, TrainingSize, load_params


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classes(tmp_path_factory.mktemp("benchmark") / "photos", {"cats": 16, "dogs": 16})


@pytest.fixture
def small_params() -> Callable[..., Params]:
    """Parameters of params.yaml at 40 pixels, with four filters and batches of eight, and what is given of `train`."""

    def make(**train: Any) -> Params:
        params = load_params(ROOT / "params.yaml")
        sizes = (TrainingSize(until=1.0, size=32),)
        residual = params.model.residual.model_copy(update={"width": 4, "training_sizes": sizes})
        changes = {
            "preprocess": params.preprocess.model_copy(update={"image_size": 40, "num_workers": 1}),
            "model": params.model.model_copy(update={"residual": residual}),
            "train": params.train.changed(**{"batch_size": 8, "precision": "float32", **train}),
        }
        return params.model_copy(update=changes)

    return make


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is done in this process, after the way through a pickle that it would take to its own."""

    def call(function: Callable[[Any], Any], task: Any) -> Any:
        function, task = pickle.loads(pickle.dumps((function, task)))
        return function(task)

    monkeypatch.setattr(harness, "in_new_process", call)
