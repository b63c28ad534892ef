import numpy as np
import pytest
from metric_answers import random_answers

from convlens.metrics.calibration import expected_calibration_error, reliability_bins


def test_bins_are_even_rising_and_hold_every_photo_once() -> None:
    labels, probabilities = random_answers(0, num_photos=1000)
    bins = reliability_bins(labels, probabilities)
    assert [group.num_photos for group in bins] == [100] * 10
    confidences = [group.confidence for group in bins]
    assert confidences == sorted(confidences)
    for group in bins:
        assert 0 <= group.low <= group.accuracy <= group.high <= 1


def test_equal_probabilities_share_a_bin() -> None:
    probabilities = np.array([[0.3, 0.7]] * 90 + [[0.1, 0.9]] * 10)
    bins = reliability_bins(np.ones(100, dtype=int), probabilities)
    assert [(group.num_photos, round(group.confidence, 6)) for group in bins] == [(90, 0.7), (10, 0.9)]


def test_the_error_of_a_known_miscalibration() -> None:
    labels = np.array([1] * 60 + [0] * 40)
    bins = reliability_bins(labels, np.tile([0.1, 0.9], (100, 1)))
    assert expected_calibration_error(bins) == pytest.approx(0.3)


def test_honest_probabilities_have_a_small_error() -> None:
    generator = np.random.default_rng(0)
    positive = generator.uniform(size=20_000)
    labels = (generator.uniform(size=20_000) < positive).astype(int)
    bins = reliability_bins(labels, np.column_stack([1 - positive, positive]))
    assert expected_calibration_error(bins) < 0.015


def test_a_single_photo_is_one_bin() -> None:
    (group,) = reliability_bins(np.array([0]), np.array([[0.8, 0.2]]))
    assert (group.num_photos, group.confidence, group.accuracy) == (1, 0.8, 1.0)
