"""Completes the record of a training from files: whatever its run lacks is added, what is there stays.

The run may have followed the training live, may have been cut off, or may not exist: DVC restores and pulls results
that this server has never seen.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Dataset, DatasetInput, InputTag, Run

from convlens.tracking.environment import describe_environment
from convlens.tracking.git import CHANGES_FILE, CHANGES_TAG, digest_changes
from convlens.tracking.pictures import PICTURES_TAG, Picture, stage_pictures
from convlens.tracking.quiet import no_warnings
from convlens.tracking.runs import (
    FROM_FILES,
    KEY_TAG,
    PARENT_TAG,
    RECORDED_TAG,
    add_epochs,
    add_metrics,
    add_params,
    add_tags,
    default_name,
    find_or_create_run,
)
from convlens.tracking.secrets import hide_passwords, hide_secrets
from convlens.tracking.store import Store

NOTE_TAG = "mlflow.note.content"
FILES_TAG = "convlens.files"
MAX_NOTE_LENGTH = 7500  # MLflow stores 8000 characters of a tag
CONTEXTS = {"train": "training", "validation": "validation", "test": "testing"}
DIGEST_LENGTH = 8  # of a data set; MLflow stores 36 characters
CONFIG = "config"
TEXTS = (".yaml", ".txt", ".md", ".lock")  # they may name places with passwords


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
class Part:
    """A training that another one consists of, as that of a fold; becomes a run below it.

    Attributes:
        name: `fold 1`, for example; the same in every call.
        params: those that are its own.
        epochs: as those of a `Record`.
    """

    name: str
    params: Mapping[str, str]
    epochs: Sequence[tuple[int, Mapping[str, float]]]


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
        changes: how code and parameters differ from the commit; '' if they do not.
        pictures: for the grid of images.
        parts: trainings of folds.
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
    changes: str = ""
    pictures: Sequence[Picture] = ()
    parts: Sequence[Part] = ()


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
    add_tags(store, run, {RECORDED_TAG: FROM_FILES, **record.tags})
    add_tags(store, run, _changing_tags(record, run, changed), replace=True)
    for part in record.parts:
        _complete_part(store, experiment, run, part)
    if run.info.status != "FINISHED":
        store.client.set_terminated(run.info.run_id)
    return store.client.get_run(run.info.run_id)


def _complete_part(store: Store, experiment: str, whole: Run, part: Part) -> None:
    key = f"{whole.data.tags[KEY_TAG]}/{part.name}"
    run = find_or_create_run(store, experiment=experiment, key=key, name=part.name, parent=whole.info.run_id)
    add_params(store, run, part.params)
    add_epochs(store, run, part.epochs)
    add_tags(store, run, {RECORDED_TAG: FROM_FILES})
    add_tags(store, run, {PARENT_TAG: whole.info.run_id}, replace=True)  # the one above may have been deleted
    if run.info.status != "FINISHED":
        store.client.set_terminated(run.info.run_id)


def _changing_tags(record: Record, run: Run, changed: Mapping[str, str]) -> dict[str, str]:
    """Tags that follow the files; parameters that MLflow cannot change are among them."""
    note = link_artifacts(hide_secrets(record.description), run)
    tags = {NOTE_TAG: note if len(note) <= MAX_NOTE_LENGTH else note[:MAX_NOTE_LENGTH] + "\n\n…"}
    tags |= PICTURES_TAG if record.pictures else {}
    return tags | ({"convlens.changed_params": json.dumps(changed, sort_keys=True)} if changed else {})


def link_artifacts(text: str, run: Run) -> str:
    """Links of Markdown to files beside it lead to the artifacts of the run instead, on MLflow's page."""
    place = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts"
    return re.sub(r"\]\((?![\w+.-]+:|[#/])([^)\s]+)\)", rf"]({place}/\1)", text)


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
        described = from_pandas(table, source=hide_passwords(data.source), name=name, digest=digest, targets="label")
        return Dataset(**described.to_dict())


def _add_files(store: Store, run: Run, record: Record) -> None:
    """Upload all files unless exactly these have arrived before."""
    with tempfile.TemporaryDirectory(prefix="convlens-") as name:
        folder = Path(name)
        for place, source in record.files.items():
            _copy(source, folder / place)
        if _is_first(record.changes, run):
            (folder / CHANGES_FILE).parent.mkdir(exist_ok=True)
            (folder / CHANGES_FILE).write_text(record.changes, encoding="utf-8")
        stage_pictures(record.pictures, folder, run.info.start_time)
        digest = _digest_folder(folder, record.lock_digest)
        if run.data.tags.get(FILES_TAG) == digest:
            return
        if record.lock is not None:
            _copy(record.lock, folder / CONFIG / "dvc.lock")
        (folder / CONFIG).mkdir(exist_ok=True)
        (folder / CONFIG / "environment.json").write_text(
            json.dumps(describe_environment(), indent=2) + "\n", encoding="utf-8"
        )
        store.client.log_artifacts(run.info.run_id, name)
    add_tags(store, run, {FILES_TAG: digest}, replace=True)


def _is_first(changes: str, run: Run) -> bool:
    """Whether these are the changes the training began with, which the run may have already."""
    return bool(changes) and run.data.tags.get(CHANGES_TAG, digest_changes(changes)) == digest_changes(changes)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder without its hidden files, a text without secrets, or any other file as it is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    elif source.is_file() and source.suffix in TEXTS:
        target.write_text(hide_secrets(source.read_text(encoding="utf-8")), encoding="utf-8")
    elif source.is_file():
        shutil.copyfile(source, target)


def _digest_folder(folder: Path, lock_digest: str) -> str:
    lines = [
        f"{path.relative_to(folder).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return hashlib.sha256("\n".join([lock_digest, *lines]).encode()).hexdigest()[:16]
