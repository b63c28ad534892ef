"""External evaluation: a model on a folder of images."""

import os
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.data.facts import Candidate, Doubts, PhotoFacts, ScannedPhoto, scan_photo
from convlens.data.loader import PhotoError
from convlens.data.workers import map_in_processes, map_in_threads
from convlens.errors import ConvLensError
from convlens.files import round_array
from convlens.metrics.comparison import Sample, SamplesCompared, compare_samples
from convlens.metrics.drift import (
    EnergyTest,
    ReferenceStatistics,
    StatisticDrift,
    compare_statistics,
    energy_test,
    round_features,
)
from convlens.metrics.evaluation import Evaluation, Predictions
from convlens.metrics.intervals import wilson_interval
from convlens.models.classifier import load_by_card
from convlens.models.inference import OperatingPoint
from convlens.params import EvaluateParams, load_params, parse_group
from convlens.progress import track
from convlens.tracking.access import OpenedModel

# --- Which photos a folder holds, and what its class folders say of them ---

IGNORED_SUFFIXES = frozenset({".csv", ".md", ".txt", ".json", ".yaml", ".yml", ".dvc", ".ini", ".db"})
JUNK = "__macosx"
MAX_SHOWN = 8


@dataclass(frozen=True)
class FoundPhoto:
    """A photo of the folder.

    Attributes:
        path: where it is.
        name: relative to the folder, with forward slashes, fit to be printed.
        label: its class; empty in a folder without class folders.
    """

    path: Path
    name: str
    label: str


def find_photos(
    folder: Path, classes: Sequence[str], *, renamed: Mapping[str, str], unlabeled: bool = False
) -> list[FoundPhoto]:
    """The photos of a folder of class folders, or of a folder of photos, sorted by name.

    Args:
        folder: to be searched, subfolders and all; hidden files, tables and notes are passed over.
        classes: of the model.
        renamed: class by name of a class folder; an empty class leaves the folder out.
        unlabeled: folders mean nothing.

    Raises:
        ConvLensError: no folder, no photos, a folder that is no class, or photos beside class folders.
    """
    files = _list_files(folder)
    tops = {_plain(path.relative_to(folder).parts[0]) for path in files if path.parent != folder}
    if unlabeled or not tops:
        if renamed:
            raise ConvLensError(f"Expected class folders in {folder} for --map. Received: none, or --unlabeled.")
        return [FoundPhoto(path, _name(path, folder), "") for path in files]
    _refuse_loose_photos(files, folder)
    chosen = _choose_classes(sorted(tops), classes, {_plain(old): _plain(new) for old, new in renamed.items()})
    labels = {path: chosen[_plain(path.relative_to(folder).parts[0])] for path in files}
    photos = [FoundPhoto(path, _name(path, folder), label) for path, label in labels.items() if label]
    if not photos:
        raise ConvLensError(f"Expected photos in {folder}. Received: --map leaves out all of its folders.")
    return photos


def parse_renamed(pairs: Sequence[str]) -> dict[str, str]:
    """What `--map kitten=cats` means, given several times.

    Raises:
        ConvLensError: no equals sign, no name, or a name twice.
    """
    renamed: dict[str, str] = {}
    for pair in pairs:
        name, sign, label = pair.partition("=")
        if not sign or not name or name in renamed:
            raise ConvLensError(f"Expected --map FOLDER=CLASS, each folder once. Received: --map {pair}.")
        renamed[name] = label
    return renamed


def _list_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConvLensError(f"Expected a folder of photos. Received: {folder}, which is no folder.")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and _is_wanted(path.relative_to(folder)))
    if not files:
        raise ConvLensError(f"Expected photos in {folder}. Received: none. Name a folder with photos or class folders.")
    return files


def _is_wanted(path: Path) -> bool:
    odd = any(part.startswith(".") or part.lower() == JUNK for part in path.parts)
    return not odd and path.suffix.lower() not in IGNORED_SUFFIXES and path.name.lower() != "readme"


def _refuse_loose_photos(files: Sequence[Path], folder: Path) -> None:
    loose = [path.name for path in files if path.parent == folder]
    if loose:
        raise ConvLensError(
            f"Expected either class folders or photos in {folder}. Received: both, {loose[0]} for one lies beside the "
            "folders. Move the photos into their class folders, or say --unlabeled."
        )


def _choose_classes(names: Sequence[str], classes: Sequence[str], renamed: Mapping[str, str]) -> dict[str, str]:
    """The class of each class folder, as the model calls it; empty for those to be left out."""
    known = {_plain(name): name for name in classes}
    wrong = [name for name in renamed if name not in names] + [new for new in renamed.values() if new not in known]
    wrong = [name for name in wrong if name]
    if wrong:
        raise ConvLensError(
            f"Expected --map FOLDER=CLASS with folders {_list(names)} and classes {_list(classes)}. "
            f"Received: '{wrong[0]}'."
        )
    unknown = [name for name in names if name not in renamed and name not in known]
    if unknown:
        raise ConvLensError(
            f"Expected folders named as the model's classes, {_list(classes)}. Received: {_list(unknown)}. "
            f"Say what they are: {' '.join(_suggest(name, known) for name in unknown[:MAX_SHOWN])} "
            "(nothing after = leaves a folder out), or --unlabeled."
        )
    return {name: known[renamed.get(name, name)] if renamed.get(name, name) else "" for name in names}


def _suggest(name: str, known: Mapping[str, str]) -> str:
    alike = next((label for plain, label in known.items() if plain.casefold() == name.casefold()), "CLASS")
    return f'--map "{name}={alike}"' if " " in name + alike else f"--map {name}={alike}"


def _plain(name: str) -> str:
    """Names are compared by what they look like: macOS takes letters and accents apart."""
    return unicodedata.normalize("NFC", name)


def _name(path: Path, folder: Path) -> str:
    """A name that is no text must not stop the others."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:MAX_SHOWN])
    return shown if len(names) <= MAX_SHOWN else f"{shown} and {len(names) - MAX_SHOWN} more"


# --- What a model answers to photos, what the photos are like, and how far they are from those it learned from ---

PHOTOS_PER_BATCH = 64
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "MPO", "HEIF")
# Nothing is doubtful here: every photo is measured, hardly one pictured.
NO_DOUBTS = Doubts(formats=FORMATS, min_side=0, max_megapixels=178.0, dark_brightness=0.0, blurred_sharpness=0.0)
STATISTICS = ("brightness", "contrast", "sharpness", "aspect")
Look = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Answered:
    """The photos that could be read, and those that could not.

    Attributes:
        photos: those that could, N.
        probabilities: float64 (N, K).
        features: float32 (N, D); (N, 0) for a model without reference statistics.
        statistics: brightness and the like by name, float64 (N,).
        failures: photos that could not be read, each with the reason.
    """

    photos: Sequence[FoundPhoto]
    probabilities: np.ndarray
    features: np.ndarray
    statistics: dict[str, np.ndarray]
    failures: Sequence[tuple[FoundPhoto, str]]


def answer_photos(photos: Sequence[FoundPhoto], model: OpenedModel) -> Answered:
    """Ask a model about photos, a batch at a time; memory is bounded by the features.

    Raises:
        ConvLensError: not one of the photos can be read.
    """
    look = _open_look(model)
    read: list[FoundPhoto] = []
    failures: list[tuple[FoundPhoto, str]] = []
    answers: list[np.ndarray] = []
    features: list[np.ndarray] = []
    for batch, images in _read_batches(photos, model.classifier.card, failures):
        read += batch
        answers.append(model.classifier.predict_arrays(images))
        features.append(look(images))
    if not read:
        raise ConvLensError(
            f"Expected photos that can be read. Received: {len(photos):,}, none of which can. The first: "
            f"{failures[0][1]}"
        )
    return Answered(read, np.concatenate(answers), np.concatenate(features), measure_photos(read), failures)


def measure_photos(photos: Sequence[FoundPhoto]) -> dict[str, np.ndarray]:
    """Brightness, contrast, sharpness, aspect and megapixels, as stage `validate` measures them."""
    scan = partial(scan_photo, doubts=NO_DOUBTS)
    candidates = [Candidate(str(photo.path)) for photo in photos]
    scanned: Iterator[ScannedPhoto] = map_in_processes(scan, candidates)
    facts: list[PhotoFacts] = [item.facts for item in track(scanned, total=len(photos), task="evaluate: measuring")]
    values = {name: np.array([getattr(fact, name) for fact in facts], float) for name in STATISTICS}
    return {**values, "megapixels": np.array([fact.width * fact.height / 1e6 for fact in facts])}


def _read_batches(
    photos: Sequence[FoundPhoto], card: Any, failures: list[tuple[FoundPhoto, str]]
) -> Iterator[tuple[list[FoundPhoto], np.ndarray]]:
    """Batches of photos with their pixels, uint8 (n, S, S, 3); those that cannot be read go to `failures`."""
    batch: list[FoundPhoto] = []
    images: list[np.ndarray] = []
    loaded = map_in_threads(partial(_load, card=card), photos)
    for photo, pixels in zip(photos, track(loaded, total=len(photos), task="evaluate: answering"), strict=True):
        if isinstance(pixels, str):
            failures.append((photo, pixels))
            continue
        batch.append(photo)
        images.append(pixels)
        if len(batch) == PHOTOS_PER_BATCH:
            yield batch, np.stack(images)
            batch, images = [], []
    if batch:
        yield batch, np.stack(images)


def _load(photo: FoundPhoto, *, card: Any) -> np.ndarray | str:
    """The pixels of a photo, or why there are none."""
    try:
        return load_by_card(photo.path, card)
    except PhotoError as error:
        return error.reason


def load_pixels(path: Path, card: Any) -> np.ndarray:
    """The very pixels that the network got of a photo, uint8 (S, S, 3)."""
    return load_by_card(path, card)


def _open_look(model: OpenedModel) -> Look:
    """From pixels to features; nothing for a model that they could not be compared with."""
    if model.reference is None or model.folder is None:
        return lambda images: np.empty((len(images), 0), np.float32)
    from convlens.lens.forward import open_features
    from convlens.models.files import load_trained_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_features(load_trained_model(model.folder))


# --- outcome ---
# What came of asking a model about a folder: numbers, the difference to the test split, and drift; plain values.

MAX_FEATURES = 512  # photos in the test of features; as many as reference statistics keep


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
        compared: the folder against the test split; None without labels or reference statistics.
        drift: None without reference statistics.
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
        ConvLensError: the model's reference statistics are about other classes.
    """
    reference, classes = model.reference, tuple(model.classifier.classes)
    settings = _find_settings(reference)
    probabilities = round_array(answered.probabilities)
    distances = np.full(len(probabilities), np.nan)
    if reference is not None:
        if reference.classes != classes:
            raise ConvLensError(
                "Expected reference statistics of the model's classes. "
                f"Received: those of {', '.join(reference.classes)}."
            )
        distances = round_array(reference.measure_distances(answered.features))
    labeled = bool(answered.photos[0].label)
    decision = model.operating_point
    given = Predictions([photo.name for photo in answered.photos], classes, _labels(answered, classes), probabilities)
    return Outcome(
        model=model,
        photos=_list_photos(answered, given, decision, distances, reference),
        failures=answered.failures,
        classes=classes,
        settings=settings,
        evaluation=Evaluation.measure(given, settings, decision) if labeled else None,
        compared=_compare(given, decision, reference) if labeled and reference is not None else None,
        drift=None if reference is None else find_drift(answered, probabilities, distances, reference),
    )


def find_drift(
    answered: Answered, probabilities: np.ndarray, distances: np.ndarray, reference: ReferenceStatistics
) -> Drift:
    """Compare photos as a group with those of the training.

    Statistics are compared with training photos. What the network makes of the photos, and how sure it is of its
    answers, is compared with held-out photos: training photos it knows by heart.
    """
    confidence = float(reference.settings["confidence"])
    known = {**reference.statistics, "confidence": reference.test_probabilities.max(axis=1)}
    observed = {**answered.statistics, "confidence": probabilities.max(axis=1)}
    rows = np.unique(np.linspace(0, len(distances) - 1, min(MAX_FEATURES, len(distances))).round().astype(int))
    features = energy_test(reference.held_out_features, round_features(answered.features[rows]))
    num_unlike = int((distances > reference.unlike_above).sum())
    ends = wilson_interval(num_unlike, len(distances), confidence=confidence)
    return Drift(
        statistics=compare_statistics(known, observed),
        features=features,
        confidence=confidence,
        num_unlike=num_unlike,
        share_unlike=(num_unlike / len(distances), *ends),
    )


def _find_settings(reference: ReferenceStatistics | None) -> EvaluateParams:
    """As the test split was measured; without reference statistics as params.yaml of this folder says."""
    if reference is None:
        return load_params().evaluate
    known = {name: value for name, value in reference.settings.items() if name in EvaluateParams.model_fields}
    if set(known) != set(EvaluateParams.model_fields):  # reference statistics of an earlier version
        known = load_params().evaluate.model_dump(mode="json") | known
    return parse_group(EvaluateParams, known, where="the model's reference statistics")


def _labels(answered: Answered, classes: tuple[str, ...]) -> np.ndarray:
    """Numbers of the classes, int64 (N,); without labels none, all 0."""
    known = {name: place for place, name in enumerate(classes)}
    return np.array([known.get(photo.label, 0) for photo in answered.photos], dtype=np.int64)


def _compare(given: Predictions, decision: OperatingPoint, reference: ReferenceStatistics) -> SamplesCompared:
    settings = _find_settings(reference)
    test = reference.test_probabilities
    return compare_samples(
        Sample(reference.test_labels, test, decision.predict(test)),
        Sample(given.labels, given.probabilities, decision.predict(given.probabilities)),
        num_resamples=settings.num_resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )


def _list_photos(
    answered: Answered,
    given: Predictions,
    decision: OperatingPoint,
    distances: np.ndarray,
    reference: ReferenceStatistics | None,
) -> pd.DataFrame:
    """One row per photo of the folder, by name; cells about photos that could not be read are empty."""
    predicted, unsure = decision.predict(given.probabilities), decision.is_unsure(given.probabilities)
    rows = []
    for place, photo in enumerate(answered.photos):
        answer = given.classes[int(predicted[place])]
        row: dict[str, Any] = {"path": photo.name, "label": photo.label, "predicted": answer}
        row["correct"] = answer == photo.label if photo.label else None
        chances = dict(zip((f"probability_{name}" for name in given.classes), given.probabilities[place], strict=True))
        unlike = None if reference is None else bool(distances[place] > reference.unlike_above)
        last = {"unsure": bool(unsure[place]), "distance": distances[place], "unlike": unlike, "error": ""}
        rows.append({**row, **chances, **last})
    for photo, reason in answered.failures:
        rows.append({"path": photo.name, "label": photo.label, "predicted": "", "error": reason})
    return pd.DataFrame(rows).sort_values("path", kind="stable").reset_index(drop=True)
