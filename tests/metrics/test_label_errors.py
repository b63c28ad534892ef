import numpy as np
import pandas as pd
import pytest

from convlens.errors import ConvLensError
from convlens.metrics.label_errors import MIN_PHOTOS, LabelErrors, find_suspicious, score_labels


def predictions(
    num_photos: int, num_classes: int, *, seed: int = 0, skill: float = 6.0
) -> tuple[np.ndarray, np.ndarray]:
    """True classes, and the probabilities of a network that mostly knows them."""
    generator = np.random.default_rng(seed)
    truth = np.arange(num_photos) % num_classes
    scores = generator.normal(size=(num_photos, num_classes)) + skill * np.eye(num_classes)[truth]
    return truth, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("num_classes", [2, 5])
def test_planted_label_errors_are_found(num_classes):
    truth, probabilities = predictions(500, num_classes)
    given, planted = truth.copy(), np.arange(0, 500, 17)
    given[planted] = (truth[planted] + 1) % num_classes
    found = np.flatnonzero(find_suspicious(given, probabilities))
    assert len(set(found) & set(planted)) / len(planted) >= 0.95
    assert len(set(found) - set(planted)) <= 2


def test_right_labels_are_left_alone():
    truth, probabilities = predictions(200, 2, skill=12.0)
    assert not find_suspicious(truth, probabilities).any()


def test_the_noise_of_each_class_is_counted_as_the_paper_defines():
    """Northcutt et al. 2021, eq. 1: thresholds 0.7 and 0.6; one dog is labeled cat, and one only uncertain."""
    cats = [0.9] * 6 + [0.1, 0.45]  # mean 0.74; 1 - 0.1 exceeds the dogs' threshold, 1 - 0.45 does not
    dogs = [0.8] * 8
    probabilities = np.array([[p, 1 - p] for p in cats] + [[1 - p, p] for p in dogs])
    labels = np.array([0] * 8 + [1] * 8)
    assert np.flatnonzero(find_suspicious(labels, probabilities)).tolist() == [6]


def test_scores_are_the_normalized_margin():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.5, 0.5, 0.0]])
    np.testing.assert_allclose(score_labels(np.array([0, 1, 1]), probabilities), [0.75, 0.25, 0.5])


def test_classes_with_next_to_no_photos_are_never_suspicious():
    truth, probabilities = predictions(60, 2)
    rare = np.full(MIN_PHOTOS - 1, 2)
    wide = np.zeros((60 + len(rare), 3))
    wide[:60, :2] = probabilities
    wide[60:, 0] = 1.0
    given = np.concatenate([truth, rare])
    assert not find_suspicious(given, wide)[60:].any()
    assert (score_labels(given, wide)[60:] == 0).all()
    assert not find_suspicious(rare, wide[60:]).any()  # nothing but the rare class


def test_what_is_no_probability_is_told():
    with pytest.raises(ConvLensError, match="Expected probabilities"):
        find_suspicious(np.array([0, 1]), np.array([[2.0, 0], [0, 1]]))


@pytest.mark.parametrize(
    ("skill", "share_wrong", "reason"),
    [(1.0, 0.0, "Below 90 % disputed labels"), (9.0, 0.08, "More than 5 % are mostly"), (9.0, 0.03, "")],
)
def test_networks_too_weak_to_judge_name_no_label(skill, share_wrong, reason):
    truth, probabilities = predictions(400, 2, skill=skill)
    given = truth.copy()
    given[: round(400 * share_wrong)] = 1 - given[: round(400 * share_wrong)]
    photos = pd.DataFrame({"path": [f"{row}.png" for row in range(400)], "split": "test"})
    photos["label"] = np.array(["cats", "dogs"])[given]
    folds = pd.DataFrame({"fold": [], "epoch": []})
    found = LabelErrors.find(photos, probabilities, ["cats", "dogs"], folds=folds, confidence=0.95)
    assert reason in found.metrics["note"].replace("\N{NO-BREAK SPACE}", " ")
    assert found.photos["suspicious"].sum() == (0 if reason else 12)
    assert found.metrics["suspicious_share"] == (None if reason else 0.03)
