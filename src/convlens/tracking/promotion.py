"""Promote versions, roll back, and register new ones."""

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from convlens.errors import ConvLensError
from convlens.params import ChampionParams, EvaluateParams
from convlens.tracking.access import need_alias, open_existing
from convlens.tracking.champion_comparison import (
    Candidate,
    Comparer,
    Verdict,
    compare_versions,
    decide,
    describe_difference,
    note_verdict,
    read_verdict,
)
from convlens.tracking.environment import show_moment
from convlens.tracking.gate import (
    COMPARISON_CRITERIA,
    ROLLED_BACK,
    Criterion,
    all_passed,
    judge_comparison,
    judge_past,
    markdown_table,
    tell_outcome,
    text_table,
    to_plain,
)
from convlens.tracking.models import ModelFiles, ensure_models
from convlens.tracking.record import Record, complete_run
from convlens.tracking.registry import (
    ABSENT,
    CHALLENGER,
    CHAMPION,
    FORCED,
    HOW,
    PROMOTED,
    ROLLED_BACK_TAG,
    AliasPeriod,
    Reason,
    alias_period_rows,
    demote,
    ensure_version,
    find_alias,
    list_alias_periods,
    list_versions,
    promote,
)
from convlens.tracking.store import (
    Store,
    brief_requests,
    fluent_store,
    lock_store,
    open_store,
    silence_mlflow,
    store_must_answer,
    tracking_uri,
)

# --- From a training's results to a registered version and its verdict; the one entry for the stage `register` ---

ADVICE = "The training is safe; `dvc repro` completes the record when the store is back."
FIRST_SECONDS, LATER_SECONDS = 3, 30
QUEUE_SECONDS = 600.0
MAX_DESCRIPTION = 5000  # characters that MLflow's table of versions holds
MORE = "\n\nThe rest of the card is `model_card.md`, among the artifacts of the run.\n"
VERDICT_FILE = "registration.json"


@dataclass(frozen=True)
class Registration:
    """What came of it.

    Attributes:
        uri: address of the store.
        run_name: of the run.
        run_id: of the run.
        version: of the registered model.
        aliases: of that version, afterwards.
        criteria: of the gate, with verdicts.
        verdict: all of it as plain values, without what differs from store to store.
    """

    uri: str
    run_name: str
    run_id: str
    version: str
    aliases: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    verdict: dict[str, Any]


def register_training(
    experiment: str,
    record: Record,
    files: ModelFiles,
    candidate: Candidate,
) -> Registration:
    """Complete the run, its models and its version, and decide about the alias. May be repeated at any time.

    Raises:
        ConvLensError: the store does not answer within seconds, or refuses.
    """
    with store_must_answer(tracking_uri(), ADVICE):
        with brief_requests(seconds=FIRST_SECONDS, retries=1):
            store = open_store()
        # Parts of MLflow take the store from the environment only, and would make one in the working directory.
        with _one_at_a_time(store), brief_requests(seconds=LATER_SECONDS, retries=3), fluent_store(store):
            run = complete_run(store, experiment, record)
            model = ensure_models(store, run, files)
            version = ensure_version(store, candidate.name, run, model, _describe(record, candidate))
            criteria = decide(store, version, candidate)
            verdict = _tell_verdict(record, candidate, criteria)
            text = json.dumps(verdict, indent=2, ensure_ascii=False) + "\n"
            store.client.log_text(run.info.run_id, text, VERDICT_FILE)
            version = store.client.get_model_version(candidate.name, version.version)
    return Registration(
        uri=store.uri,
        run_name=run.info.run_name,
        run_id=run.info.run_id,
        version=str(version.version),
        aliases=tuple(version.aliases),
        criteria=tuple(criteria),
        verdict=verdict,
    )


def _tell_verdict(record: Record, candidate: Candidate, criteria: list[Criterion]) -> dict[str, Any]:
    """What goes into registration.json: no versions, no runs, no times, so that DVC can lock it."""
    verdict = {"key": record.key, "model": candidate.name, "passed": all_passed(criteria)}
    return {**verdict, "criteria": to_plain(criteria)}


def _one_at_a_time(store: Store) -> contextlib.AbstractContextManager[None]:
    """Two workers of DVC's queue may register at once; each must see the champion that the other leaves."""
    return lock_store(store.uri, "register", seconds=QUEUE_SECONDS)


def _describe(record: Record, candidate: Candidate) -> str:
    """The model card, as many of its sections as MLflow stores; without a card one line."""
    if candidate.card:
        return shorten_card(candidate.card)
    architecture = record.params.get("model.architecture", "network")
    accuracy, num_photos = candidate.test["correct"].mean(), len(candidate.test)
    return f"{architecture} on {record.data.name}: test accuracy {accuracy:.1%} of {num_photos:,} photos"


def shorten_card(card: str, length: int = MAX_DESCRIPTION) -> str:
    """As many whole sections from the start of a Markdown text as fit, and where the rest is."""
    if len(card) <= length:
        return card
    sections = re.split(r"(?m)^(?=## )", card)
    kept = sections[0][: length - len(MORE)]
    for section in sections[1:]:
        if len(kept) + len(section) + len(MORE) > length:
            break
        kept += section
    return kept.rstrip() + MORE


# --- promotion ---
# What people do with champions by hand: promote a version, go back to the one before, and read who was champion.

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
    silence_mlflow()
    with open_existing() as store, fluent_store(store):
        version, champion = _choose(store, name, wanted), find_alias(store, name, CHAMPION)
        criteria = _judge(store, version, champion, comparer_of)
        number = str(version.version)
        if champion is not None and champion.version == version.version:
            return Promotion(name, number, criteria, True, f"{name} version {number} is the champion already.")
        if not force and not (criteria and all_passed(criteria)):
            return Promotion(name, number, criteria, False, _refuse(name, number, criteria))
        reason = Reason(FORCED, force) if force else Reason(PROMOTED, tell_outcome(criteria))
        promote(store, version, reason, expected=champion)
    before = f", after version {champion.version}" if champion else ""
    outcome = f"{name} version {number} is the champion now{before}{', by force' if force else ''}."
    return Promotion(name, number, criteria, True, outcome)


def roll_back(name: str, reason: str = "") -> AliasPeriod:
    """Make the version that was champion before the present one the champion again.

    Raises:
        ConvLensError: no store, no such model, nothing to go back to, or somebody else was quicker.
    """
    silence_mlflow()
    with open_existing() as store:
        need_alias(store, name, CHAMPION)
        return demote(store, name, reason or UNTOLD)


def read_history(name: str) -> list[dict[str, Any]]:
    """Who was champion, the newest first: version, since, until, by, how, why, before.

    An alias that was set by other means has no note; such a champion comes first, with `how` unknown.

    Raises:
        ConvLensError: no store, or no such model.
    """
    silence_mlflow()
    with open_existing() as store:
        champion = find_alias(store, name, CHAMPION)
        if champion is None and not list_versions(store, name):
            need_alias(store, name, CHAMPION)
        rows = alias_period_rows(list_alias_periods(store, name))
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
    comparison = judge_comparison(compare_versions(store, champion, version, compare=compare), rule)
    others = [item for item in verdict.criteria if item.name not in (*COMPARISON_CRITERIA.values(), ROLLED_BACK)]
    note_verdict(store, version, Verdict([*others, comparison], str(champion.version), verdict.demands))
    return [*others, comparison]


def _refuse(name: str, number: str, criteria: list[Criterion]) -> str:
    way = "To promote it all the same: --force --reason WHY."
    if not criteria:
        return f"{name} version {number} was never judged, so it is not promoted; `dvc repro` judges it. {way}"
    return f"{name} version {number} is not promoted: {tell_outcome(criteria)} {way}"


# --- What the commands about champions print ---

HEAD = ("version", "champion from", "until", "by", "how", "why")


def text_promotion(done: Promotion) -> str:
    """The gate's table and the outcome, for a terminal."""
    table = [*text_table(done.criteria), ""] if done.criteria else []
    return "\n".join([*table, done.outcome])


def markdown_promotion(done: Promotion) -> str:
    """The same in Markdown, headed by the version."""
    title = f"### {done.name} version {done.version}: {'champion' if done.is_champion else 'not promoted'}"
    parts = [title, done.outcome, markdown_table(done.criteria) if done.criteria else ""]
    return "\n\n".join(part for part in parts if part)


def text_history(rows: Sequence[dict[str, Any]], name: str) -> str:
    """A line per change of champion."""
    if not rows:
        return f"No version of '{name}' has been champion yet."
    cells = [HEAD, *(_cells(row, is_present=row is rows[0]) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _cells(row: dict[str, Any], *, is_present: bool) -> tuple[str, ...]:
    until = "now" if is_present else _moment(row["until"])
    return (row["version"], _moment(row["since"]), until, row["by"] or "–", HOW.get(row["how"], row["how"]), row["why"])


def _moment(text: str | None) -> str:
    return show_moment(text) if text else "–"


# --- The paired comparison with the champion, made as the run of a version was told to ---

DEFAULTS = {"num_resamples": "2000", "confidence": "0.95", "seed": "0"}


def comparer_of(params: Mapping[str, str]) -> Comparer:
    """Compares right answers with the settings among a run's parameters, `evaluate.seed` and its like."""
    told = {name: params.get(f"evaluate.{name}", value) for name, value in DEFAULTS.items()}
    settings = EvaluateParams(
        num_resamples=int(told["num_resamples"]),
        confidence=float(told["confidence"]),
        seed=int(told["seed"]),
    )
    return partial(describe_difference, settings)
