"""One sentence on whether an answer to a photo of one's own should be believed, and the numbers behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from convlens.report.wording import show_count, show_share

SHIFTS = "by up to 3 pixels"


@dataclass(frozen=True)
class Evidence:
    """What is known about an answer.

    Attributes:
        predicted: the answer.
        probability: of the answer, calibrated, 0..1.
        unsure_below: probability below which answers are unsure.
        distance: of the photo to the training photos, by what the network makes of them.
        unlike_above: distance beyond which a photo is unlike them; 1 in 100 held-out photos are.
        held_out_closer: share of held-out photos that are not further away, 0..1.
        num_shifts: shifted copies that were answered, too.
        num_same: those of them with the same answer.
    """

    predicted: str
    probability: float
    unsure_below: float
    distance: float
    unlike_above: float
    held_out_closer: float
    num_shifts: int
    num_same: int

    @property
    def unsure(self) -> bool:
        """Whether the network is near to guessing."""
        return self.probability < self.unsure_below

    @property
    def unlike(self) -> bool:
        """Whether the photo is unlike those of the training."""
        return self.distance > self.unlike_above

    @property
    def flips(self) -> bool:
        """Whether a shifted copy is answered otherwise."""
        return self.num_same < self.num_shifts


def explain_answer(evidence: Evidence, reliability: pd.DataFrame) -> tuple[bool, str]:
    """Whether nothing speaks against an answer, and why, in one sentence.

    Args:
        evidence: about the answer.
        reliability: test photos in bins of similar probability: num_photos, confidence, accuracy.
    """
    reasons = [
        *(["the photo is unlike those it learned from: " + _say_distance(evidence)] if evidence.unlike else []),
        *(["the answer flips: " + _say_flips(evidence)] if evidence.flips else []),
        *([f"it is unsure: {_say_doubt(evidence)}"] if evidence.unsure else []),
    ]
    if reasons:
        return False, f"Do not rely on it, for {_join(reasons)}."
    record = say_record(evidence.probability, reliability)
    return True, (
        "Nothing speaks against it: the photo is like those it learned from, the answer stays the same when the photo "
        f"is shifted {SHIFTS}, and {record}."
    )


def say_record(probability: float, reliability: pd.DataFrame) -> str:
    """How many test photos that were answered about as surely were answered right."""
    nearest = reliability.iloc[(reliability["confidence"].astype(float) - probability).abs().to_numpy().argmin()]
    num_photos = int(nearest["num_photos"])
    num_right = round(float(nearest["accuracy"]) * num_photos)
    return f"of {show_count(num_photos, 'test photo')} answered about as surely {_count(num_right, num_photos)} right"


def _join(reasons: Sequence[str]) -> str:
    return reasons[0] if len(reasons) == 1 else f"{'; '.join(reasons[:-1])}; and {reasons[-1]}"


def _say_distance(evidence: Evidence) -> str:
    if evidence.held_out_closer >= 1:
        return "further from them than every photo that was held out"
    return f"further from them than {show_share(evidence.held_out_closer)} of the photos that were held out"


def _say_flips(evidence: Evidence) -> str:
    changed = evidence.num_shifts - evidence.num_same
    return f"{changed} of {evidence.num_shifts} copies shifted {SHIFTS} are answered otherwise"


def _say_doubt(evidence: Evidence) -> str:
    return f"{show_share(evidence.probability)} for {evidence.predicted}, below {show_share(evidence.unsure_below)}"


def _count(number: int, total: int) -> str:
    if number == total:
        return "was" if total == 1 else f"all {number:,} were"
    return "none was" if number == 0 else f"{number:,} {'was' if number == 1 else 'were'}"
