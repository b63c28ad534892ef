"""Robustness: accuracy and consistency of networks on perturbed photos, with intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.data.loader import Images
from convlens.data.perturbations import Change, list_perturbations, list_places
from convlens.files import csv_bytes, json_bytes, read_csv, read_json, round_number, write_together
from convlens.metrics.intervals import wilson_interval
from convlens.params import RobustnessParams
from convlens.progress import track

# --- the artefact of stage `robustness` ---

MODEL, BASELINE = "model", "baseline"  # the networks, as columns and metrics name them
UNPERTURBED = "none"
METRICS, CURVES, PLACES = "metrics.json", "curves.csv", "places.csv"
TEXT = ("network", "perturbation")


@dataclass(frozen=True)
class EvaluatedNetwork:
    """A network whose robustness is measured.

    Attributes:
        num_parameters: weights of the network.
        predict: class indices int64 (N,) of prepared photos, uint8 (N, size, size, 3).
    """

    num_parameters: int
    predict: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Robustness:
    """Accuracy and consistency on perturbed photos.

    Consistency is the share of predictions that are the same as for the unperturbed photo, correct or not.

    Attributes:
        metrics: one level of names and numbers, with the network's name before them; of a perturbation the mean over
            its strengths.
        curves: a row per network, perturbation and strength: num_photos, num_variants, accuracy and consistency with
            the ends of their intervals; perturbation `none` is the photos as they are.
        places: a row per network and place of the shrunken photo: row, column (0..2), accuracy with its ends.
    """

    metrics: dict[str, Any]
    curves: pd.DataFrame
    places: pd.DataFrame

    @classmethod
    def measure(
        cls,
        networks: Mapping[str, EvaluatedNetwork],
        images: Images,
        labels: np.ndarray,
        params: RobustnessParams,
        *,
        rows: np.ndarray,
        confidence: float = 0.95,
    ) -> "Robustness":
        """Perturb photos in every way, and compare the predictions of every network for the same pixels.

        Args:
            networks: by name.
            images: uint8 (num_photos, size, size, 3), read as needed.
            labels: true classes of the photos, int64 (num_photos,).
            params: the group `robustness`.
            rows: the photos that are perturbed, int64 (N,), at least one; random numbers depend on them.
            confidence: coverage of the intervals.
        """
        perturbations, places = list(list_perturbations(params)), list(list_places(params.patch))
        changes = [change for each in perturbations for change in each.changes]
        changes = [lambda photos, _: photos, *changes, *(change for _, _, change in places)]
        predictions = predict_perturbed([each.predict for each in networks.values()], images, rows, changes)
        ends = np.cumsum([1, *(len(each.changes) for each in perturbations)])
        truth, curves, cells = labels[rows], [], []
        metrics: dict[str, float] = {"num_photos": len(rows)}
        for (network, facts), predicted in zip(networks.items(), predictions, strict=True):
            unperturbed, *parts, at_places = np.split(predicted, ends)

            def accuracy(variants: np.ndarray, prefix: str = "") -> dict[str, float]:
                return share_of_photos(variants == truth, f"{prefix}accuracy", confidence=confidence)

            def compare(variants: np.ndarray, prefix: str = "", before: np.ndarray = unperturbed) -> dict[str, float]:
                same = share_of_photos(variants == before, f"{prefix}consistency", confidence=confidence)
                return accuracy(variants, prefix) | same

            kinds = [(UNPERTURBED, 0.0, unperturbed)]
            kinds += [(each.name, each.strength, part) for each, part in zip(perturbations, parts, strict=True)]
            for name, strength, part in kinds:
                head = {"network": network, "perturbation": name, "strength": strength, "num_photos": len(rows)}
                curves.append(head | {"num_variants": len(part)} | compare(part))
            for (row, column, _), part in zip(places, at_places, strict=True):
                cells.append({"network": network, "row": row, "column": column} | accuracy(part[np.newaxis]))
            numbers = {"num_parameters": facts.num_parameters, **accuracy(unperturbed)}
            for kind in dict.fromkeys(name for name, _, _ in kinds[1:]):
                numbers |= compare(np.concatenate([part for name, _, part in kinds if name == kind]), f"{kind}_")
            alike = (at_places == at_places[0]).all(axis=0)[np.newaxis]
            numbers |= accuracy(at_places, "places_")
            numbers |= share_of_photos(alike, "places_agreement", confidence=confidence)
            metrics |= {f"{network}_{name}": value for name, value in numbers.items()}
        return cls(metrics, pd.DataFrame(curves), pd.DataFrame(cells))

    def save(self, folder: Path, figures: Mapping[str, bytes] | None = None) -> None:
        """Write everything into a folder, whole or not at all.

        Args:
            folder: gets metrics.json, curves.csv, places.csv and `plots/`.
            figures: content of pictures by name, for `plots/`.
        """
        contents = {folder / CURVES: csv_bytes(self.curves), folder / PLACES: csv_bytes(self.places)}
        contents |= {folder / "plots" / name: content for name, content in (figures or {}).items()}
        write_together({**contents, folder / METRICS: json_bytes(self.metrics)})

    @classmethod
    def load(cls, folder: Path) -> "Robustness":
        """Read what `save` wrote.

        Raises:
            ConvLensError: a file is missing or cannot be read.
        """
        return cls(read_json(folder / METRICS), read_csv(folder / CURVES, TEXT), read_csv(folder / PLACES, TEXT))


# --- predictions and shares ---

CHUNK_BYTES = 2**26  # of photos perturbed at once


def predict_perturbed(
    predictors: Sequence[Callable[[np.ndarray], np.ndarray]],
    images: Images,
    rows: np.ndarray,
    changes: Sequence[Change],
) -> np.ndarray:
    """Predict the classes of photos after each change: int64 (predictors, changes, N)."""
    size = max(1, CHUNK_BYTES // images[rows[:1]].nbytes)
    predictions = np.empty((len(predictors), len(changes), len(rows)), np.int64)
    for place, change in enumerate(track(changes, total=len(changes), task="robustness", unit="perturbations")):
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            photos = change(images[chunk], chunk)
            for number, predict in enumerate(predictors):
                predictions[number, place, start : start + size] = predict(photos)
    return predictions


def share_of_photos(hits: np.ndarray, name: str, *, confidence: float = 0.95) -> dict[str, float]:
    """Compute the share of hits among booleans (V, N), with Wilson's interval for N independent photos.

    A perturbation may have several variants (directions, say), one row each. Photos, not variants, are what is drawn at
    random, so an interval counts every photo once. As a photo's share of hits lies in 0..1, the mean over photos varies
    at most as much as a share of N single hits: the intervals hold the truth at least as often as they say.

    Returns:
        The share as `name`, the ends of its interval as `name_low` and `name_high`, rounded.
    """
    share, num_photos = float(hits.mean()), hits.shape[1]
    low, high = wilson_interval(share * num_photos, num_photos, confidence=confidence)
    values = {name: share, f"{name}_low": low, f"{name}_high": high}
    return {key: round_number(value) for key, value in values.items()}
