"""Record the results of a pipeline in its run."""

import hashlib
import json
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Dataset, DatasetInput, InputTag, Run
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES
from PIL import Image

from convlens.data.prepared import Prepared
from convlens.data.validation import load_result
from convlens.environment import hide_passwords, hide_secrets
from convlens.errors import ConvLensError
from convlens.params import flatten_params, load_params, read_yaml
from convlens.tracking.environment import (
    CHANGES_FILE,
    CHANGES_TAG,
    describe_changes,
    describe_environment,
    digest_changes,
    evaluation_metrics,
    git_tags,
    machine_tags,
)
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
from convlens.tracking.store import Store, no_warnings

# --- pictures ---
# Pictures for MLflow's grid of images, where runs are compared side by side and a slider goes through the steps.
#
# MLflow's `log_image` gives each picture a new random name, so a repeated record would double them; here the same
# picture of a run always has the same name.

FOLDER = "images"
THUMBNAIL_SIDE = 256  # pixels, as MLflow makes them
PICTURES_TAG = {MLFLOW_LOGGED_IMAGES: "True"}


@dataclass(frozen=True)
class Picture:
    """One picture of a series.

    Attributes:
        series: what the pictures of all steps show; runs are compared by it.
        step: place in the series.
        path: PNG file.
    """

    series: str
    step: int
    path: Path


def stage_pictures(pictures: Iterable[Picture], folder: Path, moment: int) -> None:
    """Copy pictures into `folder`, under names that MLflow's page reads, each with a small copy for the grid.

    Args:
        pictures: of a run.
        folder: the run's artifact folder, or one to be uploaded as such.
        moment: part of the names, in milliseconds since 1970; the same for all calls about one run.
    """
    for picture in pictures:
        target = folder / FOLDER / _name(picture, moment)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture.path, target.with_name(f"{target.name}.png"))
        with Image.open(picture.path) as image:
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            small.save(target.with_name(f"{target.name}+compressed.webp"))


def _name(picture: Picture, moment: int) -> str:
    """As MLflow's `log_image` builds it: a `/` becomes `~`, and only plain letters stay."""
    series = re.sub(r"[^A-Za-z0-9_.~ -]", "_", picture.series.replace("/", "~"))
    same = uuid.uuid5(uuid.NAMESPACE_OID, f"{picture.series} {picture.step}")
    return f"{series}+step+{picture.step}+timestamp+{moment}+{same}"


# --- Completes the record of a training from files: whatever its run lacks is added, what is there stays ---
#
# The run may have followed the training live, may have been cut off, or may not exist: DVC restores and pulls results
# that this server has never seen.

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


# --- What the stage `register` records of a training, gathered from the files of the other stages ---

STAGE = "register"
CARD_TAGS = ("architecture", "device", "precision", "num_threads", "num_parameters", "best_epoch", "data_digest")
NUM_MAPPED_PHOTOS = 4  # in the grid of images; the others are among the artifacts
OVER_TIME = "over_time_*.png"


@dataclass(frozen=True, kw_only=True)
class Results:
    """Where the results are; see the arguments of the stage."""

    prepared: Path
    validation: Path
    training: Path
    evaluation: Path
    robustness: Path
    label_errors: Path
    report: Path
    feature_maps: Path
    feature_maps_folder: Path
    summary: Path
    model_card: Path
    params: Path
    pipeline: Path
    lock: Path
    requirements: Path


def gather_record(results: Results, photos: Prepared, card: Mapping[str, Any]) -> Record:
    """Everything that the run of the training holds, apart from its models.

    Args:
        results: where the files are.
        photos: the prepared photos.
        card: of the trained network.

    Raises:
        ConvLensError: a result is missing.
    """
    speed = _read_speed(results.training, card["key"])
    return Record(
        key=card["key"],
        params=flatten_params(load_params(results.params).model_dump(mode="json", by_alias=True)),
        epochs=_read_epochs(results.training, speed),
        metrics=_read_metrics(results),
        tags={**git_tags(), **_describe(results, card), **({} if speed.empty else machine_tags())},
        data=_data_facts(photos),
        description=results.summary.read_text(encoding="utf-8") if results.summary.is_file() else "",
        files=_list_files(results),
        lock=results.lock,
        lock_digest=digest_lock(results.lock),
        changes=describe_changes(),
        pictures=[*_list_plots(results), *_list_maps(results.feature_maps_folder)],
        parts=_read_folds(results.label_errors),
    )


def read_json(path: Path) -> dict[str, Any]:
    """A result in JSON.

    Raises:
        ConvLensError: it is missing, or no JSON.
    """
    if not path.is_file():
        raise ConvLensError(f"Expected the result {path}. Received: nothing there. Run `dvc repro`.")
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConvLensError(f"Expected JSON in {path}. Received: {error}. Run `dvc repro --force`.") from error
    return values


def digest_lock(lock: Path) -> str:
    """The sha256 of what dvc.lock says of the stages before this one; this one's entry is written after it ends."""
    if not lock.is_file():
        return ""
    stages = {name: entry for name, entry in read_yaml(lock).get("stages", {}).items() if name != STAGE}
    return hashlib.sha256(json.dumps(stages, sort_keys=True).encode()).hexdigest()


def _read_metrics(results: Results) -> dict[str, float]:
    return {
        **evaluation_metrics(read_json(results.evaluation / "metrics.json")),
        **evaluation_metrics(read_json(results.robustness / "metrics.json"), section="robustness"),
        **evaluation_metrics(read_json(results.label_errors / "metrics.json"), section="label_errors"),
    }


def _read_speed(training: Path, key: str) -> pd.DataFrame:
    """Seconds and memory by epoch; empty unless this very training ran in this folder."""
    timing = training / "timing.csv"
    if not timing.is_file():
        return pd.DataFrame({"epoch": []})
    speed = pd.read_csv(timing)
    return speed[speed["key"] == key].drop(columns="key")


def _read_epochs(training: Path, speed: pd.DataFrame) -> list[tuple[int, dict[str, float]]]:
    """History, and speed where it is known, epoch by epoch."""
    history = training / "history.csv"
    if not history.is_file():
        raise ConvLensError(f"Expected the training's history {history}. Received: nothing there. Run `dvc repro`.")
    return _split_epochs(pd.read_csv(history).merge(speed, on="epoch", how="left"))


def _split_epochs(table: pd.DataFrame) -> list[tuple[int, dict[str, float]]]:
    rows = table.to_dict(orient="records")
    return [(int(row["epoch"]), {str(name): value for name, value in row.items() if pd.notna(value)}) for row in rows]


def _read_folds(label_errors: Path) -> list[Part]:
    """The trainings of the folds, where there were any."""
    path = label_errors / "folds.csv"
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    return [
        Part(f"fold {fold}", {"label_errors.fold": str(fold)}, _split_epochs(rows.drop(columns="fold")))
        for fold, rows in table.groupby("fold")
    ]


def _describe(results: Results, card: Mapping[str, Any]) -> dict[str, str]:
    """Facts about the training that are neither parameters nor metrics, as tags."""
    tags = {f"convlens.{name}": str(card[name]) for name in CARD_TAGS if name in card}
    if tags.get("convlens.num_threads") == "0":
        tags["convlens.num_threads"] = "one per processor"
    tags["convlens.dvc_lock"] = digest_lock(results.lock)
    tags["convlens.data_checks"] = _describe_checks(load_result(results.validation))
    return tags


def _describe_checks(result: Mapping[str, Any]) -> str:
    """For people: `1,198 of 1,200 photos usable, 14 of 14 checks passed`."""
    passed = [item["success"] for item in result["expectations"]]
    photos = f"{result['num_usable']:,} of {result['num_photos']:,} photos usable"
    return f"{photos}, {sum(passed)} of {len(passed)} checks passed"


def _data_facts(photos: Prepared) -> DataFacts:
    source = photos.card["source"]
    return DataFacts(Path(source).stem, source, photos.card["digest"], photos.splits)


def _list_files(results: Results) -> dict[str, Path]:
    return {
        "report.html": results.report,
        "feature_maps.html": results.feature_maps,
        "summary.md": results.summary,
        "model_card.md": results.model_card,
        "feature_maps": results.feature_maps_folder,
        "evaluation": results.evaluation,
        "robustness": results.robustness,
        "label_errors": results.label_errors,
        "training": results.training,
        "validation": results.validation,
        "data/splits.csv": results.prepared / "splits.csv",
        "config/params.yaml": results.params,
        "config/dvc.yaml": results.pipeline,
        "config/requirements.txt": results.requirements,
    }


def _list_plots(results: Results) -> Iterator[Picture]:
    """Each plot is a series of one, which stands beside the same plot of other runs."""
    for folder in (results.evaluation, results.robustness, results.training):
        for path in sorted([*folder.glob("*.png"), *folder.glob("plots/*.png")]):
            yield Picture(f"{folder.name}/{path.stem}", 0, path)


def _list_maps(folder: Path) -> Iterator[Picture]:
    """What the filters answer to a photo, layer by layer (0 first), and how they came to be, epoch by epoch."""
    photos = sorted(path for path in folder.glob("[0-9]*") if path.is_dir()) if folder.is_dir() else []
    for photo in photos[:NUM_MAPPED_PHOTOS]:
        for depth, path in enumerate(sorted(photo.glob("*.png"), key=_by_number)):
            yield Picture(f"feature_maps/{photo.name}", depth, path)
    for path in sorted(folder.glob(OVER_TIME)):
        yield Picture("feature_maps/over_time", int(path.stem.rsplit("_", 1)[1]), path)


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sorts `conv_10` after `conv_9`."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", path.stem)]
