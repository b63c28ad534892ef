"""What one run left behind, as plain values: parameters, numbers, answers, facts about the model."""

import io
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from convlens.comparison.revisions import Revision
from convlens.errors import ConvLensError
from convlens.tracking.values import flatten_params

TEXTS = {"path": str, "label": str, "predicted": str, "sha256": str}


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
        model_bytes: size of the model's folder; None if dvc.lock does not say.
        predictions: one row per test photo: path, label, probability_<class> …; None if it cannot be had.
        photos: one row per photo: path, label, split, sha256; None if it cannot be had.
        absent: files that DVC tracks and that cannot be had.
        seconds: how long the training took; None if nobody knows.
    """

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    history: pd.DataFrame
    commit: str = ""
    outdated: tuple[str, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)
    model_bytes: int | None = None
    predictions: pd.DataFrame | None = None
    photos: pd.DataFrame | None = None
    absent: tuple[str, ...] = ()
    seconds: float | None = None


def read_snapshot(root: Path, name: str) -> Snapshot:
    """Read what a revision holds.

    Raises:
        ConvLensError: there is no such revision, or it has no results.
    """
    revision = Revision(root, name)
    params, lock = revision.read_yaml("params.yaml"), revision.read_yaml("dvc.lock")
    places = _Places(revision)
    model, prepared = places.find("train", "model_folder"), places.find("train", "prepared")
    return Snapshot(
        name=name,
        params=params,
        metrics=json.loads(revision.read(places.find("evaluate", "metrics"))),
        history=pd.read_csv(io.BytesIO(revision.read(places.find("train", "history")))),
        commit=revision.commit,
        outdated=_list_outdated(params, lock),
        card=json.loads(revision.read_tracked(f"{model}/card.json") or "{}"),
        model_bytes=_find_size(lock, model),
        predictions=_parse(revision.read_tracked(places.find("evaluate", "predictions"))),
        photos=_parse(revision.read_tracked(f"{prepared}/splits.csv")),
        absent=tuple(revision.absent),
    )


class _Places:
    """Where a revision keeps its files: its own dvc.yaml says so, on the command lines of the stages."""

    def __init__(self, revision: Revision) -> None:
        stages = revision.read_yaml("dvc.yaml").get("stages", {})
        self._words = {stage: shlex.split(entry.get("cmd", "")) for stage, entry in stages.items()}
        self._revision = revision.name

    def find(self, stage: str, name: str) -> str:
        words, option = self._words.get(stage, []), f"--{name.replace('_', '-')}"
        if option not in words[:-1]:
            raise ConvLensError(
                f"Expected a stage '{stage}' with {option} in dvc.yaml at the revision '{self._revision}'. Received: "
                "none. Name a revision with the pipeline of ConvLens."
            )
        return words[words.index(option) + 1]


def _list_outdated(params: Mapping[str, Any], lock: Mapping[str, Any]) -> tuple[str, ...]:
    """A parameter that no stage has run with yet is new, and not outdated."""
    now = flatten_params(params)
    outdated = set()
    for stage in lock.get("stages", {}).values():
        ran = flatten_params(stage.get("params", {}).get("params.yaml", {}))
        outdated |= {name for name, value in ran.items() if now.get(name, value) != value}
    return tuple(name for name in now if name in outdated)


def _find_size(lock: Mapping[str, Any], path: str) -> int | None:
    outputs = [output for stage in lock.get("stages", {}).values() for output in stage.get("outs", [])]
    return next((output.get("size") for output in outputs if output["path"] == path), None)


def _parse(content: bytes | None) -> pd.DataFrame | None:
    return None if content is None else pd.read_csv(io.BytesIO(content), dtype=TEXTS, keep_default_na=False)
