"""Compare the filters of a network with those of earlier epochs, and with those of another network."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from scipy.optimize import linear_sum_assignment

from convlens.errors import ConvLensError
from convlens.lens.arithmetic import ConvolutionRecipe, find_recipes
from convlens.lens.filters import Responses, correlate_columns, gather_responses, standardize
from convlens.lens.forward import Scorer, batch_size, run_batches
from convlens.lens.graph import operate
from convlens.lens.lens import Block, Lens, open_lens

# --- The network after earlier epochs, shown the same photos ---
#
# When a filter became what it is, is told by the correlation of its responses then with its responses now, over photos
# and places (after Raghu et al., "SVCCA", NIPS 2017, arXiv:1706.05806, who compare layers of snapshots with the end).

FORMED = 0.9  # from this correlation on a filter counts as what it is in the end
MAX_SHOWN_LAYERS = 12
MAX_MAP_SIDE = 18  # of a small map, in cells


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
        answer: calibrated probabilities (n, classes) of photos, by the model with the weights it has then.
        probabilities: those of the photos to show, by the network as it is.
    """

    photos: np.ndarray
    sample: Any
    chosen: Mapping[str, np.ndarray]
    answer: Callable[[np.ndarray], np.ndarray]
    probabilities: np.ndarray


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

    def describe(opened: Lens, epoch: int, then: Mapping[str, Responses], probabilities: np.ndarray) -> EpochSnapshot:
        layers = {
            name: LayerSnapshot(found.firing_rate, found.dead, correlate_columns(found.values, now[name].values))
            for name, found in then.items()
        }
        maps = _small_maps(opened, watched)
        return EpochSnapshot(epoch, then is now, probabilities, layers, maps, _first_kernels(opened))

    found = [describe(lens, kept, now, watched.probabilities)]
    for epoch, weights in snapshots.items():
        if epoch != kept:
            with borrow_weights(lens.model, weights):
                earlier = open_lens(lens.model)  # anew: split-off activations make layers copies with own weights
                then = gather_responses(earlier, watched.sample)
                found.append(describe(earlier, epoch, then, watched.answer(watched.photos)))
    return sorted(found, key=lambda snapshot: snapshot.epoch)


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
    found = [block for block in blocks if block.is_convolution]
    if len(found) <= MAX_SHOWN_LAYERS:
        return found
    return [found[round(place * (len(found) - 1) / (MAX_SHOWN_LAYERS - 1))] for place in range(MAX_SHOWN_LAYERS)]


def formed_at(correlations: np.ndarray) -> np.ndarray:
    """From which snapshot on each filter is, and stays, what it is in the end.

    Args:
        correlations: (snapshots, filters), the earliest first; those after the network that was kept left out.

    Returns:
        int (filters,): the first snapshot from which all correlations are at least 0.9.
    """
    late = correlations[::-1] < FORMED
    return np.asarray(np.where(late.any(axis=0), len(correlations) - late.argmax(axis=0), 0))


def shrink_map(maps: np.ndarray, side: int = MAX_MAP_SIDE) -> np.ndarray:
    """Maps (…, rows, columns) with at most `side` cells down and across: means over equal squares of cells.

    Squares at the right and lower border may be cut; their mean is over the cells that are there.
    """
    factor = max(-(-maps.shape[-2] // side), -(-maps.shape[-1] // side), 1)
    starts = [np.arange(0, length, factor) for length in maps.shape[-2:]]
    sums = np.add.reduceat(np.add.reduceat(maps.astype(np.float64), starts[0], axis=-2), starts[1], axis=-1)
    sizes = [np.diff([*start, length]) for start, length in zip(starts, maps.shape[-2:], strict=True)]
    return np.asarray(sums / np.outer(*sizes), np.float32)


def _small_maps(lens: Lens, watched: Watched) -> dict[str, np.ndarray]:
    blocks = [block for block in lens.blocks if block.name in watched.chosen]
    if not blocks:
        return {}
    chosen = [operate(partial(keras.ops.take, indices=watched.chosen[block.name], axis=-1), block.response.tensor)
              for block in blocks]  # fmt: skip
    model = keras.Model(lens.graph.input, chosen)
    found = run_batches(model, watched.photos, size=batch_size(lens), dtype=str(lens.model.inputs[0].dtype))
    return {block.name: shrink_map(np.moveaxis(maps, -1, 1)) for block, maps in zip(blocks, found, strict=True)}


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


# --- Filters of two networks, matched one to one by the correlation of their responses ---
#
# After Li et al., "Convergent learning: Do different neural networks learn the same representations?", 2015
# (arXiv:1511.07543): two networks see the same photos, filters of a layer are correlated over photos and places, and
# the assignment with the highest sum is taken.

MIN_PARTNER_CORRELATION = 0.5  # below this two filters are no partners


@dataclass(frozen=True)
class FilterPair:
    """Two filters that were assigned to each other, and the correlation of their responses."""

    base: int
    head: int
    correlation: float


@dataclass(frozen=True)
class LayerMatch:
    """A layer of one network beside its counterpart in another.

    Attributes:
        base: name of the layer in the first network.
        head: in the second.
        num_base: filters there.
        num_head: filters here.
        pairs: partners: correlation at least 0.5, the most alike first.
        died: filters of the base without a partner that were alive, in their order.
        born: filters of the head without a partner that are alive.
        dead_base: filters of the base that never fire on these photos.
        dead_head: of the head.
        chance: mean correlation of an assignment made after the photos of one network were mixed up.
    """

    base: str
    head: str
    num_base: int
    num_head: int
    pairs: tuple[FilterPair, ...]
    died: tuple[int, ...]
    born: tuple[int, ...]
    dead_base: tuple[int, ...]
    dead_head: tuple[int, ...]
    chance: float

    @property
    def correlation(self) -> float:
        """Mean over the partners; 0 where there are none."""
        return float(np.mean([pair.correlation for pair in self.pairs])) if self.pairs else 0.0


def match_layer(base: Responses, head: Responses, *, names: tuple[str, str]) -> LayerMatch:
    """Match the filters of two layers that saw the same photos."""
    partners = [pair for pair in assign(base.values, head.values) if pair.correlation >= MIN_PARTNER_CORRELATION]
    taken_base, taken_head = {pair.base for pair in partners}, {pair.head for pair in partners}
    mixed = assign(np.roll(base.values, max(1, len(base.values) // 2), axis=0), head.values)
    return LayerMatch(
        base=names[0],
        head=names[1],
        num_base=base.values.shape[-1],
        num_head=head.values.shape[-1],
        pairs=tuple(sorted(partners, key=lambda pair: (-pair.correlation, pair.base))),
        died=_alone(~base.dead, taken_base),
        born=_alone(~head.dead, taken_head),
        dead_base=_alone(base.dead, set()),
        dead_head=_alone(head.dead, set()),
        chance=float(np.mean([pair.correlation for pair in mixed])) if mixed else 0.0,
    )


def assign(base: np.ndarray, head: np.ndarray) -> list[FilterPair]:
    """The one-to-one assignment of columns with the highest sum of correlations (Kuhn 1955, the Hungarian method).

    Args:
        base: responses (photos, places, filters); filters that never change are left out.
        head: the same of the other network; the number of filters may differ.
    """
    first, second = standardize(base), standardize(head)
    rows, columns = (np.flatnonzero(np.any(table != 0, axis=0)) for table in (first, second))
    correlations = np.round(first[:, rows].T @ second[:, columns], 9)  # sums differ in the last digits by machine
    chosen = linear_sum_assignment(correlations, maximize=True)
    return [
        FilterPair(int(rows[i]), int(columns[j]), float(np.clip(correlations[i, j], -1, 1)))
        for i, j in zip(*chosen, strict=True)
    ]


def pair_layers(base: Sequence[str], head: Sequence[str]) -> list[tuple[str, str]]:
    """Which layer of one network is held against which of another, in the order of the networks.

    The same names are the same architecture. Else each layer of the network with fewer layers goes with the one of the
    other at the same relative depth, and the others have no counterpart.
    """
    if not base or not head or list(base) == list(head):
        return list(zip(base, head, strict=False))
    short, long = sorted((base, head), key=len)
    last = max(1, len(short) - 1)
    picks = [long[(2 * place * (len(long) - 1) + last) // (2 * last)] for place in range(len(short))]
    pairs = list(zip(short, picks, strict=True))
    return pairs if short is base else [(second, first) for first, second in pairs]


def match_networks(base: Mapping[str, Responses], head: Mapping[str, Responses]) -> list[LayerMatch]:
    """Match all layers that have a counterpart."""
    pairs = pair_layers(list(base), list(head))
    return [match_layer(base[first], head[second], names=(first, second)) for first, second in pairs]


def _alone(wanted: np.ndarray, taken: set[int]) -> tuple[int, ...]:
    return tuple(int(number) for number in np.flatnonzero(wanted) if int(number) not in taken)
