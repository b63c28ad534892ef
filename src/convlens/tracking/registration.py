"""From a training's results to a registered version and its verdict; the one entry for the stage `register`."""

import contextlib
import json
import re
from dataclasses import dataclass
from typing import Any

from convlens.tracking.decision import Candidate, decide
from convlens.tracking.failures import store_must_answer
from convlens.tracking.gate import Criterion, all_passed, to_plain
from convlens.tracking.models import ModelFiles, ensure_models
from convlens.tracking.record import Record, complete_run
from convlens.tracking.registry import ensure_version
from convlens.tracking.store import Store, brief_requests, fluent_store, lock_store, open_store, tracking_uri

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
