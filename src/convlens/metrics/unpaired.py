"""Whether one model does worse on other photos: two independent samples of photos, each with its answers."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import fisher_exact

from convlens.metrics.classification import check_predictions, predicted_classes
from convlens.metrics.intervals import Interval, corrected_range, headline_values, wilson_interval
from convlens.metrics.resampling import HEADLINES, draw_weights, prepare_metrics

SMALLEST_SPREAD = 1e-12


@dataclass(frozen=True)
class Sample:
    """Labelled photos and what a network says about them.

    Attributes:
        labels: true classes, int64 (N,).
        probabilities: float64 (N, K).
        predicted: the answers, int64 (N,), where they are not simply the most probable classes.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray | None = None

    @property
    def right(self) -> np.ndarray:
        """Which photos are answered right, bool (N,)."""
        answers = predicted_classes(self.probabilities) if self.predicted is None else self.predicted
        return np.asarray(answers == self.labels)


@dataclass(frozen=True)
class SamplesCompared:
    """The second sample against the first.

    Attributes:
        word: `better` or `worse` if the interval of the difference in accuracy excludes 0 and Fisher's exact test
            agrees; else `same`: no difference that these photos can show.
        p_value: of Fisher's exact test on right and wrong answers, two-sided.
        differences: second minus first for every headline metric; None where one of them is undefined.
    """

    word: Literal["better", "worse", "same"]
    p_value: float
    differences: dict[str, Interval]


def compare_samples(
    first: Sample, second: Sample, *, num_resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> SamplesCompared:
    """Compare two samples that share no photo.

    Shares of right answers get Newcombe's interval, which holds at 100 % too; the other metrics a bootstrap of both
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
        name: _difference(values[0][name], values[1][name], change[:, column], confidence)
        for column, name in enumerate(HEADLINES)
    }
    differences["accuracy"] = newcombe_interval(first.right, second.right, confidence=confidence)
    p_value = _fisher(first.right, second.right)
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


def _difference(first: float | None, second: float | None, change: np.ndarray, confidence: float) -> Interval:
    if first is None or second is None:
        return Interval(None, None, None)
    low, high = corrected_range(second - first, change, confidence)
    # All resamples alike, as after a constant answer: that says nothing about other photos.
    return Interval(second - first, low, high) if high - low > SMALLEST_SPREAD else Interval(second - first, None, None)


def _fisher(first: np.ndarray, second: np.ndarray) -> float:
    table = [[int(values.sum()), int((~values).sum())] for values in (first, second)]
    return float(fisher_exact(table).pvalue)


def _judge(difference: Interval, significant: bool) -> Literal["better", "worse", "same"]:
    if not significant or difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "same"
    return "worse" if difference.high < 0 else "better"
