"""How many answers are right if the unsure ones are left to people: risk over coverage.

Coverage is the share of the photos that the network answers alone, risk the share of wrong ones among these answers
(El-Yaniv and Wiener, JMLR 11, 2010).
"""

from dataclasses import dataclass

import numpy as np

from convlens.metrics.intervals import NORMAL

SAME = 1e-12


@dataclass(frozen=True)
class RiskCoverage:
    """The curve, from the surest answer to all of them; equally sure answers enter together.

    Attributes:
        confidence: least probability among the answers given, falling (M,).
        num_answered: answers given, rising (M,).
        num_wrong: wrong ones among them, (M,).
    """

    confidence: np.ndarray
    num_answered: np.ndarray
    num_wrong: np.ndarray

    @property
    def coverage(self) -> np.ndarray:
        """Share of the photos that are answered, (M,)."""
        return np.asarray(self.num_answered / self.num_answered[-1])

    @property
    def risk(self) -> np.ndarray:
        """Share of wrong ones among the answers given, (M,)."""
        return np.asarray(self.num_wrong / self.num_answered)


def answer_confidence(probabilities: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The probability of each answer, float64 (N,)."""
    given: np.ndarray = probabilities[np.arange(len(predicted)), predicted]
    return given


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> RiskCoverage:
    """The curve of answers with their probabilities, float (N,), and whether they are right, bool (N,)."""
    order = np.argsort(-confidence, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(confidence[order])), len(order) - 1]
    return RiskCoverage(confidence[order][ends], ends + 1, np.cumsum(~right[order])[ends])


def choose_least_confidence(confidence: np.ndarray, right: np.ndarray, max_error: float) -> float:
    """The probability above which answers are given, so that as many as can be are and few enough are wrong.

    Chosen on photos that are neither trained nor tested on. 0 gives every answer, 1 none. The error expected of n
    answers of which w are wrong is (w + 1) / (n + 2), by Laplace's rule of succession: the best of many lines looks
    better than it is, and 20 right answers do not promise that only one in a hundred will be wrong.

    Args:
        confidence: probability of each answer, float (N,).
        right: whether it is right, bool (N,).
        max_error: share of wrong ones tolerated among the answers given.
    """
    if len(right) == 0 or max_error == 1:
        return 0.0
    curve = risk_coverage(confidence, right)
    expected = (curve.num_wrong + 1) / (curve.num_answered + 2)
    fitting = np.flatnonzero(expected <= max_error + SAME)
    if not len(fitting):
        return 1.0
    last = int(fitting[-1])
    if last == len(curve.confidence) - 1:
        return 0.0
    return float((curve.confidence[last] + curve.confidence[last + 1]) / 2)


def wilson_ends(successes: np.ndarray, trials: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's intervals of many shares at once; see `wilson_interval`."""
    z = NORMAL.inv_cdf((1 + confidence) / 2)
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    return np.where(share == 0, 0.0, centre - half), np.where(share == 1, 1.0, centre + half)
