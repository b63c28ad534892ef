import numpy as np
import pytest

from convlens.metrics.intervals import wilson_interval, wilson_intervals
from convlens.metrics.operating_point import choose_min_confidence, risk_coverage
from convlens.models.inference import prediction_confidence


def test_the_curve_by_hand() -> None:
    confidence = np.array([0.6, 0.9, 0.6, 0.99])
    curve = risk_coverage(confidence, np.array([True, False, False, True]))
    assert curve.confidence.tolist() == [0.99, 0.9, 0.6]  # equals enter together
    assert curve.coverage.tolist() == [0.25, 0.5, 1.0]
    assert curve.risk.tolist() == [0.0, 0.5, 0.5]


def test_as_many_answers_are_given_as_the_error_allows() -> None:
    confidence = np.linspace(0.999, 0.5, 500)
    right = np.ones(500, bool)
    right[[300, 400, 450, 480, 490]] = False
    least = choose_min_confidence(confidence, right, 0.01)
    given = confidence > least
    assert given.sum() == 480  # (3 + 1) / (480 + 2) is below 1 %, one more wrong answer is not
    assert choose_min_confidence(confidence, right, 0.5) == 0.0
    assert choose_min_confidence(confidence, right, 0.0) == 1.0


def test_a_few_right_answers_do_not_promise_one_in_a_hundred() -> None:
    assert choose_min_confidence(np.full(20, 0.9), np.ones(20, bool), 0.01) == 1.0
    assert choose_min_confidence(np.full(200, 0.9), np.ones(200, bool), 0.01) == 0.0


def test_without_photos_or_limit_every_answer_is_given() -> None:
    assert choose_min_confidence(np.empty(0), np.empty(0, bool), 0.01) == 0.0
    assert choose_min_confidence(np.array([0.5]), np.array([False]), 1.0) == 0.0


def test_the_probability_of_an_answer_is_not_always_the_largest() -> None:
    assert prediction_confidence(np.array([[0.2, 0.8], [0.3, 0.7]]), np.array([1, 0])).tolist() == [0.8, 0.3]


def test_many_wilson_intervals_at_once() -> None:
    low, high = wilson_intervals(np.array([0, 3, 9]), np.array([9, 10, 9]), 0.9)
    expected = [wilson_interval(*pair, confidence=0.9) for pair in ((0, 9), (3, 10), (9, 9))]
    assert np.column_stack([low, high]) == pytest.approx(np.array(expected))
