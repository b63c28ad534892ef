"""Whether one run answers better than another: judged on the test photos that both have, and on nothing else."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from convlens.comparison.snapshot import Snapshot
from convlens.metrics.compare import Comparison, Word, compare_predictions
from convlens.params import CompareParams, EvaluateParams

PREFIX = "probability_"
ABSOLUTE_ROUNDING = 1e-9  # 0.9 - 0.88 is a little more than 0.02


@dataclass(frozen=True)
class Verdict:
    """One run against another on the same photos.

    Attributes:
        word: `better` or `worse` if the paired interval of the difference in accuracy excludes 0 and McNemar's exact
            test agrees; else `same`: no difference that these photos can show.
        regression: worse, and by more than `compare.max_regression`.
        num_shared: test photos that both have; equal photos count once.
        num_base: test photos of the base.
        num_head: test photos of the run.
        base_accuracy: of the base on the shared photos.
        head_accuracy: of the run on the shared photos.
        comparison: all paired differences, run minus base, and McNemar's test.
    """

    word: Word
    regression: bool
    num_shared: int
    num_base: int
    num_head: int
    base_accuracy: float
    head_accuracy: float
    comparison: Comparison

    @property
    def same_split(self) -> bool:
        """Whether the two have the same test photos."""
        return self.num_shared == self.num_base == self.num_head


@dataclass(frozen=True)
class NoVerdict:
    """Two runs that cannot be compared photo by photo.

    Attributes:
        reason: why, and what to do about it, as a sentence.
    """

    reason: str


def judge(base: Snapshot, head: Snapshot, *, evaluate: EvaluateParams, compare: CompareParams) -> Verdict | NoVerdict:
    """Compare two runs photo by photo, as the gate of the model registry does."""
    for run in (base, head):
        if run.predictions is None:
            return NoVerdict(_explain_absence(run))
    if _classes(base) != _classes(head):
        return NoVerdict(f"{base.name} knows the classes {_list(base)}, {head.name} knows {_list(head)}.")
    pair = _Pair(base, head)
    if pair.labels.size == 0:
        return NoVerdict(
            f"{base.name} and {head.name} share no test photo. Compare runs of the same data and the same "
            "`preprocess.seed`."
        )
    return _judge(pair, evaluate, compare)


class _Pair:
    """The answers of two runs to the test photos that both have.

    Attributes:
        labels: indices of the true classes, int64 (N,).
        answers: probabilities of the base and of the run, float64 (N, K) each.
        predicted: their answers, int64 (N,) each; a threshold may make them others than the most probable classes.
        counts: different test photos of each.
    """

    def __init__(self, base: Snapshot, head: Snapshot) -> None:
        by_content = base.photos is not None and head.photos is not None
        tables = [_identify(run, by_content) for run in (base, head)]
        shared = tables[0].merge(tables[1], on=["photo", "label"], suffixes=("_base", "_head"))
        classes = _classes(base)
        numbers = {name: index for index, name in enumerate(classes)}
        self.labels = shared["label"].map(numbers).to_numpy(np.int64)
        self.answers = [
            shared[[f"{PREFIX}{name}_{side}" for name in classes]].to_numpy(np.float64) for side in ("base", "head")
        ]
        base_said, head_said = (
            shared[f"predicted_{side}"].map(numbers).to_numpy(np.int64) for side in ("base", "head")
        )
        self.predicted = base_said, head_said
        self.counts = [len(table) for table in tables]


def _identify(run: Snapshot, by_content: bool) -> pd.DataFrame:
    """Answers with what tells photos apart, and what is said of them: photo, label, predicted, probabilities."""
    answers = run.predictions if run.predictions is not None else pd.DataFrame()
    if by_content and run.photos is not None:
        answers = answers.merge(run.photos[["path", "sha256"]], on="path").rename(columns={"sha256": "photo"})
    else:
        answers = answers.rename(columns={"path": "photo"})
    columns = [f"{PREFIX}{name}" for name in _classes(run)]
    return answers[["photo", "label", "predicted", *columns]].drop_duplicates(["photo", "label"])


def _judge(pair: _Pair, evaluate: EvaluateParams, compare: CompareParams) -> Verdict:
    comparison = compare_predictions(
        pair.labels,
        *pair.answers,
        predicted=pair.predicted,
        num_resamples=evaluate.num_resamples,
        confidence=evaluate.confidence,
        seed=evaluate.seed,
    )
    accuracy = comparison.accuracy
    loss = -(accuracy.difference.value or 0.0)
    return Verdict(
        word=accuracy.word,
        regression=accuracy.word == "worse" and loss > compare.max_regression + ABSOLUTE_ROUNDING,
        num_shared=len(pair.labels),
        num_base=pair.counts[0],
        num_head=pair.counts[1],
        base_accuracy=accuracy.first,
        head_accuracy=accuracy.second,
        comparison=comparison,
    )


def _classes(run: Snapshot) -> list[str]:
    columns = [] if run.predictions is None else list(run.predictions.columns)
    return sorted(name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX))


def _list(run: Snapshot) -> str:
    return ", ".join(_classes(run))


def _explain_absence(run: Snapshot) -> str:
    """An experiment's files are fetched another way than a commit's, and the name does not tell which it is."""
    start = f"The answers of {run.name} to the single test photos are not in DVC's cache."
    if not run.commit:
        return f"{start} Bring them with `dvc pull`, or make them with `dvc repro`."
    return (
        f"{start} Bring them with `dvc fetch --all-commits` (an experiment: `dvc exp pull origin {run.name}`), or make "
        f"them again: `git switch --detach {run.name}` (an experiment: `dvc exp apply {run.name}`), then `dvc repro`."
    )
