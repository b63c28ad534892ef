"""How probabilities become answers: the threshold, and which are too unsure; chosen on the validation photos."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from convlens.errors import ConvLensError
from convlens.metrics.operating import EVEN, Rule, apply_threshold, choose_threshold
from convlens.metrics.selective import answer_confidence, choose_least_confidence
from convlens.params import EvaluateParams, PrecisionTarget


@dataclass(frozen=True)
class Decision:
    """What makes answers of probabilities.

    Attributes:
        threshold: of two classes the second is answered above this probability; 0.5 is the most probable class.
        threshold_rule: `evaluate.threshold` as a text.
        threshold_reached: whether the rule could be met on the validation photos.
        threshold_note: how it was chosen, for people.
        min_probability: answers with no more than this probability are too unsure to be given; 0 gives all.
        max_error: share of wrong ones tolerated among the answers given.
        num_validation: photos these were chosen on.
    """

    threshold: float = EVEN
    threshold_rule: str = "0.5"
    threshold_reached: bool = True
    threshold_note: str = "the most probable class"
    min_probability: float = 0.0
    max_error: float = 1.0
    num_validation: int = 0

    def answer(self, probabilities: np.ndarray) -> np.ndarray:
        """The answers to photos, int64 (N,), from probabilities (N, K)."""
        return apply_threshold(probabilities, self.threshold)

    def is_unsure(self, probabilities: np.ndarray) -> np.ndarray:
        """Which answers a person should look at, bool (N,)."""
        unsure: np.ndarray = answer_confidence(probabilities, self.answer(probabilities)) <= self.min_probability
        return unsure

    def to_plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def decide(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], settings: EvaluateParams) -> Decision:
    """Choose threshold and least probability on the validation photos.

    Args:
        labels: true classes of the validation photos, int64 (N,).
        probabilities: the network's, float64 (N, K).
        classes: names, K.
        settings: says what is wanted.

    Raises:
        ConvLensError: a threshold other than 0.5 for more than two classes.
    """
    rule, target = _read_rule(settings)
    if len(classes) != 2 and (rule != "fixed" or target != EVEN):
        raise ConvLensError(
            f"Expected evaluate.threshold to be 0.5 for {len(classes)} classes: only between two is there one line to "
            f"draw. Received: {describe_rule(settings)}. Set evaluate.threshold: 0.5 in params.yaml."
        )
    found = choose_threshold(labels == 1, probabilities[:, 1], rule, target)
    even = rule == "fixed" and target == EVEN
    value = float(f"{found.value:.7g}")
    predicted = apply_threshold(probabilities, value)
    least = choose_least_confidence(
        answer_confidence(probabilities, predicted), predicted == labels, settings.max_error
    )
    return Decision(
        threshold=value,
        threshold_rule=describe_rule(settings),
        threshold_reached=found.reached,
        threshold_note=Decision.threshold_note if even else found.note,
        min_probability=float(f"{least:.7g}"),
        max_error=settings.max_error,
        num_validation=len(labels),
    )


def describe_rule(settings: EvaluateParams) -> str:
    """`evaluate.threshold` as a text: `0.5`, `max_f1`, `precision 0.95`."""
    given = settings.threshold
    if isinstance(given, PrecisionTarget):
        return f"precision {given.precision:g}"
    return given if isinstance(given, str) else f"{given:g}"


def _read_rule(settings: EvaluateParams) -> tuple[Rule, float]:
    given = settings.threshold
    if isinstance(given, PrecisionTarget):
        return "precision", given.precision
    return ("max_f1", EVEN) if isinstance(given, str) else ("fixed", given)
