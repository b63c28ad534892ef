"""`convlens bench folds`: how good a recipe is on all photos of a folder, by stratified cross-validation.

Every photo is answered by a network that did not learn from it, and no part is set aside for anything else: nothing is
chosen by the photos that are asked about. The temperature of a fold is fitted on the answers to the other folds.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.bench.fold_results import judge_folds
from convlens.bench.fold_training import FoldTask, train_fold
from convlens.bench.machine import describe_machine
from convlens.bench.processes import in_new_process
from convlens.bench.reading import write_array
from convlens.bench.sources import check_photos
from convlens.data.duplicates import group_duplicates
from convlens.data.loader import LoaderSettings
from convlens.data.split import deal_folds
from convlens.data.workers import count_workers
from convlens.errors import ConvLensError
from convlens.params import Params
from convlens.progress import say


def bench_folds(
    folder: Path | None,
    params: Params,
    *,
    count: int,
    numbers: Sequence[int] = (),
    jobs: int = 1,
    workspace: Path | None = None,
    call: Callable[..., Any] = in_new_process,
) -> dict[str, Any]:
    """Train a network per fold, and judge the answers of all of them together.

    Args:
        folder: class folders of photos; None takes `data.source`.
        params: all parameters: photos are read, networks trained and asked as they say.
        count: number of folds, at least 2.
        numbers: folds to run, from 0; none given runs all.
        jobs: trainings side by side, each with its share of the cores.
        workspace: folder that keeps decoded photos, checkpoints and finished folds, so that a measurement that is cut
            off goes on where it was; None keeps nothing.
        call: runs a function on a task, each time in a process of its own.

    Returns:
        Plain values: machine, photos, accuracy with interval, log losses, and a row per fold.

    Raises:
        ConvLensError: no such folder, too few photos for so many folds, a recipe that chooses by the photos it is asked
            about, or a training's process was killed.
    """
    _check_recipe(params)
    shared = _share_cores(params, jobs)
    with _open(workspace) as place:
        table, source = _list_photos(folder, params, place)
        tasks = _plan(table, shared, count, place)
        chosen = [tasks[number] for number in sorted(set(numbers)) or range(count)]
        say(f"bench: {len(chosen)} of {count} folds of {len(table):,} photos, {jobs} at a time.")
        with ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(partial(call, train_fold), chosen))
    classes, digest = sorted(table["label"].unique()), hashlib.sha256(_describe(table).encode()).hexdigest()
    photos = {"source": source, "classes": classes, "num_photos": len(table), "digest": digest}
    done = {"bench": "folds", "machine": describe_machine().values, "photos": photos, "count": count, "jobs": jobs}
    return {**done, **judge_folds(chosen, results)}


def _list_photos(folder: Path | None, params: Params, place: Path) -> tuple[pd.DataFrame, str]:
    """The usable photos, each once, and the name of their source."""
    found, source = check_photos(folder, params, place)
    return found[found["usable"]].drop_duplicates(subset=["sha256"]).reset_index(drop=True), source


def _plan(table: pd.DataFrame, params: Params, count: int, place: Path) -> list[FoldTask]:
    """The trainings, with all photos decoded."""
    classes = sorted(table["label"].unique())
    labels = np.searchsorted(np.array(classes), table["label"].to_numpy(str)).astype(np.int64)
    groups = group_duplicates(table, params.preprocess).to_numpy()
    assigned = deal_folds(labels, groups, count=count, seed=params.train.seed)
    _check_folds(labels, assigned, classes, count)
    folder = place / _digest(table, params, count)
    array = _decode(table, params, folder)
    return [FoldTask(number, assigned, labels, len(classes), array, folder, params) for number in range(count)]


@contextmanager
def _open(workspace: Path | None) -> Iterator[Path]:
    if workspace is not None:
        workspace.mkdir(parents=True, exist_ok=True)
        yield workspace
    else:
        with tempfile.TemporaryDirectory(prefix="convlens-bench-") as place:
            yield Path(place)


def _check_recipe(params: Params) -> None:
    if params.train.keep != "last" or params.train.patience:
        raise ConvLensError(
            "Expected a recipe that chooses nothing by the photos it is asked about: train.keep last and "
            f"train.patience 0. Received: {params.train.keep} and {params.train.patience}."
        )


def _check_folds(labels: np.ndarray, assigned: np.ndarray, classes: Sequence[str], count: int) -> None:
    for number, name in enumerate(classes):
        having = len(np.unique(assigned[labels == number]))
        if having < count:
            raise ConvLensError(
                f"Expected photos of every class in each of {count} folds. Received: photos of '{name}' in {having}. "
                "Take fewer folds, or more photos."
            )


def _share_cores(params: Params, jobs: int) -> Params:
    """Parameters that give each of the trainings side by side its share of the cores."""
    if jobs == 1:
        return params
    threads = max(1, count_workers(0) // jobs)
    return params.model_copy(update={"train": params.train.model_copy(update={"num_threads": threads})})


def _describe(table: pd.DataFrame) -> str:
    return table[["sha256", "label"]].sort_values(["sha256", "label"]).to_csv(index=False, lineterminator="\n")


def _digest(table: pd.DataFrame, params: Params, count: int) -> str:
    """What the trainings depend on: photos, parameters, code and the number of folds."""
    from convlens.training.key import digest_code

    groups = params.model_dump(mode="json", include={"preprocess", "model", "augment", "train"})
    facts = [table[["sha256", "label"]].to_csv(index=False), groups, digest_code(), count]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _decode(table: pd.DataFrame, params: Params, folder: Path) -> Path:
    """The file of all photos, decoded unless an earlier call did."""
    path, preprocess = folder / "photos.npy", params.preprocess
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        settings = LoaderSettings(preprocess.image_size, preprocess.keep_aspect, preprocess.resampling)
        unfinished = path.with_suffix(".part")
        paths = [os.path.abspath(each) for each in table["path"]]
        write_array(unfinished, paths, settings, num_workers=preprocess.num_workers)
        unfinished.replace(path)
    return path
