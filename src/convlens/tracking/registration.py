"""From a training's results to a registered version and its verdict; the one entry for the stage `register`."""

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from convlens.environment import hold_stderr
from convlens.tracking.contest import Comparer, hold_contest
from convlens.tracking.failures import store_must_answer
from convlens.tracking.gate import (
    Contest,
    Criterion,
    all_passed,
    from_plain,
    judge_accuracy,
    judge_contest,
    judge_package,
    to_plain,
    unopposed,
)
from convlens.tracking.models import ModelFiles, ensure_models
from convlens.tracking.photo_model import PHOTOS_PER_BATCH
from convlens.tracking.quiet import no_warnings
from convlens.tracking.record import Record, complete_run
from convlens.tracking.registry import CHAMPION, crown, ensure_version, find_alias
from convlens.tracking.store import Store, brief_requests, fluent_store, lock_store, open_store, tracking_uri

CRITERIA_TAG = "convlens.criteria"
VERDICT_TAG = "convlens.verdict"
ADVICE = "The training is safe; `dvc repro` completes the record when the store is back."
FIRST_SECONDS, LATER_SECONDS = 3, 30
QUEUE_SECONDS = 600.0
MAX_DESCRIPTION = 5000  # characters that MLflow's table of versions holds
MORE = "\n\nThe rest of the card is `model_card.md`, among the artifacts of the run.\n"
TOLERANCE = 1e-3  # the evaluation may have been made on another processor


@dataclass(frozen=True)
class Candidate:
    """What the gate looks at.

    Attributes:
        name: of the registered model.
        min_accuracy: the least that a champion must reach.
        accuracy: on the test photos.
        test: one row per test photo, by `row`: path, label, sha256, row, correct and probability_<class>.
        load_images: gives uint8 arrays (n, S, S, 3) for values of `row`.
        compare: says how sure the difference to the champion is, from labels and right answers of both.
        card: the model card, Markdown; without it a line describes the version.
    """

    name: str
    min_accuracy: float
    accuracy: float
    test: pd.DataFrame
    load_images: Callable[[np.ndarray], np.ndarray]
    compare: Comparer
    card: str = ""


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
    """

    uri: str
    run_name: str
    run_id: str
    version: str
    aliases: tuple[str, ...]
    criteria: tuple[Criterion, ...]


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
            criteria = _decide(store, version, candidate)
            version = store.client.get_model_version(candidate.name, version.version)
    return Registration(
        store.uri, run.info.run_name, run.info.run_id, version.version, tuple(version.aliases), tuple(criteria)
    )


def _one_at_a_time(store: Store) -> contextlib.AbstractContextManager[None]:
    """Two workers of DVC's queue may register at once; each must see the champion that the other leaves."""
    return lock_store(store.uri, "register", seconds=QUEUE_SECONDS)


def _describe(record: Record, candidate: Candidate) -> str:
    """The model card, as many of its sections as MLflow stores; without a card one line."""
    if candidate.card:
        return shorten_card(candidate.card)
    architecture = record.params.get("model.architecture", "network")
    photos = f"{len(candidate.test):,} photos"
    return f"{architecture} on {record.data.name}: test accuracy {candidate.accuracy:.1%} of {photos}"


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


def _decide(store: Store, version: ModelVersion, candidate: Candidate) -> list[Criterion]:
    """Judge a version once; the verdict stands until its accuracy or the demand on it changes."""
    accuracy = judge_accuracy(candidate.accuracy, candidate.min_accuracy, len(candidate.test))
    recorded = from_plain(json.loads(version.tags.get(CRITERIA_TAG, "[]")))
    if accuracy in recorded:
        return recorded
    criteria = [accuracy, _judge_package(version, candidate), _judge_contest(store, version, candidate)]
    if all_passed(criteria):
        crown(store, version)
    _note(store, version, criteria)
    return criteria


def _judge_package(version: ModelVersion, candidate: Candidate) -> Criterion:
    """Ask the packaged model about one batch of test photos."""
    asked = candidate.test.head(PHOTOS_PER_BATCH)
    expected = asked.filter(like="probability_")
    with no_warnings(), hold_stderr():
        model = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
    answers = model.predict(candidate.load_images(asked["row"].to_numpy()))
    gaps = np.abs(answers[expected.columns].to_numpy(float) - expected.to_numpy(float))
    return judge_package(int((gaps.max(axis=1) <= TOLERANCE).sum()), len(asked))


def _judge_contest(store: Store, version: ModelVersion, candidate: Candidate) -> Criterion:
    champion = find_alias(store, candidate.name, CHAMPION)
    if champion is None:
        return unopposed("there is no champion yet")
    if champion.version == version.version:
        return unopposed("it is the champion")
    return judge_contest(_hold(store, champion, candidate))


def _hold(store: Store, champion: ModelVersion, candidate: Candidate) -> Contest:
    return hold_contest(store, champion, candidate.test, candidate.load_images, compare=candidate.compare)


def _note(store: Store, version: ModelVersion, criteria: list[Criterion]) -> None:
    """Tags for people first; the one that makes the verdict final last: a crash leaves it to be judged again."""
    tags = {VERDICT_TAG: "passed" if all_passed(criteria) else "missed"}
    tags |= {f"convlens.{item.name}": f"{'passed' if item.passed else 'missed'}: {item.note}" for item in criteria}
    tags[CRITERIA_TAG] = json.dumps(to_plain(criteria), ensure_ascii=False)
    for name, value in tags.items():
        store.client.set_model_version_tag(version.name, version.version, name, value)
