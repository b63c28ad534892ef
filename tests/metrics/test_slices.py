import numpy as np
import pytest
from scipy.stats import fisher_exact

from convlens.metrics.slices import Feature, cut_evenly, fisher_worse, measure_slices


@pytest.mark.parametrize("table", [(3, 10, 40, 50), (10, 10, 50, 50), (0, 12, 12, 12), (30, 40, 10, 20)])
def test_the_test_is_scipys(table: tuple[int, int, int, int]) -> None:
    right, count, rest_right, rest = table
    expected = fisher_exact([[right, count - right], [rest_right, rest - rest_right]], alternative="less").pvalue
    assert fisher_worse(*table) == pytest.approx(expected, rel=1e-9)


def test_a_slice_that_is_worse_is_flagged_and_no_other() -> None:
    codes = np.arange(400) % 4
    right = np.ones(400, bool)
    right[np.flatnonzero(codes == 2)[:30]] = False
    found = measure_slices(
        {"light": Feature(codes, ("a", "b", "c", "d")), "odd": Feature(codes % 2, ("x", "y"))}, right
    )
    assert [(part.feature, part.name) for part in found if part.worse] == [("light", "c"), ("odd", "x")]
    worst = found[2]
    assert (worst.num_photos, worst.num_correct, worst.accuracy, worst.rest_accuracy) == (100, 70, 0.7, 1.0)
    assert worst.low < 0.7 < worst.high


def test_chance_alone_is_seldom_flagged() -> None:
    """40 data sets of 20 slices that mean nothing; about one in twenty may have a flag."""
    flagged = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        features = {str(i): Feature(generator.integers(0, 4, 300), tuple("abcd")) for i in range(5)}
        flagged += any(part.worse for part in measure_slices(features, generator.random(300) < 0.9))
    assert flagged <= 6


def test_few_photos_are_shown_and_not_tested() -> None:
    codes = np.array([0] * 9 + [1] * 40)
    small, large = measure_slices({"camera": Feature(codes, ("old", "new"))}, codes == 1)
    assert (small.accuracy, small.p_value, small.worse) == (0.0, None, False)
    assert large.p_value is None  # its rest are the nine


def test_what_all_share_or_nobody_knows_makes_no_slice() -> None:
    everything = Feature(np.zeros(30, int), ("JPEG",))
    unknown = Feature(np.full(30, -1), ("a",))
    assert measure_slices({"format": everything, "age": unknown}, np.ones(30, bool)) == ()
    partly = Feature(np.r_[np.full(10, -1), np.zeros(10, int), np.ones(10, int)], ("a", "b"))
    right = np.r_[np.zeros(10, bool), np.ones(20, bool)]
    assert [part.rest_accuracy for part in measure_slices({"known": partly}, right)] == [1.0, 1.0]


def test_bins_are_even_and_equals_stay_together() -> None:
    assert np.bincount(cut_evenly(np.arange(40.0))).tolist() == [10, 10, 10, 10]
    assert cut_evenly(np.arange(5.0)).tolist() == [0] * 5
    assert set(cut_evenly(np.array([1.0] * 39 + [2.0]))) <= {0, 1}
    assert cut_evenly(np.empty(0)).tolist() == []
