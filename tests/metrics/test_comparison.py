import numpy as np
import pytest
from metric_answers import random_answers
from scipy.stats import binomtest

from convlens.errors import ConvLensError
from convlens.metrics.comparison import Sample, compare_predictions, compare_samples, mcnemar_test, newcombe_interval
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


# --- unpaired samples ---


def sample(num_photos: int, num_wrong: int, *, sure: float = 0.9) -> Sample:
    """Photos of two classes in turn; the first ones are answered wrong."""
    labels = np.arange(num_photos) % 2
    answers = np.where(np.arange(num_photos) < num_wrong, 1 - labels, labels)
    probabilities = np.full((num_photos, 2), 1 - sure)
    probabilities[np.arange(num_photos), answers] = sure
    return Sample(labels, probabilities)


def test_newcombe_by_his_own_example() -> None:
    """Newcombe (1998), table II, method 10: 56/70 - 48/80 is 0.2, 0.0524 to 0.3339."""
    first, second = np.arange(80) < 48, np.arange(70) < 56
    found = newcombe_interval(first, second)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_newcombe_holds_at_all_right() -> None:
    """His example (h): 10/10 - 0/10 is 1, 0.6075 to 1."""
    found = newcombe_interval(np.zeros(10, bool), np.ones(10, bool))
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 0.6075, 1.0), abs=1e-4)


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [((180, 1), (120, 40), "worse"), ((120, 40), (180, 1), "better"), ((180, 1), (120, 2), "same"),
     ((10, 1), (1, 1), "same"), ((180, 0), (20, 0), "same")],
)  # fmt: skip
def test_the_verdict(first: tuple[int, int], second: tuple[int, int], word: str) -> None:
    assert compare_samples(sample(*first), sample(*second), num_resamples=100).word == word


def test_differences_of_all_headlines() -> None:
    found = compare_samples(sample(100, 10), sample(60, 30, sure=0.8), num_resamples=500)
    assert list(found.differences) == list(HEADLINES)
    accuracy, loss = found.differences["accuracy"], found.differences["log_loss"]
    assert accuracy.value == pytest.approx(-0.4)
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert accuracy.low < -0.4 < accuracy.high < 0
    assert loss.value is not None
    assert loss.low is not None
    assert 0 < loss.low < loss.value
    assert found.p_value < 1e-6


def test_one_class_leaves_rankings_undefined() -> None:
    only = Sample(np.zeros(20, dtype=np.int64), np.tile([0.7, 0.3], (20, 1)))
    found = compare_samples(sample(50, 5), only, num_resamples=100)
    assert found.differences["roc_auc"].value is None
    assert found.differences["accuracy"].value == pytest.approx(0.1)


def test_the_same_samples_give_the_same_numbers() -> None:
    pair = sample(50, 5), sample(40, 9)
    assert compare_samples(*pair, num_resamples=100) == compare_samples(*pair, num_resamples=100)


def test_no_photos_are_refused() -> None:
    nothing = Sample(np.zeros(0, dtype=np.int64), np.zeros((0, 2)))
    with pytest.raises(ConvLensError, match="at least one photo"):
        compare_samples(sample(10, 1), nothing)
