"""Folds of a cross-validation."""

import numpy as np


def deal_folds(labels: np.ndarray, groups: np.ndarray, *, count: int, seed: int) -> np.ndarray:
    """Stratified folds: every class is dealt out evenly, and a group goes into one fold.

    Args:
        labels: int64 (N,); that of a group's first member counts for the group.
        groups: names or numbers (N,), the same for photos that show the same.
        count: number of folds.
        seed: of the shuffling.

    Returns:
        The fold of each photo, int64 (N,), from 0.
    """
    _, places, members = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(places))
    ordered = shuffled[np.argsort(labels[places[shuffled]], kind="stable")]
    dealt = np.empty(len(places), np.int64)
    dealt[ordered] = np.arange(len(places)) % count
    assigned: np.ndarray = dealt[members]
    return assigned
