import time

import numpy as np
import pytest
from metric_answers import random_answers
from scipy.stats import binomtest

from convlens.metrics.intervals import (
    HEADLINES,
    Interval,
    bootstrap_intervals,
    draw_weights,
    headline_values,
    prepare_metrics,
    wilson_interval,
)


@pytest.mark.parametrize(("num_classes", "digits"), [(2, None), (2, 1), (5, None), (5, 1)])
def test_the_vectorised_metrics_are_the_plain_ones(num_classes: int, digits: int | None) -> None:
    labels, probabilities = random_answers(3, num_classes=num_classes, digits=digits)
    (once,) = prepare_metrics(labels, probabilities)(np.ones((1, len(labels))))
    assert dict(zip(HEADLINES, once, strict=True)) == pytest.approx(headline_values(labels, probabilities), abs=1e-12)


@pytest.mark.parametrize(("num_classes", "digits"), [(2, 1), (4, None)])
def test_a_resample_is_measured_as_if_its_photos_were_written_out(num_classes: int, digits: int | None) -> None:
    labels, probabilities = random_answers(4, num_classes=num_classes, digits=digits)
    (weights,) = draw_weights(labels, num_resamples=5, seed=1)
    resampled = prepare_metrics(labels, probabilities)(weights)
    for row, measured in zip(weights, resampled, strict=True):
        drawn = np.repeat(np.arange(len(labels)), row.astype(int))
        expected = headline_values(labels[drawn], probabilities[drawn])
        assert dict(zip(HEADLINES, measured, strict=True)) == pytest.approx(expected, abs=1e-12)


def test_resamples_keep_the_number_of_photos_of_every_class() -> None:
    labels = np.array([0] * 5 + [1] * 40 + [2])
    weights = np.concatenate(list(draw_weights(labels, num_resamples=50, seed=0)))
    for index, count in enumerate((5, 40, 1)):
        assert set(weights[:, labels == index].sum(axis=1)) == {count}


def test_the_same_seed_gives_the_same_intervals() -> None:
    labels, probabilities = random_answers(5)
    first = bootstrap_intervals(labels, probabilities, num_resamples=300, seed=7)
    assert first == bootstrap_intervals(labels, probabilities, num_resamples=300, seed=7)
    assert first != bootstrap_intervals(labels, probabilities, num_resamples=300, seed=8)


def test_every_interval_holds_its_value_and_narrows_with_less_confidence() -> None:
    labels, probabilities = random_answers(6, num_classes=3)
    wide = bootstrap_intervals(labels, probabilities, confidence=0.99)
    narrow = bootstrap_intervals(labels, probabilities, confidence=0.8)
    assert list(wide) == list(HEADLINES)
    for name, interval in wide.items():
        assert interval.low < narrow[name].low < interval.value < narrow[name].high < interval.high  # type: ignore[operator]


@pytest.mark.parametrize("share", [0.7, 0.9])
def test_accuracys_interval_is_near_wilsons(share: float) -> None:
    labels = np.repeat([0, 1], 200)
    right = np.arange(400) % 10 < 10 * share
    answers = np.where(right, labels, 1 - labels)
    interval = bootstrap_intervals(labels, np.eye(2)[answers] * 0.98 + 0.01)["accuracy"]
    expected = wilson_interval(int(right.sum()), 400)
    assert (interval.low, interval.high) == pytest.approx(expected, abs=0.01)


def test_coverage_on_simulated_data_is_nominal() -> None:
    """400 experiments of 150 photos with a classifier whose true accuracy, AUC and losses are known."""
    true = _measure_large_sample()
    held = dict.fromkeys(HEADLINES, 0)
    for seed in range(400):
        labels, probabilities = _simulate(seed, 150)
        for name, interval in bootstrap_intervals(labels, probabilities, num_resamples=400, seed=seed).items():
            assert interval.low is not None
            assert interval.high is not None
            held[name] += interval.low <= true[name] <= interval.high
    coverage = {name: count / 400 for name, count in held.items()}
    assert all(0.925 <= share <= 0.985 for share in coverage.values()), coverage


def test_coverage_of_accuracy_holds_near_the_end_of_the_scale() -> None:
    """Accuracy 97 % on 180 photos, where plain percentiles cover 92 %."""
    held = 0
    for seed in range(400):
        labels = np.arange(180) % 2
        wrong = np.random.default_rng(seed).uniform(size=180) > 0.97
        answers = np.eye(2)[np.where(wrong, 1 - labels, labels)]
        interval = bootstrap_intervals(labels, answers, num_resamples=400, seed=seed)["accuracy"]
        held += interval.low <= 0.97 <= interval.high  # type: ignore[operator]
    assert 0.93 <= held / 400 <= 0.985


def _simulate(seed: int, num_photos: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(num_photos) % 2
    positive = 1 / (1 + np.exp(-(generator.normal(size=num_photos) + (2 * labels - 1) * 1.2)))
    return labels, np.column_stack([1 - positive, positive])


def _measure_large_sample() -> dict[str, float]:
    labels, probabilities = _simulate(10_000, 400_000)
    return {name: value for name, value in headline_values(labels, probabilities).items() if value is not None}


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (57, 60), (60, 60)])
def test_wilsons_interval_is_scipys(successes: int, trials: int) -> None:
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_perfect_score_is_not_certainty() -> None:
    labels = np.repeat([0, 1], 30)
    intervals = bootstrap_intervals(labels, np.eye(2)[labels] * 0.9 + 0.05)
    assert (intervals["accuracy"].value, intervals["accuracy"].high) == (1.0, 1.0)
    assert intervals["accuracy"].low == pytest.approx(wilson_interval(60, 60)[0])
    assert intervals["balanced_accuracy"].low == pytest.approx(wilson_interval(60, 60)[0])
    assert intervals["roc_auc"].low == pytest.approx(wilson_interval(30, 30)[0])


def test_all_wrong_is_not_certainty_either() -> None:
    labels = np.repeat([0, 1], 30)
    interval = bootstrap_intervals(labels, np.eye(2)[1 - labels])["accuracy"]
    assert (interval.low, interval.value) == (0.0, 0.0)
    assert interval.high == pytest.approx(wilson_interval(0, 60)[1])


def test_a_constant_answer_gives_wilsons_interval_of_its_accuracy() -> None:
    labels = np.array([0] * 50 + [1] * 30)
    intervals = bootstrap_intervals(labels, np.tile([0.6, 0.4], (80, 1)), num_resamples=100)
    assert intervals["accuracy"] == Interval(0.625, *wilson_interval(50, 80))
    assert intervals["roc_auc"] == Interval(0.5, None, None)


def test_a_single_photo_gives_values_without_invented_intervals() -> None:
    intervals = bootstrap_intervals(np.array([1]), np.array([[0.2, 0.8]]), num_resamples=100)
    assert intervals["accuracy"] == Interval(1.0, *wilson_interval(1, 1))
    assert intervals["log_loss"] == Interval(pytest.approx(-np.log(0.8)), None, None)
    assert intervals["roc_auc"] == Interval(None, None, None)


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        (np.ones(20, dtype=int), np.tile([0.3, 0.7], (20, 1))),
        (np.arange(20) % 2, np.full((20, 2), 0.5)),
        (np.zeros(3, dtype=int), np.tile([0.0, 1.0, 0.0], (3, 1))),
        (np.array([0, 1]), np.array([[1.0, 0.0], [0.0, 1.0]])),
    ],
    ids=["one class", "constant answer", "certain and wrong", "two photos"],
)
def test_degenerate_answers_never_give_nan(labels: np.ndarray, probabilities: np.ndarray) -> None:
    for interval in bootstrap_intervals(labels, probabilities, num_resamples=100).values():
        for number in (interval.value, interval.low, interval.high):
            assert number is None or np.isfinite(number)


def test_two_thousand_photos_take_about_a_second() -> None:
    labels, probabilities = random_answers(1, num_photos=2000)
    started = time.process_time()
    bootstrap_intervals(labels, probabilities, num_resamples=2000)
    assert time.process_time() - started < 5  # 0.7 s on one quiet core
