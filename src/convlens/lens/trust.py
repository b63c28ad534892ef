"""Check the explanations themselves: deletion and insertion, randomization of weights, shifts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from scipy.stats import rankdata

from convlens.files import evenly_spaced
from convlens.lens.attribution import CamTarget, choose_cam, find_cam_targets, grad_cam, mean_color
from convlens.lens.filters import LUMINANCE, Estimates, edge_strength, estimate
from convlens.lens.forward import Scorer, batch_size, run_batches
from convlens.lens.lens import Block

# --- Deletion and insertion, against controls ---
#
# Petsiuk, Das and Saenko, "RISE: Randomized input sampling for explanation of black-box models", BMVC 2018
# (arXiv:1806.07421): take away the pixels an explanation calls important, and the answer must fall fast; bring them
# back first, and it must rise fast. A number alone says little, so the same is done with chance and with edges.

DELETION_SHARES = tuple(round(0.1 * i, 1) for i in range(11))
PIXEL_ORDERS = ("saliency", "random", "edges")
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
        chance = np.random.default_rng([number]).random(values.shape)
        edges = _shrink(edge_strength(photo.astype(np.float64) @ LUMINANCE), values.shape)
        orders = [_ranks(_grow(order, photo.shape[:2])) for order in (values, chance, edges)]
        filled = np.broadcast_to(mean_color(photo), photo.shape)
        for kind, (before, after) in {"deletion": (photo, filled), "insertion": (_blurred(photo), photo)}.items():
            found[kind].append(_follow(scorer, before, after, orders, int(target)))
    deletion, insertion = (
        dict(zip(PIXEL_ORDERS, np.array(rows).reshape(-1, len(PIXEL_ORDERS), len(DELETION_SHARES)).swapaxes(0, 1),
                 strict=True))
        for rows in found.values()
    )  # fmt: skip
    return Curves(deletion, insertion)


def _follow(
    scorer: Scorer, before: np.ndarray, after: np.ndarray, orders: Sequence[np.ndarray], target: int
) -> np.ndarray:
    """Probability (orders, shares) while the first pixels by rank change from `before` to `after`.

    All orders begin and end with the same picture, which is shown once.
    """
    steps = [np.where((ranks < share * ranks.size)[..., np.newaxis], after, before)
             for ranks in orders for share in DELETION_SHARES[1:-1]]  # fmt: skip
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
    rows, columns = ((np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(shape, values.shape, strict=True))
    down = np.stack([np.interp(rows, np.arange(len(values)), column) for column in values.T], axis=1)
    return np.stack([np.interp(columns, np.arange(values.shape[1]), row) for row in down])


def _shrink(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Means over a coarse grid."""
    rows = np.array_split(values, shape[0])
    return np.array([[part.mean() for part in np.array_split(row, shape[1], axis=1)] for row in rows])


def _blurred(photo: np.ndarray) -> np.ndarray:
    """A photo of which six by six soft patches are left."""
    shape = (BLUR_CELLS, BLUR_CELLS)
    channels: list[Any] = [_grow(_shrink(photo[..., c].astype(np.float64), shape), photo.shape[:2]) for c in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(photo.dtype)


# --- Sanity check by randomization: an explanation that stays when the weights are shuffled explains nothing ---
#
# Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018 (arXiv:1810.03292): weights are randomized layer by
# layer from the answer down, and the explanation is compared with the original one by rank.

MAX_CORRELATION = 0.5
MAX_SHUFFLES_MEASURED = 12


@dataclass(frozen=True)
class Randomization:
    """What became of an explanation.

    Attributes:
        layers: the layers in the order of shuffling; each step shuffles one more.
        correlations: Spearman's, float64 (steps, photos), with the explanation of the trained network.
        final: mean and interval behind the last step.
    """

    layers: tuple[str, ...]
    correlations: np.ndarray
    final: tuple[float, float, float]

    @property
    def threshold(self) -> float:
        """What the correlation must stay below."""
        return MAX_CORRELATION

    @property
    def steps(self) -> list[tuple[float, float, float]]:
        """Mean and interval behind every step."""
        found = estimate(self.correlations.T)
        return [found[number] for number in range(len(self.layers))]

    @property
    def passes(self) -> bool:
        """Whether what is left of the explanation is below the threshold, surely."""
        return max(abs(end) for end in self.final) < MAX_CORRELATION


def randomize(scorer: Scorer, photos: np.ndarray, classes: np.ndarray, *, target: CamTarget) -> Randomization:
    """Shuffle the weights of one layer after the other, and follow the Grad-CAM of `target`.

    Shuffling keeps every layer's own distribution of weights. The network has its weights back afterwards, also after
    an error. Networks of many layers are measured at twelve of the steps.
    """

    def explain() -> np.ndarray:
        return grad_cam(scorer, photos, classes, [target])[target.name]

    original = explain()
    layers = _shuffled_layers(scorer)
    shown = evenly_spaced(len(layers), MAX_SHUFFLES_MEASURED).tolist()
    rows: list[np.ndarray] = []
    with _restoring(weight for _, weights in layers for weight in weights):
        for number, (_, weights) in enumerate(layers):
            rng = np.random.default_rng([number])
            for weight in weights:
                weight.assign(rng.permutation(np.asarray(weight).ravel()).reshape(weight.shape))
            if number in shown:
                rows.append(spearman(original, explain()))
    correlations = np.stack(rows)
    final = estimate(correlations[-1][:, np.newaxis])[0]
    return Randomization(tuple(layers[number][0] for number in shown), correlations, final)


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rank correlation of maps (n, …) photo by photo; 0 where one of them is constant."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    x, y = (values - values.mean(axis=1, keepdims=True) for values in ranks)
    norms = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.where(norms > 0, (x * y).sum(axis=1) / np.maximum(norms, 1e-12), 0.0)


def _shuffled_layers(scorer: Scorer) -> list[tuple[str, list[keras.Variable]]]:
    """Names and kernels of layers, each once, from the answer down."""
    layers = [(call.name, call.layer) for call in scorer.lens.graph.calls]
    kernels = [(name, layer, [weight for weight in getattr(layer, "weights", []) if len(weight.shape) > 1])
               for name, layer in layers]  # fmt: skip
    found = [(name, layer, weights) for name, layer, weights in kernels if weights]
    if scorer.head.layer is not None:
        head = scorer.head.layer
        found[-1] = (found[-1][0], head, [weight for weight in head.weights if len(weight.shape) > 1])
    return list({id(layer): (name, weights) for name, layer, weights in reversed(found)}.values())


@contextmanager
def _restoring(weights: Iterable[keras.Variable]) -> Iterator[None]:
    """Give the weights their values back at the end."""
    values = [(weight, np.array(weight)) for weight in weights]
    try:
        yield
    finally:
        for weight, before in values:
            weight.assign(before)


# --- Shifts: what moving the photo does to the maps ---
#
# A convolution moves with its photo; strides, pooling and borders break that (Zhang, "Making convolutional networks
# shift-invariant again", ICML 2019, arXiv:1904.11486).


@dataclass(frozen=True)
class Equivariance:
    """Maps of a photo moved by one cell's stride, against its maps moved by one cell; mean relative error."""

    block: str
    pixels: int
    error: tuple[float, float, float]


def shift_right(photos: np.ndarray, pixels: int) -> np.ndarray:
    """Photos (n, rows, columns, 3) moved to the right; the left border is repeated."""
    return np.concatenate([np.repeat(photos[:, :, :1], pixels, axis=2), photos[:, :, : photos.shape[2] - pixels]], 2)


def equivariance(scorer: Scorer, photos: np.ndarray) -> list[Equivariance]:
    """How far each convolution's maps are from moving with the photo.

    Networks that resize their photos have no exact shift, and give none; nor do maps of one column.
    """
    blocks: dict[int, list[Block]] = {}
    for block in scorer.lens.convolutions if photos.shape[1:3] == scorer.lens.picture_shape else ():
        field = block.response.receptive_field
        if field is not None and block.response.shape[1] > 1 and field.columns.stride < photos.shape[2]:
            blocks.setdefault(field.columns.stride, []).append(block)
    errors: dict[str, list[np.ndarray]] = {}
    size = batch_size(scorer.lens)
    for pixels, same_stride in blocks.items():  # of one stride all at once: a network has few strides and many layers
        model = keras.Model(scorer.lens.graph.input, [block.response.tensor for block in same_stride])
        for start in range(0, len(photos), size):
            some = photos[start : start + size]
            maps = (
                run_batches(model, images, size=size, dtype=scorer.dtype)
                for images in (some, shift_right(some, pixels))
            )
            for block, first, second in zip(same_stride, *maps, strict=True):
                errors.setdefault(block.name, []).append(_relative_errors(first, second))
    strides = {block.name: pixels for pixels, same_stride in blocks.items() for block in same_stride}
    names = [block.name for block in scorer.lens.convolutions if block.name in strides]
    means = {name: estimate(np.concatenate(errors[name])[:, np.newaxis])[0] for name in names}
    return [Equivariance(name, strides[name], means[name]) for name in names]


def _relative_errors(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of each photo, how far its maps moved by one column are from the maps of the moved photo; NaN for empty maps."""
    still, moved = first[:, :, :-1].reshape(len(first), -1), second[:, :, 1:].reshape(len(first), -1)
    norms = np.linalg.norm(still, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        errors: np.ndarray = np.where(norms > 0, np.linalg.norm(moved - still, axis=1) / norms, np.nan)
    return errors


# --- All checks ---


@dataclass(frozen=True)
class Trust:
    """Whether explanations can be believed; parts that need a convolution are None without one."""

    num_photos: int
    equivariance: Sequence[Equivariance]
    curves: Curves | None
    randomization: Randomization | None


def measure_trust(scorer: Scorer, photos: np.ndarray) -> Trust:
    """Put the explanation of the answers of photos to the test."""
    answers = scorer.answers(scorer.logits(photos))
    target = choose_cam(find_cam_targets(scorer))
    curves, randomization = None, None
    if target is not None:
        maps = grad_cam(scorer, photos, answers, [target])[target.name]
        curves = deletion_insertion(scorer, photos, maps, answers)
        randomization = randomize(scorer, photos, answers, target=target)
    return Trust(len(photos), equivariance(scorer, photos), curves, randomization)
