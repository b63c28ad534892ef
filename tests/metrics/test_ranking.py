import numpy as np
import pytest
import sklearn.metrics as reference
from metric_answers import random_answers

from convlens.metrics.classification import average_precision, curve_classes, roc_auc, roc_curve

EXACT = 1e-12
CASES = [(seed, digits) for seed in range(10) for digits in (None, 2, 1)]


@pytest.mark.parametrize(("seed", "digits"), CASES)
def test_two_classes_are_ranked_as_by_scikit_learn(seed: int, digits: int | None) -> None:
    labels, probabilities = random_answers(seed, digits=digits)
    scores = probabilities[:, 1]
    assert roc_auc(labels, probabilities) == pytest.approx(reference.roc_auc_score(labels, scores), abs=EXACT)
    assert average_precision(labels, probabilities) == pytest.approx(
        reference.average_precision_score(labels, scores), abs=EXACT
    )


@pytest.mark.parametrize(("seed", "digits"), CASES)
def test_many_classes_are_held_against_the_rest_as_by_scikit_learn(seed: int, digits: int | None) -> None:
    labels, probabilities = random_answers(seed, num_classes=4, digits=digits)
    expected = reference.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert roc_auc(labels, probabilities) == pytest.approx(expected, abs=EXACT)
    precision = reference.average_precision_score(np.eye(4)[labels], probabilities, average="macro")
    assert average_precision(labels, probabilities) == pytest.approx(precision, abs=EXACT)


def test_a_constant_answer_ranks_nothing() -> None:
    labels, probabilities = np.array([0, 1, 1, 0, 0]), np.full((5, 2), 0.5)
    assert roc_auc(labels, probabilities) == 0.5
    assert average_precision(labels, probabilities) == pytest.approx(0.4)
    assert roc_curve(labels == 1, probabilities[:, 1])[0].tolist() == [0, 1]


def test_photos_of_one_class_only_have_no_curve() -> None:
    labels, probabilities = np.array([1, 1]), np.array([[0.1, 0.9], [0.4, 0.6]])
    assert curve_classes(labels, 2) == ()
    assert roc_auc(labels, probabilities) is None
    assert average_precision(labels, probabilities) is None


def test_classes_without_photos_are_left_out_of_the_mean() -> None:
    labels, probabilities = random_answers(0, num_classes=2)
    wider = np.column_stack([probabilities, np.zeros(len(labels))])
    assert curve_classes(labels, 3) == (0, 1)
    assert roc_auc(labels, wider) == pytest.approx(reference.roc_auc_score(labels, probabilities[:, 1]))
