"""One fold of `convlens bench folds`: a network learns from the other folds and is asked about this one."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from convlens.bench.processes import measure, peak_memory
from convlens.environment import hold_stderr
from convlens.files import encode_arrays, write_bytes
from convlens.params import Params
from convlens.progress import say

ANSWERS = "answers.npz"


@dataclass(frozen=True)
class FoldTask:
    """What one training gets.

    Attributes:
        number: of the fold, from 0.
        assigned: the fold of each photo, int64 (N,).
        labels: of each photo, int64 (N,).
        num_classes: at least 2.
        array: file of all photos, uint8 (N, image_size, image_size, 3).
        folder: of all folds.
        params: all parameters.
    """

    number: int
    assigned: np.ndarray
    labels: np.ndarray
    num_classes: int
    array: Path
    folder: Path
    params: Params

    @property
    def home(self) -> Path:
        """Folder of this fold: its checkpoint, and when the training has ended the network and its answers."""
        return self.folder / f"fold-{self.number + 1}"


@dataclass(frozen=True)
class FoldResult:
    """What came of a fold.

    Attributes:
        logits: of the photos of this fold, float64 (n, num_classes), the mean over the views.
        facts: epochs; seconds and cpu_seconds of the training, the latter None if it was cut off and gone on with;
            memory_megabytes, its peak; num_learnt, photos.
    """

    logits: np.ndarray
    facts: Mapping[str, float | None]


def train_fold(task: FoldTask) -> FoldResult:
    """Train and ask, or take up what an earlier call has left; runs in a process of its own."""
    answers = task.home / ANSWERS
    if answers.is_file():
        return _read(answers)
    from convlens.training.checkpoints import Checkpoint

    checkpoint = Checkpoint(task.home / "checkpoint")
    result = _train(task, checkpoint)
    kept = {name: np.array(np.nan if value is None else value) for name, value in result.facts.items()}
    write_bytes(answers, encode_arrays({"logits": result.logits, **kept}))
    checkpoint.remove()
    return result


def _read(path: Path) -> FoldResult:
    with np.load(io.BytesIO(path.read_bytes())) as arrays:
        logits, facts = arrays["logits"], {name: arrays[name].item() for name in arrays.files if name != "logits"}
    return FoldResult(logits, {name: None if value != value else value for name, value in facts.items()})


def _train(task: FoldTask, checkpoint: Any) -> FoldResult:
    with hold_stderr():
        from convlens.bench.reading import open_array
        from convlens.models.files import FILE, encode_model, finish_model
        from convlens.models.inference import predict_logits
        from convlens.training.cross_validation import Part
        from convlens.training.fit import FitResult, Photos, Recipe, fit
        from convlens.training.runtime import prepare_runtime

    params, images = task.params, open_array(task.array)
    rows = [np.flatnonzero((task.assigned == task.number) == asked) for asked in (False, True)]
    learnt, asked = (Photos(Part(images, some), task.labels[some]) for some in rows)
    recipe = Recipe(params.model, params.augment, params.train, task.num_classes)
    runtime, trained, tell = prepare_runtime(params.train), list[FitResult](), partial(_tell, number=task.number)
    before = checkpoint.load()

    def train() -> None:
        trained.append(fit(recipe, learnt, validation=asked, runtime=runtime, checkpoint=checkpoint, on_epoch=tell))

    usage = measure(train)
    size = params.preprocess.image_size
    network = finish_model(trained[0].body, params.model, num_classes=task.num_classes, image_size=size)
    write_bytes(task.home / FILE, encode_model(network, task.home))
    facts = {
        "epochs": len(trained[0].history),
        "seconds": usage.seconds + (before.seconds if before else 0.0),
        "cpu_seconds": None if before else usage.cpu_seconds,
        "memory_megabytes": peak_memory(),
        "num_learnt": len(rows[0]),
    }
    return FoldResult(predict_logits(network, asked.images, **params.model.views), facts)


def _tell(report: Any, number: int) -> None:
    """Print a line after every tenth epoch, and after the last."""
    epoch = int(report.values["epoch"])
    if epoch % 10 == 0 or epoch == report.num_epochs:
        minutes, seconds = divmod(round(report.seconds_left), 60)
        say(
            f"bench: fold {number + 1}, epoch {epoch}/{report.num_epochs}, "
            f"{report.values['validation_accuracy']:.1%} of its photos right, {minutes}:{seconds:02d} left"
        )
