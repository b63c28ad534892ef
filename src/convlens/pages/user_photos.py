"""Photos of the user that are only answered."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from convlens.data.perturbations import shift
from convlens.lens.forward import open_features
from convlens.metrics.drift import ReferenceStatistics, share_at_most
from convlens.models.inference import OperatingPoint, prediction_confidence
from convlens.pages.engine import picture_source
from convlens.pages.photos import Choice, Unreadable
from convlens.wording import show_count, show_share

# --- One sentence on whether an answer to a photo of one's own should be believed, and the numbers behind it ---

SHIFTS = "by up to 3 pixels"


@dataclass(frozen=True)
class Evidence:
    """What is known about an answer.

    Attributes:
        predicted: the answer.
        probability: of the answer, calibrated, 0..1.
        unsure_below: probability below which answers are unsure.
        distance: of the photo to the training photos, by what the network makes of them.
        unlike_above: distance beyond which a photo is unlike them; 1 in 100 held-out photos are.
        held_out_closer: share of held-out photos that are not further away, 0..1.
        num_shifts: shifted copies that were answered, too.
        num_same: those of them with the same answer.
    """

    predicted: str
    probability: float
    unsure_below: float
    distance: float
    unlike_above: float
    held_out_closer: float
    num_shifts: int
    num_same: int

    @property
    def unsure(self) -> bool:
        """Whether the network is near to guessing."""
        return self.probability < self.unsure_below

    @property
    def unlike(self) -> bool:
        """Whether the photo is unlike those of the training."""
        return self.distance > self.unlike_above

    @property
    def flips(self) -> bool:
        """Whether a shifted copy is answered otherwise."""
        return self.num_same < self.num_shifts


def explain_answer(evidence: Evidence, reliability: pd.DataFrame) -> tuple[bool, str]:
    """Whether nothing speaks against an answer, and why, in one sentence.

    Args:
        evidence: about the answer.
        reliability: test photos in bins of similar probability: num_photos, confidence, accuracy.
    """
    reasons = [
        *(["the photo is unlike those it learned from: " + _say_distance(evidence)] if evidence.unlike else []),
        *(["the answer flips: " + _say_flips(evidence)] if evidence.flips else []),
        *([f"it is unsure: {_say_doubt(evidence)}"] if evidence.unsure else []),
    ]
    if reasons:
        return False, f"Do not rely on it, for {_join(reasons)}."
    record = say_record(evidence.probability, reliability)
    return True, (
        "Nothing speaks against it: the photo is like those it learned from, the answer stays the same when the photo "
        f"is shifted {SHIFTS}, and {record}."
    )


def say_record(probability: float, reliability: pd.DataFrame) -> str:
    """How many test photos that were answered about as surely were answered right."""
    nearest = reliability.iloc[(reliability["confidence"].astype(float) - probability).abs().to_numpy().argmin()]
    num_photos = int(nearest["num_photos"])
    num_right = round(float(nearest["accuracy"]) * num_photos)
    return f"of {show_count(num_photos, 'test photo')} answered about as surely {_count(num_right, num_photos)} right"


def _join(reasons: Sequence[str]) -> str:
    return reasons[0] if len(reasons) == 1 else f"{'; '.join(reasons[:-1])}; and {reasons[-1]}"


def _say_distance(evidence: Evidence) -> str:
    if evidence.held_out_closer >= 1:
        return "further from them than every photo that was held out"
    return f"further from them than {show_share(evidence.held_out_closer)} of the photos that were held out"


def _say_flips(evidence: Evidence) -> str:
    changed = evidence.num_shifts - evidence.num_same
    return f"{changed} of {evidence.num_shifts} copies shifted {SHIFTS} are answered otherwise"


def _say_doubt(evidence: Evidence) -> str:
    return f"{show_share(evidence.probability)} for {evidence.predicted}, below {show_share(evidence.unsure_below)}"


def _count(number: int, total: int) -> str:
    if number == total:
        return "was" if total == 1 else f"all {number:,} were"
    return "none was" if number == 0 else f"{number:,} {'was' if number == 1 else 'were'}"


# --- The user's own photos: what the network answers, and whether the answers should be believed ---

PIXELS = (-3, -1, 1, 3)
SHIFTS_REPORT_OWN = tuple((down, across) for down in PIXELS for across in PIXELS)
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
    reference: ReferenceStatistics,
    reliability: pd.DataFrame,
) -> OwnPhotos:
    """Answer every photo, and its shifted copies, and compare it with the photos of the training.

    Args:
        choices: photos that could be read.
        unreadable: photos that could not.
        model: the network, for its features.
        answer: gives probabilities (N, K) for uint8 photos (N, S, S, 3), calibrated.
        reference: of the training photos.
        reliability: test photos in bins of similar probability.

    Returns:
        The table has, besides the answer: probability (of the answer), unsure_below (the limit), distance (to the
        training photos), unlike_above (the limit), held_out_closer (share of held-out photos that are not further),
        num_shifts and num_same (shifted copies, and those answered alike), believe, why, and error for photos that
        could not be read.
    """
    asked = _Asked(open_features(model), answer, reference, _calibrated(reliability))
    rows = [_describe(choice, asked) for choice in choices]
    rows += [{"path": photo.name, "error": photo.reason} for photo in unreadable]
    columns = [*_columns(reference.classes)]
    table = pd.DataFrame(rows, columns=columns).sort_values("path", kind="stable").reset_index(drop=True)
    whole = dict.fromkeys(("num_shifts", "num_same"), "Int64")
    return OwnPhotos(table.astype(whole), {choice.name: _encode(choice.pixels) for choice in choices})


def find_unsure_limit(metrics: Mapping[str, Any], num_classes: int) -> float:
    """The probability below which an answer is unsure: the evaluation's, and at least halfway to certainty."""
    return max(float(metrics.get("min_confidence") or 0), HALFWAY + (1 - HALFWAY) / num_classes)


def shift_copies(pixels: np.ndarray) -> np.ndarray:
    """Copies of a photo (S, S, 3), shifted by 1 and 3 pixels in all directions: uint8 (16, S, S, 3)."""
    return np.concatenate([shift(pixels[np.newaxis], down, across) for down, across in SHIFTS_REPORT_OWN])


def _columns(classes: Sequence[str]) -> list[str]:
    chances = [f"probability_{name}" for name in classes]
    evidence = ["probability", "unsure_below", "distance", "unlike_above", "held_out_closer", "num_shifts", "num_same"]
    return ["path", "label", "predicted", "correct", *chances, *evidence, "believe", "why", "error"]


@dataclass(frozen=True)
class _Asked:
    """Whom to ask about a photo."""

    look: Answer
    answer: Answer
    reference: ReferenceStatistics
    reliability: pd.DataFrame

    @property
    def decision(self) -> OperatingPoint:
        return OperatingPoint(threshold=float(self.reference.metrics.get("threshold", OperatingPoint.threshold)))


def _calibrated(reliability: pd.DataFrame) -> pd.DataFrame:
    """Bins of the probabilities as they are given, where the table has those without temperature, too."""
    known = "temperature" in reliability.columns
    return reliability[reliability["temperature"] == "after"] if known else reliability


def _describe(choice: Choice, asked: _Asked) -> dict[str, Any]:
    photo, reference = choice.pixels[np.newaxis], asked.reference
    given = asked.answer(np.concatenate([photo, shift_copies(choice.pixels)]))
    winners = asked.decision.predict(given)
    distance = reference.measure_distances(asked.look(photo))
    evidence = Evidence(
        predicted=reference.classes[winners[0]],
        probability=_round(prediction_confidence(given, winners)[0]),
        unsure_below=_round(find_unsure_limit(reference.metrics, len(reference.classes))),
        distance=_round(distance[0]),
        unlike_above=_round(reference.unlike_above),
        held_out_closer=_round(share_at_most(distance, reference.held_out_distances)[0]),
        num_shifts=len(SHIFTS_REPORT_OWN),
        num_same=int((winners[1:] == winners[0]).sum()),
    )
    believe, why = explain_answer(evidence, asked.reliability)
    chances = {f"probability_{name}": _round(value) for name, value in zip(reference.classes, given[0], strict=True)}
    truth = choice.truth
    known = {"label": truth or "", "correct": None if truth is None else truth == evidence.predicted}
    return {"path": choice.name, **known, **chances, **vars(evidence), "believe": believe, "why": why, "error": ""}


def _encode(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


# --- The section of the overview page on the user's own photos: answers, pixels, and whether to believe them ---

MAX_PHOTOS = 60
MAX_CHANCES = 4


def describe_own(own: pd.DataFrame, pictures: Mapping[str, bytes]) -> dict[str, Any] | None:
    """What the section shows; None without photos.

    Args:
        own: the table of `reports/own.csv`.
        pictures: PNG bytes by path.
    """
    if own.empty:
        return None
    read = own[own["error"].fillna("") == ""]
    failed = own[own["error"].fillna("") != ""]
    doubted = int((~read["believe"].astype(bool)).sum())
    return {
        "photos": [_describe_photo(row, pictures) for row in read.head(MAX_PHOTOS).to_dict("records")],
        "num_photos": len(read),
        "num_hidden": max(len(read) - MAX_PHOTOS, 0),
        "sentence": _summarize(len(read), doubted),
        "failures": [{"path": row["path"], "reason": row["error"]} for row in failed.to_dict("records")],
    }


def _summarize(num_photos: int, doubted: int) -> str:
    if not num_photos:
        return "None of your photos could be read."
    answered = f"{show_count(num_photos, 'photo')} of yours"
    if not doubted:
        return f"{answered}; nothing speaks against {'the answer' if num_photos == 1 else 'the answers'}."
    return f"{answered}; {show_count(doubted, 'answer')} should not be relied on."


def _describe_photo(row: Mapping[Any, Any], pictures: Mapping[str, bytes]) -> dict[str, Any]:
    chances = sorted(
        ((name.removeprefix("probability_"), float(value)) for name, value in row.items() if _is_chance(str(name))),
        key=lambda item: -item[1],
    )
    return {
        "path": row["path"],
        "source": picture_source(pictures.get(row["path"])),
        "predicted": row["predicted"],
        "probability": show_share(float(row["probability"])),
        "truth": row["label"],
        "correct": bool(row["correct"]) if row["label"] else None,
        "believe": bool(row["believe"]),
        "why": row["why"],
        "chances": [(name, show_share(value), round(100 * value, 1)) for name, value in chances[:MAX_CHANCES]],
        "facts": [
            ("Probability", _say_probability(row), row["probability"] < row["unsure_below"]),
            (
                "Distance to training photos",
                _say_distance_overview_own(row),
                row["distance"] > row["unlike_above"],
            ),
            (
                "Same answer when shifted",
                f"{row['num_same']:.0f} of {row['num_shifts']:.0f}",
                row["num_same"] < row["num_shifts"],
            ),
        ],
    }


def _say_probability(row: Mapping[Any, Any]) -> str:
    return f"{show_share(float(row['probability']))}; unsure below {show_share(float(row['unsure_below']))}"


def _say_distance_overview_own(row: Mapping[Any, Any]) -> str:
    further = f"further than {show_share(float(row['held_out_closer']))} of the held-out photos"
    return f"{row['distance']:.3f}, {further}; unlike above {row['unlike_above']:.3f}"


def _is_chance(name: str) -> bool:
    return name.startswith("probability_")
