import numpy as np
import pytest

from convlens.data.split import deal_folds

LABELS = np.repeat([0, 1], [30, 13])
GROUPS = np.array([0, 0, 0, *range(3, 43)])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_classes_are_dealt_evenly_and_groups_stay_together(count: int) -> None:
    folds = deal_folds(LABELS, GROUPS, count=count, seed=0)
    assert folds[0] == folds[1] == folds[2]
    assert set(folds) == set(range(count))
    for label in (0, 1):
        alone = (label == LABELS) & (np.arange(len(LABELS)) > 2)
        sizes = np.bincount(folds[alone], minlength=count)
        assert sizes.max() - sizes.min() <= 2


def test_the_seed_decides() -> None:
    first, again, other = (deal_folds(LABELS, GROUPS, count=4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
