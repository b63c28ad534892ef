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
    members = [np.flatnonzero(labels == index) for index in range(num_classes)]
    chosen = [
        np.concatenate([np.random.default_rng(seed).choice(each, len(each)) for each in members]) for seed in range(5)
    ]
    weights = np.array([np.bincount(each, minlength=len(labels)) for each in chosen], float)
    resampled = prepare_metrics(labels, probabilities)(weights)
    for row, measured in zip(weights, resampled, strict=True):
        drawn = np.repeat(np.arange(len(labels)), row.astype(int))  # as many photos of each class as there are
        expected = headline_values(labels[drawn], probabilities[drawn])
        assert dict(zip(HEADLINES, measured, strict=True)) == pytest.approx(expected, abs=1e-12)


def test_resamples_keep_the_number_of_photos_of_every_class() -> None:
    labels = np.array([0] * 5 + [1] * 40 + [2])
    weights = np.concatenate(list(draw_weights(labels, num_resamples=50, seed=0)))
    for index, count in enumerate((5, 40, 1)):
        assert weights[:, labels == index].sum(axis=1) == pytest.approx(count)


def test_resamples_vary_as_much_as_means_of_few_photos_do() -> None:
    """Where n photos are drawn of n, the variance of three photos' mean comes out a third too small."""
    values = np.array([0.0, 1.0, 5.0])
    weights = np.concatenate(list(draw_weights(np.zeros(3, int), num_resamples=40_000, seed=0)))
    assert (weights @ values / 3).var() == pytest.approx(values.var(ddof=1) / 3, rel=0.03)


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
def test_accuracys_interval_is_wilsons(share: float) -> None:
    labels = np.repeat([0, 1], 200)
    right = np.arange(400) % 10 < 10 * share
    answers = np.where(right, labels, 1 - labels)
    intervals = bootstrap_intervals(labels, np.eye(2)[answers] * 0.98 + 0.01, num_resamples=100)
    for name in ("accuracy", "balanced_accuracy"):
        found = intervals[name]
        assert (found.low, found.high) == pytest.approx(wilson_interval(int(right.sum()), 400), abs=1e-9)


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


@pytest.mark.parametrize(
    ("recalls", "num_photos"),
    [
        ([0.97, 0.97], [90, 90]),
        ([0.8] * 5, [3] * 5),
        ([0.9] * 20, [2] * 20),
        ([0.7] * 100, [2] * 100),
        ([0.96, 0.03, 0.03], [24] * 3),  # nearly always the same class
        ([0.9, 0.1, 0.05, 0.05], [10] * 4),
        ([0.5, 0.99], [5, 500]),
        ([0.6, 0.9, 0.97], [8, 40, 300]),
    ],
)
def test_shares_are_covered_with_few_photos_per_class_and_with_nearly_constant_predictions(
    recalls: list[float], num_photos: list[int]
) -> None:
    """At least 91 of 100 of 300 experiments; drawn within classes, shares vary less than Wilson's interval allows."""
    labels, generator = np.repeat(np.arange(len(recalls)), num_photos), np.random.default_rng(0)
    true = {"accuracy": np.average(recalls, weights=num_photos), "balanced_accuracy": np.mean(recalls)}
    held = dict.fromkeys(true, 0)
    for _ in range(300):
        correct = generator.random(len(labels)) < np.array(recalls)[labels]
        answers = np.where(correct, labels, np.where(labels == 0, 1, 0))
        intervals = bootstrap_intervals(labels, np.eye(len(recalls))[answers], num_resamples=2)
        for name, share in true.items():
            held[name] += intervals[name].low <= share <= intervals[name].high  # type: ignore[operator]
    assert min(held.values()) >= 0.91 * 300, held


def test_losses_are_covered_with_few_photos_per_class() -> None:
    """Five photos of each of six classes; a bootstrap that draws five of five covers 89 %."""
    labels, held = np.repeat(np.arange(6), 5), 0
    for seed in range(400):
        noise = np.random.default_rng(seed).beta(6, 2, len(labels))
        probabilities = np.full((30, 6), ((1 - noise) / 5)[:, None])
        probabilities[np.arange(30), labels] = noise
        interval = bootstrap_intervals(labels, probabilities, num_resamples=400, seed=seed)["brier"]
        held += interval.low <= TRUE_BRIER <= interval.high  # type: ignore[operator]
    assert 0.9 <= held / 400 <= 0.985


# The mean of (1 - p)² + (1 - p)² / 5 for p of a beta distribution with 6 and 2: 1.2 E[(1 - p)²] = 1.2 · 2 · 3 / (8 · 9)
TRUE_BRIER = 1.2 * 2 * 3 / (8 * 9)


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
