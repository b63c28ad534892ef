"""Several runs side by side: which parameters differ, and whether each run beats the first."""

from collections.abc import Sequence
from dataclasses import dataclass

from convlens.comparison.paired import NoVerdict, Verdict, judge
from convlens.comparison.parameters import ParameterRow, list_differences
from convlens.comparison.snapshot import Snapshot
from convlens.params import CompareParams, EvaluateParams


@dataclass(frozen=True)
class RunsCompared:
    """Runs side by side; the first is the base.

    Attributes:
        runs: the base, then the others, R.
        parameters: what differs between them.
        verdicts: one per run after the base, R - 1.
        confidence: coverage of the paired intervals.
        max_regression: largest loss of accuracy tolerated.
    """

    runs: tuple[Snapshot, ...]
    parameters: tuple[ParameterRow, ...]
    verdicts: tuple[Verdict | NoVerdict, ...]
    confidence: float
    max_regression: float

    @property
    def has_regression(self) -> bool:
        """Whether any run is a regression from the base."""
        return any(isinstance(verdict, Verdict) and verdict.regression for verdict in self.verdicts)


def compare_runs(runs: Sequence[Snapshot], *, evaluate: EvaluateParams, compare: CompareParams) -> RunsCompared:
    """Compare every run with the first one.

    Args:
        runs: two or more.
        evaluate: says how the paired intervals are made.
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
    )
