import numpy as np
import pytest
from metric_answers import random_answers
from sklearn.metrics import f1_score, precision_score, recall_score
from sklearn.metrics import precision_recall_curve as sklearn_curve

from convlens.metrics.classification import precision_recall_curve
from convlens.metrics.intervals import wilson_interval, wilson_intervals
from convlens.metrics.operating_point import choose_min_confidence, choose_threshold, risk_coverage, threshold_curve
from convlens.models.inference import apply_threshold, prediction_confidence


@pytest.mark.parametrize("digits", [None, 1])
def test_the_curves_are_those_of_scikit_learn(digits: int | None) -> None:
    labels, probabilities = random_answers(0, digits=digits)
    scores = probabilities[:, 1].round(6)  # neighbors are no closer than files keep them
    curve = threshold_curve(labels == 1, scores)
    for line, precision, recall, f1 in zip(curve.thresholds, curve.precision, curve.recall, curve.f1, strict=True):
        said = scores > line
        assert recall == pytest.approx(recall_score(labels, said))
        assert f1 == pytest.approx(f1_score(labels, said))
        if said.any():
            assert precision == pytest.approx(precision_score(labels, said))
        else:
            assert np.isnan(precision)
    found = precision_recall_curve(labels == 1, scores)
    precision, recall, thresholds = sklearn_curve(labels, scores)
    for values, expected in zip(found, (recall[:-1], precision[:-1], thresholds), strict=True):
        assert values == pytest.approx(expected[::-1])


def test_the_line_of_the_largest_f1_lies_in_the_middle_of_a_gap() -> None:
    scores, positive = np.array([0.1, 0.2, 0.4, 0.8]), np.array([False, False, True, True])
    found = choose_threshold(positive, scores, "max_f1")
    assert (round(found.value, 9), found.reached) == (0.3, True)
    assert apply_threshold(np.column_stack([1 - scores, scores]), found.value).tolist() == [0, 0, 1, 1]


def test_a_precision_is_reached_with_the_most_photos_found() -> None:
    scores = np.array([0.1, 0.3, 0.5, 0.6, 0.7, 0.9])
    positive = np.array([False, True, False, True, True, True])
    found = choose_threshold(positive, scores, "precision", 0.8)
    assert found.value == pytest.approx(0.2)  # 4 of 5 are right, and none is missed
    assert choose_threshold(positive, scores, "precision", 1.0).value == pytest.approx(0.55)


def test_a_precision_out_of_reach_is_told() -> None:
    scores, positive = np.array([0.2, 0.9, 0.9]), np.array([True, False, True])
    found = choose_threshold(positive, scores, "precision", 0.95)
    assert not found.reached
    assert found.note.startswith(
        "no threshold reaches a precision of 0.95 on 3 validation photos; this one reaches 0.667"
    )


@pytest.mark.parametrize("positive", [[], [True, True], [False]])
def test_without_both_classes_there_is_nothing_to_choose(positive: list[bool]) -> None:
    found = choose_threshold(np.array(positive, bool), np.full(len(positive), 0.7), "max_f1")
    assert (found.value, found.reached) == (0.5, False)


def test_the_even_line_is_the_most_probable_class_of_any_number() -> None:
    assert apply_threshold(np.array([[0.5, 0.5], [0.4, 0.6]])).tolist() == [0, 1]
    assert apply_threshold(np.array([[0.2, 0.5, 0.3]]), 0.9).tolist() == [1]
    assert apply_threshold(np.array([[0.2, 0.8], [0.05, 0.95]]), 0.9).tolist() == [0, 1]


# --- selective prediction ---


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
