"""Robustness: accuracy and consistency on perturbed photos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from convlens.data.perturbations import Change, Distortion, list_distortions, list_places
from convlens.data.prepared import Images
from convlens.errors import ConvLensError
from convlens.metrics.intervals import Interval, wilson_interval
from convlens.params import RobustnessParams
from convlens.progress import track
from convlens.training.baseline import Contestant

# --- How far photos may be changed before the answers change: accuracy and consistency, with intervals ---
#
# Answers are int64 class indices. A disturbance may have several variants (directions, say): answers (V, N), one row
# each. Photos, not variants, are what is drawn at random, so an interval counts every photo once, however many variants
# it was answered in. As a photo's share of hits lies in 0..1, the mean over photos varies at most as much as a share of
# N single answers: the intervals hold the truth at least as often as they say.


@dataclass(frozen=True)
class Robustness:
    """What a disturbance does to the answers.

    Attributes:
        accuracy: share of right answers to the disturbed photos, mean over variants and photos.
        consistency: share of answers that are the same as to the undisturbed photo, right or wrong.
    """

    accuracy: Interval
    consistency: Interval


def measure_robustness(
    labels: np.ndarray, undisturbed: np.ndarray, answers: np.ndarray, *, confidence: float = 0.95
) -> Robustness:
    """Compare answers to disturbed photos with the truth and with the answers to the photos as they are.

    Args:
        labels: true classes, int64 (N,).
        undisturbed: answers to the photos as they are, int64 (N,).
        answers: answers to the disturbed photos, int64 (V, N).
        confidence: coverage of the intervals, 0..1.

    Raises:
        ConvLensError: no photos, or shapes that do not fit.
    """
    _check(labels, undisturbed, answers)
    return Robustness(
        accuracy=share_of_photos(answers == labels, confidence=confidence),
        consistency=share_of_photos(answers == undisturbed, confidence=confidence),
    )


def measure_agreement(answers: np.ndarray, *, confidence: float = 0.95) -> Interval:
    """The share of photos that get one and the same answer in all variants, from answers int64 (V, N)."""
    _check(answers[0], answers[0], answers)
    return share_of_photos((answers == answers[0]).all(axis=0)[np.newaxis], confidence=confidence)


def share_of_photos(hits: np.ndarray, *, confidence: float = 0.95) -> Interval:
    """The share of hits among booleans (V, N), with Wilson's interval for N independent photos."""
    num_photos = hits.shape[1]
    share = float(hits.mean())
    return Interval(share, *wilson_interval(share * num_photos, num_photos, confidence=confidence))


def _check(labels: np.ndarray, undisturbed: np.ndarray, answers: np.ndarray) -> None:
    fits = labels.shape == undisturbed.shape == answers.shape[1:] and answers.ndim == 2
    if not (fits and answers.size):
        raise ConvLensError(
            "Expected labels (N,), answers (N,) and answers to disturbed photos (V, N) of at least one photo. "
            f"Received: {labels.shape}, {undisturbed.shape} and {answers.shape}."
        )


# --- Answers to disturbed photos as tables and numbers: what stage `robustness` writes, as plain values ---

CHUNK_BYTES = 2**26  # of photos disturbed at once
UNDISTURBED = "none"
DIGITS = 7


@dataclass(frozen=True)
class Results:
    """Everything about disturbed photos.

    Attributes:
        curves: a row per network, disturbance and strength: num_variants, accuracy and consistency with their ends.
        places: a row per network and place of the shrunken photo: row, column (0..2), accuracy with its ends.
        metrics: one level of names and numbers; of a disturbance the mean over its strengths.
    """

    curves: pd.DataFrame
    places: pd.DataFrame
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """The photos that are disturbed: uint8 (N, size, size, 3) where they lie, their rows (N,), their labels (N,)."""

    images: Images
    rows: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def measure_contestants(
    contestants: Sequence[Contestant], sample: Sample, params: RobustnessParams, *, confidence: float
) -> Results:
    """Disturb the photos in every way and ask every network about the same pixels.

    Args:
        contestants: the networks.
        sample: the photos.
        params: the group `robustness`.
        confidence: coverage of the intervals.
    """
    distortions = list(list_distortions(params))
    places = list(list_places(params.patch))
    changes = [_leave, *(change for each in distortions for change in each.changes), *(place[2] for place in places)]
    answers = _answer_all(contestants, sample, changes)
    parts = []
    for contestant, given in zip(contestants, answers, strict=True):
        judge = _Judge(contestant, given, labels=sample.labels, confidence=confidence)
        disturbed = list(zip(distortions, _part(given[1:], distortions), strict=True))
        moved = [(row, column, found) for (row, column, _), found in zip(places, given[-len(places) :], strict=True)]
        parts.append((judge.curves(disturbed), judge.places(moved), judge.numbers(disturbed, moved)))
    curves = pd.concat([part[0] for part in parts], ignore_index=True)
    placed = pd.concat([part[1] for part in parts], ignore_index=True)
    numbers = {name: value for part in parts for name, value in part[2].items()}
    return Results(curves, placed, {"num_photos": len(sample), **numbers})


def _part(answers: np.ndarray, distortions: Sequence[Distortion]) -> list[np.ndarray]:
    """The answers to each disturbance, int64 (V, N)."""
    ends = np.cumsum([len(distortion.changes) for distortion in distortions])
    return np.split(answers, ends)[:-1]


def _leave(photos: np.ndarray, _: np.ndarray) -> np.ndarray:
    return photos


def _answer_all(contestants: Sequence[Contestant], sample: Sample, changes: Sequence[Change]) -> np.ndarray:
    """Answers int64 (networks, changes, N)."""
    answers = np.empty((len(contestants), len(changes), len(sample)), np.int64)
    for place, change in enumerate(track(changes, total=len(changes), task="robustness", unit="ways of disturbing")):
        for chunk in _chunks(sample):
            changed = change(sample.images[sample.rows[chunk]], sample.rows[chunk])
            for number, contestant in enumerate(contestants):
                answers[number, place, chunk] = contestant.answer(changed)
    return answers


def _chunks(sample: Sample) -> Iterator[slice]:
    size = max(1, CHUNK_BYTES // sample.images[sample.rows[:1]].nbytes)
    return (slice(start, start + size) for start in range(0, len(sample), size))


class _Judge:
    """Makes tables and numbers about one network of its answers (changes, N)."""

    def __init__(self, contestant: Contestant, answers: np.ndarray, *, labels: np.ndarray, confidence: float) -> None:
        self._contestant, self._labels, self._confidence = contestant, labels, confidence
        self._undisturbed = answers[0]

    def curves(self, answers: Sequence[tuple[Distortion, np.ndarray]]) -> pd.DataFrame:
        """A row for the photos as they are, and one for each disturbance."""
        rows = [self._row(UNDISTURBED, 0.0, self._undisturbed[np.newaxis])]
        rows += [self._row(distortion.name, distortion.strength, given) for distortion, given in answers]
        return pd.DataFrame(rows)

    def places(self, answers: Sequence[tuple[int, int, np.ndarray]]) -> pd.DataFrame:
        """A row for each place."""
        base = {"network": self._contestant.name}
        rows = [
            {**base, "row": row, "column": column, **_ends("accuracy", self._share_right(given[np.newaxis]))}
            for row, column, given in answers
        ]
        return pd.DataFrame(rows)

    def numbers(
        self, answers: Sequence[tuple[Distortion, np.ndarray]], at_places: Sequence[tuple[int, int, np.ndarray]]
    ) -> dict[str, Any]:
        """Flat numbers, with the network's name before them; of a disturbance the mean over its strengths."""
        undisturbed = self._undisturbed[np.newaxis]
        found = {"num_parameters": self._contestant.num_parameters, **_ends("accuracy", self._share_right(undisturbed))}
        for name in dict.fromkeys(distortion.name for distortion, _ in answers):
            together = np.concatenate([given for distortion, given in answers if distortion.name == name])
            found |= self._measure(together, prefix=f"{name}_")
        everywhere = np.stack([given for _, _, given in at_places])
        found |= _ends("places_accuracy", self._share_right(everywhere))
        found |= _ends("places_agreement", measure_agreement(everywhere, confidence=self._confidence))
        return {f"{self._contestant.name}_{name}": value for name, value in found.items()}

    def _row(self, name: str, strength: float, answers: np.ndarray) -> dict[str, Any]:
        facts = {"network": self._contestant.name, "distortion": name, "strength": strength}
        return facts | {"num_photos": answers.shape[1], "num_variants": len(answers)} | self._measure(answers)

    def _measure(self, answers: np.ndarray, prefix: str = "") -> dict[str, float]:
        found = measure_robustness(self._labels, self._undisturbed, answers, confidence=self._confidence)
        return _ends(f"{prefix}accuracy", found.accuracy) | _ends(f"{prefix}consistency", found.consistency)

    def _share_right(self, answers: np.ndarray) -> Interval:
        return share_of_photos(answers == self._labels, confidence=self._confidence)


def _ends(name: str, interval: Interval) -> dict[str, float]:
    values = {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {key: float(f"{value:.{DIGITS}g}") for key, value in values.items() if value is not None}
