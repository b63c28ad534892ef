"""Completes the record of a training from files: whatever its run lacks is added, what is there stays.

The run may have followed the training live, may have been cut off, or may not exist: DVC restores and pulls results
that this server has never seen.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Dataset, DatasetInput, InputTag, Run

from convlens.tracking.environment import describe_environment
from convlens.tracking.quiet import no_warnings
from convlens.tracking.runs import add_epochs, add_metrics, add_params, add_tags, default_name, find_or_create_run
from convlens.tracking.store import Store

NOTE_TAG = "mlflow.note.content"
FILES_TAG = "convlens.files"
MAX_NOTE_LENGTH = 7500  # MLflow stores 8000 characters of a tag
CONTEXTS = {"train": "training", "validation": "validation", "test": "testing"}
DIGEST_LENGTH = 8  # of a data set; MLflow stores 36 characters


@dataclass(frozen=True)
class DataFacts:
    """The data set of a training.

    Attributes:
        name: what it is called in lists.
        source: `data.source` of the parameters.
        digest: of the photos, their labels and their split.
        splits: one row per photo, with the column `split`.
    """

    name: str
    source: str
    digest: str
    splits: pd.DataFrame


@dataclass(frozen=True)
class Record:
    """Everything that the run of a training holds, apart from its models.

    Attributes:
        key: digest of the training's inputs; names the run.
        params: flat parameters.
        epochs: pairs of epoch (1..) and its values by column name.
        metrics: metrics without steps, by their MLflow names.
        tags: tags of the run.
        data: the data set.
        description: Markdown that the run's page shows.
        files: artifact path to file or folder; what does not exist is left out.
        lock: dvc.lock, which changes when the stage that records ends; `lock_digest` stands for its content.
        lock_digest: of the lock's entries that are final.
    """

    key: str
    params: Mapping[str, str]
    epochs: Sequence[tuple[int, Mapping[str, float]]]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    data: DataFacts
    description: str
    files: Mapping[str, Path]
    lock: Path | None = None
    lock_digest: str = ""


def complete_run(store: Store, experiment: str, record: Record) -> Run:
    """Find or create the run of a training and add what it lacks; a second call adds nothing.

    Returns:
        The run, finished.
    """
    name = default_name(record.key, record.params.get("model.architecture", ""))
    run = find_or_create_run(store, experiment=experiment, key=record.key, name=name)
    changed = add_params(store, run, record.params)
    add_epochs(store, run, record.epochs)
    add_metrics(store, run, record.metrics)
    _add_data(store, run, record.data)
    _add_files(store, run, record)
    add_tags(store, run, record.tags)
    add_tags(store, run, _changing_tags(record, changed), replace=True)
    if run.info.status != "FINISHED":
        store.client.set_terminated(run.info.run_id)
    return store.client.get_run(run.info.run_id)


def _changing_tags(record: Record, changed: Mapping[str, str]) -> dict[str, str]:
    """Tags that follow the files; parameters that MLflow cannot change are among them."""
    note = record.description
    tags = {NOTE_TAG: note if len(note) <= MAX_NOTE_LENGTH else note[:MAX_NOTE_LENGTH] + "\n\n…"}
    return tags | ({"convlens.changed_params": json.dumps(changed, sort_keys=True)} if changed else {})


def _add_data(store: Store, run: Run, data: DataFacts) -> None:
    there = {(item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs} if run.inputs else set()
    for split, context in CONTEXTS.items():
        dataset = _dataset(data, split)
        if (dataset.name, dataset.digest) not in there:
            tags = [InputTag("mlflow.data.context", context)]
            store.client.log_inputs(run.info.run_id, datasets=[DatasetInput(dataset, tags)])


def _dataset(data: DataFacts, split: str) -> Dataset:
    table = data.splits[data.splits["split"] == split].reset_index(drop=True)
    name, digest = f"{data.name} {split}", data.digest[:DIGEST_LENGTH]
    with no_warnings():
        described = from_pandas(table, source=data.source, name=name, digest=digest, targets="label")
        return Dataset(**described.to_dict())


def _add_files(store: Store, run: Run, record: Record) -> None:
    """Upload all files unless exactly these have arrived before."""
    with tempfile.TemporaryDirectory(prefix="convlens-") as name:
        folder = Path(name)
        for place, source in record.files.items():
            _copy(source, folder / place)
        digest = _digest_folder(folder, record.lock_digest)
        if run.data.tags.get(FILES_TAG) == digest:
            return
        if record.lock is not None:
            _copy(record.lock, folder / "config/dvc.lock")
        (folder / "config").mkdir(exist_ok=True)
        (folder / "config/environment.json").write_text(
            json.dumps(describe_environment(), indent=2) + "\n", encoding="utf-8"
        )
        store.client.log_artifacts(run.info.run_id, name)
    add_tags(store, run, {FILES_TAG: digest}, replace=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file():
        shutil.copyfile(source, target)


def _digest_folder(folder: Path, lock_digest: str) -> str:
    lines = [
        f"{path.relative_to(folder).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return hashlib.sha256("\n".join([lock_digest, *lines]).encode()).hexdigest()[:16]
