"""What came of asking a model about a folder: numbers, the difference to the test split, and drift; plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from convlens.errors import ConvLensError
from convlens.metrics.drift import EnergyTest, StatisticDrift, compare_statistics, energy_test
from convlens.metrics.intervals import wilson_interval
from convlens.metrics.profile import Profile, round_features
from convlens.metrics.unpaired import Sample, SamplesCompared, compare_samples
from convlens.outside.answers import Answered
from convlens.outside.folder import FoundPhoto
from convlens.outside.model import OpenedModel
from convlens.params import EvaluateParams, load_params, parse_group
from convlens.stages.evaluate_decision import Decision
from convlens.stages.evaluate_tables import Answers, Evaluation, measure_answers, round_array

MAX_FEATURES = 512  # photos in the test of features; as many as a profile keeps


@dataclass(frozen=True)
class Drift:
    """Whether photos as a group are like those of the training.

    Attributes:
        statistics: one test per statistic, corrected for their number.
        features: the test of what the network makes of the photos.
        confidence: of all tests, 0..1; a p-value below 1 - confidence is a difference.
        num_unlike: photos further from the training photos than 99 of 100 held-out photos.
        share_unlike: the same as a share, with the ends of its interval.
    """

    statistics: Sequence[StatisticDrift]
    features: EnergyTest
    confidence: float
    num_unlike: int
    share_unlike: tuple[float, float, float]

    def differs(self, p_value: float) -> bool:
        """Whether a p-value says that something differs."""
        return p_value < 1 - self.confidence

    @property
    def found(self) -> list[str]:
        """What differs: names of statistics, and `features`."""
        names = [item.name for item in self.statistics if self.differs(item.p_value)]
        return [*names, *(["features"] if self.differs(self.features.p_value) else [])]


@dataclass(frozen=True)
class Outcome:
    """Everything about a folder.

    Attributes:
        model: what was asked.
        photos: every photo of the folder: path, label, predicted, correct, probability_<class> …, unsure, distance,
            unlike, error.
        failures: photos that could not be read, with reasons.
        classes: of the model.
        settings: of the intervals.
        evaluation: every number about the answers; None without labels.
        compared: the folder against the test split; None without labels or profile.
        drift: None without profile.
    """

    model: OpenedModel
    photos: pd.DataFrame
    failures: Sequence[tuple[FoundPhoto, str]]
    classes: tuple[str, ...]
    settings: EvaluateParams
    evaluation: Evaluation | None
    compared: SamplesCompared | None
    drift: Drift | None

    @property
    def num_answered(self) -> int:
        """Photos that could be read."""
        return len(self.photos) - len(self.failures)


def judge_answers(answered: Answered, model: OpenedModel) -> Outcome:
    """Turn answers into everything that is told about a folder.

    Raises:
        ConvLensError: the model's profile is about other classes.
    """
    profile, classes = model.profile, tuple(model.classifier.classes)
    settings = _find_settings(profile)
    probabilities = round_array(answered.probabilities)
    distances = np.full(len(probabilities), np.nan)
    if profile is not None:
        if profile.classes != classes:
            raise ConvLensError(
                f"Expected a profile of the model's classes. Received: one of {', '.join(profile.classes)}."
            )
        distances = round_array(profile.measure_distances(answered.features))
    labelled = bool(answered.photos[0].label)
    decision = find_decision(model)
    given = Answers([photo.name for photo in answered.photos], classes, _labels(answered, classes), probabilities)
    return Outcome(
        model=model,
        photos=_list_photos(answered, given, decision, distances, profile),
        failures=answered.failures,
        classes=classes,
        settings=settings,
        evaluation=measure_answers(given, settings, decision=decision) if labelled else None,
        compared=_compare(given, decision, profile) if labelled and profile is not None else None,
        drift=None if profile is None else find_drift(answered, probabilities, distances, profile),
    )


def find_drift(answered: Answered, probabilities: np.ndarray, distances: np.ndarray, profile: Profile) -> Drift:
    """Compare photos as a group with those of the training.

    Statistics are compared with training photos. What the network makes of the photos, and how sure it is of its
    answers, is compared with held-out photos: training photos it knows by heart.
    """
    confidence = float(profile.settings["confidence"])
    reference = {**profile.statistics, "confidence": profile.test_probabilities.max(axis=1)}
    observed = {**answered.statistics, "confidence": probabilities.max(axis=1)}
    rows = np.unique(np.linspace(0, len(distances) - 1, min(MAX_FEATURES, len(distances))).round().astype(int))
    features = energy_test(profile.held_out_features, round_features(answered.features[rows]))
    num_unlike = int((distances > profile.unlike_above).sum())
    ends = wilson_interval(num_unlike, len(distances), confidence=confidence)
    return Drift(
        statistics=compare_statistics(reference, observed),
        features=features,
        confidence=confidence,
        num_unlike=num_unlike,
        share_unlike=(num_unlike / len(distances), *ends),
    )


def _find_settings(profile: Profile | None) -> EvaluateParams:
    """As the test split was measured; without a profile as params.yaml of this folder says."""
    if profile is None:
        return load_params().evaluate
    known = {name: value for name, value in profile.settings.items() if name in EvaluateParams.model_fields}
    if set(known) != set(EvaluateParams.model_fields):  # a profile of an earlier version
        known = load_params().evaluate.model_dump(mode="json") | known
    return parse_group(EvaluateParams, known, where="the model's profile")


def find_decision(model: OpenedModel) -> Decision:
    """What makes answers of probabilities: as the card says, or as the evaluation of the test split found."""
    numbers = {} if model.profile is None else model.profile.metrics
    threshold = model.classifier.card.get("threshold", numbers.get("threshold", Decision.threshold))
    least = model.classifier.card.get("min_probability", numbers.get("min_probability", Decision.min_probability))
    max_error = numbers.get("max_error", Decision.max_error)
    return Decision(threshold=float(threshold), min_probability=float(least), max_error=float(max_error))


def _labels(answered: Answered, classes: tuple[str, ...]) -> np.ndarray:
    """Numbers of the classes, int64 (N,); without labels none, all 0."""
    known = {name: place for place, name in enumerate(classes)}
    return np.array([known.get(photo.label, 0) for photo in answered.photos], dtype=np.int64)


def _compare(given: Answers, decision: Decision, profile: Profile) -> SamplesCompared:
    settings = _find_settings(profile)
    test = profile.test_probabilities
    return compare_samples(
        Sample(profile.test_labels, test, decision.answer(test)),
        Sample(given.labels, given.probabilities, decision.answer(given.probabilities)),
        num_resamples=settings.num_resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )


def _list_photos(
    answered: Answered, given: Answers, decision: Decision, distances: np.ndarray, profile: Profile | None
) -> pd.DataFrame:
    """One row per photo of the folder, by name; cells about photos that could not be read are empty."""
    predicted, unsure = decision.answer(given.probabilities), decision.is_unsure(given.probabilities)
    rows = []
    for place, photo in enumerate(answered.photos):
        answer = given.classes[int(predicted[place])]
        row: dict[str, Any] = {"path": photo.name, "label": photo.label, "predicted": answer}
        row["correct"] = answer == photo.label if photo.label else None
        chances = dict(zip((f"probability_{name}" for name in given.classes), given.probabilities[place], strict=True))
        unlike = None if profile is None else bool(distances[place] > profile.unlike_above)
        last = {"unsure": bool(unsure[place]), "distance": distances[place], "unlike": unlike, "error": ""}
        rows.append({**row, **chances, **last})
    for photo, reason in answered.failures:
        rows.append({"path": photo.name, "label": photo.label, "predicted": "", "error": reason})
    return pd.DataFrame(rows).sort_values("path", kind="stable").reset_index(drop=True)
