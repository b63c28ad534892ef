"""What the stage `register` records of a training, gathered from the files of the other stages."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from convlens.errors import ConvLensError
from convlens.params import load_params, read_yaml
from convlens.photos.prepared import Prepared
from convlens.tracking.environment import machine_tags
from convlens.tracking.git import describe_changes, git_tags
from convlens.tracking.pictures import Picture
from convlens.tracking.record import DataFacts, Part, Record
from convlens.tracking.values import evaluation_metrics, flatten_params

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
    invariance: Path
    mistakes: Path
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
        parts=_read_folds(results.mistakes),
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
        **evaluation_metrics(read_json(results.invariance / "metrics.json"), section="invariance"),
        **evaluation_metrics(read_json(results.mistakes / "metrics.json"), section="mistakes"),
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


def _read_folds(mistakes: Path) -> list[Part]:
    """The trainings of the folds, where there were any."""
    path = mistakes / "folds.csv"
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    return [
        Part(f"fold {fold}", {"mistakes.fold": str(fold)}, _split_epochs(rows.drop(columns="fold")))
        for fold, rows in table.groupby("fold")
    ]


def _describe(results: Results, card: Mapping[str, Any]) -> dict[str, str]:
    """Facts about the training that are neither parameters nor metrics, as tags."""
    tags = {f"convlens.{name}": str(card[name]) for name in CARD_TAGS if name in card}
    if tags.get("convlens.num_threads") == "0":
        tags["convlens.num_threads"] = "one per processor"
    tags["convlens.dvc_lock"] = digest_lock(results.lock)
    tags["convlens.data_checks"] = _describe_checks(read_json(results.validation / "result.json"))
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
        "invariance": results.invariance,
        "mistakes": results.mistakes,
        "training": results.training,
        "validation": results.validation,
        "data/splits.csv": results.prepared / "splits.csv",
        "config/params.yaml": results.params,
        "config/dvc.yaml": results.pipeline,
        "config/requirements.txt": results.requirements,
    }


def _list_plots(results: Results) -> Iterator[Picture]:
    """Each plot is a series of one, which stands beside the same plot of other runs."""
    for folder in (results.evaluation, results.invariance, results.training):
        for path in sorted(folder.glob("*.png")):
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
