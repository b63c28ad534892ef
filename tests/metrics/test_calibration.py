import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_answers import random_answers
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from convlens.metrics.calibration import (
    LARGEST,
    SMALLEST,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)


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


# --- temperature ---


def simulate(seed: int, *, num_photos: int, num_classes: int = 2, temperature: float = 1.0):
    """Logits whose honest probabilities need to be divided by `temperature`, and labels drawn from these."""
    generator = np.random.default_rng(seed)
    honest = generator.normal(size=(num_photos, num_classes)) * 2
    chances = softmax(honest)
    labels = (generator.uniform(size=(num_photos, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return honest * temperature, np.minimum(labels, num_classes - 1)


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_a_known_miscalibration_is_found(num_classes: int, temperature: float) -> None:
    logits, labels = simulate(0, num_photos=20_000, num_classes=num_classes, temperature=temperature)
    found = fit_temperature(logits, labels)
    assert found.value == pytest.approx(temperature, rel=0.05)
    assert found.loss_before == pytest.approx(log_loss(labels, softmax(logits)), rel=1e-6)
    assert found.loss_after == pytest.approx(log_loss(labels, softmax(logits / found.value)), rel=1e-6)
    assert found.loss_after <= found.loss_before


def test_it_is_scipys_minimum_of_the_softened_loss() -> None:
    logits, labels = simulate(1, num_photos=60, num_classes=3, temperature=3.0)
    targets = np.full((60, 3), 1 / 62 / 2)
    targets[np.arange(60), labels] = 61 / 62
    expected = minimize_scalar(
        lambda power: -np.sum(targets * np.log(softmax(logits * np.exp(power)))),
        bounds=(-3, 3),
        options={"xatol": 1e-9},
    )
    assert fit_temperature(logits, labels).value == pytest.approx(np.exp(-expected.x), abs=2e-4)


def test_a_network_that_is_right_on_all_photos_stays_as_sure_as_so_many_allow() -> None:
    labels = np.arange(180) % 2
    found = fit_temperature(np.eye(2)[labels] * 3.0, labels)
    sure = softmax(np.array([[0.0, 3.0]]) / found.value)[0, 1]
    assert sure == pytest.approx(181 / 182, abs=1e-4)  # Laplace's rule of succession
    assert found.note.startswith("least log loss")


def test_few_photos_do_not_make_a_network_less_sure_that_is_right() -> None:
    labels = np.arange(30) % 2
    found = fit_temperature(np.eye(2)[labels] * 6.0, labels)
    assert (found.value, found.loss_after) == (1.0, found.loss_before)
    assert "would have raised their loss" in found.note
    signs = np.where(np.arange(30) == 29, -1, 1)  # one of 30 is wrong, and surely so
    found = fit_temperature(np.eye(2)[labels] * (4.5 * signs)[:, None], labels)
    assert found.value > 1
    assert found.loss_after < found.loss_before


def test_a_network_worse_than_chance_is_held_at_the_end_of_the_range() -> None:
    labels = np.arange(40) % 2
    found = fit_temperature(np.eye(2)[1 - labels] * 3.0, labels)
    assert found.value == LARGEST
    assert "held at the end of 0.05 to 20" in found.note
    tiny = fit_temperature(np.eye(2)[labels] * 1e-3, labels)
    assert tiny.value == SMALLEST


@pytest.mark.parametrize(
    ("logits", "labels", "why"),
    [
        (np.empty((0, 2)), np.empty(0, int), "not fitted: there are no validation photos"),
        (np.eye(2)[[0, 0, 1]], np.zeros(3, int), "not fitted: all validation photos are of one class"),
        (np.ones((4, 3)), np.arange(4) % 3, "not fitted: the network's logits are alike for every class"),
        (np.array([[0.0, np.nan], [0.0, 1.0]]), np.array([0, 1]), "not fitted: the network's logits are not finite"),
    ],
    ids=["no photos", "one class", "constant", "not finite"],
)
def test_what_cannot_be_fitted_stays_as_it_is(logits: np.ndarray, labels: np.ndarray, why: str) -> None:
    found = fit_temperature(logits, labels)
    assert (found.value, found.num_photos, found.note) == (1.0, len(labels), why)
    assert found.loss_before == found.loss_after


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_photos=st.integers(2, 60),
    num_classes=st.integers(2, 6),
    scale=st.sampled_from([1e-6, 0.1, 1.0, 30.0, 1e4]),
)
def test_any_answers_have_a_finite_temperature_in_range(seed, num_photos, num_classes, scale) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, num_classes, num_photos)
    found = fit_temperature(generator.normal(size=(num_photos, num_classes)) * scale, labels)
    assert SMALLEST <= found.value <= LARGEST
    assert found.num_photos == num_photos
    for loss in (found.loss_before, found.loss_after):
        assert loss is None or np.isfinite(loss)
    if found.loss_before is not None:
        assert found.loss_after <= found.loss_before
