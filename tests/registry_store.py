"""A registry with a few versions in it, made without any training."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from small_training import use_own_store

from convlens.tracking.champion_comparison import CRITERIA_TAG, PREDICTIONS, PREDICTIONS_TAG, SPLITS, digest_predictions
from convlens.tracking.gate import Criterion, to_plain
from convlens.tracking.store import Store

NAME = "convlens"
MET = Criterion("evaluation.accuracy", 0.95, 0.8, None, True, "on 180 photos")
MISSED = Criterion("evaluation.accuracy", 0.75, 0.8, None, False, "on 180 photos")


def use_registry(root: Path, monkeypatch: pytest.MonkeyPatch, *, num_versions: int = 3) -> Store:
    """Work in `root` with a store there, whose registry has so many versions without aliases."""
    use_own_store(root, monkeypatch)
    uri = f"sqlite:///{root}/mlflow.db"
    return fill_registry(Store(uri, MlflowClient(uri, uri)), num_versions)


def fill_registry(store: Store, num_versions: int) -> Store:
    store.client.create_registered_model(NAME)
    for _ in range(num_versions):
        store.client.create_model_version(NAME, "s3://nowhere/model")
    return store


def record_verdict(store: Store, version: str, *criteria: Criterion, opponent: str | None = None) -> None:
    """What the gate leaves on a version."""
    plain: dict[str, Any] = {"demands": {}, "opponent": opponent, "criteria": to_plain(criteria)}
    store.client.set_model_version_tag(NAME, version, CRITERIA_TAG, json.dumps(plain))


def add_evaluated_version(
    store: Store, root: Path, correct: list[bool], *, photos: str = "abcd", trained_on: str = ""
) -> ModelVersion:
    """A version whose run holds its answers to test photos, each named by a letter.

    Args:
        store: where to.
        root: of the store.
        correct: whether each photo is answered right.
        photos: the test photos.
        trained_on: the other photos.
    """
    found = store.client.get_experiment_by_name("answers")
    place = (root / "mlartifacts").as_uri()
    experiment = found.experiment_id if found else store.client.create_experiment("answers", artifact_location=place)
    run = store.client.create_run(experiment).info.run_id
    splits = [(name, "test") for name in photos] + [(name, "train") for name in trained_on]
    rows = [f"{name}.png,cats,{split},{row},{name * 64}" for row, (name, split) in enumerate(splits)]
    answers = [f"{name}.png,{right}" for name, right in zip(photos, correct, strict=True)]
    store.client.log_text(run, "\n".join(["path,label,split,row,sha256", *rows, ""]), SPLITS)
    predictions = "\n".join(["path,correct", *answers, ""])
    store.client.log_text(run, predictions, PREDICTIONS)
    (root / "own.csv").write_text(predictions)
    tags = {PREDICTIONS_TAG: digest_predictions(root / "own.csv")}
    return store.client.create_model_version(NAME, "s3://nowhere/model", run_id=run, tags=tags)


def aliases(store: Store) -> dict[str, str]:
    found: dict[str, str] = store.client.get_registered_model(NAME).aliases
    return {name: str(version) for name, version in found.items()}
