"""What a machine does that helps another one to train: all of the computing, none of the writing."""

from pathlib import Path

from convlens.data.prepared import Prepared
from convlens.params import Params
from convlens.progress import say
from convlens.stages.train import tell_epoch
from convlens.training.checkpoints import Checkpoint
from convlens.training.devices import Meeting
from convlens.training.fit import Photos, Recipe, fit
from convlens.training.key import training_key
from convlens.training.runtime import prepare_runtime


def work(prepared: Path, params: Params, *, wait_seconds: float) -> None:
    """Train together with the chief of `TF_CONFIG`, which runs the stage `train`; nothing is written here.

    Args:
        prepared: folder of arrays per split, the same as the chief's.
        params: all of `params.yaml`, as the chief's.
        wait_seconds: how long to wait for the chief.

    Raises:
        ConvLensError: `TF_CONFIG` is missing or names this machine as the chief, the chief does not come or trains
            something else, or another machine ends before the training does.
    """
    photos = Prepared.load(prepared)
    recipe = Recipe(params.model, params.augment, params.train, len(photos.classes))
    key = training_key(photos.card, model=params.model, augment=params.augment, train=params.train)
    runtime = prepare_runtime(params.train, Meeting(key, is_chief=False, seconds=wait_seconds))
    train, validation = (Photos(photos.images(split), photos.labels(split)) for split in ("train", "validation"))
    # Only the chief reads and writes checkpoints: the folder is never touched.
    fit(recipe, train, validation=validation, runtime=runtime, checkpoint=Checkpoint(Path()), on_epoch=tell_epoch)
    say("worker: the training has ended; the chief writes the network.")
