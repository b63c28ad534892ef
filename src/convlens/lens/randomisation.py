"""The randomisation check: an explanation that stays when the network forgets all it learned explains nothing.

Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018 (arXiv:1810.03292): weights are randomised layer by
layer from the answer down, and the explanation is compared with the original one by rank.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from convlens.lens.estimates import estimate
from convlens.lens.forward import Scorer
from convlens.lens.saliency import CamTarget, grad_cam

THRESHOLD = 0.5
MAX_STEPS = 12


@dataclass(frozen=True)
class Randomisation:
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
        return THRESHOLD

    @property
    def steps(self) -> list[tuple[float, float, float]]:
        """Mean and interval behind every step."""
        found = estimate(self.correlations.T)
        return [found[number] for number in range(len(self.layers))]

    @property
    def passes(self) -> bool:
        """Whether what is left of the explanation is below the threshold, surely."""
        return max(abs(end) for end in self.final) < THRESHOLD


def randomise(scorer: Scorer, photos: np.ndarray, classes: np.ndarray, *, target: CamTarget) -> Randomisation:
    """Shuffle the weights of one layer after the other, and follow the Grad-CAM of `target`.

    Shuffling keeps every layer's own distribution of weights. The network has its weights back afterwards, also after
    an error. Networks of many layers are measured at twelve of the steps.
    """
    original = _explain(scorer, photos, classes, target)
    layers = _layers(scorer)
    shown = sorted(set(np.linspace(0, len(layers) - 1, min(MAX_STEPS, len(layers))).round().astype(int).tolist()))
    rows: list[np.ndarray] = []
    with _kept(layers):
        for number, (_, layer) in enumerate(layers):
            _shuffle(layer, np.random.default_rng([number]))
            if number in shown:
                rows.append(spearman(original, _explain(scorer, photos, classes, target)))
    correlations = np.stack(rows)
    final = estimate(correlations[-1][:, np.newaxis])[0]
    return Randomisation(tuple(layers[number][0] for number in shown), correlations, final)


def _explain(scorer: Scorer, photos: np.ndarray, classes: np.ndarray, target: CamTarget) -> np.ndarray:
    return grad_cam(scorer, photos, classes, [target])[target.name]


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rank correlation of maps (n, …) photo by photo; 0 where one of them is constant."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    x, y = (values - values.mean(axis=1, keepdims=True) for values in ranks)
    norms = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.where(norms > 0, (x * y).sum(axis=1) / np.maximum(norms, 1e-12), 0.0)


def _layers(scorer: Scorer) -> list[tuple[str, object]]:
    """Layers with a kernel, each once, from the answer down."""
    calls = [(call.name, call.layer) for call in scorer.lens.graph.calls if _kernels(call.layer)]
    if scorer.head.layer is not None:
        calls[-1] = (calls[-1][0], scorer.head.layer)
    return list({id(layer): (name, layer) for name, layer in reversed(calls)}.values())


def _kernels(layer: object) -> list[object]:
    return [weight for weight in getattr(layer, "weights", []) if len(weight.shape) > 1]


def _shuffle(layer: object, rng: np.random.Generator) -> None:
    for weight in _kernels(layer):
        weight.assign(rng.permutation(np.asarray(weight).ravel()).reshape(weight.shape))  # type: ignore[attr-defined]


@contextmanager
def _kept(layers: list[tuple[str, object]]) -> Iterator[None]:
    """Give the layers their weights back at the end."""
    weights = [(weight, np.array(weight)) for _, layer in layers for weight in _kernels(layer)]
    try:
        yield
    finally:
        for weight, values in weights:
            weight.assign(values)  # type: ignore[attr-defined]
