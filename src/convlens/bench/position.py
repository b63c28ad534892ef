"""What a network learns of a place: heads on the left to learn from, then the same heads on the left and on the right.

The painted cats and dogs are told apart by their shape alone, and the painter knows where their heads are: each is cut
out and put on a gray canvas, at one place to learn from. A convolution looks for the same shapes everywhere; a dense
layer has weights of its own for every pixel. No augmentation: a mirrored photo would show the other side.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from convlens.bench.machine import describe_machine
from convlens.bench.processes import in_new_process
from convlens.bench.tables import format_table
from convlens.data.synthetic.recipe import KINDS, SyntheticRecipe, list_photos, paint_photo
from convlens.data.workers import map_in_processes
from convlens.metrics.intervals import wilson_interval
from convlens.params import NO_AUGMENTATION, PLAIN_TRAINING, ModelParams, Params, TrainingSize
from convlens.progress import say
from convlens.wording import show_share

TITLES = {"residual": "convolutional (residual)", "dense": "fully connected (dense)"}
CANVAS, HEAD = 64, 32  # sides in pixels
TOP = (CANVAS - HEAD) // 2
LEFT, RIGHT = 0, CANVAS - HEAD
HALF = 24  # pixels of the painted photo on each side of a head's center
GREY = 128
SEEDS = {"train": 1, "validation": 2, "test": 3}
PLAIN = {
    **PLAIN_TRAINING,
    "seed": 0,
    "precision": "float32",
    "deterministic": False,
    "strategy": "single",
    "batch_size": 32,
}
TRAINING = {
    "residual": {"epochs": 15, "optimizer": "conv_muon", "learning_rate": 0.05, "schedule": "cosine"},
    "dense": {"epochs": 40, "optimizer": "adam", "learning_rate": 0.0001, "schedule": "constant"},
}
Heads = tuple[np.ndarray, np.ndarray]  # uint8 (N, 32, 32, 3), and labels int64 (N,)


@dataclass(frozen=True)
class PositionTask:
    """What a contestant gets: its name, heads by part of `SEEDS`, and all of params.yaml."""

    name: str
    heads: dict[str, Heads]
    params: Params


def bench_position(
    params: Params, *, num_train: int = 600, num_test: int = 300, call: Callable[..., Any] = in_new_process
) -> dict[str, Any]:
    """Paint, train both networks on the left, and ask them about both sides.

    Args:
        params: all of params.yaml, of which device and threads are used.
        num_train: heads to learn from.
        num_test: other heads to be asked about, on either side.
        call: runs a function on a task, each time in a process of its own.

    Returns:
        Plain values: machine, numbers of heads, and a row per network: parameters and the accuracies with intervals.
    """
    counts = {"train": num_train, "validation": max(2, num_train // 10), "test": num_test}
    say(f"bench: painting {sum(counts.values()):,} heads.")
    heads = {part: paint_heads(counts[part], SEEDS[part]) for part in SEEDS}
    rows = []
    for name, title in TITLES.items():
        say(f"bench: training {title}.")
        rows.append(call(train_and_ask, PositionTask(name, heads, params)))
    machine = describe_machine().values
    return {"bench": "position", "machine": machine, "num_train": num_train, "num_test": num_test, "rows": rows}


def paint_heads(num_photos: int, seed: int) -> Heads:
    """Heads of painted cats and dogs, of one size and in the middle of their cut-outs."""
    recipe = SyntheticRecipe(
        num_photos=num_photos,
        image_size=CANVAS,
        seed=seed,
        classes=KINDS,
        shape_tells=True,
        head_size=(0.6, 0.7),
        clutter=0.0,
        occlusion_probability=0.0,
        noise=0.2,
    )
    which = list_photos(recipe)
    heads = np.stack(list(map_in_processes(partial(_paint_head, recipe), which)))
    return heads, np.array([recipe.classes.index(label) for label, _ in which], np.int64)


def put(heads: np.ndarray, left: int) -> np.ndarray:
    """Heads on a gray canvas, half-way down and so many pixels from the left edge, uint8 (N, 64, 64, 3)."""
    canvas = np.full((len(heads), CANVAS, CANVAS, 3), GREY, np.uint8)
    canvas[:, TOP : TOP + HEAD, left : left + HEAD] = heads
    return canvas


def train_and_ask(task: PositionTask) -> dict[str, Any]:
    """Train one network on the left, ask it about the left and the right; runs in a process of its own."""
    from convlens.models.files import finish_model
    from convlens.models.inference import predict_probabilities
    from convlens.training.checkpoints import Checkpoint
    from convlens.training.fit import Photos, Recipe, fit
    from convlens.training.runtime import prepare_runtime

    train = task.params.train.changed(**PLAIN, **TRAINING[task.name])
    recipe = Recipe(_choose_network(task), NO_AUGMENTATION, train, 2)
    learnt, validation = (
        Photos(put(task.heads[part][0], LEFT), task.heads[part][1]) for part in SEEDS if part != "test"
    )
    with tempfile.TemporaryDirectory() as folder:
        result = fit(
            recipe,
            learnt,
            validation=validation,
            runtime=prepare_runtime(train),
            checkpoint=Checkpoint(Path(folder)),
            on_epoch=lambda _: None,
        )
    network = finish_model(result.body, recipe.model, num_classes=2, image_size=CANVAS)

    def ask(part: str, left: int) -> np.ndarray:
        heads, labels = task.heads[part]
        right: np.ndarray = predict_probabilities(network, put(heads, left)).argmax(axis=1) == labels
        return right

    answers = {"learnt": ask("train", LEFT), "left": ask("test", LEFT), "right": ask("test", RIGHT)}
    return {"name": task.name, "num_parameters": network.count_params(), **_shares(answers)}


def format_position(result: dict[str, Any], *, markdown: bool = False) -> str:
    """All that a person reads of `bench position`."""
    rows = [["", "parameters", "learnt heads, left", "other heads, left", "the same, right"]]
    rows += [
        [TITLES[row["name"]], f"{row['num_parameters']:,}", *(_show(row, part) for part in ("learnt", "left", "right"))]
        for row in result["rows"]
    ]
    head = (
        f"Heads of painted cats and dogs: {result['num_train']:,} on the left to learn from; {result['num_test']:,} "
        "others, asked about on the left and then on the right.\nRight answers with 95 % intervals; guessing is right "
        "half of the time."
    )
    return "\n\n".join([head, format_table(rows, markdown=markdown)])


def _paint_head(recipe: SyntheticRecipe, which: tuple[str, int]) -> np.ndarray:
    photo = paint_photo(recipe, *which)
    box = photo.regions["outline"]
    x, y = (
        min(max((low + high) / 2, HALF), CANVAS - HALF) for low, high in ((box.left, box.right), (box.top, box.bottom))
    )
    return np.asarray(photo.image.resize((HEAD, HEAD), box=(x - HALF, y - HALF, x + HALF, y + HALF)))


def _choose_network(task: PositionTask) -> ModelParams:
    model = task.params.model
    sizes = (TrainingSize(until=1.0, size=CANVAS),)
    return model.model_copy(
        update={
            "architecture": task.name,
            "mirror": False,
            "center_crop": None,
            "residual": model.residual.model_copy(update={"width": 8, "training_sizes": sizes}),
            "dense": model.dense.model_copy(update={"units": (128,)}),
        }
    )


def _shares(right: dict[str, np.ndarray]) -> dict[str, float]:
    values: dict[str, float] = {}
    for part, hits in right.items():
        low, high = wilson_interval(int(hits.sum()), len(hits))
        values |= {f"accuracy_{part}": float(hits.mean()), f"accuracy_{part}_low": low, f"accuracy_{part}_high": high}
    return values


def _show(row: dict[str, Any], part: str) -> str:
    low, high = (f"{100 * row[f'accuracy_{part}_{end}']:.0f}" for end in ("low", "high"))
    return f"{show_share(row[f'accuracy_{part}'])} ({low} to {high})"
