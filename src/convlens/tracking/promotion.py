"""What people do with champions by hand: promote a version, go back to the one before, and read who was champion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from convlens.errors import ConvLensError
from convlens.params import ChampionParams
from convlens.tracking.access import need_alias, open_existing
from convlens.tracking.champions import (
    FORCED,
    PROMOTED,
    ROLLED_BACK_TAG,
    Reason,
    Reign,
    crown,
    dethrone,
    list_reigns,
    reign_rows,
)
from convlens.tracking.contest import Comparer, hold_stored_contest
from convlens.tracking.decision import Verdict, note_verdict, read_verdict
from convlens.tracking.gate import CONTESTS, ROLLED_BACK, Criterion, all_passed, judge_contest, judge_past
from convlens.tracking.gate_table import tell_outcome
from convlens.tracking.quiet import quiet_mlflow
from convlens.tracking.registry import ABSENT, CHALLENGER, CHAMPION, find_alias, list_versions
from convlens.tracking.store import Store, fluent_store

DEFAULT_RULE = ChampionParams(verdict="no_worse", max_loss=0.0)
UNTOLD = "no reason given"

# Makes the paired comparison as the run of a version was told to, from its parameters.
ComparerOf = Callable[[Mapping[str, str]], Comparer]


@dataclass(frozen=True)
class Promotion:
    """What came of asking for a promotion.

    Attributes:
        name: of the registered model.
        version: that was to become champion.
        criteria: of the gate; none if it was never judged.
        is_champion: whether it is the champion now.
        outcome: in one sentence, for people.
    """

    name: str
    version: str
    criteria: list[Criterion]
    is_champion: bool
    outcome: str


def promote_version(name: str, wanted: str | None, comparer_of: ComparerOf, *, force: str = "") -> Promotion:
    """Make a version the champion if the gate's verdict lets it.

    The verdict is the recorded one. Only if another version has become champion since then is the comparison with the
    champion made anew, and recorded.

    Args:
        name: of the registered model.
        wanted: number or alias of a version; None takes the challenger.
        comparer_of: makes the paired comparison.
        force: a reason to do it whatever the verdict is.

    Raises:
        ConvLensError: no store, no such version, or somebody else was quicker.
    """
    quiet_mlflow()
    with open_existing() as store, fluent_store(store):
        version, champion = _choose(store, name, wanted), find_alias(store, name, CHAMPION)
        criteria = _judge(store, version, champion, comparer_of)
        number = str(version.version)
        if champion is not None and champion.version == version.version:
            return Promotion(name, number, criteria, True, f"{name} version {number} is the champion already.")
        if not force and not (criteria and all_passed(criteria)):
            return Promotion(name, number, criteria, False, _refuse(name, number, criteria))
        reason = Reason(FORCED, force) if force else Reason(PROMOTED, tell_outcome(criteria))
        crown(store, version, reason, expected=champion)
    before = f", after version {champion.version}" if champion else ""
    outcome = f"{name} version {number} is the champion now{before}{', by force' if force else ''}."
    return Promotion(name, number, criteria, True, outcome)


def roll_back(name: str, reason: str = "") -> Reign:
    """Make the version that was champion before the present one the champion again.

    Raises:
        ConvLensError: no store, no such model, nothing to go back to, or somebody else was quicker.
    """
    quiet_mlflow()
    with open_existing() as store:
        need_alias(store, name, CHAMPION)
        return dethrone(store, name, reason or UNTOLD)


def read_history(name: str) -> list[dict[str, Any]]:
    """Who was champion, the newest first: version, since, until, by, how, why, before.

    An alias that was set by other means has no note; such a champion comes first, with `how` unknown.

    Raises:
        ConvLensError: no store, or no such model.
    """
    quiet_mlflow()
    with open_existing() as store:
        champion = find_alias(store, name, CHAMPION)
        if champion is None and not list_versions(store, name):
            need_alias(store, name, CHAMPION)
        rows = reign_rows(list_reigns(store, name))
    newest = rows[0]["version"] if rows else None
    if champion is None or str(champion.version) == newest:
        return rows
    unknown = dict.fromkeys(("since", "by", "until")) | {"how": "unknown", "why": "the alias was set by other means"}
    return [{"version": str(champion.version), **unknown, "before": newest}, *rows]


def _choose(store: Store, name: str, wanted: str | None) -> ModelVersion:
    if wanted is None:
        return (
            find_alias(store, name, CHALLENGER)
            or find_alias(store, name, CHAMPION)
            or need_alias(store, name, CHALLENGER)
        )
    if not wanted.isdecimal():
        return need_alias(store, name, wanted)
    try:
        return store.client.get_model_version(name, wanted)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        numbers = ", ".join(str(version.version) for version in list_versions(store, name)) or "none"
        raise ConvLensError(
            f"Expected a version of '{name}'. Received: version {wanted}; there are: {numbers}."
        ) from error


def _judge(
    store: Store, version: ModelVersion, champion: ModelVersion | None, comparer_of: ComparerOf
) -> list[Criterion]:
    """The recorded criteria, renewed where what they were about has changed; none if there are none."""
    verdict = read_verdict(version)
    if verdict is None or (champion is not None and champion.version == version.version):
        return verdict.criteria if verdict else []
    criteria = [criterion for criterion in verdict.criteria if criterion.name != ROLLED_BACK]
    if champion is not None and str(champion.version) != verdict.opponent:
        criteria = _compare_anew(store, version, champion, verdict, comparer_of)
    past = version.tags.get(ROLLED_BACK_TAG)
    return criteria if past is None else [*criteria, judge_past(past)]


def _compare_anew(
    store: Store, version: ModelVersion, champion: ModelVersion, verdict: Verdict, comparer_of: ComparerOf
) -> list[Criterion]:
    demanded = verdict.demands.get("champion")
    rule = ChampionParams.model_validate(demanded) if demanded else DEFAULT_RULE
    compare = comparer_of(store.client.get_run(str(version.run_id)).data.params)
    contest = judge_contest(hold_stored_contest(store, champion, version, compare=compare), rule)
    others = [item for item in verdict.criteria if item.name not in (*CONTESTS.values(), ROLLED_BACK)]
    note_verdict(store, version, Verdict([*others, contest], str(champion.version), verdict.demands))
    return [*others, contest]


def _refuse(name: str, number: str, criteria: list[Criterion]) -> str:
    way = "To promote it all the same: --force --reason WHY."
    if not criteria:
        return f"{name} version {number} was never judged, so it is not promoted; `dvc repro` judges it. {way}"
    return f"{name} version {number} is not promoted: {tell_outcome(criteria)} {way}"
