"""Compare two models, on the same photos or on different ones."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binomtest, fisher_exact

from convlens.errors import ConvLensError
from convlens.metrics.classification import check_predictions, predicted_classes
from convlens.metrics.intervals import (
    HEADLINES,
    Interval,
    corrected_range,
    draw_weights,
    headline_values,
    prepare_metrics,
    wilson_interval,
)

# --- Whether one model beats another on the same photos: McNemar's exact test and the paired bootstrap ---


@dataclass(frozen=True)
class McNemar:
    """Photos that only one of two models classifies correctly, and how surprising so uneven a split would be.

    Attributes:
        only_first: photos that only the first model classifies correctly.
        only_second: photos that only the second model classifies correctly.
        p_value: two-sided, exact; 1.0 when the two never differ.
    """

    only_first: int
    only_second: int
    p_value: float


Word = Literal["better", "worse", "same"]


@dataclass(frozen=True)
class AccuracyComparison:
    """Accuracy of the second model against the first, on the same photos.

    Attributes:
        word: `better` or `worse` if the paired interval of the difference excludes 0 and McNemar's exact test agrees;
            else `same`: no difference that these photos can show.
        num_photos: that both have classified.
        first: accuracy of the first model.
        second: accuracy of the second model.
        difference: second minus first, with its paired interval.
        mcnemar: the test on correct and wrong predictions.
    """

    word: Word
    num_photos: int
    first: float
    second: float
    difference: Interval
    mcnemar: McNemar


@dataclass(frozen=True)
class Comparison:
    """The second model against the first on the same photos.

    Attributes:
        accuracy: accuracies, and the verdict.
        differences: second minus first for every headline metric, with its interval.
    """

    accuracy: AccuracyComparison
    differences: dict[str, Interval]

    @property
    def mcnemar(self) -> McNemar:
        """The test on correct and wrong predictions."""
        return self.accuracy.mcnemar


def compare_predictions(
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    predicted: tuple[np.ndarray, np.ndarray] | None = None,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two sets of probabilities, both float64 (N, K), for the same photos in the same order.

    `predicted` are the predictions of both, int64 (N,) each, where they are not simply the most probable classes.

    Raises:
        ConvLensError: the two are not about the same photos and classes; see also `check_predictions`.
    """
    check_predictions(labels, first)
    check_predictions(labels, second)
    if first.shape != second.shape:
        raise ConvLensError(f"Expected predictions of one shape. Received: {first.shape} and {second.shape}.")
    chosen = predicted or (predicted_classes(first), predicted_classes(second))
    pairs = list(zip((first, second), chosen, strict=True))
    measures = [prepare_metrics(labels, *pair) for pair in pairs]
    blocks = draw_weights(labels, num_resamples=num_resamples, seed=seed)
    resampled = np.concatenate([measures[1](weights) - measures[0](weights) for weights in blocks])
    values = [headline_values(labels, *pair) for pair in pairs]
    differences = {
        name: _difference(values[0][name], values[1][name], resampled[:, column], confidence)
        for column, name in enumerate(HEADLINES)
    }
    correct = [each == labels for each in chosen]
    accuracy = _compare_accuracies(correct[0], correct[1], differences["accuracy"], confidence)
    return Comparison(accuracy, differences)


def compare_accuracies(
    labels: np.ndarray,
    first_correct: np.ndarray,
    second_correct: np.ndarray,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> AccuracyComparison:
    """The same verdict as `compare_predictions`, where only correct and wrong are known of two models.

    Args:
        labels: true classes of the photos, (N,); resamples are drawn within each.
        first_correct: bool (N,), photos that the first model classifies correctly.
        second_correct: bool (N,), the same photos for the second model.
        num_resamples: resamples of the paired bootstrap.
        confidence: coverage of the interval; McNemar's p-value is held against the rest.
        seed: of the resamples.

    Raises:
        ConvLensError: no photos.
    """
    if len(labels) == 0:
        raise ConvLensError("Expected photos that both models have classified. Received: none.")
    gained = second_correct.astype(np.float64) - first_correct.astype(np.float64)
    blocks = draw_weights(labels, num_resamples=num_resamples, seed=seed)
    resampled = np.concatenate([weights @ gained / len(labels) for weights in blocks])
    value = float(second_correct.mean()) - float(first_correct.mean())
    difference = Interval(value, *corrected_range(value, resampled, confidence))
    return _compare_accuracies(first_correct, second_correct, difference, confidence)


def _compare_accuracies(
    first_correct: np.ndarray, second_correct: np.ndarray, difference: Interval, confidence: float
) -> AccuracyComparison:
    test = mcnemar_test(first_correct, second_correct)
    return AccuracyComparison(
        word=_choose_word(difference, test, confidence),
        num_photos=len(first_correct),
        first=float(first_correct.mean()),
        second=float(second_correct.mean()),
        difference=difference,
        mcnemar=test,
    )


def _choose_word(difference: Interval, test: McNemar, confidence: float) -> Word:
    """The bootstrap alone would be too sure of itself where two models differ on few photos.

    Four lost and none won of 180 puts its whole interval below 0, and is yet a coin's one in eight. So McNemar's exact
    test has to agree.
    """
    if test.p_value >= 1 - confidence or difference.low is None or difference.high is None:
        return "same"
    return "better" if difference.low > 0 else "worse" if difference.high < 0 else "same"


def mcnemar_test(first_correct: np.ndarray, second_correct: np.ndarray) -> McNemar:
    """McNemar's test in its exact form: whether the photos on which the models differ are split evenly.

    Args:
        first_correct: bool (N,), photos that the first model classifies correctly.
        second_correct: bool (N,), the same photos for the second model.

    Source: McNemar, Psychometrika 12 (1947); exact form as in Fagerland et al., BMC Med Res Methodol 13 (2013).
    """
    only_first = int(np.count_nonzero(first_correct & ~second_correct))
    only_second = int(np.count_nonzero(second_correct & ~first_correct))
    differing = only_first + only_second
    p_value = float(binomtest(only_first, differing).pvalue) if differing else 1.0
    return McNemar(only_first, only_second, p_value)


def _difference(first: float | None, second: float | None, resampled: np.ndarray, confidence: float) -> Interval:
    if first is None or second is None:
        return Interval(None, None, None)
    return Interval(second - first, *corrected_range(second - first, resampled, confidence))


# --- Whether one model does worse on other photos: two independent samples of photos, each with its predictions ---

SMALLEST_SPREAD = 1e-12


@dataclass(frozen=True)
class Sample:
    """Labeled photos and what a network predicts for them.

    Attributes:
        labels: true classes, int64 (N,).
        probabilities: float64 (N, K).
        predicted: the predictions, int64 (N,), where they are not simply the most probable classes.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray | None = None

    @property
    def correct(self) -> np.ndarray:
        """Which photos are classified correctly, bool (N,)."""
        predicted = predicted_classes(self.probabilities) if self.predicted is None else self.predicted
        return np.asarray(predicted == self.labels)


@dataclass(frozen=True)
class SamplesCompared:
    """The second sample against the first.

    Attributes:
        word: `better` or `worse` if the interval of the difference in accuracy excludes 0 and Fisher's exact test
            agrees; else `same`: no difference that these photos can show.
        p_value: of Fisher's exact test on correct and wrong predictions, two-sided.
        differences: second minus first for every headline metric; None where one of them is undefined.
    """

    word: Literal["better", "worse", "same"]
    p_value: float
    differences: dict[str, Interval]


def compare_samples(
    first: Sample, second: Sample, *, num_resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> SamplesCompared:
    """Compare two samples that share no photo.

    Accuracies get Newcombe's interval, which holds at 100 % too; the other metrics a bootstrap of both
    samples, each by itself.

    Raises:
        ConvLensError: see `check_predictions`.

    Source: Newcombe, Interval estimation for the difference between independent proportions, method 10, Statistics in
    Medicine 17 (1998).
    """
    for sample in (first, second):
        check_predictions(sample.labels, sample.probabilities)
    values = [headline_values(sample.labels, sample.probabilities, sample.predicted) for sample in (first, second)]
    resampled = [_resample(sample, num_resamples, seed + place) for place, sample in enumerate((first, second))]
    change = resampled[1] - resampled[0]
    differences = {
        name: _difference_unpaired(values[0][name], values[1][name], change[:, column], confidence)
        for column, name in enumerate(HEADLINES)
    }
    differences["accuracy"] = newcombe_interval(first.correct, second.correct, confidence=confidence)
    p_value = _fisher(first.correct, second.correct)
    return SamplesCompared(_judge(differences["accuracy"], p_value < 1 - confidence), p_value, differences)


def newcombe_interval(first: np.ndarray, second: np.ndarray, *, confidence: float = 0.95) -> Interval:
    """Second minus first share of True, bool (N,) and (M,), with the interval of the difference."""
    shares = [float(values.mean()) for values in (first, second)]
    ends = [wilson_interval(int(values.sum()), len(values), confidence=confidence) for values in (first, second)]
    difference = shares[1] - shares[0]
    below = np.hypot(shares[1] - ends[1][0], ends[0][1] - shares[0])
    above = np.hypot(ends[1][1] - shares[1], shares[0] - ends[0][0])
    return Interval(difference, float(difference - below), float(difference + above))


def _resample(sample: Sample, num_resamples: int, seed: int) -> np.ndarray:
    measure = prepare_metrics(sample.labels, sample.probabilities, sample.predicted)
    blocks = draw_weights(sample.labels, num_resamples=num_resamples, seed=seed)
    return np.concatenate([measure(weights) for weights in blocks])


def _difference_unpaired(first: float | None, second: float | None, change: np.ndarray, confidence: float) -> Interval:
    if first is None or second is None:
        return Interval(None, None, None)
    low, high = corrected_range(second - first, change, confidence)
    # All resamples alike, as after constant predictions: that says nothing about other photos.
    return Interval(second - first, low, high) if high - low > SMALLEST_SPREAD else Interval(second - first, None, None)


def _fisher(first: np.ndarray, second: np.ndarray) -> float:
    table = [[int(values.sum()), int((~values).sum())] for values in (first, second)]
    return float(fisher_exact(table).pvalue)


def _judge(difference: Interval, significant: bool) -> Literal["better", "worse", "same"]:
    if not significant or difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "same"
    return "worse" if difference.high < 0 else "better"
