"""From a training's results to a champion: register a version, judge it, promote one by hand, roll back."""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.metrics.evaluation import Evaluation
from convlens.metrics.label_errors import LabelErrors
from convlens.metrics.robustness import Robustness
from convlens.params import ChampionParams, EvaluateParams, Params
from convlens.tracking.access import find_model, need_alias, open_existing
from convlens.tracking.champion_comparison import (
    PREDICTIONS,
    PREDICTIONS_TAG,
    compare_versions,
    compare_with_champion,
    digest_predictions,
)
from convlens.tracking.environment import show_moment
from convlens.tracking.gate import (
    COMPARISONS,
    PACKAGED,
    ROLLED_BACK,
    SERVED,
    Criterion,
    all_passed,
    criteria_markdown,
    format_criterion,
    format_outcome,
    format_table,
    format_verdict,
    judge_comparison,
    judge_metrics,
    judge_past,
    judge_slices,
    judge_without_champion,
    to_plain,
)
from convlens.tracking.models import LoadImages, ModelFiles, check_packaged_model, ensure_models
from convlens.tracking.record import Record, complete_run
from convlens.tracking.registry import (
    ABSENT,
    CHALLENGER,
    CHAMPION,
    FORCED,
    GATE,
    HIDDEN,
    HOW,
    PROMOTED,
    ROLLED_BACK_TAG,
    AliasPeriod,
    ChampionChangedError,
    alias_period_rows,
    challenge,
    demote,
    ensure_version,
    find_alias,
    list_alias_periods,
    list_versions,
    set_champion,
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

# --- the verdict about a version, kept with it ---

VERDICT_TAG = "convlens.verdict"
GATE_TAG = "convlens.gate"  # each criterion with its value, in words
CRITERIA_TAG = f"{HIDDEN}criteria"  # the same as JSON
MAX_ATTEMPTS = 5  # while others keep changing the champion


@dataclass(frozen=True)
class PromotionCandidate:
    """What the gate looks at.

    Attributes:
        name: of the registered model.
        demands: everything that is demanded, as plain values; another demand is another judgement.
        judged: the criteria that need nothing but the training's files.
        rule: what the comparison with the champion must show.
        settings: how that comparison is made.
        classes: names of the classes.
        test: one row per test photo, by `row`: path, label, sha256, row, correct and probability_<class>.
        predictions: digest of the file that holds the predictions of these photos.
        load_images: gives uint8 arrays (n, S, S, 3) for values of `row`.
        card: the model card, Markdown.
    """

    name: str
    demands: Mapping[str, Any]
    judged: list[Criterion]
    rule: ChampionParams
    settings: EvaluateParams
    classes: Sequence[str]
    test: pd.DataFrame
    predictions: str
    load_images: LoadImages
    card: str


@dataclass(frozen=True)
class GateVerdict:
    """What was decided about a version.

    Attributes:
        criteria: of the gate.
        opponent: the version that was champion then; None if there was none, or this one.
        demands: what was demanded, as plain values.
    """

    criteria: list[Criterion]
    opponent: str | None = None
    demands: Mapping[str, Any] = field(default_factory=dict)


def read_verdict(version: ModelVersion) -> GateVerdict | None:
    """Return the verdict recorded with a version; None if it was never judged to the end."""
    stored = json.loads(version.tags.get(CRITERIA_TAG, "null"))
    if stored is None:
        return None
    return GateVerdict([Criterion(**values) for values in stored["criteria"]], stored["opponent"], stored["demands"])


def record_verdict(store: Store, version: ModelVersion, verdict: GateVerdict) -> None:
    """Write the verdict's tags; the one that makes it final comes last: after a crash the version is judged again."""
    plain = {"demands": verdict.demands, "opponent": verdict.opponent, "criteria": to_plain(verdict.criteria)}
    tags = {
        VERDICT_TAG: format_verdict(verdict.criteria),
        GATE_TAG: "; ".join(format_criterion(item) for item in verdict.criteria),
        CRITERIA_TAG: json.dumps(plain, ensure_ascii=False),
    }
    for name, value in tags.items():
        store.client.set_model_version_tag(version.name, version.version, name, value)


def decide(store: Store, version: ModelVersion, candidate: PromotionCandidate) -> list[Criterion]:
    """Judge a version, and make it the champion if it meets all criteria.

    The verdict stands until the results or the demands change. A packaged model that did not predict as evaluated is
    tried again: the machine may have been to blame. If the champion changes meanwhile, the comparison is made again.

    Raises:
        ChampionChangedError: others kept changing the champion.
    """
    recorded = read_verdict(version)
    if (
        recorded is not None
        and all(item.passed for item in recorded.criteria if item.name in (PACKAGED, SERVED))
        and all(item in recorded.criteria for item in candidate.judged)
        and json.loads(json.dumps(candidate.demands)) == recorded.demands
    ):
        return recorded.criteria
    challenge(store, version)
    rows = [*candidate.judged, *check_packaged_model(version, candidate.test, candidate.load_images)]
    if ROLLED_BACK_TAG in version.tags:
        rows.append(judge_past(version.tags[ROLLED_BACK_TAG]))
    store.client.set_model_version_tag(version.name, version.version, PREDICTIONS_TAG, candidate.predictions)
    attempts = 0
    while True:
        champion = find_alias(store, version.name, CHAMPION)
        criteria = [*rows, _judge_beside(store, version, champion, candidate)]
        try:
            if all_passed(criteria):
                set_champion(store, version, GATE, format_outcome(criteria), expected=champion)
            break
        except ChampionChangedError:
            attempts += 1
            if attempts == MAX_ATTEMPTS:
                raise
    opponent = None if champion is None or champion.version == version.version else str(champion.version)
    record_verdict(store, version, GateVerdict(criteria, opponent, candidate.demands))
    return criteria


def _judge_beside(
    store: Store, version: ModelVersion, champion: ModelVersion | None, candidate: PromotionCandidate
) -> Criterion:
    if champion is None:
        return judge_without_champion(candidate.rule, "there is no champion yet")
    if champion.version == version.version:
        return judge_without_champion(candidate.rule, "it is the champion")
    found = compare_with_champion(
        store, champion, candidate.test, candidate.classes, candidate.settings, candidate.load_images
    )
    return judge_comparison(found, candidate.rule)


def gather_candidate(photos: Prepared, reports: Path, params: Params) -> PromotionCandidate:
    """Gather what the gate looks at from the results of the pipeline.

    Raises:
        ConvLensError: a result is missing, or a criterion names a metric that there is not.
    """
    evaluation, demanded = Evaluation.load(reports / "evaluation"), params.register_.criteria
    metrics = {
        "evaluation": evaluation.metrics,
        "robustness": Robustness.load(reports / "robustness").metrics,
        "label_errors": LabelErrors.load(reports / "label_errors").metrics,
    }
    judged = [
        criterion
        for section, found in metrics.items()
        for criterion in judge_metrics(section, found, getattr(demanded, section))
    ]
    predicted = evaluation.predictions.drop(columns=["label", "predicted"])
    test = photos.photos("test")[["path", "label", "sha256", "row"]].merge(predicted, on="path", how="left")
    if test["correct"].isna().any() or len(predicted) != len(test):
        raise ConvLensError(
            f"Expected a prediction for each of {len(test):,} test photos. Received: {len(predicted):,}. "
            "Run `dvc repro`."
        )
    card = reports / "model_card.md"
    return PromotionCandidate(
        name=params.model_name,
        demands=demanded.model_dump(mode="json"),
        judged=[*judged, *judge_slices(evaluation.slices, demanded.slices)],
        rule=demanded.champion,
        settings=params.evaluate,
        classes=photos.classes,
        test=test.astype({"correct": bool}),
        predictions=digest_predictions(reports / PREDICTIONS),
        load_images=lambda rows: photos.images("test")[np.asarray(rows)],
        card=card.read_text(encoding="utf-8") if card.is_file() else "",
    )


# --- register: run, models, version and verdict of a training ---

ADVICE = "The training is safe; `dvc repro` completes the record when the store is back."
FIRST_SECONDS, LATER_SECONDS = 3, 30
QUEUE_SECONDS = 600.0
MAX_DESCRIPTION = 5000  # characters that MLflow's table of versions holds
MORE = "\n\nThe rest of the card is `model_card.md`, among the artifacts of the run.\n"
VERDICT_FILE = "registration.json"


@dataclass(frozen=True)
class Registration:
    """A training that was registered.

    Attributes:
        uri: address of the store.
        run_name: of the run.
        run_id: of the run.
        version: of the registered model.
        aliases: of that version, afterwards.
        criteria: of the gate, with verdicts.
        verdict: plain values for registration.json: no versions, runs or times, so that DVC can lock it.
        champion: the champion in words if it is another version; empty if there is none, or this one.
    """

    uri: str
    run_name: str
    run_id: str
    version: str
    aliases: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    verdict: dict[str, Any]
    champion: str


def register_training(
    experiment: str, record: Record, files: ModelFiles, candidate: PromotionCandidate
) -> Registration:
    """Complete the run, its models and its version, and decide about the alias. May be repeated at any time.

    Raises:
        ConvLensError: the store does not answer within seconds, or refuses.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(store_must_answer(tracking_uri(), ADVICE))
        with brief_requests(seconds=FIRST_SECONDS, retries=1):
            store = open_store()
        # Two workers of DVC's queue may register at once; each must see the champion that the other leaves.
        stack.enter_context(lock_store(store.uri, "register", seconds=QUEUE_SECONDS))
        stack.enter_context(brief_requests(seconds=LATER_SECONDS, retries=3))
        # Parts of MLflow take the store from the environment only, and would make one in the working directory.
        stack.enter_context(fluent_store(store))
        run = complete_run(store, experiment, record)
        model = ensure_models(store, run, files)
        version = ensure_version(store, candidate.name, run, model, shorten_card(candidate.card))
        criteria = decide(store, version, candidate)
        verdict = {"key": record.key, "model": candidate.name, "passed": all_passed(criteria)}
        verdict |= {"criteria": to_plain(criteria)}
        text = json.dumps(verdict, indent=2, ensure_ascii=False) + "\n"
        store.client.log_text(run.info.run_id, text, VERDICT_FILE)
        version = store.client.get_model_version(candidate.name, version.version)
        champion = "" if CHAMPION in version.aliases else _describe_champion(store, candidate.name)
    return Registration(
        uri=store.uri,
        run_name=run.info.run_name,
        run_id=run.info.run_id,
        version=str(version.version),
        aliases=tuple(version.aliases),
        criteria=tuple(criteria),
        verdict=verdict,
        champion=champion,
    )


def _describe_champion(store: Store, name: str) -> str:
    """Name the champion with classes and data, as far as its files are there; '' if there is none."""
    version = find_alias(store, name, CHAMPION)
    if version is None:
        return ""
    try:
        return find_model(f"models:/{name}@{CHAMPION}").describe()
    except ConvLensError:
        return f"{name} version {version.version} ({CHAMPION})"


def shorten_card(card: str, length: int = MAX_DESCRIPTION) -> str:
    """Return as many whole sections from the start of a Markdown text as fit, and where the rest is."""
    if len(card) <= length:
        return card
    sections = re.split(r"(?m)^(?=## )", card)
    kept = sections[0][: length - len(MORE)]
    for section in sections[1:]:
        if len(kept) + len(section) + len(MORE) > length:
            break
        kept += section
    return kept.rstrip() + MORE


# --- by hand: promote a version, go back to the one before, read who was champion ---

DEFAULT_RULE = ChampionParams(verdict="no_worse", max_loss=0.0)
DEFAULT_SETTINGS = {"num_resamples": "2000", "confidence": "0.95", "seed": "0"}
HISTORY_HEAD = ("version", "champion from", "until", "by", "how", "why")


@dataclass(frozen=True)
class Promotion:
    """The outcome of a promotion by hand.

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

    def text(self) -> str:
        """The gate's table and the outcome, for a terminal."""
        return "\n".join([*([*format_table(self.criteria), ""] if self.criteria else []), self.outcome])

    def markdown(self) -> str:
        """The same in Markdown, headed by the version."""
        title = f"### {self.name} version {self.version}: {'champion' if self.is_champion else 'not promoted'}"
        return "\n\n".join([title, self.outcome, *([criteria_markdown(self.criteria)] if self.criteria else [])])


def promote_version(name: str, wanted: str | None = None, *, force: str = "") -> Promotion:
    """Make a version the champion if the gate's verdict lets it.

    The verdict is the recorded one. Only if another version has become champion since then is the comparison with the
    champion made again, with the settings of the version's run, and recorded.

    Args:
        name: of the registered model.
        wanted: number or alias of a version; None takes the challenger.
        force: a reason to do it whatever the verdict is.

    Raises:
        ConvLensError: no store, no such version, or somebody else was quicker.
    """
    silence_mlflow()
    with open_existing() as store, fluent_store(store):
        version, champion = _choose(store, name, wanted), find_alias(store, name, CHAMPION)
        criteria, number = _judge_again(store, version, champion), str(version.version)
        this = f"{name} version {number}"
        if champion is not None and champion.version == version.version:
            return Promotion(name, number, criteria, True, f"{this} is the champion already.")
        if not force and not (criteria and all_passed(criteria)):
            way = "To promote it all the same: --force --reason WHY."
            refusal = f"{this} was never judged, so it is not promoted; `dvc repro` judges it. {way}"
            if criteria:
                refusal = f"{this} is not promoted: {format_outcome(criteria)} {way}"
            return Promotion(name, number, criteria, False, refusal)
        how, why = (FORCED, force) if force else (PROMOTED, format_outcome(criteria))
        set_champion(store, version, how, why, expected=champion)
    before = f", after version {champion.version}" if champion else ""
    outcome = f"{this} is the champion now{before}{', by force' if force else ''}."
    return Promotion(name, number, criteria, True, outcome)


def _choose(store: Store, name: str, wanted: str | None) -> ModelVersion:
    """The wanted version; the challenger if none is named, else the champion."""
    if wanted is None:
        chosen = find_alias(store, name, CHALLENGER) or find_alias(store, name, CHAMPION)
        return chosen or need_alias(store, name, CHALLENGER)
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


def _judge_again(store: Store, version: ModelVersion, champion: ModelVersion | None) -> list[Criterion]:
    """The recorded criteria, renewed where what they were about has changed; none if there are none."""
    verdict = read_verdict(version)
    if verdict is None or (champion is not None and champion.version == version.version):
        return verdict.criteria if verdict else []
    criteria = [criterion for criterion in verdict.criteria if criterion.name != ROLLED_BACK]
    if champion is not None and str(champion.version) != verdict.opponent:
        demanded = verdict.demands.get("champion")
        params = store.client.get_run(str(version.run_id)).data.params
        told = {name: params.get(f"evaluate.{name}", value) for name, value in DEFAULT_SETTINGS.items()}
        settings = EvaluateParams(
            num_resamples=int(told["num_resamples"]), confidence=float(told["confidence"]), seed=int(told["seed"])
        )
        found = compare_versions(store, champion, version, settings)
        rule = ChampionParams.model_validate(demanded) if demanded else DEFAULT_RULE
        criteria = [item for item in criteria if item.name not in COMPARISONS.values()]
        criteria.append(judge_comparison(found, rule))
        record_verdict(store, version, GateVerdict(criteria, str(champion.version), verdict.demands))
    past = version.tags.get(ROLLED_BACK_TAG)
    return criteria if past is None else [*criteria, judge_past(past)]


def roll_back(name: str, reason: str = "") -> AliasPeriod:
    """Make the version that was champion before the present one the champion again.

    Raises:
        ConvLensError: no store, no such model, nothing to go back to, or somebody else was quicker.
    """
    silence_mlflow()
    with open_existing() as store:
        need_alias(store, name, CHAMPION)
        return demote(store, name, reason or "no reason given")


def read_history(name: str) -> list[dict[str, Any]]:
    """Return who was champion, the newest first: version, since, until, by, how, why, before.

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


def format_history(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """A line per change of champion, for a terminal."""
    if not rows:
        return f"No version of '{name}' has been champion yet."
    cells = [HISTORY_HEAD]
    for row in rows:
        since, until = (show_moment(row[end]) if row[end] else "–" for end in ("since", "until"))
        how = HOW.get(row["how"], row["how"])
        cells.append((row["version"], since, "now" if row is rows[0] else until, row["by"] or "–", how, row["why"]))
    widths = [max(len(line[i]) for line in cells) for i in range(len(HISTORY_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )
