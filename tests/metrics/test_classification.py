import numpy as np
import pytest
import sklearn.metrics as reference
from metric_answers import random_answers

from convlens.errors import ConvLensError
from convlens.metrics.classification import (
    accuracy,
    average_precision,
    balanced_accuracy,
    brier,
    check_predictions,
    confusion_matrix,
    curve_classes,
    log_loss,
    macro_f1,
    predicted_classes,
    roc_auc,
    roc_curve,
    score_classes,
)

RANKED = [(seed, digits) for seed in range(3) for digits in (None, 2, 1)]
CASES = [(seed, classes, digits) for seed in range(2) for classes in (2, 3, 7) for digits in (None, 1)]
EXACT = 1e-12


@pytest.mark.parametrize(("seed", "num_classes", "digits"), CASES)
def test_numbers_are_those_of_scikit_learn(seed: int, num_classes: int, digits: int | None) -> None:
    labels, probabilities = random_answers(seed, num_classes=num_classes, digits=digits)
    predicted = predicted_classes(probabilities)
    confusion = confusion_matrix(labels, predicted, num_classes)
    every = list(range(num_classes))
    truth = labels if num_classes == 2 else np.eye(num_classes)[labels]
    given = probabilities[:, 1] if num_classes == 2 else probabilities

    assert confusion.tolist() == reference.confusion_matrix(labels, predicted, labels=every).tolist()
    assert accuracy(confusion) == pytest.approx(reference.accuracy_score(labels, predicted), abs=EXACT)
    assert balanced_accuracy(confusion) == pytest.approx(
        reference.balanced_accuracy_score(labels, predicted), abs=EXACT
    )
    assert log_loss(labels, probabilities) == pytest.approx(
        reference.log_loss(labels, probabilities, labels=every), abs=EXACT
    )
    assert macro_f1(confusion) == pytest.approx(reference.f1_score(labels, predicted, average="macro"), abs=EXACT)
    expected = np.mean((given - truth) ** 2) if num_classes == 2 else np.mean(((given - truth) ** 2).sum(axis=1))
    assert brier(labels, probabilities) == pytest.approx(expected, abs=EXACT)
    if num_classes == 2:
        assert brier(labels, probabilities) == pytest.approx(reference.brier_score_loss(labels, given), abs=EXACT)

    scores = score_classes(confusion)
    expected = reference.precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    for column, name in enumerate(("precision", "recall", "f1", "num_photos")):
        found = [getattr(score, name) or 0 for score in scores]
        assert found == pytest.approx(expected[column].tolist(), abs=EXACT)


def test_certainty_that_is_wrong_costs_much_but_not_everything() -> None:
    labels, probabilities = np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert log_loss(labels, probabilities) == pytest.approx(reference.log_loss(labels, probabilities), abs=EXACT)
    assert log_loss(labels, probabilities) == pytest.approx(-np.log(np.finfo(float).eps) / 2)


def test_a_class_without_photos_and_answers_has_no_scores() -> None:
    scores = score_classes(confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 3))
    assert (scores[2].precision, scores[2].recall, scores[2].f1) == (None, None, None)
    assert scores[0].precision == 1.0
    assert scores[0].recall == 0.5


def test_a_class_that_is_never_the_answer_has_no_precision() -> None:
    scores = score_classes(confusion_matrix(np.array([0, 1]), np.array([0, 0]), 2))
    assert (scores[1].precision, scores[1].recall, scores[1].f1) == (None, 0.0, 0.0)


def test_of_equally_probable_classes_the_first_is_the_answer() -> None:
    assert predicted_classes(np.array([[0.5, 0.5], [0.2, 0.8]])).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "probabilities", "part"),
    [
        ([], np.empty((0, 2)), "at least one photo"),
        ([0, 1], np.array([[0.5, 0.5]]), r"\(2,\) and \(1, 2\)"),
        ([2], np.array([[0.5, 0.5]]), r"labels in 0\.\.1"),
        ([0], np.array([[np.nan, 0.5]]), "not finite"),
        ([0], np.array([[1.5, -0.5]]), "probabilities in"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels: list[int], probabilities: np.ndarray, part: str) -> None:
    with pytest.raises(ConvLensError, match=part):
        check_predictions(np.array(labels, dtype=np.int64), probabilities)


# --- ranking ---


@pytest.mark.parametrize(("seed", "digits"), RANKED)
def test_two_classes_are_ranked_as_by_scikit_learn(seed: int, digits: int | None) -> None:
    labels, probabilities = random_answers(seed, digits=digits)
    scores = probabilities[:, 1]
    assert roc_auc(labels, probabilities) == pytest.approx(reference.roc_auc_score(labels, scores), abs=EXACT)
    assert average_precision(labels, probabilities) == pytest.approx(
        reference.average_precision_score(labels, scores), abs=EXACT
    )


@pytest.mark.parametrize(("seed", "digits"), RANKED)
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
