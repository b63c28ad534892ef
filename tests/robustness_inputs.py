"""What stage `robustness` writes, for the page and the figures."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd

from convlens.metrics.label_errors import LabelErrors
from convlens.metrics.robustness import BASELINE, MODEL, EvaluatedNetwork, Robustness
from convlens.params import RobustnessParams, load_params

PARAMS = load_params().robustness


def by_mean(photos: np.ndarray) -> np.ndarray:
    """Looks at the whole photo, wherever anything is."""
    return (photos.mean(axis=(1, 2, 3)) > 127).astype(np.int64)


def by_one_pixel(photos: np.ndarray) -> np.ndarray:
    """Looks at one place."""
    return (photos[:, 8, 8, 0] > 127).astype(np.int64)


@cache
def make_results(
    params: RobustnessParams = PARAMS,
    *,
    ours: Callable[[np.ndarray], np.ndarray] = by_mean,
    dense: Callable[[np.ndarray], np.ndarray] = by_one_pixel,
) -> Robustness:
    """Predictions of two simple rules for twenty noisy photos, every other one bright; to be left as they are."""
    labels = np.arange(20) % 2
    images = np.random.default_rng(0).integers(0, 156, (20, 16, 16, 3), dtype=np.uint8)
    images[labels == 1] += 100
    networks = {MODEL: EvaluatedNetwork(1234, ours), BASELINE: EvaluatedNetwork(98765, dense)}
    return Robustness.measure(networks, images, labels, params, rows=np.arange(20))


def make_label_errors(
    predictions: pd.DataFrame, num_suspicious: int, split: str = "test", note: str = ""
) -> LabelErrors:
    """The first photos are suspicious, the first of all most."""
    photos = predictions[["path", "label", "predicted", "correct"]].assign(
        split=split,
        confidence=0.9,
        label_quality=np.linspace(0.01, 0.99, len(predictions)),
        suspicious=np.arange(len(predictions)) < num_suspicious,
    )
    return LabelErrors({"note": note}, photos, pd.DataFrame({"fold": [], "epoch": []}))
