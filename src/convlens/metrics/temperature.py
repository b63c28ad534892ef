"""The temperature that makes a network's probabilities mean what they say.

One number divides all logits, so the order of the answers stays as it is and only their certainty changes (Guo et al.
2017, arXiv:1706.04599). It is the number under which photos that were not trained on are least surprising.

A network that is right on all of these photos, and surely so, would get ever more certain: the temperature would go to
0. So every photo is taken to be of its class with the probability (N + 1) / (N + 2), as Laplace's rule of succession
says of N photos all alike, and Platt (1999) does class by class: as if there were one right and one wrong answer more.
With 180 photos a perfect network then says 99.5 % and not 100 %; with thousands the rule changes nothing.

This module stands alone: `train` depends on it, and no other metric may cost a training.
"""

import math
from dataclasses import dataclass

import numpy as np

SMALLEST, LARGEST = 0.05, 20.0
DIGITS = 4
NUM_HALVINGS = 60
RULE = "least log loss on the validation photos, each taken to be of its class with probability (N + 1) / (N + 2)"


@dataclass(frozen=True)
class Temperature:
    """A temperature and how it was found.

    Attributes:
        value: what logits are divided by, 0.05 to 20.
        num_photos: that it was fitted on.
        loss_before: log loss of these photos at temperature 1; None without photos.
        loss_after: at the temperature.
        note: how it was found, or why it is 1, for people.
    """

    value: float
    num_photos: int
    loss_before: float | None
    loss_after: float | None
    note: str


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """Find the temperature of photos that were not trained on; the same photos always give the same number.

    Args:
        logits: float64 (N, K), of both views already if the network looks at mirror images.
        labels: int64 (N,), indices of the true classes.
    """
    reason = _find_obstacle(logits, labels)
    if reason:
        loss = _mean_loss(logits, labels, 1.0) if len(labels) else None
        return Temperature(1.0, len(labels), loss, loss, f"not fitted: {reason}")
    sharpness = _find_sharpness(logits, labels)
    value = round(1 / sharpness, DIGITS)
    note = RULE if SMALLEST < value < LARGEST else f"{RULE}; held at the end of {SMALLEST:g} to {LARGEST:g}"
    before, after = (_mean_loss(logits, labels, each) for each in (1.0, value))
    return Temperature(value, len(labels), before, after, note)


def _find_obstacle(logits: np.ndarray, labels: np.ndarray) -> str:
    if len(labels) == 0:
        return "there are no validation photos"
    if len(np.unique(labels)) == 1:
        return "all validation photos are of one class"
    if not np.isfinite(logits).all():
        return "the network's answers are not finite"
    return "the network answers every class alike" if np.ptp(logits, axis=1).max() == 0 else ""


def _find_sharpness(logits: np.ndarray, labels: np.ndarray) -> float:
    """One over the temperature. The loss is convex in it, so halving an interval finds where its slope is 0."""
    centred = logits - logits.mean(axis=1, keepdims=True)
    targets = _soften(labels, logits.shape[1])
    low, high = 1 / LARGEST, 1 / SMALLEST
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        slope = float(np.sum((_softmax(centred * middle) - targets) * centred))
        low, high = (low, middle) if slope > 0 else (middle, high)
    return (low + high) / 2


def _soften(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """What the probabilities should be, (N, K): not 0 and 1, but as sure as N photos allow."""
    doubt = 1 / (len(labels) + 2)
    targets = np.full((len(labels), num_classes), doubt / (num_classes - 1))
    targets[np.arange(len(labels)), labels] = 1 - doubt
    return targets


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def _mean_loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float | None:
    scaled = logits / temperature
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    loss = float(losses.mean())
    return float(f"{loss:.7g}") if math.isfinite(loss) else None
