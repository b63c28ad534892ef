"""Compare a version with the champion on the same photos."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from convlens.data.prepared import Prepared
from convlens.environment import hold_stderr
from convlens.errors import ConvLensError
from convlens.files import read_csv
from convlens.metrics.comparison import compare_accuracies
from convlens.metrics.evaluation import Evaluation
from convlens.models.inference import OperatingPoint
from convlens.params import ChampionParams, EvaluateParams, RegisterParams
from convlens.progress import say
from convlens.tracking.gate import (
    PACKAGE,
    SERVED,
    ChampionComparison,
    Criterion,
    Difference,
    all_passed,
    from_plain,
    judge_comparison,
    judge_metrics,
    judge_past,
    judge_slices,
    judge_without_champion,
    tell_criterion,
    tell_outcome,
    tell_verdict,
    to_plain,
)
from convlens.tracking.models import check_packaged_model
from convlens.tracking.record import Results, read_json
from convlens.tracking.registry import (
    CHAMPION,
    GATE,
    HIDDEN,
    ROLLED_BACK_TAG,
    ChampionChangedError,
    Reason,
    challenge,
    find_alias,
    promote,
)
from convlens.tracking.store import Store, describe_failure, no_warnings

# --- Measures the champion on the test photos of a new version ---
#
# Only photos the champion was not trained on count. Where its stored answers cover them, these are used; else the
# champion is loaded and asked anew. Its run may hold the answers of another version meanwhile: one training becomes
# several versions by its threshold. So a digest on the version says which answers are its own.

PREDICTIONS = "evaluation/predictions.csv"
SPLITS = "data/splits.csv"
IDENTITY = ["sha256", "label"]
PREDICTIONS_TAG = f"{HIDDEN}answers"  # digest of the version's predictions.csv

# Says how the champion's and the new version's right answers differ, from labels and both.
Comparer = Callable[[np.ndarray, np.ndarray, np.ndarray], Difference]


def digest_predictions(path: Path) -> str:
    """Names the content of a predictions.csv."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def compare_with_champion(
    store: Store,
    champion: ModelVersion,
    test: pd.DataFrame,
    load_images: Callable[[np.ndarray], np.ndarray] | None,
    *,
    compare: Comparer,
) -> ChampionComparison:
    """Compare a new version with the champion on the new version's test photos.

    Args:
        store: where the champion is.
        champion: the version to beat.
        test: one row per test photo: path, label, sha256, row, correct (the new version's verdicts).
        load_images: gives uint8 arrays (n, S, S, 3) for values of `row`; asked only if the photos themselves are gone.
            None where there are no arrays.
        compare: compares both photo by photo.
    """
    splits, answers = _stored(store, champion)
    trained = set(splits.loc[splits["split"] != "test", "sha256"]) if splits is not None else set()
    fair = test[~test["sha256"].isin(trained)].reset_index(drop=True)
    if fair.empty:
        return ChampionComparison(
            0, 0.0, 0.0, "the champion was trained on all of these test photos, so nothing can be compared"
        )
    answers = answers[[*IDENTITY, "correct"]].drop_duplicates(IDENTITY).rename(columns={"correct": "champion_correct"})
    stored = fair.merge(answers, on=IDENTITY, how="left", validate="many_to_one")["champion_correct"]
    if stored.notna().all():
        return _compare(fair, stored.astype(bool), "the champion's stored answers", compare)
    say("The champion has no stored answers to these test photos; it is evaluated anew on them.")
    labels = _ask_anew(champion, fair, load_images)
    if isinstance(labels, str):
        return ChampionComparison(0, 0.0, 0.0, labels)
    return _compare(fair, labels == fair["label"], "the champion evaluated anew", compare)


def compare_versions(
    store: Store, champion: ModelVersion, version: ModelVersion, *, compare: Comparer
) -> ChampionComparison:
    """Compare a version of the registry with the champion by the answers that its run holds."""
    _, test = _stored(store, version)
    if test.empty:
        return ChampionComparison(
            0, 0.0, 0.0, f"the run of version {version.version} does not hold its answers any more"
        )
    return compare_with_champion(store, champion, test, None, compare=compare)


def _compare(test: pd.DataFrame, champion_correct: pd.Series, source: str, compare: Comparer) -> ChampionComparison:
    both = champion_correct.to_numpy(bool), test["correct"].to_numpy(bool)
    accuracies = float(both[1].mean()), float(both[0].mean())
    return ChampionComparison(len(test), *accuracies, source, compare(test["label"].to_numpy(), *both))


def _stored(store: Store, version: ModelVersion) -> tuple[pd.DataFrame | None, pd.DataFrame]:
    """A version's photos, and its answers by photo; empty if its run is gone, or holds others' answers."""
    nothing = pd.DataFrame({name: [] for name in (*IDENTITY, "correct")}, dtype=object)
    with tempfile.TemporaryDirectory(prefix="convlens-") as folder:
        try:
            places = [
                store.client.download_artifacts(str(version.run_id), name, folder) for name in (SPLITS, PREDICTIONS)
            ]
        except (MlflowException, OSError):
            return None, nothing
        splits, predictions = (read_csv(Path(place), ("path", "label", "predicted", "sha256")) for place in places)
        own = digest_predictions(Path(places[1])) == version.tags.get(PREDICTIONS_TAG)
    if not own:
        return splits, nothing
    return splits, splits[splits["split"] == "test"].merge(predictions[["path", "correct"]], on="path")


def _ask_anew(
    champion: ModelVersion, test: pd.DataFrame, load_images: Callable[[np.ndarray], np.ndarray] | None
) -> pd.Series | str:
    """The champion's answers, or why there are none."""
    try:
        with no_warnings(), hold_stderr():
            model = mlflow.pyfunc.load_model(f"models:/{champion.name}/{champion.version}")
    except (MlflowException, OSError) as error:
        return f"the champion cannot be opened: {describe_failure(error)}"
    paths = [Path(path) for path in test["path"]]
    # The photos themselves are fairest: the champion sees them at its own size.
    there = all(path.is_file() for path in paths)
    if not there and load_images is None:
        return "the champion has not answered these photos, and they are not here to ask it"
    photos = paths if there or load_images is None else load_images(test["row"].to_numpy())
    labels: pd.Series = model.predict(photos)["label"].reset_index(drop=True)
    return labels


# --- What the registered model knows beyond its network: how it decides, and how it compares with the champion ---

DECIDING = ("mirror", "center_crop", "temperature", "threshold", "min_confidence")
WORDS = {"better": "better", "worse": "worse", "same": "no difference that these photos can show"}


def name_operating_point(point: OperatingPoint) -> str:
    """A short name for an operating point, by what decides predictions; empty for the default one."""
    deciding = {name: getattr(point, name) for name in DECIDING}
    if deciding == {name: getattr(OperatingPoint(), name) for name in DECIDING}:
        return ""
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12]


def describe_difference(
    settings: EvaluateParams, labels: np.ndarray, champion_right: np.ndarray, new_right: np.ndarray
) -> Difference:
    """The paired comparison as `convlens compare` judges it, its word and its numbers."""
    found = compare_accuracies(
        labels,
        champion_right,
        new_right,
        num_resamples=settings.num_resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    value, low, high = (100 * (x or 0.0) for x in (found.difference.value, found.difference.low, found.difference.high))
    chance = "p < 0.001" if found.mcnemar.p_value < 0.001 else f"p = {found.mcnemar.p_value:.3f}"
    interval = f"{low:+.1f} to {high:+.1f}, {settings.confidence:.0%} paired interval"
    note = f"{WORDS[found.word]}: {value:+.1f} points ({interval}; McNemar's exact test, {chance})"
    return Difference(found.word, note)


# --- decision ---
# Judges a version by all criteria, records the verdict with it, and makes it the champion if nothing is missed.

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
    rows = [*candidate.judged, *check_packaged_model(version, candidate.test, candidate.load_images)]
    if ROLLED_BACK_TAG in version.tags:
        rows.append(judge_past(version.tags[ROLLED_BACK_TAG]))
    store.client.set_model_version_tag(version.name, version.version, PREDICTIONS_TAG, candidate.answers)
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
        criteria = [*rows, _judge_champion(store, version, champion, candidate)]
        opponent = None if champion is None or champion.version == version.version else str(champion.version)
        try:
            if all_passed(criteria):
                promote(store, version, Reason(GATE, tell_outcome(criteria)), expected=champion)
            return Verdict(criteria, opponent, candidate.demands)
        except ChampionChangedError:
            if attempt == MAX_ATTEMPTS - 1:
                raise
    raise ChampionChangedError("Expected at least one attempt. Received: none.")


def _judge_champion(
    store: Store, version: ModelVersion, champion: ModelVersion | None, candidate: Candidate
) -> Criterion:
    if champion is None:
        return judge_without_champion(candidate.rule, "there is no champion yet")
    if champion.version == version.version:
        return judge_without_champion(candidate.rule, "it is the champion")
    comparison = compare_with_champion(
        store, champion, candidate.test, candidate.load_images, compare=candidate.compare
    )
    return judge_comparison(comparison, candidate.rule)


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


# --- What the stage `register` asks of a training before its model may become the champion, read from its results ---

TEST = "test"


def gather_candidate(
    results: Results, photos: Prepared, *, register: RegisterParams, evaluate: EvaluateParams
) -> Candidate:
    """What the gate looks at.

    Args:
        results: where the files are.
        photos: the prepared photos.
        register: the group `register`.
        evaluate: the group `evaluate`: how the comparison with the champion is made.

    Raises:
        ConvLensError: a result is missing, or a criterion names a metric that there is not.
    """
    evaluation, card = Evaluation.load(results.evaluation), results.model_card
    return Candidate(
        name=register.model_name,
        demands=register.criteria.model_dump(mode="json"),
        judged=judge_results(results, evaluation, register),
        rule=register.criteria.champion,
        test=_test_verdicts(photos, evaluation.predictions),
        answers=digest_predictions(results.evaluation / "predictions.csv"),
        load_images=lambda rows: photos.images(TEST)[np.asarray(rows)],
        compare=partial(describe_difference, evaluate),
        card=card.read_text(encoding="utf-8") if card.is_file() else "",
    )


def judge_results(results: Results, evaluation: Evaluation, register: RegisterParams) -> list[Criterion]:
    """The criteria that need nothing but files: bounds of metrics, and the floor of all slices."""
    demanded = register.criteria
    sections = {
        "robustness": (results.robustness, demanded.robustness),
        "label_errors": (results.label_errors, demanded.label_errors),
    }
    judged = judge_metrics("evaluation", evaluation.metrics, demanded.evaluation) if demanded.evaluation else []
    for section, (folder, bounds) in sections.items():
        judged += judge_metrics(section, read_json(folder / "metrics.json"), bounds) if bounds else []
    slices = [{str(name): value for name, value in row.items()} for row in evaluation.slices.to_dict(orient="records")]
    return [*judged, *judge_slices(slices, demanded.slices)]


def _test_verdicts(photos: Prepared, predictions: pd.DataFrame) -> pd.DataFrame:
    """The test photos with what identifies them, this network's probabilities, and whether it classifies correctly."""
    known = predictions.drop(columns=["label", "predicted"])
    table = photos.photos(TEST)[["path", "label", "sha256", "row"]].merge(known, on="path", how="left")
    if table["correct"].isna().any() or len(known) != len(table):
        raise ConvLensError(
            f"Expected a prediction for each of {len(table):,} test photos. Received: {len(known):,}. Run `dvc repro`."
        )
    return table.astype({"correct": bool})
