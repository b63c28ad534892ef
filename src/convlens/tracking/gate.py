"""The gate: whether a version becomes the champion. Plain values in, plain values out; no human needed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

ACCURACY = "test_accuracy"
CHAMPION_ACCURACY = "no_worse_than_champion"
PACKAGE = "answers_as_evaluated"


@dataclass(frozen=True)
class Criterion:
    """One demand on a version.

    Attributes:
        name: of the criterion.
        value: what the version reaches; None if it could not be measured.
        minimum: what it must reach; None where nothing is demanded.
        passed: the verdict.
        note: how it was measured, for people.
    """

    name: str
    value: float | None
    minimum: float | None
    passed: bool
    note: str


@dataclass(frozen=True)
class Contest:
    """The new version and the champion on the same photos, none of which the champion was trained on.

    Attributes:
        num_photos: how many there are.
        new_accuracy: share that the new version answers right.
        champion_accuracy: share that the champion answers right.
        source: where the champion's answers come from, for people.
        paired: how sure the difference is, photo by photo, for people.
    """

    num_photos: int
    new_accuracy: float
    champion_accuracy: float
    source: str
    paired: str = ""


def judge_accuracy(accuracy: float, minimum: float, num_photos: int) -> Criterion:
    """Accuracy on the test photos against the least that a champion must reach."""
    return Criterion(ACCURACY, accuracy, minimum, accuracy >= minimum, f"on {num_photos:,} test photos")


def judge_package(num_alike: int, num_photos: int) -> Criterion:
    """The packaged model must answer every photo it is asked about as the network did in the evaluation."""
    note = f"the packaged model answers {num_alike:,} of {num_photos:,} test photos as in the evaluation"
    return Criterion(PACKAGE, num_alike / num_photos, 1.0, num_alike == num_photos, note)


def unopposed(note: str) -> Criterion:
    """Nothing to be compared with, so nothing is demanded; `note` says why."""
    return Criterion(CHAMPION_ACCURACY, None, None, True, note)


def judge_contest(contest: Contest) -> Criterion:
    """No worse than the champion on the same photos; what cannot be compared does not pass.

    A difference that these photos cannot show does not unseat a champion: else, version by version, it could slide.
    """
    if contest.num_photos == 0:
        return Criterion(CHAMPION_ACCURACY, None, None, False, contest.source)
    passed = contest.new_accuracy >= contest.champion_accuracy
    note = "; ".join(part for part in (f"on {contest.num_photos:,} photos", contest.source, contest.paired) if part)
    return Criterion(CHAMPION_ACCURACY, contest.new_accuracy, contest.champion_accuracy, passed, note)


def all_passed(criteria: Sequence[Criterion]) -> bool:
    """Whether nothing stands between a version and its crown."""
    return all(criterion.passed for criterion in criteria)


def to_plain(criteria: Sequence[Criterion]) -> list[dict[str, Any]]:
    """Criteria as JSON takes them."""
    return [asdict(criterion) for criterion in criteria]


def from_plain(values: Sequence[dict[str, Any]]) -> list[Criterion]:
    """What `to_plain` made."""
    return [Criterion(**value) for value in values]


def tell(criterion: Criterion) -> str:
    """One criterion as a line for people: `test_accuracy 0.9500 (at least 0.8000): passed, on 180 test photos`."""
    value = "" if criterion.value is None else f" {criterion.value:.4f}"
    minimum = "" if criterion.minimum is None else f" (at least {criterion.minimum:.4f})"
    return f"{criterion.name}{value}{minimum}: {'passed' if criterion.passed else 'missed'}, {criterion.note}"
