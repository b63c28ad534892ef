import numpy as np
import pytest

from convlens.errors import ConvLensError
from convlens.metrics.intervals import Interval, wilson_interval
from convlens.metrics.robustness import Robustness, measure_agreement, measure_robustness, share_of_photos

LABELS = np.array([0, 1, 0, 1])


def test_a_constant_predictor_is_perfectly_consistent_and_right_by_the_share_of_its_class():
    always = np.zeros(4, np.int64)
    half = Interval(0.5, *wilson_interval(2, 4))
    all_same = Interval(1.0, *wilson_interval(4, 4))
    assert measure_robustness(LABELS, always, np.stack([always] * 8)) == Robustness(half, all_same)


def test_consistency_asks_for_the_answer_before_and_accuracy_for_the_truth():
    undisturbed = np.array([0, 1, 1, 1])  # the third is wrong
    answers = np.array([[0, 1, 0, 1], [0, 0, 1, 1]])
    found = measure_robustness(LABELS, undisturbed, answers)
    assert (found.accuracy.value, found.consistency.value) == (6 / 8, 6 / 8)
    assert measure_robustness(LABELS, undisturbed, answers[:1]).accuracy.value == 1.0
    assert measure_robustness(LABELS, undisturbed, answers[1:]).accuracy.value == 0.5


def test_an_interval_counts_photos_not_variants():
    hits = np.array([[True, True, False, True, True]])
    once, often = share_of_photos(hits), share_of_photos(np.repeat(hits, 8, axis=0))
    assert once == often == Interval(0.8, *wilson_interval(4, 5))


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Photos with a sensitivity of their own, eight directions each."""
    generator = np.random.default_rng(0)
    held = []
    for _ in range(400):
        sensitivity = generator.beta(4.5, 0.5, 60)
        found = share_of_photos(generator.random((8, 60)) < sensitivity)
        held.append(found.low <= 0.9 <= found.high)
    assert np.mean(held) >= 0.94


def test_agreement_is_the_share_with_one_answer_everywhere():
    answers = np.array([[0, 1, 2], [0, 1, 1], [0, 1, 2]])
    assert measure_agreement(answers) == Interval(2 / 3, *wilson_interval(2, 3))


@pytest.mark.parametrize("answers", [np.zeros((2, 3), int), np.zeros(4, int), np.zeros((0, 4), int)])
def test_shapes_that_do_not_fit_are_told(answers):
    with pytest.raises(ConvLensError, match="Expected labels"):
        measure_robustness(LABELS, LABELS, answers)
