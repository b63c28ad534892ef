"""A registry with a few versions in it, made without any training."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from small_training import use_own_store

from convlens.tracking.champion_comparison import PREDICTIONS, PREDICTIONS_TAG, SPLITS, digest_predictions
from convlens.tracking.gate import Criterion
from convlens.tracking.promotion import GateVerdict
from convlens.tracking.promotion import record_verdict as write_verdict
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
    write_verdict(store, store.client.get_model_version(NAME, version), GateVerdict(list(criteria), opponent))


def add_evaluated_version(
    store: Store, correct: list[bool], *, photos: str = "abcd", trained_on: str = "", label: str = "cats"
) -> ModelVersion:
    """A version whose run holds its predictions of test photos, each named by a letter.

    Args:
        store: where to; in the working directory.
        correct: whether each photo is classified correctly.
        photos: the test photos.
        trained_on: the other photos.
        label: of all photos.
    """
    found = store.client.get_experiment_by_name("evaluated")
    place = Path("mlartifacts").absolute().as_uri()
    experiment = found.experiment_id if found else store.client.create_experiment("evaluated", artifact_location=place)
    run = store.client.create_run(experiment).info.run_id
    splits = [(name, "test") for name in photos] + [(name, "train") for name in trained_on]
    rows = [f"{name}.png,{label},{split},{row},{name * 64}" for row, (name, split) in enumerate(splits)]
    store.client.log_text(run, "\n".join(["path,label,split,row,sha256", *rows, ""]), SPLITS)
    answers = [f"{name}.png,{right}" for name, right in zip(photos, correct, strict=True)]
    Path("predictions.csv").write_text("\n".join(["path,correct", *answers, ""]))
    store.client.log_artifact(run, "predictions.csv", Path(PREDICTIONS).parent.as_posix())
    tags = {PREDICTIONS_TAG: digest_predictions(Path("predictions.csv"))}
    return store.client.create_model_version(NAME, "s3://nowhere/model", run_id=run, tags=tags)


def aliases(store: Store) -> dict[str, str]:
    found: dict[str, str] = store.client.get_registered_model(NAME).aliases
    return {name: str(version) for name, version in found.items()}
