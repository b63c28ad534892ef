"""Random answers of classifiers, with ties, rare classes and certainty."""

import numpy as np


def random_answers(
    seed: int, *, num_photos: int = 200, num_classes: int = 2, skill: float = 1.0, digits: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) in which every class occurs and probabilities (N, K); few digits make many ties."""
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet(np.full(num_classes, 3.0))
    labels = generator.choice(num_classes, size=num_photos, p=shares)
    labels[:num_classes] = range(num_classes)
    scores = generator.normal(size=(num_photos, num_classes))
    scores[np.arange(num_photos), labels] += skill
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return labels, _round(probabilities, digits)


def _round(probabilities: np.ndarray, digits: int | None) -> np.ndarray:
    if digits is None:
        return probabilities
    rounded = probabilities.round(digits)
    rounded[:, 0] = np.abs(1 - rounded[:, 1:].sum(axis=1))
    return rounded / rounded.sum(axis=1, keepdims=True)
