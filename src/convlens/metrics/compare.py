"""Whether one model beats another on the same photos: McNemar's exact test and the paired bootstrap."""

from dataclasses import dataclass

import numpy as np

from convlens.errors import ConvLensError
from convlens.metrics.classification import check_predictions, predicted_classes
from convlens.metrics.intervals import Interval, corrected_range, headline_values
from convlens.metrics.resampling import HEADLINES, draw_weights, prepare_metrics


@dataclass(frozen=True)
class McNemar:
    """Photos that only one of two models answers right, and how surprising so uneven a split would be.

    Attributes:
        only_first: photos that only the first model answers right.
        only_second: photos that only the second model answers right.
        p_value: two-sided, exact; 1.0 when the two never differ.
    """

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """The second model against the first on the same photos.

    Attributes:
        mcnemar: the test on right and wrong answers.
        differences: second minus first for every headline metric, with its interval.
    """

    mcnemar: McNemar
    differences: dict[str, Interval]


def compare_predictions(
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two sets of probabilities, both float64 (N, K), for the same photos in the same order.

    Raises:
        ConvLensError: the two are not about the same photos and classes; see also `check_predictions`.
    """
    check_predictions(labels, first)
    check_predictions(labels, second)
    if first.shape != second.shape:
        raise ConvLensError(f"Expected predictions of one shape. Received: {first.shape} and {second.shape}.")
    right = [predicted_classes(probabilities) == labels for probabilities in (first, second)]
    measures = [prepare_metrics(labels, probabilities) for probabilities in (first, second)]
    blocks = draw_weights(labels, num_resamples=num_resamples, seed=seed)
    resampled = np.concatenate([measures[1](weights) - measures[0](weights) for weights in blocks])
    values = [headline_values(labels, probabilities) for probabilities in (first, second)]
    differences = {
        name: _difference(values[0][name], values[1][name], resampled[:, column], confidence)
        for column, name in enumerate(HEADLINES)
    }
    return Comparison(mcnemar_test(*right), differences)


def mcnemar_test(first_right: np.ndarray, second_right: np.ndarray) -> McNemar:
    """McNemar's test in its exact form: whether the photos on which the models differ are split evenly.

    Args:
        first_right: bool (N,), photos that the first model answers right.
        second_right: bool (N,), the same photos for the second model.

    Source: McNemar, Psychometrika 12 (1947); exact form as in Fagerland et al., BMC Med Res Methodol 13 (2013).
    """
    only_first = int(np.count_nonzero(first_right & ~second_right))
    only_second = int(np.count_nonzero(second_right & ~first_right))
    return McNemar(only_first, only_second, _even_split_p_value(only_first, only_second))


def _even_split_p_value(one: int, other: int) -> float:
    """Two-sided chance of a split of fair coin tosses at least as uneven; exact, in whole numbers."""
    tosses, fewer = one + other, min(one, other)
    ways = total = 1
    for heads in range(fewer):
        ways = ways * (tosses - heads) // (heads + 1)
        total += ways
    return min(1.0, float(2 * total / 2**tosses))


def _difference(first: float | None, second: float | None, resampled: np.ndarray, confidence: float) -> Interval:
    if first is None or second is None:
        return Interval(None, None, None)
    return Interval(second - first, *corrected_range(second - first, resampled, confidence))
