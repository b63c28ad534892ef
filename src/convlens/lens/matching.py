"""Which filter of one network is which of another: matched one to one by the correlation of their responses.

After Li et al., "Convergent learning: Do different neural networks learn the same representations?", 2015
(arXiv:1511.07543): two networks see the same photos, filters of a layer are correlated over photos and places, and the
assignment with the highest sum is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from convlens.lens.filters import Responses, standardize

THRESHOLD = 0.5  # below this correlation two filters are no partners


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
    partners = [pair for pair in assign(base.values, head.values) if pair.correlation >= THRESHOLD]
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
