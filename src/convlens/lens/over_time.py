"""How a network came to be: the same photos shown to it with the weights it had after earlier epochs.

When a filter became what it is, is told by the correlation of its responses then with its responses now, over photos
and places (after Raghu et al., "SVCCA", NIPS 2017, arXiv:1706.05806, who compare layers of snapshots with the end).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from convlens.errors import ConvLensError
from convlens.lens.arithmetic import ConvolutionRecipe, find_recipes
from convlens.lens.attribution import cam_blocks
from convlens.lens.filters import Responses, correlate_columns, gather_responses
from convlens.lens.forward import Scorer, batch_size, run_batches
from convlens.lens.graph import operate
from convlens.lens.lens import Block, Lens, open_lens

FORMED = 0.9  # from this correlation on a filter counts as what it is in the end
MAX_LAYERS = 12
MAX_SIDE = 18  # of a small map, in cells


@dataclass(frozen=True)
class LayerSnapshot:
    """One layer after an epoch.

    Attributes:
        firing_rate: of every filter, share of the sample's photos.
        dead: whether it never fires on them.
        correlation: with what the filter is in the end, over photos and places; 0 for constant ones.
    """

    firing_rate: np.ndarray
    dead: np.ndarray
    correlation: np.ndarray


@dataclass(frozen=True)
class EpochSnapshot:
    """The network after an epoch.

    Attributes:
        epoch: counted from 1.
        is_kept: whether this is the network that was kept, and not a snapshot.
        probabilities: float64 (photos, classes) of the photos to show.
        layers: by name of the block.
        maps: by name of the block, float32 (photos, filters shown, rows, columns), cells averaged to at most 18x18.
        kernels: of the first convolution, float32 (filters, red green blue, rows, columns); None where it reads no
            colors.
    """

    epoch: int
    is_kept: bool
    probabilities: np.ndarray
    layers: Mapping[str, LayerSnapshot]
    maps: Mapping[str, np.ndarray]
    kernels: np.ndarray | None


@dataclass(frozen=True)
class Watched:
    """What is looked at after every epoch.

    Attributes:
        photos: to show, uint8 (n, rows, columns, 3).
        sample: that rates and correlations are measured on.
        chosen: filters shown, by name of the block.
        answer: calibrated probabilities (n, classes) of photos, by the model as it is.
    """

    photos: np.ndarray
    sample: Any
    chosen: Mapping[str, np.ndarray]
    answer: Callable[[np.ndarray], np.ndarray]


def follow(
    scorer: Scorer, snapshots: Mapping[int, Sequence[np.ndarray]], kept: int, watched: Watched
) -> list[EpochSnapshot]:
    """Look at a network after every epoch there is a snapshot of, and as it is; in the order of the epochs.

    Args:
        scorer: the network; its weights are the same again afterwards.
        snapshots: weights by epoch, as `keras.Model.get_weights` gives them.
        kept: the epoch whose weights the network has.
        watched: what to look at.

    Raises:
        ConvLensError: the snapshots are of another network.
    """
    lens = scorer.lens
    now = gather_responses(lens, watched.sample)
    states = {epoch: weights for epoch, weights in snapshots.items() if epoch != kept}
    snapshots = [_look(lens, kept, now, now, watched=watched, is_kept=True)]
    for epoch, weights in states.items():
        with borrow_weights(lens.model, weights):
            earlier = open_lens(lens.model)  # anew: where activations are split off, layers are copies with own weights
            then = gather_responses(earlier, watched.sample)
            snapshots.append(_look(earlier, epoch, then, now, watched=watched, is_kept=False))
    return sorted(snapshots, key=lambda snapshot: snapshot.epoch)


@contextmanager
def borrow_weights(model: keras.Model, weights: Sequence[np.ndarray]) -> Iterator[None]:
    """Let a model have other weights for a while; afterwards it has its own to the last bit.

    Raises:
        ConvLensError: they do not fit the model.
    """
    own = model.get_weights()
    shapes, expected = [values.shape for values in weights], [values.shape for values in own]
    if shapes != expected:
        raise ConvLensError(
            f"Expected a snapshot of '{model.name}': {len(expected)} arrays of its shapes. Received: {len(shapes)} of "
            "others. Train again: dvc repro train."
        )
    model.set_weights(list(weights))
    try:
        yield
    finally:
        model.set_weights(own)


def choose_layers(blocks: Sequence[Block]) -> list[Block]:
    """Convolutions to show: all, or twelve evenly taken over the depth, the first and the last among them."""
    found = cam_blocks(blocks)
    if len(found) <= MAX_LAYERS:
        return found
    return [found[round(place * (len(found) - 1) / (MAX_LAYERS - 1))] for place in range(MAX_LAYERS)]


def formed_at(correlations: np.ndarray) -> np.ndarray:
    """From which snapshot on each filter is, and stays, what it is in the end.

    Args:
        correlations: (snapshots, filters), the earliest first; those after the network that was kept left out.

    Returns:
        int (filters,): the first snapshot from which all correlations are at least 0.9.
    """
    late = correlations[::-1] < FORMED
    return np.asarray(np.where(late.any(axis=0), len(correlations) - late.argmax(axis=0), 0))


def shrink_map(maps: np.ndarray, side: int = MAX_SIDE) -> np.ndarray:
    """Maps (…, rows, columns) with at most `side` cells down and across: means over equal squares of cells.

    Squares at the right and lower border may be cut; their mean is over the cells that are there.
    """
    factor = max(-(-maps.shape[-2] // side), -(-maps.shape[-1] // side), 1)
    starts = [np.arange(0, length, factor) for length in maps.shape[-2:]]
    sums = np.add.reduceat(np.add.reduceat(maps.astype(np.float64), starts[0], axis=-2), starts[1], axis=-1)
    sizes = [np.diff([*start, length]) for start, length in zip(starts, maps.shape[-2:], strict=True)]
    return np.asarray(sums / np.outer(*sizes), np.float32)


def _look(
    lens: Lens,
    epoch: int,
    then: Mapping[str, Responses],
    now: Mapping[str, Responses],
    *,
    watched: Watched,
    is_kept: bool,
) -> EpochSnapshot:
    return EpochSnapshot(
        epoch=epoch,
        is_kept=is_kept,
        probabilities=watched.answer(watched.photos),
        layers={name: _describe(responses, now[name]) for name, responses in then.items()},
        maps=_small_maps(lens, watched),
        kernels=_first_kernels(lens),
    )


def _describe(then: Responses, now: Responses) -> LayerSnapshot:
    return LayerSnapshot(then.firing_rate, then.dead, correlate_columns(then.values, now.values))


def _small_maps(lens: Lens, watched: Watched) -> dict[str, np.ndarray]:
    blocks = [block for block in lens.blocks if block.name in watched.chosen]
    if not blocks:
        return {}
    chosen = [operate(partial(_take, filters=watched.chosen[block.name]), block.response.tensor) for block in blocks]
    model = keras.Model(lens.graph.input, chosen)
    found = run_batches(model, watched.photos, size=batch_size(lens), dtype=str(lens.model.inputs[0].dtype))
    return {block.name: shrink_map(np.moveaxis(maps, -1, 1)) for block, maps in zip(blocks, found, strict=True)}


def _take(maps: Any, *, filters: Any) -> Any:
    return keras.ops.take(maps, filters, axis=-1)


def _first_kernels(lens: Lens) -> np.ndarray | None:
    """The kernels of the first convolution if it reads the three colors of the picture."""
    recipe = next(iter(find_recipes(lens).values()), None)
    if (
        not isinstance(recipe, ConvolutionRecipe)
        or sorted(recipe.source.order) != [0, 1, 2]
        or recipe.kernel.shape[1] != 3
    ):
        return None
    return np.asarray(recipe.kernel[:, np.argsort(recipe.source.order)], np.float32)
