import numpy as np
import pytest
from scipy.stats import energy_distance, ks_2samp

from convlens.metrics.drift import (
    compare_statistics,
    correct_by_holm,
    energy_test,
    neighbor_distances,
    share_at_most,
    to_unit_length,
)


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.2 are multiplied by 4, 3, 2, 1 and must not fall."""
    assert correct_by_holm([0.03, 0.01, 0.2, 0.02]) == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert correct_by_holm([0.9, 0.8]) == [1.0, 1.0]
    assert correct_by_holm([]) == []


def test_statistics_are_those_of_scipy_with_corrected_p_values() -> None:
    generator = np.random.default_rng(1)
    same, moved = generator.normal(size=(2, 150)), generator.normal(1.0, 1.0, 120)
    found = compare_statistics(
        {"brightness": same[0], "contrast": same[1], "left_out": same[0]},
        {"brightness": moved, "contrast": same[0], "more": moved},
    )
    plain = [ks_2samp(same[0], moved, method="exact"), ks_2samp(same[1], same[0], method="exact")]
    assert [item.name for item in found] == ["brightness", "contrast"]
    assert [item.gap for item in found] == [test.statistic for test in plain]
    assert [item.p_value for item in found] == correct_by_holm([test.pvalue for test in plain])
    assert found[0].p_value < 1e-6 < 0.05 < found[1].p_value
    assert found[0].reference_median == np.median(same[0])
    assert found[0].observed_median == np.median(moved)


def test_one_photo_and_constant_statistics_can_be_compared() -> None:
    constant = np.full(300, 0.0256)
    found = compare_statistics({"megapixels": constant}, {"megapixels": constant[:1]})
    assert (found[0].gap, found[0].p_value) == (0.0, 1.0)


def test_energy_is_that_of_scipy() -> None:
    """In one dimension SciPy has the square root of the same statistic."""
    generator = np.random.default_rng(1)
    first, second = generator.normal(size=40), generator.normal(0.7, 1.0, 30)
    between = np.abs(first[:, None] - second).mean()
    expected = energy_distance(first, second) ** 2 / (2 * between)
    found = energy_test(first[:, None], second[:, None], num_permutations=99)
    assert found.share == pytest.approx(expected, abs=1e-9)


def test_energy_tells_groups_apart() -> None:
    first, alike, moved = np.random.default_rng(1).normal(size=(3, 60, 8))
    assert energy_test(first, moved + 0.8).p_value == 1 / 1000
    assert energy_test(first, alike).p_value > 0.05
    assert energy_test(first, first[:1]).p_value > 0.05
    same = energy_test(np.ones((5, 3)), np.ones((4, 3)))
    assert (same.share, same.p_value) == (0.0, 1.0)


def test_energy_p_values_are_even_where_nothing_differs() -> None:
    """A test at 5 % may be wrong 5 times in 100: of 200 here, 3 to 19 (99 % of the binomial distribution)."""
    generator = np.random.default_rng(3)
    pairs = (generator.normal(size=(2, 20, 4)) for _ in range(200))
    wrong = sum(energy_test(*pair, num_permutations=99).p_value <= 0.05 for pair in pairs)
    assert 3 <= wrong <= 19


def test_distance_to_the_neighbors_by_hand() -> None:
    reference = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    points = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert neighbor_distances(points, reference, num_neighbors=1).tolist() == [0.0, 0.0]
    assert neighbor_distances(points, reference, num_neighbors=2).tolist() == [5.0, 5.0]
    assert neighbor_distances(points, reference, num_neighbors=9).tolist() == [10.0, 5.0]
    assert neighbor_distances(points[:0], reference).shape == (0,)


def test_unit_length() -> None:
    assert to_unit_length(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0.6, 0.8], [0.0, 0.0]]


def test_share_at_most() -> None:
    assert share_at_most(np.array([0.5, 2.0, 9.0]), np.array([3.0, 1.0, 2.0, 4.0])).tolist() == [0.0, 0.5, 1.0]
