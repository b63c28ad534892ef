"""Stage `train`: fit the network, live in MLflow, and write its file and its history."""

from pathlib import Path
from typing import Any, cast

import keras
import pandas as pd

from convlens.data.prepared import Prepared
from convlens.environment import repository_root
from convlens.errors import ConvLensError
from convlens.files import new_folder, write_bytes, write_csv, write_json
from convlens.models.files import FILE, encode_model, finish_model
from convlens.params import AugmentParams, ModelParams, TrainParams, flatten_params, load_params
from convlens.plots.style import to_png
from convlens.plots.training import plot_speed, plot_training_curves
from convlens.progress import say
from convlens.tracking.live import LiveRun, open_live_run
from convlens.training.checkpoints import NAME, Checkpoint, Snapshots
from convlens.training.devices import Meeting
from convlens.training.fit import EpochReport, FitResult, NotFiniteError, Photos, Recipe, fit
from convlens.training.key import training_key
from convlens.training.runtime import Runtime, prepare_runtime


def train(
    *,
    prepared: Path,
    model_folder: Path,
    snapshots: Path,
    history: Path,
    curves: Path,
    timing: Path,
    speed: Path,
    checkpoints: Path,
    model: ModelParams,
    augment: AugmentParams,
    train: TrainParams,
) -> None:
    """Train, from the last finished epoch if the same training was cut off before.

    Args:
        prepared: folder of arrays per split.
        model_folder: folder to write: `model.keras` and `card.json`.
        snapshots: folder to write: weights after some epochs, without the epoch of the network itself.
        history: one row per epoch (CSV).
        curves: the same as a picture (PNG).
        timing: seconds, photos per second and memory of each epoch; not a result, differs from run to run (CSV).
        speed: the same as a picture (PNG).
        checkpoints: folder, below the repository's root, for the state of unfinished trainings.
        model: the group `model`.
        augment: the group `augment`.
        train: the group `train`.

    Raises:
        ConvLensError: a GPU is asked for and there is none, or the loss is not finite any more.
    """
    photos = Prepared.load(prepared)
    recipe = Recipe(model, augment, train, len(photos.classes))
    key = training_key(photos.card, model=model, augment=augment, train=train)
    runtime = prepare_runtime(train, Meeting(key))
    state = Path(repository_root()) / checkpoints / key
    checkpoint, kept = Checkpoint(state), Snapshots(state / "snapshots", train.snapshots)
    _announce(recipe, photos, runtime)
    # What is recorded besides the result is no input of this stage: it reads the whole file without depending on it.
    everything = load_params()
    flat = flatten_params(everything.model_dump(mode="json", by_alias=True))
    with open_live_run(key=key, experiment=everything.register_.experiment, params=flat) as live:
        watch = _Watch(timing, live, key, kept)
        result = _fit(recipe, photos, runtime=runtime, checkpoint=checkpoint, watch=watch)
        network = _finish(result, recipe, photos)
        card = _describe(network, result, key=key, recipe=recipe, photos=photos, runtime=runtime)
        _write(network, card, model_folder)
    _write_snapshots(kept, result.best_epoch, snapshots)
    _write_history(result, history, curves)
    write_bytes(speed, to_png(plot_speed(pd.read_csv(timing))))
    checkpoint.remove()


class _Watch:
    """Tells the person, MLflow and `timing.csv` of every epoch."""

    def __init__(self, timing: Path, live: LiveRun, key: str, snapshots: Snapshots) -> None:
        self._timing, self._live, self._key, self._snapshots = timing, live, key, snapshots

    def tell(self, report: EpochReport) -> None:
        epoch = int(report.values["epoch"])
        speed = {
            "seconds": round(report.seconds, 3),
            "photos_per_second": round(report.photos_per_second, 1),
            "memory_megabytes": round(report.memory_megabytes),
        }
        self._timing.parent.mkdir(parents=True, exist_ok=True)
        row = {"key": self._key, "epoch": epoch, **speed}
        write_csv(self._timing, pd.DataFrame([*self._earlier(epoch), row]))
        self._live.log_epoch(epoch, {**{k: v for k, v in report.values.items() if k != "epoch"}, **speed})
        self._snapshots.keep(epoch, report.weights)
        tell_epoch(report)

    def _earlier(self, epoch: int) -> list[dict[str, Any]]:
        """What an earlier process noted of the same training."""
        if not self._timing.is_file():
            return []
        table = pd.read_csv(self._timing)
        same = table[(table["key"] == self._key) & (table["epoch"] < epoch)]
        return cast("list[dict[str, Any]]", same.to_dict(orient="records"))


def _fit(recipe: Recipe, photos: Prepared, *, runtime: Runtime, checkpoint: Checkpoint, watch: _Watch) -> FitResult:
    train, validation = (Photos(photos.images(split), photos.labels(split)) for split in ("train", "validation"))
    try:
        return fit(recipe, train, validation=validation, runtime=runtime, checkpoint=checkpoint, on_epoch=watch.tell)
    except NotFiniteError as error:
        checkpoint.remove()  # going on from here would only fail again
        names = photos.photos("train")["path"].iloc[error.rows]
        raise ConvLensError(f"{error} Photos of that batch: {', '.join(names)}.") from error


def tell_epoch(report: EpochReport) -> None:
    """Print one line about an epoch."""
    values = report.values
    minutes, seconds = divmod(round(report.seconds_left), 60)
    say(
        f"train: epoch {int(values['epoch']):>3}/{report.num_epochs}  {int(values['image_size'])} px  "
        f"loss {values['train_loss']:.3f}  accuracy {values['train_accuracy']:.1%}  "
        f"validation {values['validation_loss']:.3f} {values['validation_accuracy']:.1%}  "
        f"{report.photos_per_second:,.0f} photos/s  {minutes}:{seconds:02d} left"
    )


def _announce(recipe: Recipe, photos: Prepared, runtime: Runtime) -> None:
    counts = {split: sum(photos.card["counts"][split].values()) for split in ("train", "validation")}
    say(
        f"train: {recipe.model.architecture}, {_length(recipe.train)} over {counts['train']:,} photos, "
        f"{counts['validation']:,} to validate, {runtime.devices.describe(runtime.device)}, {runtime.precision}."
    )


def _length(params: TrainParams) -> str:
    """How long the training is to be: `40 epochs`, `as many epochs as fit 5 minutes`, or `at most` so many."""
    if params.max_minutes is None:
        return f"{params.epochs} epochs"
    minutes = f"fit {params.max_minutes:g} minutes"
    return f"as many epochs as {minutes}" if params.epochs is None else f"{params.epochs} epochs or what {minutes}"


def _finish(result: FitResult, recipe: Recipe, photos: Prepared) -> keras.Model:
    size = photos.card["image_size"]
    return finish_model(result.body, recipe.model, num_classes=recipe.num_classes, image_size=size)


def _describe(
    network: keras.Model, result: FitResult, *, key: str, recipe: Recipe, photos: Prepared, runtime: Runtime
) -> dict[str, Any]:
    kept = result.history[result.best_epoch - 1]
    return {
        "key": key,
        "architecture": recipe.model.architecture,
        "classes": list(photos.classes),
        "image_size": photos.card["image_size"],
        "keep_aspect": photos.card["keep_aspect"],
        "resampling": photos.card["resampling"],
        "num_parameters": network.count_params(),
        "precision": runtime.precision,
        "num_threads": runtime.num_threads,
        "device": runtime.device,
        "num_devices": runtime.devices.num_replicas,
        "epochs": len(result.history),
        "best_epoch": result.best_epoch,
        "data_digest": photos.card["digest"],
        "validation_loss": kept["validation_loss"],
        "validation_accuracy": kept["validation_accuracy"],
    }


def _write(network: keras.Model, card: dict[str, Any], folder: Path) -> None:
    with new_folder(folder) as fresh:
        write_bytes(fresh / FILE, encode_model(network, fresh))
        write_json(fresh / "card.json", card)


def _write_snapshots(kept: Snapshots, best_epoch: int, folder: Path) -> None:
    with new_folder(folder) as fresh:
        for epoch, content in kept.read().items():
            if epoch != best_epoch:  # that one is the network itself
                write_bytes(fresh / NAME.format(epoch), content)


def _write_history(result: FitResult, history: Path, curves: Path) -> None:
    table = pd.DataFrame(result.history).astype({"epoch": int, "image_size": int})
    write_csv(history, table)
    write_bytes(curves, to_png(plot_training_curves(table)))
