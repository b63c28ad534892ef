import numpy as np
import pytest

from convlens.errors import ConvLensError
from convlens.metrics.comparison import Sample, compare_samples, newcombe_interval
from convlens.metrics.intervals import HEADLINES


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
