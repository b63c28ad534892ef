"""The fitted last layer: what it minimizes, and how its penalty is chosen."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from convlens.errors import ConvLensError
from convlens.training.head import FeatureScale, find_factor, fit_head, fit_path, measure_logits


def clouds(count: int, num_classes: int, *, seed: int = 0, spread: float = 1.0, channels: int = 30):
    """Two views of points around a center for each class, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    centers = np.random.default_rng(99).normal(size=(num_classes, channels))
    features = centers[labels] + spread * rng.normal(size=(2, count, channels))
    return features.astype(np.float32), labels


@pytest.mark.parametrize("num_classes", [2, 4])
def test_it_is_the_logistic_regression_of_scikit_learn(num_classes):
    features, labels = clouds(80, num_classes, spread=2.0)
    scaled = FeatureScale.measure(features).apply(features)
    *_, (kernel, bias) = fit_path(scaled, labels, (10.0, 0.3), num_classes)
    rows, weights = scaled.reshape(160, -1), np.full(160, 0.5)
    # One logit of two classes is the difference of two, whose penalty is half of its own.
    theirs = LogisticRegression(C=1 / (0.3 if num_classes > 2 else 0.15), tol=1e-8, max_iter=5000)
    theirs.fit(rows, np.tile(labels, 2), sample_weight=weights)
    logits = rows @ kernel + bias
    if num_classes == 2:
        assert np.allclose(logits[:, 1] - logits[:, 0], theirs.decision_function(rows), atol=1e-2)
    else:
        centered = logits - logits.mean(axis=1, keepdims=True)
        assert np.allclose(centered, theirs.decision_function(rows), atol=1e-2)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_layer_takes_plain_features_and_has_one_output_for_two_classes(num_classes):
    (train, labels), (held_out, expected) = (clouds(60, num_classes, seed=seed) for seed in (0, 1))
    head = fit_head(1000 * train + 5, labels, 1000 * held_out + 5, expected, num_classes=num_classes)
    assert head.kernel.shape == (30, 1 if num_classes == 2 else 3)
    assert (head.kernel.dtype, head.bias.shape) == (np.float32, head.kernel.shape[1:])
    _, accuracy = measure_logits((1000 * held_out[0] + 5) @ head.kernel + head.bias, expected)
    assert accuracy > 0.95
    same = fit_head(train, labels, held_out, expected, num_classes=num_classes)
    assert same.penalty == head.penalty  # whatever the scale of the features


def test_the_penalty_is_the_one_with_the_lowest_loss_of_held_out_photos():
    (train, labels), (held_out, expected) = (clouds(120, 2, seed=seed, spread=4.0) for seed in (0, 1))
    head = fit_head(train, labels, held_out, expected, num_classes=2)
    assert head.losses[head.penalty] == min(head.losses.values()) < np.log(2)
    noise = np.random.default_rng(0).normal(size=train.shape)
    hopeless = fit_head(noise, labels, noise[:, ::-1], expected[::-1], num_classes=2)
    assert min(hopeless.losses.values()) == pytest.approx(np.log(2), abs=0.1)  # it does not pretend


def test_many_validation_photos_choose_alone_and_few_with_the_others():
    train, labels = clouds(40, 2, spread=4.0)
    many, expected = clouds(600, 2, seed=1, spread=4.0)
    head = fit_head(train, labels, many, expected, num_classes=2)
    logit = (many @ head.kernel + head.bias).mean(axis=0)
    assert measure_logits(logit, expected)[0] == pytest.approx(head.losses[head.penalty], rel=1e-4)
    few = fit_head(train, labels, many[:, :1], expected[:1], num_classes=2)
    assert few.losses[few.penalty] == pytest.approx(head.losses[head.penalty], abs=0.2)  # of 41 photos, not of one


def test_the_factor_mends_logits_that_are_too_small_or_too_large():
    generator = np.random.default_rng(0)
    logits = 2 * generator.normal(size=(4000, 3))
    labels = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)  # drawn by the softmax of the logits
    assert find_factor(logits, labels) == pytest.approx(1, abs=0.06)
    assert find_factor(logits / 5, labels) == pytest.approx(5, abs=0.3)
    assert find_factor(logits * 5, labels) == pytest.approx(0.2, abs=0.02)
    assert find_factor(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])) < 2  # two photos say little


def test_a_class_with_a_single_photo_and_one_photo_to_validate_are_enough():
    train, labels = clouds(5, 5)
    head = fit_head(train, labels, train[:, :1], labels[:1], num_classes=5)
    assert measure_logits(train[0] @ head.kernel + head.bias, labels)[1] == 1


def test_too_few_photos_are_told():
    train, labels = clouds(8, 2)
    with pytest.raises(ConvLensError, match=r"^Expected photos of every class to learn from, and some to validate\."):
        fit_head(train, labels, train[:, :0], labels[:0], num_classes=2)
    with pytest.raises(ConvLensError, match=r"4 of 1 of 2 classes, and 8\. Take more photos"):
        fit_head(train[:, ::2], labels[::2], train, labels, num_classes=2)
