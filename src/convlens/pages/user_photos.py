"""Photos of the user, which are only classified: what the network predicts, and whether to rely on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from convlens.data.perturbations import shift
from convlens.files import encode_png, round_number
from convlens.lens.forward import open_features
from convlens.metrics.drift import ReferenceStatistics, share_at_most
from convlens.models.inference import OperatingPoint, prediction_confidence
from convlens.pages.engine import picture_source
from convlens.pages.photos import Choice, Unreadable
from convlens.wording import show_count, show_share

# --- Predictions for every photo and its shifted copies, compared with the training photos ---

PIXELS = (-3, -1, 1, 3)
SHIFTS = tuple((down, across) for down in PIXELS for across in PIXELS)
HALFWAY = 0.5  # between guessing and certainty; below it a prediction is unsure whatever the evaluation says


@dataclass(frozen=True)
class UserPhotos:
    """Predictions for the user's photos.

    Attributes:
        table: one row per photo, sorted by path: path, label, predicted, correct, probability_<class> …, probability
            (of the prediction, calibrated), unsure_below (the limit), distance (to the training photos, by the
            network's features), unlike_above (the limit; 1 in 100 held-out photos are beyond it), held_out_closer
            (share of held-out photos that are not further), num_shifts and num_same (shifted copies, and those with
            the same prediction), believe, why, and error for photos that could not be read.
        pictures: the very pixels that the network got, PNG by path.
    """

    table: pd.DataFrame
    pictures: Mapping[str, bytes]


def predict_user_photos(
    choices: Sequence[Choice],
    unreadable: Sequence[Unreadable],
    *,
    model: Any,
    predict: Callable[[np.ndarray], np.ndarray],
    reference: ReferenceStatistics,
    reliability: pd.DataFrame,
) -> UserPhotos:
    """Classify every photo and its shifted copies, and compare it with the training photos.

    Args:
        choices: photos that could be read.
        unreadable: photos that could not.
        model: the network, for its features.
        predict: gives probabilities (N, K) for uint8 photos (N, S, S, 3), calibrated.
        reference: statistics of the training photos.
        reliability: test photos in bins of similar probability: num_photos, confidence, accuracy.
    """
    classes, features = reference.classes, open_features(model)
    point = OperatingPoint(threshold=float(reference.metrics.get("threshold", OperatingPoint.threshold)))
    rounded = partial(round_number, digits=7)
    rows: list[dict[str, Any]] = []
    for choice in choices:
        photo = choice.pixels[np.newaxis]
        probabilities = predict(np.concatenate([photo, shift_copies(choice.pixels)]))
        predicted = point.predict(probabilities)
        distance = reference.measure_distances(features(photo))
        row = {
            "path": choice.name,
            "label": choice.truth or "",
            "predicted": classes[predicted[0]],
            "correct": None if choice.truth is None else choice.truth == classes[predicted[0]],
            **{f"probability_{name}": rounded(value) for name, value in zip(classes, probabilities[0], strict=True)},
            "probability": rounded(prediction_confidence(probabilities, predicted)[0]),
            "unsure_below": rounded(find_unsure_limit(reference.metrics, len(classes))),
            "distance": rounded(distance[0]),
            "unlike_above": rounded(reference.unlike_above),
            "held_out_closer": rounded(share_at_most(distance, reference.held_out_distances)[0]),
            "num_shifts": len(SHIFTS),
            "num_same": int((predicted[1:] == predicted[0]).sum()),
        }
        warnings = list_warnings(row)
        row["believe"] = not warnings
        row["why"] = (
            f"Do not rely on it: {'; '.join(warnings)}."
            if warnings
            else "No warning: the photo resembles the training photos, the prediction stays the same when the photo is "
            f"shifted by up to 3 pixels, and {say_record(row['probability'], reliability)}."
        )
        rows.append({**row, "error": ""})
    rows += [{"path": photo.name, "error": photo.reason} for photo in unreadable]
    columns = [
        *("path", "label", "predicted", "correct"), *(f"probability_{name}" for name in classes),
        *("probability", "unsure_below", "distance", "unlike_above", "held_out_closer", "num_shifts", "num_same"),
        *("believe", "why", "error"),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns).sort_values("path", kind="stable").reset_index(drop=True)
    whole = dict.fromkeys(("num_shifts", "num_same"), "Int64")
    pictures = {choice.name: encode_png(choice.pixels, optimize=True) for choice in choices}
    return UserPhotos(table.astype(whole), pictures)


def find_unsure_limit(metrics: Mapping[str, Any], num_classes: int) -> float:
    """Return the probability below which a prediction is unsure: the evaluation's, at least halfway to certainty."""
    return max(float(metrics.get("min_confidence") or 0), HALFWAY + (1 - HALFWAY) / num_classes)


def shift_copies(pixels: np.ndarray) -> np.ndarray:
    """Copy a photo (S, S, 3), shifted by 1 and 3 pixels in all directions: uint8 (16, S, S, 3)."""
    return np.concatenate([shift(pixels[np.newaxis], down, across) for down, across in SHIFTS])


# --- Whether to rely on a prediction, in one sentence ---


def list_warnings(row: Mapping[Any, Any]) -> list[str]:
    """List what speaks against a prediction, each with its numbers; see `UserPhotos.table`."""
    warnings = []
    if row["distance"] > row["unlike_above"]:
        closer = row["held_out_closer"]
        others = "every held-out photo" if closer >= 1 else f"{show_share(closer)} of the held-out photos"
        warnings.append(f"the photo is unlike the training photos, further from them than {others}")
    if row["num_same"] < row["num_shifts"]:
        changed = f"{row['num_shifts'] - row['num_same']} of {row['num_shifts']}"
        warnings.append(f"it is unstable, {changed} copies shifted by up to 3 pixels are classified otherwise")
    if row["probability"] < row["unsure_below"]:
        shares = f"{show_share(row['probability'])} for “{row['predicted']}”, below {show_share(row['unsure_below'])}"
        warnings.append(f"the network is unsure, {shares}")
    return warnings


def say_record(probability: float, reliability: pd.DataFrame) -> str:
    """Say how many test photos of a similar probability were classified correctly."""
    nearest = reliability.iloc[(reliability["confidence"].astype(float) - probability).abs().to_numpy().argmin()]
    total = int(nearest["num_photos"])
    correct = round(float(nearest["accuracy"]) * total)
    were = f"{correct:,} of {total:,} test photos" if total != 1 else f"{correct} of 1 test photo"
    return f"{were} with a similar probability {'was' if total == 1 else 'were'} classified correctly"


# --- The section of the report ---

MAX_PHOTOS = 60


def describe_user_photos(table: pd.DataFrame, pictures: Mapping[str, bytes]) -> dict[str, Any] | None:
    """Describe the predictions for the user's photos; None without photos.

    Args:
        table: see `UserPhotos`.
        pictures: PNG bytes by path.
    """
    if table.empty:
        return None
    failed = table["error"].fillna("") != ""
    read = table[~failed]
    doubtful = int((~read["believe"].astype(bool)).sum())
    sentence = "None of your photos could be read."
    if len(read):
        no = "with no warning" if not doubtful else f"{doubtful:,} with a warning"
        sentence = f"{show_count(len(read), 'photo')} of yours, {no}."
    return {
        "photos": [
            {
                "path": row["path"],
                "source": picture_source(pictures.get(row["path"])),
                "predicted": row["predicted"],
                "probability": show_share(float(row["probability"])),
                "label": row["label"],
                "correct": bool(row["correct"]) if row["label"] else None,
                "believe": bool(row["believe"]),
                "why": row["why"],
                "facts": _list_evidence(row),
            }
            for row in read.head(MAX_PHOTOS).to_dict("records")
        ],
        "num_photos": len(read),
        "num_hidden": max(len(read) - MAX_PHOTOS, 0),
        "num_shifts": len(SHIFTS),
        "sentence": sentence,
        "failures": [{"path": row["path"], "reason": row["error"]} for row in table[failed].to_dict("records")],
    }


def _list_evidence(row: Mapping[Any, Any]) -> list[tuple[str, str, bool]]:
    """List name, value, and whether it speaks against the prediction."""
    sure, limit = show_share(float(row["probability"])), show_share(float(row["unsure_below"]))
    further = f"{row['distance']:.3f}, further than {show_share(float(row['held_out_closer']))} of the held-out photos"
    return [
        ("Probability", f"{sure}; unsure below {limit}", row["probability"] < row["unsure_below"]),
        ("Distance to training photos", f"{further}; unlike above {row['unlike_above']:.3f}",
         row["distance"] > row["unlike_above"]),
        ("Same prediction when shifted", f"{row['num_same']:.0f} of {row['num_shifts']:.0f}",
         row["num_same"] < row["num_shifts"]),
    ]  # fmt: skip
