"""Can the picture of an explanation be believed? Deletion and insertion against controls.

Petsiuk, Das and Saenko, "RISE: Randomized input sampling for explanation of black-box models", BMVC 2018
(arXiv:1806.07421): take away the pixels an explanation calls important, and the answer must fall fast; bring them back
first, and it must rise fast. A number alone says little, so the same is done with chance and with edges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convlens.lens.estimates import Estimates, estimate
from convlens.lens.forward import Scorer
from convlens.lens.occlusion import mean_colour
from convlens.lens.profiles import LUMINANCE, edge_strength

SHARES = tuple(round(0.1 * i, 1) for i in range(11))
ORDERS = ("saliency", "random", "edges")
BLUR_CELLS = 6


@dataclass(frozen=True)
class Curves:
    """Deletion and insertion over photos.

    Attributes:
        deletion: probability of the answer, float64 (photos, shares), by order of pixels.
        insertion: the same.
    """

    deletion: Mapping[str, np.ndarray]
    insertion: Mapping[str, np.ndarray]

    def areas(self, kind: str, order: str) -> np.ndarray:
        """Area under each photo's curve, 0..1."""
        curve = getattr(self, kind)[order]
        return np.asarray((curve[:, 1:] + curve[:, :-1]).mean(axis=1) / 2)

    def area(self, kind: str, order: str) -> Estimates:
        """Mean area under the curve, with its interval."""
        return estimate(self.areas(kind, order)[:, np.newaxis])

    def difference(self, kind: str) -> Estimates:
        """Area by saliency less that by chance: below zero is good for deletion, above zero for insertion."""
        return estimate((self.areas(kind, "saliency") - self.areas(kind, "random"))[:, np.newaxis])

    @property
    def passes(self) -> bool:
        """Whether the explanation beats chance both ways, surely."""
        deletion, insertion = self.difference("deletion")[0], self.difference("insertion")[0]
        return bool(deletion[2] < 0 and insertion[1] > 0)


def deletion_insertion(scorer: Scorer, photos: np.ndarray, maps: np.ndarray, targets: np.ndarray) -> Curves:
    """Delete and insert pixels in the order of an explanation, of chance and of edges.

    Args:
        scorer: the network.
        photos: uint8 (n, rows, columns, 3).
        maps: (n, rows, columns) of the explanation, coarse; the controls are as coarse, so that order alone counts.
        targets: int (n,), the class whose calibrated probability is followed.
    """
    found: dict[str, list[np.ndarray]] = {"deletion": [], "insertion": []}
    for number, (photo, values, target) in enumerate(zip(photos, maps, targets, strict=True)):
        orders = [_ranks(_grow(order, photo.shape[:2])) for order in _orders(photo, values, number)]
        ends = {"deletion": (photo, _filled(photo)), "insertion": (_blurred(photo), photo)}
        for kind, (before, after) in ends.items():
            found[kind].append(_follow(scorer, before, after, orders, int(target)))
    stacked = {kind: np.array(rows).reshape(-1, len(ORDERS), len(SHARES)) for kind, rows in found.items()}
    deletion, insertion = ({order: rows[:, i] for i, order in enumerate(ORDERS)} for rows in stacked.values())
    return Curves(deletion, insertion)


def _orders(photo: np.ndarray, values: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    chance = np.random.default_rng([number]).random(values.shape)
    edges = _shrink(edge_strength(photo.astype(np.float64) @ LUMINANCE), values.shape)
    return values, chance, edges


def _follow(
    scorer: Scorer, before: np.ndarray, after: np.ndarray, orders: Sequence[np.ndarray], target: int
) -> np.ndarray:
    """Probability (orders, shares) while the first pixels by rank change from `before` to `after`.

    All orders begin and end with the same picture, which is shown once.
    """
    steps = [np.where((ranks < share * ranks.size)[..., np.newaxis], after, before)
             for ranks in orders for share in SHARES[1:-1]]  # fmt: skip
    first, *inner, last = scorer.scores(scorer.logits(np.stack([before, *steps, after])), target)[1]
    ends = np.ones((len(orders), 1))
    return np.hstack([first * ends, np.reshape(inner, (len(orders), -1)), last * ends])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Place of every pixel, the highest value first."""
    ranks = np.empty(values.size, np.int64)
    ranks[np.argsort(-values, axis=None, kind="stable")] = np.arange(values.size)
    return ranks.reshape(values.shape)


def _grow(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Bilinear enlargement of a coarse map (rows, columns)."""
    rows, columns = (_places(n, m) for n, m in zip(shape, values.shape, strict=True))
    down = np.stack([np.interp(rows, np.arange(len(values)), column) for column in values.T], axis=1)
    return np.stack([np.interp(columns, np.arange(values.shape[1]), row) for row in down])


def _places(length: int, count: int) -> np.ndarray:
    return (np.arange(length) + 0.5) * count / length - 0.5


def _shrink(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Means over a coarse grid."""
    rows = np.array_split(values, shape[0])
    return np.array([[part.mean() for part in np.array_split(row, shape[1], axis=1)] for row in rows])


def _filled(photo: np.ndarray) -> np.ndarray:
    return np.broadcast_to(mean_colour(photo), photo.shape)


def _blurred(photo: np.ndarray) -> np.ndarray:
    """A photo of which six by six soft patches are left."""
    shape = (BLUR_CELLS, BLUR_CELLS)
    channels: list[Any] = [_grow(_shrink(photo[..., c].astype(np.float64), shape), photo.shape[:2]) for c in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(photo.dtype)
