"""How good a recipe is on all photos of a folder, by stratified cross-validation.

    python benchmarks/folds.py --photos FOLDER --folds 5 --workspace FOLDER --json folds.json

Every photo is evaluated by a network that was not trained on it, and no part is set aside for anything else: nothing
is chosen by the photos that are evaluated. The temperature of a fold is fitted on the predictions of the other folds.
A measurement that was interrupted is resumed from its workspace.
"""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import harness
import numpy as np
import pandas as pd

from convlens.data.workers import count_workers
from convlens.environment import hold_stderr
from convlens.errors import ConvLensError
from convlens.files import encode_arrays, write_bytes
from convlens.params import Params, load_params
from convlens.progress import say
from convlens.wording import show_share

if TYPE_CHECKING:
    from convlens.training.fit import EpochReport

NOTES = """\
Each photo is evaluated by the network that was not trained on it; Wilson's 95 % interval.
Log loss with the temperature fitted on the predictions of the other folds, where there are any."""


# --- one fold, in a process of its own ---


@dataclass(frozen=True)
class FoldTask:
    """What one training gets.

    Attributes:
        number: of the fold, from 0.
        assigned: the fold of each photo, int64 (N,).
        labels: of each photo, int64 (N,).
        array: file of all photos, uint8 (N, image_size, image_size, 3).
        folder: of this fold: its checkpoint, and when the training has ended the network and its predictions.
        params: all parameters.
    """

    number: int
    assigned: np.ndarray
    labels: np.ndarray
    array: Path
    folder: Path
    params: Params

    @property
    def evaluated(self) -> np.ndarray:
        """Rows of the photos of this fold; the network is trained on all others."""
        return np.flatnonzero(self.assigned == self.number)


def run_fold(task: FoldTask) -> dict[str, Any]:
    """Train and predict, or take what an earlier call has left; an interrupted training is resumed.

    Returns:
        `logits` of the photos of this fold, float64 (n, num_classes), the mean over the views; `num_train` photos;
        `epochs`; `seconds` and `cpu_seconds` of the training, the latter None if it was interrupted; and
        `memory_megabytes`, its peak.
    """
    path = task.folder / "predictions.npz"
    if path.is_file():
        with np.load(io.BytesIO(path.read_bytes())) as arrays:
            return {"logits": arrays["logits"], **json.loads(arrays["facts"].tobytes())}
    with hold_stderr():
        from convlens.auxiliary.cross_validation import Part, train_fold
        from convlens.models.files import FILE, encode_model
        from convlens.models.inference import predict_logits
        from convlens.training.checkpoints import Checkpoint
        from convlens.training.fit import Photos
        from convlens.training.runtime import prepare_runtime

    params, images = task.params, harness.open_array(task.array)
    checkpoint, trained = Checkpoint(task.folder / "checkpoint"), list[Any]()
    before = checkpoint.load()
    resume = partial(
        train_fold,
        params.recipe,
        Photos(images, task.labels),
        task.evaluated,
        num_classes=len(np.unique(task.labels)),
        runtime=prepare_runtime(params.train),
        checkpoint=checkpoint,
        on_epoch=partial(_tell_epoch, number=task.number),
    )
    usage = harness.measure(lambda: trained.extend(resume()))
    network, history = trained
    facts = {
        "num_train": len(task.labels) - len(task.evaluated),
        "epochs": len(history),
        "seconds": usage.seconds + (before.seconds if before else 0.0),
        "cpu_seconds": None if before else usage.cpu_seconds,
        "memory_megabytes": harness.peak_memory(),
    }
    views = params.inference
    logits = predict_logits(network, Part(images, task.evaluated), mirror=views.mirror, center_crop=views.center_crop)
    write_bytes(task.folder / FILE, encode_model(network, task.folder))
    write_bytes(path, encode_arrays({"logits": logits, "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)}))
    checkpoint.remove()
    return {"logits": logits, **facts}


def _tell_epoch(epoch: "EpochReport", number: int) -> None:
    """Print a line after every tenth epoch, and after the last."""
    done, (minutes, seconds) = int(epoch.values["epoch"]), divmod(round(epoch.seconds_left), 60)
    if done % 10 == 0 or done == epoch.num_epochs:
        accuracy = f"accuracy {epoch.values['validation_accuracy']:.1%} on its photos"
        say(f"fold {number + 1}: epoch {done}/{epoch.num_epochs}, {accuracy}, {minutes}:{seconds:02d} left")


# --- all folds ---


def cross_validate(
    folder: Path | None,
    params: Params,
    *,
    count: int,
    numbers: Sequence[int] = (),
    jobs: int = 1,
    workspace: Path | None = None,
) -> dict[str, Any]:
    """Train a network per fold, and evaluate the predictions of all of them together.

    Of `count` folds those with the given `numbers`, from 0, are run, else all; `jobs` trainings side by side, each with
    its share of the cores. The `workspace` keeps decoded photos, checkpoints and finished folds to resume from.

    Raises:
        ConvLensError: no such folder, too few photos for so many folds, a recipe that chooses by the photos it is
            evaluated on, or a training's process was killed.
    """
    if params.train.keep != "last" or params.train.patience:
        raise ConvLensError(
            "Expected a recipe that chooses nothing by the photos it is evaluated on: train.keep last and "
            f"train.patience 0. Received: {params.train.keep} and {params.train.patience}."
        )
    if jobs > 1:
        threads = max(1, count_workers(0) // jobs)
        params = params.model_copy(update={"train": params.train.model_copy(update={"num_threads": threads})})
    with nullcontext(workspace) if workspace else tempfile.TemporaryDirectory(prefix="convlens-benchmark-") as place:
        Path(place).mkdir(parents=True, exist_ok=True)
        found, source = harness.scan_source(folder, params, Path(place))
        table = found[found["usable"]].drop_duplicates(subset=["sha256"]).reset_index(drop=True)
        tasks = plan_folds(table, params, count, Path(place))
        chosen = [tasks[number] for number in sorted(set(numbers)) or range(count)]
        say(f"benchmark: {len(chosen)} of {count} folds of {len(table):,} photos, {jobs} at a time.")
        with ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(partial(harness.in_new_process, run_fold), chosen))
    rows = table[["sha256", "label"]].sort_values(["sha256", "label"]).to_csv(index=False, lineterminator="\n")
    digest, classes = hashlib.sha256(rows.encode()).hexdigest(), sorted(table["label"].unique())
    photos = {"source": source, "classes": classes, "num_photos": len(table), "digest": digest}
    head = {"benchmark": "folds", "machine": harness.describe_machine(), "photos": photos, "count": count, "jobs": jobs}
    return {**head, **evaluate_folds(chosen, results)}


def plan_folds(table: pd.DataFrame, params: Params, count: int, place: Path) -> list[FoldTask]:
    """Deal the photos out, near-duplicates into one fold, and decode them unless an earlier call did.

    Raises:
        ConvLensError: too few photos of a class for so many folds.
    """
    from convlens.data.duplicates import group_duplicates
    from convlens.data.split import deal_folds
    from convlens.training.key import digest_code

    classes, labels = np.unique(table["label"].to_numpy(str), return_inverse=True)
    assigned = deal_folds(
        labels, group_duplicates(table, params.preprocess).to_numpy(), count=count, seed=params.train.seed
    )
    for number, name in enumerate(classes):
        having = len(np.unique(assigned[labels == number]))
        if having < count:
            raise ConvLensError(
                f"Expected photos of every class in each of {count} folds. Received: photos of '{name}' in {having}. "
                "Take fewer folds, or more photos."
            )
    # What the trainings depend on names their folder: photos, parameters, code and the number of folds.
    values = params.model_dump(mode="json", include={"preprocess", "model", "augment", "train"})
    facts = [table[["sha256", "label"]].to_csv(index=False), values, digest_code(), count]
    folder = place / hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    array, unfinished = folder / "photos.npy", folder / "photos.part"
    if not array.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        paths = [os.path.abspath(path) for path in table["path"]]
        harness.write_array(unfinished, paths, params.preprocess, image_size=params.preprocess.image_size)
        unfinished.replace(array)
    return [FoldTask(each, assigned, labels, array, folder / f"fold-{each + 1}", params) for each in range(count)]


def evaluate_folds(tasks: Sequence[FoldTask], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Compute accuracy, log losses and costs, of each fold and of all that were run."""
    from scipy.special import log_softmax

    from convlens.metrics.calibration import fit_temperature
    from convlens.metrics.intervals import wilson_interval

    def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
        return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())

    logits, labels, rows = [result["logits"] for result in results], [task.labels[task.evaluated] for task in tasks], []
    for place, (own, truth) in enumerate(zip(logits, labels, strict=True)):
        temperature = None
        if len(tasks) > 1:
            others = [np.concatenate(values[:place] + values[place + 1 :]) for values in (logits, labels)]
            temperature = fit_temperature(*others).value
        num_correct = int((own.argmax(axis=1) == truth).sum())
        row = {
            "fold": tasks[place].number + 1,
            "num_evaluated": len(truth),
            "num_correct": num_correct,
            "accuracy": num_correct / len(truth),
            "log_loss_untempered": log_loss(own, truth),
            "log_loss": None if temperature is None else log_loss(own / temperature, truth),
            "temperature": temperature,
        }
        rows.append({**row, **{name: value for name, value in results[place].items() if name != "logits"}})
    total, correct = (sum(row[name] for row in rows) for name in ("num_evaluated", "num_correct"))
    low, high = wilson_interval(correct, total)
    values = {"num_evaluated": total, "accuracy": correct / total, "accuracy_low": low, "accuracy_high": high}
    for name in ("log_loss", "log_loss_untempered"):
        known = [row["num_evaluated"] * row[name] for row in rows if row[name] is not None]
        values[name] = sum(known) / total if known else None
    return {**values, "folds": rows}


# --- result ---


def format_folds(result: dict[str, Any]) -> str:
    """Format all that a person reads."""
    columns = (
        "fold",
        "trained on",
        "evaluated on",
        "accuracy",
        "log loss",
        "epochs",
        "time",
        "CPU time",
        "peak memory",
    )
    table = [list(columns)]
    for fold in result["folds"]:
        loss = fold["log_loss_untempered"] if fold["log_loss"] is None else fold["log_loss"]
        counts = [f"{fold[name]:,}" for name in ("fold", "num_train", "num_evaluated")]
        cpu = "–" if fold["cpu_seconds"] is None else f"{fold['cpu_seconds']:,.0f} s"
        costs = [f"{fold['epochs']}", f"{fold['seconds']:,.0f} s", cpu, f"{fold['memory_megabytes']:,.0f} MB"]
        table.append([*counts, show_share(fold["accuracy"]), f"{loss:.3f}", *costs])
    photos, recipe = result["photos"], f"preset {result['preset']}" if result["preset"] else result["params"]
    low, high = (f"{100 * result[name]:.1f}" for name in ("accuracy_low", "accuracy_high"))
    loss = "" if result["log_loss"] is None else f", log loss {result['log_loss']:.3f}"
    title = f"{photos['num_photos']:,} photos of {len(photos['classes'])} classes in {result['count']} folds"
    head = f"{title}, {result['jobs']} at a time; {recipe}.\n{harness.show_machine(result['machine'])}"
    found = f"Accuracy {show_share(result['accuracy'])} ({low} to {high}) on {result['num_evaluated']:,} photos{loss}."
    return f"{head}\n\n{harness.format_table(table)}\n\n{found}\n{NOTES}"


@click.command()
@harness.photos_option
@click.option("--folds", "count", type=click.IntRange(2), default=5, show_default=True, help="Number of folds.")
@click.option("--only", "numbers", type=click.IntRange(1), multiple=True, help="Run only this fold, from 1.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Trainings side by side.")
@click.option("--params", "file", type=click.Path(), default="params.yaml", show_default=True, help="The recipe.")
@click.option("--preset", help="Parameters of this preset, laid over the recipe.")
@click.option("--workspace", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Keeps what is done there; the same command resumes an interrupted measurement.")  # fmt: skip
@harness.json_option
def main(
    photos: Path | None,
    count: int,
    numbers: Sequence[int],
    jobs: int,
    file: str,
    preset: str | None,
    workspace: Path | None,
    json_file: Path | None,
) -> None:
    """Evaluate the recipe on all photos, each by a network that was not trained on it."""
    from convlens.presets import load_preset

    if max(numbers, default=0) > count:
        raise ConvLensError(f"Expected --only from 1 to {count}, the number of folds. Received: {max(numbers)}.")
    params = load_params(Path(file)) if preset is None else load_preset(preset, params=Path(file)).params
    chosen = [number - 1 for number in numbers]
    result = cross_validate(photos, params, count=count, numbers=chosen, jobs=jobs, workspace=workspace)
    result = {**result, "params": file, "preset": preset}
    harness.report(result, format_folds(result), json_file)


if __name__ == "__main__":
    harness.run(main)
