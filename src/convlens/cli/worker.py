"""What a machine does that helps another one to train: all of the computing, none of the writing."""

from pathlib import Path

from convlens.data.prepared import Prepared
from convlens.params import TrainingRecipe
from convlens.progress import say
from convlens.training.devices import Rendezvous
from convlens.training.fit import Photos, fit
from convlens.training.key import training_key
from convlens.training.runtime import prepare_runtime


def work(prepared: Path, recipe: TrainingRecipe, *, wait_seconds: float) -> None:
    """Train together with the chief of `TF_CONFIG`, which runs the stage `train`; nothing is written here.

    Args:
        prepared: folder of arrays per split, the same as the chief's.
        recipe: the groups `model`, `augment` and `train`, as the chief's.
        wait_seconds: how long to wait for the chief.

    Raises:
        ConvLensError: `TF_CONFIG` is missing or names this machine as the chief, the chief does not come or trains
            something else, or another machine ends before the training does.
    """
    photos = Prepared.load(prepared)
    rendezvous = Rendezvous(training_key(photos.card, recipe), is_chief=False, seconds=wait_seconds)
    runtime = prepare_runtime(recipe.train, rendezvous)
    train, validation = (Photos(photos.images(split), photos.labels(split)) for split in ("train", "validation"))
    fit(
        recipe,
        train,
        validation=validation,
        num_classes=len(photos.classes),
        runtime=runtime,
        on_epoch=lambda report: say(f"worker: {report}"),
    )
    say("worker: the training has ended; the chief writes the network.")
