"""Stage `train`: fit the network, live in MLflow, and write its files and its history."""

from pathlib import Path

from convlens.data.prepared import Prepared
from convlens.environment import repository_root
from convlens.errors import ConvLensError
from convlens.models.architectures import finish_model
from convlens.models.files import TrainingRun, save_timing
from convlens.models.transfer import describe_weights
from convlens.params import Recording, TrainingRecipe
from convlens.progress import say
from convlens.tracking.live import open_live_run
from convlens.training.checkpoints import Checkpoint
from convlens.training.devices import Rendezvous
from convlens.training.fit import EpochReport, NotFiniteError, Photos, fit
from convlens.training.key import training_key
from convlens.training.runtime import prepare_runtime

FEW_PHOTOS = 20_000  # to learn from; with fewer, a network that has seen others before usually does better


def train(
    *,
    prepared: Path,
    model_folder: Path,
    training: Path,
    checkpoints: Path,
    recipe: TrainingRecipe,
    recording: Recording,
) -> None:
    """Train a network, from the last finished epoch if the same training was interrupted before.

    Args:
        prepared: folder of arrays per split.
        model_folder: folder to write: network, card and snapshots, see `TrainingRun`.
        training: folder to write: history.csv, a row per epoch, and timing.csv, its seconds, photos per second and
            memory; the latter differs from run to run and is no result.
        checkpoints: folder, below the repository's root, for the state of unfinished trainings.
        recipe: the groups `model`, `augment` and `train`.
        recording: what MLflow gets besides; nothing of the result depends on it.

    Raises:
        ConvLensError: a GPU is asked for and there is none, or the loss is not finite any more.
    """
    photos = Prepared.load(prepared)
    card, num_classes = photos.card, len(photos.classes)
    train, validation = (Photos(photos.images(split), photos.labels(split)) for split in ("train", "validation"))
    key = training_key(card, recipe)
    runtime = prepare_runtime(recipe.train, Rendezvous(key))
    checkpoint = Checkpoint(Path(repository_root()) / checkpoints / key, recipe.train.snapshots)
    begun, resumed = checkpoint.load(), ""
    if begun:
        done = len(begun.history)
        resumed = f"resumes at epoch {done + 1}; " if done < len(begun.plan) else "resumes after its last epoch; "
    length = "a fitted last layer" if recipe.model.ends_with_fit else recipe.train.length
    say(
        f"train: {resumed}{recipe.model.architecture}, {length} over {len(train.labels):,} photos, "
        f"{len(validation.labels):,} to validate, {runtime.devices.describe(runtime.device)}, {runtime.precision}."
    )
    if not (begun or recipe.model.is_pretrained) and len(train.labels) < FEW_PHOTOS:
        say(
            f"train: this starts from random weights. With fewer than {FEW_PHOTOS:,} photos the preset pretrained "
            "usually does better: dvc exp run $(convlens preset pretrained)"
        )

    with open_live_run(key=key, experiment=recording.experiment, params=recording.params) as live:

        def record(report: EpochReport) -> None:
            save_timing(training, key, report.timing)
            live.log_epoch(len(report.timing), {**report.values, **report.timing[-1]})
            say(f"train: {report}")

        try:
            result = fit(
                recipe,
                train,
                validation=validation,
                num_classes=num_classes,
                runtime=runtime,
                checkpoint=checkpoint,
                on_epoch=record,
            )
        except NotFiniteError as error:
            checkpoint.remove()  # going on from here would only fail again
            names = photos.photos("train")["path"].iloc[error.rows]
            raise ConvLensError(f"{error} Photos of that batch: {', '.join(names)}.") from error
        network = finish_model(result.body, recipe.model, num_classes=num_classes, image_size=card["image_size"])
        kept = result.history[result.best_epoch - 1]
        TrainingRun.save(
            model_folder,
            training,
            network=network,
            card={
                "key": key,
                "architecture": recipe.model.architecture,
                "backbones": describe_weights(recipe.model),
                "classes": list(photos.classes),
                "image_size": card["image_size"],
                "keep_aspect": card["keep_aspect"],
                "resampling": card["resampling"],
                "num_parameters": network.count_params(),
                "precision": runtime.precision,
                "num_threads": runtime.num_threads,
                "device": runtime.device,
                "num_devices": runtime.devices.num_replicas,
                "epochs": len(result.history),
                "best_epoch": result.best_epoch,
                "data_digest": card["digest"],
                "validation_loss": kept["validation_loss"],
                "validation_accuracy": kept["validation_accuracy"],
            },
            history=result.history,
            snapshots=checkpoint.read_snapshots(),
        )
    checkpoint.remove()
