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
from convlens.metrics.calibration import ReliabilityBin, reliability_bins
from convlens.metrics.drift import ReferenceStatistics, share_at_most
from convlens.models.inference import OperatingPoint, prediction_confidence
from convlens.pages.engine import fill_template, picture_source
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
) -> UserPhotos:
    """Classify every photo and its shifted copies, and compare it with the training photos.

    Args:
        choices: photos that could be read.
        unreadable: photos that could not.
        model: the network, for its features.
        predict: gives probabilities (N, K) for uint8 photos (N, S, S, 3), calibrated.
        reference: statistics of the training photos, and the predictions of the test photos.
    """
    classes, features = reference.classes, open_features(model)
    reliability = reliability_bins(reference.test_labels, reference.test_probabilities)
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
        warnings = list_warnings(row, say_unlike(row["distance"], reference))
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


def list_warnings(row: Mapping[Any, Any], unlike: str) -> list[str]:
    """List what speaks against a prediction, each with its numbers; see `UserPhotos.table`."""
    warnings = [unlike] if unlike else []
    if row["num_same"] < row["num_shifts"]:
        changed = f"{row['num_shifts'] - row['num_same']} of {row['num_shifts']}"
        warnings.append(f"it is unstable, {changed} copies shifted by up to 3 pixels are classified otherwise")
    if row["probability"] < row["unsure_below"]:
        shares = f"{show_share(row['probability'])} for “{row['predicted']}”, below {show_share(row['unsure_below'])}"
        warnings.append(f"the network is unsure, {shares}")
    return warnings


def say_unlike(distance: float, reference: ReferenceStatistics) -> str:
    """Say that a photo of this distance is unlike the training photos; '' if it is not."""
    if not distance > reference.unlike_above:  # NaN of a photo that could not be read
        return ""
    closer = float(share_at_most(np.array([distance]), reference.held_out_distances)[0])
    others = "every held-out photo" if closer >= 1 else f"{show_share(closer)} of the held-out photos"
    return f"the photo is unlike the training photos, further from them than {others}"


def say_record(probability: float, reliability: Sequence[ReliabilityBin]) -> str:
    """Say how many test photos of a similar probability were classified correctly."""
    nearest = min(reliability, key=lambda some: abs(some.confidence - probability))
    total, correct = nearest.num_photos, round(nearest.accuracy * nearest.num_photos)
    were = f"{correct:,} of {total:,} test photos" if total != 1 else f"{correct} of 1 test photo"
    return f"{were} with a similar probability {'was' if total == 1 else 'were'} classified correctly"


# --- The page ---

MAX_PHOTOS = 60


def render_user_photos(predicted: UserPhotos, model: str) -> str:
    """Render the page of predictions as HTML text.

    Args:
        predicted: for the user's photos.
        model: which one, in a line.
    """
    values = describe_user_photos(predicted.table, predicted.pictures)
    return fill_template("predictions/predictions.html", {"user_photos": values, "model": model})


def describe_user_photos(table: pd.DataFrame, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    """Describe the predictions for the user's photos.

    Args:
        table: see `UserPhotos`.
        pictures: PNG bytes by path.
    """
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
