"""Complete the run of a training from files: whatever it lacks is added, what is there stays.

The run may have followed the training live, may have been interrupted, or may not exist: DVC restores and pulls results
that this server has never seen.
"""

import hashlib
import json
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Dataset, DatasetInput, InputTag, Run
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES
from PIL import Image

from convlens.data.prepared import Prepared
from convlens.data.validation import load_result
from convlens.environment import hide_passwords, hide_secrets
from convlens.metrics.evaluation import Evaluation
from convlens.metrics.label_errors import LabelErrors
from convlens.metrics.robustness import Robustness
from convlens.models.files import TrainingRun
from convlens.params import Params, flatten_params, read_yaml
from convlens.tracking.environment import (
    CHANGES_FILE,
    CHANGES_TAG,
    describe_changes,
    describe_environment,
    digest_changes,
    git_tags,
    machine_tags,
)
from convlens.tracking.runs import (
    FROM_FILES,
    PARENT_TAG,
    RECORDED_TAG,
    Epochs,
    add_epochs,
    add_metrics,
    add_params,
    add_tags,
    default_name,
    evaluation_metrics,
    find_or_create_run,
)
from convlens.tracking.store import (
    Store,
    no_warnings,
)

# --- the record of a training ---

NOTE_TAG = "mlflow.note.content"
FILES_TAG = "convlens.files"
MAX_NOTE_LENGTH = 7500  # MLflow stores 8000 characters of a tag
CONTEXTS = {"train": "training", "validation": "validation", "test": "testing"}
DIGEST_LENGTH = 8  # of a data set; MLflow stores 36 characters
CONFIG = "config"
TEXTS = (".yaml", ".txt", ".md", ".lock")  # they may name places with passwords


class Picture(NamedTuple):
    """A PNG file at its place (`step`) in a series; MLflow's page compares runs by series."""

    series: str
    step: int
    path: Path


@dataclass(frozen=True)
class Record:
    """Everything that the run of a training holds, apart from its models.

    Attributes:
        key: of the training; names the run.
        params: flat parameters.
        epochs: the curves.
        metrics: metrics without steps, by their MLflow names.
        tags: tags of the run.
        photos: the data set.
        description: Markdown that the run's page shows.
        files: artifact path to file or folder; what does not exist is left out.
        lock: dvc.lock, which changes when the stage that records ends: its other stages count, see `digest_lock`.
        pictures: for the grid of images.
        folds: curves of the trainings of folds, by fold.
    """

    key: str
    params: Mapping[str, str]
    epochs: Epochs
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    photos: Prepared
    description: str
    files: Mapping[str, Path]
    lock: Path
    pictures: Sequence[Picture]
    folds: Mapping[str, Epochs]


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
    _add_data(store, run, record.photos)
    _add_files(store, run, record)
    add_tags(store, run, {RECORDED_TAG: FROM_FILES, **record.tags})
    note = link_artifacts(hide_secrets(record.description), run)
    follow = {NOTE_TAG: note if len(note) <= MAX_NOTE_LENGTH else note[:MAX_NOTE_LENGTH] + "\n\n…"}
    follow |= {MLFLOW_LOGGED_IMAGES: "True"} if record.pictures else {}
    follow |= {"convlens.changed_params": json.dumps(changed, sort_keys=True)} if changed else {}
    add_tags(store, run, follow, replace=True)
    for fold, epochs in record.folds.items():
        names = {"key": f"{record.key}/fold {fold}", "name": f"fold {fold}", "parent": run.info.run_id}
        part = find_or_create_run(store, experiment=experiment, **names)
        add_params(store, part, {"label_errors.fold": fold})
        add_epochs(store, part, epochs)
        add_tags(store, part, {RECORDED_TAG: FROM_FILES})
        add_tags(store, part, {PARENT_TAG: run.info.run_id}, replace=True)  # the one above may have been deleted
        _finish(store, part)
    _finish(store, run)
    return store.client.get_run(run.info.run_id)


def _finish(store: Store, run: Run) -> None:
    if run.info.status != "FINISHED":
        store.client.set_terminated(run.info.run_id)


def link_artifacts(text: str, run: Run) -> str:
    """Let the links of Markdown to files beside it lead to the artifacts of the run instead, on MLflow's page."""
    place = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts"
    return re.sub(r"\]\((?![\w+.-]+:|[#/])([^)\s]+)\)", rf"]({place}/\1)", text)


def _add_data(store: Store, run: Run, photos: Prepared) -> None:
    there = {(item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs} if run.inputs else set()
    source, digest = photos.card["source"], photos.card["digest"][:DIGEST_LENGTH]
    for split, context in CONTEXTS.items():
        name = f"{Path(source).stem} {split}"
        if (name, digest) in there:
            continue
        with no_warnings():
            table = photos.splits[photos.splits["split"] == split].reset_index(drop=True)
            data = from_pandas(table, source=hide_passwords(source), name=name, digest=digest, targets="label")
            described = DatasetInput(Dataset(**data.to_dict()), [InputTag("mlflow.data.context", context)])
        store.client.log_inputs(run.info.run_id, datasets=[described])


def _add_files(store: Store, run: Run, record: Record) -> None:
    """Upload all files unless exactly these have arrived before."""
    with tempfile.TemporaryDirectory(prefix="convlens-") as name:
        folder = Path(name)
        for place, source in record.files.items():
            _copy(source, folder / place)
        (folder / CONFIG).mkdir(exist_ok=True)
        changes = describe_changes()
        if changes and run.data.tags.get(CHANGES_TAG, digest_changes(changes)) == digest_changes(changes):
            (folder / CHANGES_FILE).write_text(changes, encoding="utf-8")  # those that the training began with
        stage_pictures(record.pictures, folder, run.info.start_time)
        digests = [digest_lock(record.lock)]
        digests += [
            f"{path.relative_to(folder).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        digest = hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]
        if run.data.tags.get(FILES_TAG) == digest:
            return
        _copy(record.lock, folder / CONFIG / "dvc.lock")
        (folder / CONFIG / "environment.json").write_text(
            json.dumps(describe_environment(), indent=2) + "\n", encoding="utf-8"
        )
        store.client.log_artifacts(run.info.run_id, name)
    add_tags(store, run, {FILES_TAG: digest}, replace=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder without its hidden files, a text without secrets, or any other file as it is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    elif source.is_file() and source.suffix in TEXTS:
        target.write_text(hide_secrets(source.read_text(encoding="utf-8")), encoding="utf-8")
    elif source.is_file():
        shutil.copyfile(source, target)


# --- pictures for MLflow's grid of images, where runs are compared side by side ---
#
# MLflow's `log_image` gives each picture a new random name, so a repeated record would double them; here the same
# picture of a run always has the same name.

THUMBNAIL_SIDE = 256  # pixels, as MLflow makes them


def stage_pictures(pictures: Iterable[Picture], folder: Path, moment: int) -> None:
    """Copy pictures into `folder`, under names that MLflow's page reads, each with a small copy for the grid.

    Args:
        pictures: of a run.
        folder: the run's artifact folder, or one to be uploaded as such.
        moment: part of the names, in milliseconds since 1970; the same for all calls about one run.
    """
    for series, step, path in pictures:
        # As MLflow's `log_image` builds it: a `/` becomes `~`, and only plain letters stay.
        plain = re.sub(r"[^A-Za-z0-9_.~ -]", "_", series.replace("/", "~"))
        same = uuid.uuid5(uuid.NAMESPACE_OID, f"{series} {step}")
        target = folder / "images" / f"{plain}+step+{step}+timestamp+{moment}+{same}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target.with_name(f"{target.name}.png"))
        with Image.open(path) as image:
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            small.save(target.with_name(f"{target.name}+compressed.webp"))


# --- gathering the record of the pipeline's results ---

STAGE = "register"
CARD_TAGS = ("architecture", "device", "precision", "num_threads", "num_parameters", "best_epoch", "data_digest")
NUM_MAPPED_PHOTOS = 4  # in the grid of images; the others are among the artifacts
REPORTS = (
    *("report.html", "feature_maps.html", "summary.md", "model_card.md", "feature_maps"),
    *("evaluation", "robustness", "label_errors", "training", "validation"),
)
CONFIGURATION = ("params.yaml", "dvc.yaml", "requirements.txt")


def gather_record(photos: Prepared, training: TrainingRun, *, reports: Path, project: Path, params: Params) -> Record:
    """Gather everything that the run of a training holds, apart from its models.

    Args:
        photos: the prepared photos.
        training: the finished training.
        reports: folder of the reports.
        project: folder of params.yaml, dvc.yaml, dvc.lock and requirements.txt.
        params: all parameters.

    Raises:
        ConvLensError: a result is missing.
    """
    card, label_errors = training.card, LabelErrors.load(reports / "label_errors")
    tags = {f"convlens.{name}": str(card[name]) for name in CARD_TAGS if name in card}
    if tags.get("convlens.num_threads") == "0":
        tags["convlens.num_threads"] = "one per processor"
    tags |= {"convlens.dvc_lock": digest_lock(project / "dvc.lock"), "convlens.data_checks": _describe_checks(reports)}
    summary = reports / "summary.md"
    files = {name: reports / name for name in REPORTS}
    files |= {f"{CONFIG}/{name}": project / name for name in CONFIGURATION}
    return Record(
        key=card["key"],
        params=flatten_params(params.model_dump(mode="json", by_alias=True)),
        epochs=_list_epochs(training.history.merge(training.timing, on="epoch", how="left")),
        metrics={
            **evaluation_metrics(Evaluation.load(reports / "evaluation").metrics),
            **evaluation_metrics(Robustness.load(reports / "robustness").metrics, section="robustness"),
            **evaluation_metrics(label_errors.metrics, section="label_errors"),
        },
        tags={**git_tags(), **tags, **({} if training.timing.empty else machine_tags())},
        photos=photos,
        description=summary.read_text(encoding="utf-8") if summary.is_file() else "",
        files={**files, "data/splits.csv": photos.folder / "splits.csv"},
        lock=project / "dvc.lock",
        pictures=_list_pictures(reports),
        folds={str(fold): _list_epochs(rows.drop(columns="fold")) for fold, rows in label_errors.folds.groupby("fold")},
    )


def digest_lock(lock: Path) -> str:
    """Return the sha256 of what dvc.lock says of the other stages; this one's entry is written after it ends."""
    if not lock.is_file():
        return ""
    stages = {name: entry for name, entry in read_yaml(lock).get("stages", {}).items() if name != STAGE}
    return hashlib.sha256(json.dumps(stages, sort_keys=True).encode()).hexdigest()


def _list_epochs(table: pd.DataFrame) -> list[tuple[int, dict[str, float]]]:
    rows = table.to_dict(orient="records")
    return [(int(row["epoch"]), {str(name): value for name, value in row.items() if pd.notna(value)}) for row in rows]


def _describe_checks(reports: Path) -> str:
    """For people: `1,198 of 1,200 photos usable, 14 of 14 checks passed`."""
    result = load_result(reports / "validation")
    passed = [item["success"] for item in result["expectations"]]
    photos = f"{result['num_usable']:,} of {result['num_photos']:,} photos usable"
    return f"{photos}, {sum(passed)} of {len(passed)} checks passed"


def _list_pictures(reports: Path) -> list[Picture]:
    """Plots, a series of one each; feature maps of a photo, layer by layer; how the filters came to be, by epoch."""
    found = [
        Picture(f"{folder}/{path.stem}", 0, path)
        for folder in ("evaluation", "robustness", "training")
        for path in sorted((reports / folder).rglob("*.png"))
    ]
    maps = reports / "feature_maps"
    photos = sorted(path for path in maps.glob("[0-9]*") if path.is_dir())
    for photo in photos[:NUM_MAPPED_PHOTOS]:
        layers = sorted(photo.glob("*.png"), key=_by_number)
        found += [Picture(f"feature_maps/{photo.name}", depth, path) for depth, path in enumerate(layers)]
    over_time = sorted(maps.glob("over_time_*.png"))
    return [*found, *(Picture("feature_maps/over_time", int(path.stem.rsplit("_", 1)[1]), path) for path in over_time)]


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sorts `conv_10` after `conv_9`."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", path.stem)]
