"""Several runs side by side: which parameters differ, and whether each run beats the first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convlens.comparison.answers import ChangedAnswer, list_changed
from convlens.comparison.groups import GroupChange, measure_groups
from convlens.comparison.paired import NoVerdict, Pair, Verdict, judge, pair_answers
from convlens.comparison.parameters import ParameterRow, list_differences
from convlens.comparison.snapshot import Snapshot
from convlens.params import CompareParams, EvaluateParams

if TYPE_CHECKING:
    from convlens.comparison.filters import FiltersCompared


@dataclass(frozen=True)
class Detail:
    """What only a pair of runs is asked for.

    Attributes:
        pair: answers to the test photos that both have; None if they cannot be paired.
        changed: photos that the two answer differently.
        groups: classes and kinds of photos.
    """

    pair: Pair | None = None
    changed: tuple[ChangedAnswer, ...] = ()
    groups: tuple[GroupChange, ...] = ()


@dataclass(frozen=True)
class RunsCompared:
    """Runs side by side; the first is the base.

    Attributes:
        runs: the base, then the others, R.
        parameters: what differs between them.
        verdicts: one per run after the base, R - 1.
        confidence: coverage of the intervals.
        max_regression: largest loss of accuracy tolerated.
        detail: of two runs; empty for more.
        filters: which filters of two runs are the same; None if nobody asked, or they could not be compared.
        filters_note: why they could not.
    """

    runs: tuple[Snapshot, ...]
    parameters: tuple[ParameterRow, ...]
    verdicts: tuple[Verdict | NoVerdict, ...]
    confidence: float
    max_regression: float
    detail: Detail = Detail()
    filters: "FiltersCompared | None" = None
    filters_note: str = ""

    @property
    def has_regression(self) -> bool:
        """Whether any run is a regression from the base."""
        return any(isinstance(verdict, Verdict) and verdict.regression for verdict in self.verdicts)


@dataclass(frozen=True)
class FirstResults:
    """Runs without a base to compare them with, as in the first pull request of a repository.

    Attributes:
        base: name of the revision that has no results.
        reason: what it lacks.
        runs: the others.
    """

    base: str
    reason: str
    runs: tuple[Snapshot, ...]

    @property
    def has_regression(self) -> bool:
        """Never: there is nothing to fall back from."""
        return False


def compare_runs(runs: Sequence[Snapshot], *, evaluate: EvaluateParams, compare: CompareParams) -> RunsCompared:
    """Compare every run with the first one.

    Args:
        runs: two or more.
        evaluate: says how the intervals are made.
        compare: says which loss is a regression.
    """
    base, *others = runs
    verdicts = [judge(base, run, evaluate=evaluate, compare=compare) for run in others]
    return RunsCompared(
        tuple(runs),
        list_differences([run.params for run in runs]),
        tuple(verdicts),
        evaluate.confidence,
        compare.max_regression,
        _look_closer(base, others[0], evaluate.confidence) if len(others) == 1 else Detail(),
    )


def _look_closer(base: Snapshot, head: Snapshot, confidence: float) -> Detail:
    pair = pair_answers(base, head)
    if pair is None:
        return Detail()
    return Detail(pair, list_changed(pair), measure_groups(pair, base, head, confidence=confidence))
