"""The user's own photos: what the network answers, and whether the answers should be believed."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from convlens.errors import ConvLensError
from convlens.lens.embeddings import open_features
from convlens.metrics.drift import share_at_most
from convlens.metrics.profile import Profile, decode_profile
from convlens.metrics.selective import answer_confidence
from convlens.photos.distortions import shift
from convlens.report.own_wording import Evidence, explain_answer
from convlens.stages.evaluate_decision import Decision
from convlens.stages.report_photos import Choice, Unreadable

PIXELS = (-3, -1, 1, 3)
SHIFTS = tuple((down, across) for down in PIXELS for across in PIXELS)
DIGITS = 7  # as the evaluation keeps them
HALFWAY = 0.5  # between guessing and certainty; below it an answer is unsure whatever the evaluation says
Answer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class OwnPhotos:
    """What the report says of the user's photos.

    Attributes:
        table: one row per photo: path, label, predicted, correct, probability_<class> …, and the evidence; see
            `answer_own`.
        pictures: the very pixels that the network got, PNG by path.
    """

    table: pd.DataFrame
    pictures: Mapping[str, bytes]


def answer_own(
    choices: Sequence[Choice],
    unreadable: Sequence[Unreadable],
    *,
    model: Any,
    answer: Answer,
    profile: Profile,
    reliability: pd.DataFrame,
) -> OwnPhotos:
    """Answer every photo, and its shifted copies, and compare it with the photos of the training.

    Args:
        choices: photos that could be read.
        unreadable: photos that could not.
        model: the network, for its features.
        answer: gives probabilities (N, K) for uint8 photos (N, S, S, 3), calibrated.
        profile: of the training photos.
        reliability: test photos in bins of similar probability.

    Returns:
        The table has, besides the answer: probability (of the answer), unsure_below (the limit), distance (to the
        training photos), unlike_above (the limit), held_out_closer (share of held-out photos that are not further),
        num_shifts and num_same (shifted copies, and those answered alike), believe, why, and error for photos that
        could not be read.
    """
    asked = _Asked(open_features(model), answer, profile, _calibrated(reliability))
    rows = [_describe(choice, asked) for choice in choices]
    rows += [{"path": photo.name, "error": photo.reason} for photo in unreadable]
    columns = [*_columns(profile.classes)]
    table = pd.DataFrame(rows, columns=columns).sort_values("path", kind="stable").reset_index(drop=True)
    whole = dict.fromkeys(("num_shifts", "num_same"), "Int64")
    return OwnPhotos(table.astype(whole), {choice.name: _encode(choice.pixels) for choice in choices})


def read_profile(path: Path) -> Profile:
    """The profile that stage `profile` wrote.

    Raises:
        ConvLensError: there is none, or it is none.
    """
    if not path.is_file():
        raise ConvLensError(f"Expected {path}. Received: nothing there. Run `dvc repro`.")
    return decode_profile(path.read_bytes(), str(path))


def find_unsure_limit(metrics: Mapping[str, Any], num_classes: int) -> float:
    """The probability below which an answer is unsure: the evaluation's, and at least halfway to certainty."""
    return max(float(metrics.get("min_probability") or 0), HALFWAY + (1 - HALFWAY) / num_classes)


def shift_copies(pixels: np.ndarray) -> np.ndarray:
    """Copies of a photo (S, S, 3), shifted by 1 and 3 pixels in all directions: uint8 (16, S, S, 3)."""
    return np.concatenate([shift(pixels[np.newaxis], down, across) for down, across in SHIFTS])


def _columns(classes: Sequence[str]) -> list[str]:
    chances = [f"probability_{name}" for name in classes]
    evidence = ["probability", "unsure_below", "distance", "unlike_above", "held_out_closer", "num_shifts", "num_same"]
    return ["path", "label", "predicted", "correct", *chances, *evidence, "believe", "why", "error"]


@dataclass(frozen=True)
class _Asked:
    """Whom to ask about a photo."""

    look: Answer
    answer: Answer
    profile: Profile
    reliability: pd.DataFrame

    @property
    def decision(self) -> Decision:
        return Decision(threshold=float(self.profile.metrics.get("threshold", Decision.threshold)))


def _calibrated(reliability: pd.DataFrame) -> pd.DataFrame:
    """Bins of the probabilities as they are given, where the table has those without temperature, too."""
    known = "temperature" in reliability.columns
    return reliability[reliability["temperature"] == "after"] if known else reliability


def _describe(choice: Choice, asked: _Asked) -> dict[str, Any]:
    photo, profile = choice.pixels[np.newaxis], asked.profile
    given = asked.answer(np.concatenate([photo, shift_copies(choice.pixels)]))
    winners = asked.decision.answer(given)
    distance = profile.measure_distances(asked.look(photo))
    evidence = Evidence(
        predicted=profile.classes[winners[0]],
        probability=_round(answer_confidence(given, winners)[0]),
        unsure_below=_round(find_unsure_limit(profile.metrics, len(profile.classes))),
        distance=_round(distance[0]),
        unlike_above=_round(profile.unlike_above),
        held_out_closer=_round(share_at_most(distance, profile.held_out_distances)[0]),
        num_shifts=len(SHIFTS),
        num_same=int((winners[1:] == winners[0]).sum()),
    )
    believe, why = explain_answer(evidence, asked.reliability)
    chances = {f"probability_{name}": _round(value) for name, value in zip(profile.classes, given[0], strict=True)}
    truth = choice.truth
    known = {"label": truth or "", "correct": None if truth is None else truth == evidence.predicted}
    return {"path": choice.name, **known, **chances, **vars(evidence), "believe": believe, "why": why, "error": ""}


def _encode(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
