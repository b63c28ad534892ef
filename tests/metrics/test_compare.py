import numpy as np
import pytest
from metric_answers import random_answers
from scipy.stats import binomtest

from convlens.errors import ConvLensError
from convlens.metrics.comparison import compare_predictions, mcnemar_test
from convlens.metrics.intervals import HEADLINES


@pytest.mark.parametrize(("one", "other"), [(0, 0), (0, 1), (3, 3), (1, 9), (40, 12), (0, 1200), (700, 650)])
def test_mcnemar_is_the_exact_binomial_test(one: int, other: int) -> None:
    first = np.array([True] * one + [False] * other + [True, False])
    second = np.array([False] * one + [True] * other + [True, False])
    result = mcnemar_test(first, second)
    assert (result.only_first, result.only_second) == (one, other)
    expected = binomtest(one, one + other).pvalue if one + other else 1.0
    assert result.p_value == pytest.approx(expected, rel=1e-9)


def test_a_model_against_itself_differs_in_nothing() -> None:
    labels, probabilities = random_answers(0)
    comparison = compare_predictions(labels, probabilities, probabilities, num_resamples=100)
    assert comparison.mcnemar.p_value == 1.0
    assert {(d.value, d.low, d.high) for d in comparison.differences.values()} == {(0.0, 0.0, 0.0)}


def test_both_tests_see_a_clear_difference() -> None:
    labels, weak = random_answers(1, num_photos=600, skill=0.5)
    _, strong = random_answers(1, num_photos=600, skill=3.0)
    comparison = compare_predictions(labels, weak, strong, num_resamples=500)
    assert comparison.mcnemar.p_value < 1e-6
    assert list(comparison.differences) == list(HEADLINES)
    assert comparison.differences["accuracy"].low > 0.1  # type: ignore[operator]
    assert comparison.differences["log_loss"].high < -0.1  # type: ignore[operator]


def test_both_tests_see_no_difference_where_there_is_none() -> None:
    labels, first = random_answers(2, num_photos=600)
    second = first[:, ::-1].copy()
    second[labels == 0] = first[labels == 0]
    generator = np.random.default_rng(0)
    noisy = np.clip(first + generator.normal(0, 0.02, (600, 1)) * [1, -1], 0, 1)
    comparison = compare_predictions(labels, first, noisy, num_resamples=500)
    assert comparison.mcnemar.p_value > 0.05
    difference = comparison.differences["accuracy"]
    assert difference.low <= 0 <= difference.high  # type: ignore[operator]


def test_pairing_narrows_the_interval() -> None:
    labels, first = random_answers(3, num_photos=400)
    nearly = np.clip(first + np.array([0.01, -0.01]), 0, 1)
    difference = compare_predictions(labels, first, nearly, num_resamples=500).differences["log_loss"]
    assert difference.high - difference.low < 0.02  # type: ignore[operator]


def test_a_number_undefined_for_the_photos_has_no_difference() -> None:
    labels, probabilities = np.zeros(5, dtype=int), np.tile([0.6, 0.4], (5, 1))
    difference = compare_predictions(labels, probabilities, probabilities, num_resamples=100).differences["roc_auc"]
    assert (difference.value, difference.low, difference.high) == (None, None, None)


def test_predictions_of_other_classes_are_refused() -> None:
    labels, first = random_answers(4)
    with pytest.raises(ConvLensError, match=r"one shape\. Received: \(200, 2\) and \(200, 3\)"):
        compare_predictions(labels, first, np.full((200, 3), 1 / 3))
