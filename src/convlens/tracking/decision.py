"""Judges a version by all criteria, records the verdict with it, and makes it the champion if nothing is missed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from convlens.params import ChampionParams
from convlens.tracking.champions import (
    GATE,
    ROLLED_BACK_TAG,
    ChampionChangedError,
    Reason,
    challenge,
    crown,
)
from convlens.tracking.contest import ANSWERS_TAG, Comparer, hold_contest
from convlens.tracking.gate import (
    PACKAGE,
    SERVED,
    Criterion,
    all_passed,
    from_plain,
    judge_contest,
    judge_past,
    to_plain,
    unopposed,
)
from convlens.tracking.gate_table import tell_criterion, tell_outcome, tell_verdict
from convlens.tracking.packed import judge_packed
from convlens.tracking.registry import CHAMPION, HIDDEN, find_alias
from convlens.tracking.store import Store

VERDICT_TAG = "convlens.verdict"
GATE_TAG = "convlens.gate"  # each criterion with its value, in words
CRITERIA_TAG = f"{HIDDEN}criteria"  # the same as JSON
MAX_ATTEMPTS = 5  # while others keep changing the champion


@dataclass(frozen=True)
class Candidate:
    """What the gate looks at.

    Attributes:
        name: of the registered model.
        demands: everything that is demanded, as plain values; another demand is another judgement.
        judged: the criteria that need nothing but the training's files.
        rule: what the comparison with the champion must show.
        test: one row per test photo, by `row`: path, label, sha256, row, correct and probability_<class>.
        answers: digest of the file that holds the answers to these photos.
        load_images: gives uint8 arrays (n, S, S, 3) for values of `row`.
        compare: says how the champion and the version compare, from labels and right answers of both.
        card: the model card, Markdown; without it a line describes the version.
    """

    name: str
    demands: Mapping[str, Any]
    judged: list[Criterion]
    rule: ChampionParams
    test: pd.DataFrame
    answers: str
    load_images: Callable[[np.ndarray], np.ndarray]
    compare: Comparer
    card: str = ""


@dataclass(frozen=True)
class Verdict:
    """What was decided about a version.

    Attributes:
        criteria: of the gate.
        opponent: the version that was champion then; None if there was none, or this one.
        demands: what was demanded, as plain values.
    """

    criteria: list[Criterion]
    opponent: str | None = None
    demands: Mapping[str, Any] = field(default_factory=dict)


def read_verdict(version: ModelVersion) -> Verdict | None:
    """The verdict recorded with a version; None if it was never judged to the end."""
    stored = json.loads(version.tags.get(CRITERIA_TAG, "null"))
    if stored is None:
        return None
    return Verdict(from_plain(stored["criteria"]), stored["opponent"], stored["demands"])


def decide(store: Store, version: ModelVersion, candidate: Candidate) -> list[Criterion]:
    """Judge a version once; the verdict stands until its results or the demands on it change.

    Raises:
        ChampionChangedError: others kept changing the champion.
    """
    recorded = read_verdict(version)
    if recorded is not None and _stands(recorded, candidate):
        return recorded.criteria
    challenge(store, version)
    rows = [*candidate.judged, *judge_packed(version, candidate.test, candidate.load_images)]
    if ROLLED_BACK_TAG in version.tags:
        rows.append(judge_past(version.tags[ROLLED_BACK_TAG]))
    store.client.set_model_version_tag(version.name, version.version, ANSWERS_TAG, candidate.answers)
    verdict = _settle(store, version, candidate, rows)
    note_verdict(store, version, verdict)
    return verdict.criteria


def _stands(recorded: Verdict, candidate: Candidate) -> bool:
    """A model that gave no answer is asked again: the machine may have been to blame."""
    asked = all(criterion.passed for criterion in recorded.criteria if criterion.name in (PACKAGE, SERVED))
    same = all(criterion in recorded.criteria for criterion in candidate.judged)
    return asked and same and json.loads(json.dumps(candidate.demands)) == recorded.demands


def _settle(store: Store, version: ModelVersion, candidate: Candidate, rows: list[Criterion]) -> Verdict:
    """Compare with the champion and take its place; if another one took it meanwhile, compare with that one."""
    for attempt in range(MAX_ATTEMPTS):
        champion = find_alias(store, version.name, CHAMPION)
        criteria = [*rows, _judge_contest(store, version, champion, candidate)]
        opponent = None if champion is None or champion.version == version.version else str(champion.version)
        try:
            if all_passed(criteria):
                crown(store, version, Reason(GATE, tell_outcome(criteria)), expected=champion)
            return Verdict(criteria, opponent, candidate.demands)
        except ChampionChangedError:
            if attempt == MAX_ATTEMPTS - 1:
                raise
    raise ChampionChangedError("Expected at least one attempt. Received: none.")


def _judge_contest(
    store: Store, version: ModelVersion, champion: ModelVersion | None, candidate: Candidate
) -> Criterion:
    if champion is None:
        return unopposed(candidate.rule, "there is no champion yet")
    if champion.version == version.version:
        return unopposed(candidate.rule, "it is the champion")
    contest = hold_contest(store, champion, candidate.test, candidate.load_images, compare=candidate.compare)
    return judge_contest(contest, candidate.rule)


def note_verdict(store: Store, version: ModelVersion, verdict: Verdict) -> None:
    """Tags for people first; the one that makes the verdict final last: a crash leaves it to be judged again."""
    plain = {"demands": verdict.demands, "opponent": verdict.opponent, "criteria": to_plain(verdict.criteria)}
    tags = {
        VERDICT_TAG: tell_verdict(verdict.criteria),
        GATE_TAG: "; ".join(tell_criterion(item) for item in verdict.criteria),
        CRITERIA_TAG: json.dumps(plain, ensure_ascii=False),
    }
    for name, value in tags.items():
        store.client.set_model_version_tag(version.name, version.version, name, value)
