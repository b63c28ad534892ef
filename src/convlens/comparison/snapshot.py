"""What one run left behind, as plain values: parameters, numbers, answers, facts about data and model."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from convlens.comparison.places import Disk, Lock, Output, Places, list_outdated, list_outputs
from convlens.comparison.revisions import Revision

TEXTS = {"path": str, "label": str, "predicted": str, "sha256": str}


@dataclass(frozen=True)
class Files:
    """Large files of a run that lie on this disk, read only when they are needed; None or empty where they do not.

    Attributes:
        test_shards: arrays of the test photos, uint8 (n, size, size, 3) each, in the order of their rows.
        model: the network.
        manifest: facts about all photos.
        listing: the list that `ingest` wrote, with the data's own columns.
    """

    test_shards: tuple[Path, ...] = ()
    model: Path | None = None
    manifest: Path | None = None
    listing: Path | None = None


@dataclass(frozen=True)
class Snapshot:
    """One run, as a revision holds it.

    Attributes:
        name: of the revision, as the user wrote it.
        params: content of params.yaml.
        metrics: content of metrics.json.
        history: one row per epoch.
        commit: of the revision, 40 hexadecimal digits; empty for the workspace.
        outdated: parameters (dotted) that have other values in params.yaml than the results were made with.
        card: card of the model; empty if it cannot be had.
        prepared_card: card of the prepared photos; empty if it cannot be had.
        validation: result of the data checks; empty if there is none.
        maps: numbers about the filters (maps_metrics.json); empty if they cannot be had.
        predictions: one row per test photo: path, label, probability_<class> …; None if it cannot be had.
        photos: one row per photo: path, label, split, row, sha256; None if it cannot be had.
        absent: files that DVC tracks and that cannot be had.
        places: paths of some outputs by what they are: prepared, model, predictions, manifest, report, feature_maps.
        outputs: what dvc.lock says of them all, by path.
        code: digests of the stages' source files by path, and the stages that depend on each.
        files: large files on this disk.
        seconds: how long the training took; None if nobody knows.
    """

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    history: pd.DataFrame
    commit: str = ""
    outdated: tuple[str, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)
    prepared_card: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    maps: Mapping[str, Any] = field(default_factory=dict)
    predictions: pd.DataFrame | None = None
    photos: pd.DataFrame | None = None
    absent: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)
    code: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    files: Files = Files()
    seconds: float | None = None

    def output(self, kind: str) -> Output | None:
        """What dvc.lock says of the output of a kind that `places` names."""
        return self.outputs.get(self.places.get(kind, ""))


def read_snapshot(root: Path, name: str) -> Snapshot:
    """Read what a revision holds.

    Raises:
        NoResultsError: it has no results.
        ConvLensError: there is no such revision.
    """
    revision = Revision(root, name)
    params, lock = revision.read_yaml("params.yaml"), revision.read_yaml("dvc.lock")
    places = Places(revision)
    known = _find_places(places)
    return Snapshot(
        name=name,
        params=params,
        metrics=json.loads(revision.read(places.find("evaluate", "metrics"))),
        history=pd.read_csv(io.BytesIO(revision.read(places.find("train", "history")))),
        commit=revision.commit,
        outdated=list_outdated(params, lock),
        card=_read_facts(revision, f"{known['model']}/card.json"),
        prepared_card=_read_facts(revision, f"{known['prepared']}/card.json"),
        validation=_read_validation(revision, known),
        maps=_read_facts(revision, f"{known['maps']}/maps_metrics.json") if "maps" in known else {},
        predictions=_parse(revision.read_tracked(known["predictions"])),
        photos=_parse(revision.read_tracked(f"{known['prepared']}/splits.csv")),
        absent=tuple(revision.absent),
        places=known,
        outputs=list_outputs(lock),
        code=_list_code(lock),
        files=_find_files(Disk(revision, lock), known),
    )


def _find_places(places: Places) -> dict[str, str]:
    known = {
        "prepared": places.find("train", "prepared"),
        "model": places.find("train", "model_folder"),
        "predictions": places.find("evaluate", "predictions"),
    }
    others = {
        "manifest": places.find_if_there("validate", "manifest"),
        "listing": places.find_if_there("validate", "photos"),
        "validation": places.find_if_there("validate", "result"),
        "report": places.find_if_there("report", "page"),
        "feature_maps": places.find_if_there("report", "feature_maps"),
        "maps": places.find_if_there("report", "feature_maps_folder"),
    }
    return known | {kind: path for kind, path in others.items() if path is not None}


def _find_files(disk: Disk, known: Mapping[str, str]) -> Files:
    return Files(
        test_shards=disk.match(f"{known['prepared']}/test/images-*.npy"),
        model=disk.find(f"{known['model']}/model.keras"),
        manifest=disk.find(known.get("manifest")),
        listing=disk.find(known.get("listing")),
    )


def _list_code(lock: Lock) -> dict[str, tuple[str, tuple[str, ...]]]:
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for stage, entry in lock.get("stages", {}).items():
        for row in entry.get("deps", []):
            if row["path"].startswith("src/"):
                _, users = found.get(row["path"], ("", ()))
                found[row["path"]] = (row.get("md5", ""), (*users, stage))
    return found


def _read_facts(revision: Revision, path: str) -> dict[str, Any]:
    return dict(json.loads(revision.read_tracked(path) or "{}"))


def _read_validation(revision: Revision, known: Mapping[str, str]) -> dict[str, Any]:
    content = revision.read_if_there(known["validation"]) if "validation" in known else None
    return dict(json.loads(content or "{}"))


def _parse(content: bytes | None) -> pd.DataFrame | None:
    return None if content is None else pd.read_csv(io.BytesIO(content), dtype=TEXTS, keep_default_na=False)
