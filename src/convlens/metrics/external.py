"""External evaluation: evaluate a model on a folder of images."""

import os
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.data.facts import Candidate, FlagLimits, PhotoFacts, ScannedPhoto, scan_photo
from convlens.data.loader import PhotoError
from convlens.data.sources import describe_notes, is_junk, is_note
from convlens.data.workers import map_in_processes, map_in_threads
from convlens.errors import ConvLensError
from convlens.files import (
    evenly_spaced,
    new_folder,
    read_csv,
    read_json,
    round_array,
    round_number,
    write_csv,
    write_json,
    write_text,
)
from convlens.metrics.comparison import Sample, compare_samples
from convlens.metrics.drift import (
    OpenedModel,
    ReferenceStatistics,
    compare_statistics,
    energy_test,
    round_features,
)
from convlens.metrics.evaluation import Evaluation, Predictions
from convlens.metrics.intervals import wilson_interval
from convlens.params import EvaluateParams
from convlens.progress import say, track

# --- the photos of a folder, labeled by its class folders ---

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
    if not folder.is_dir():
        raise ConvLensError(f"Expected a folder of photos. Received: {folder}, which is no folder.")
    files = [
        path
        for path in sorted(path for path in folder.rglob("*") if path.is_file())
        if not any(is_junk(part) for part in path.relative_to(folder).parts) and not is_note(path.name)
    ]
    if not files:
        raise ConvLensError(f"Expected photos in {folder}. Received: none. Name a folder with photos or class folders.")
    if notes := describe_notes(folder):
        say(f"evaluate: {notes}")
    tops = {_normalize_name(path.relative_to(folder).parts[0]) for path in files if path.parent != folder}
    if unlabeled or not tops:
        if renamed:
            raise ConvLensError(f"Expected class folders in {folder} for --map. Received: none, or --unlabeled.")
        return [FoundPhoto(path, _relative_name(path, folder), "") for path in files]
    loose = [path.name for path in files if path.parent == folder]
    if loose:
        raise ConvLensError(
            f"Expected either class folders or photos in {folder}. Received: both, {loose[0]} for one lies beside the "
            "folders. Move the photos into their class folders, or say --unlabeled."
        )
    chosen = _choose_classes(
        sorted(tops), classes, {_normalize_name(old): _normalize_name(new) for old, new in renamed.items()}
    )
    labels = {path: chosen[_normalize_name(path.relative_to(folder).parts[0])] for path in files}
    photos = [FoundPhoto(path, _relative_name(path, folder), label) for path, label in labels.items() if label]
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


def _choose_classes(names: Sequence[str], classes: Sequence[str], renamed: Mapping[str, str]) -> dict[str, str]:
    """The class of each class folder, as the model calls it; empty for those to be left out."""
    known = {_normalize_name(name): name for name in classes}
    if len(known) < len(classes):
        raise ConvLensError(
            "Expected a model whose classes differ in more than the Unicode form of their names. Received: "
            f"{', '.join(ascii(name) for name in sorted(classes))}. Rename the class folders and train it again."
        )
    wrong = [name for name in renamed if name not in names] + [new for new in renamed.values() if new not in known]
    wrong = [name for name in wrong if name]
    if wrong:
        raise ConvLensError(
            f"Expected --map FOLDER=CLASS with folders {_quote_names(names)} and classes {_quote_names(classes)}. "
            f"Received: '{wrong[0]}'."
        )
    unknown = [name for name in names if name not in renamed and name not in known]
    if unknown:
        options = []
        for name in unknown[:MAX_SHOWN]:
            alike = next((label for plain, label in known.items() if plain.casefold() == name.casefold()), "CLASS")
            options.append(f'--map "{name}={alike}"' if " " in name + alike else f"--map {name}={alike}")
        raise ConvLensError(
            f"Expected folders named as the model's classes, {_quote_names(classes)}. "
            f"Received: {_quote_names(unknown)}. "
            f"Say what they are: {' '.join(options)} (nothing after = leaves a folder out), or --unlabeled."
        )
    return {name: known[renamed.get(name, name)] if renamed.get(name, name) else "" for name in names}


def _normalize_name(name: str) -> str:
    """Names are compared by what they look like: macOS takes letters and accents apart."""
    return unicodedata.normalize("NFC", name)


def _relative_name(path: Path, folder: Path) -> str:
    """A name that is no text must not stop the others."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")


def _quote_names(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:MAX_SHOWN])
    return shown if len(names) <= MAX_SHOWN else f"{shown} and {len(names) - MAX_SHOWN} more"


# --- predictions for them, and statistics of them ---

PHOTOS_PER_BATCH = 64
DECODED_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "MPO", "HEIF")
# Nothing is flagged here: every photo is measured, hardly one pictured.
NO_FLAGS = FlagLimits(
    formats=DECODED_FORMATS, min_side=0, max_megapixels=178.0, dark_brightness=0.0, blurred_sharpness=0.0
)
MEASURED = ("brightness", "contrast", "sharpness", "aspect")


@dataclass(frozen=True)
class PredictedPhotos:
    """The photos that could be read, with what the network makes of them, and those that could not.

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


def predict_folder(photos: Sequence[FoundPhoto], model: OpenedModel) -> PredictedPhotos:
    """Run a model on photos, a batch at a time; memory is bounded by the features.

    Raises:
        ConvLensError: not one of the photos can be read.
    """
    embed = _open_embedding(model)
    read: list[FoundPhoto] = []
    failures: list[tuple[FoundPhoto, str]] = []
    probabilities, features = [], []
    for batch, images in _read_batches(photos, model.classifier.card, failures):
        read += batch
        probabilities.append(model.classifier.predict_arrays(images))
        features.append(embed(images))
    if not read:
        raise ConvLensError(
            f"Expected photos that can be read. Received: {len(photos):,}, none of which can. The first: "
            f"{failures[0][1]}"
        )
    candidates = [Candidate(str(photo.path)) for photo in read]
    scanned: Iterator[ScannedPhoto] = map_in_processes(partial(scan_photo, flag_limits=NO_FLAGS), candidates)
    facts: list[PhotoFacts] = [item.facts for item in track(scanned, total=len(read), task="evaluate: measuring")]
    statistics = {name: np.array([getattr(fact, name) for fact in facts], float) for name in MEASURED}
    statistics["megapixels"] = np.array([fact.width * fact.height / 1e6 for fact in facts])
    return PredictedPhotos(read, np.concatenate(probabilities), np.concatenate(features), statistics, failures)


def _read_batches(
    photos: Sequence[FoundPhoto], card: Mapping[str, Any], failures: list[tuple[FoundPhoto, str]]
) -> Iterator[tuple[list[FoundPhoto], np.ndarray]]:
    """Yield batches of photos with their pixels, uint8 (n, S, S, 3); those that cannot be read go to `failures`."""
    batch: list[FoundPhoto] = []
    images: list[np.ndarray] = []
    loaded = map_in_threads(partial(_load_or_explain, card=card), photos)
    for photo, pixels in zip(photos, track(loaded, total=len(photos), task="evaluate: predicting"), strict=True):
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


def _load_or_explain(photo: FoundPhoto, *, card: Mapping[str, Any]) -> np.ndarray | str:
    """Load the pixels of a photo, or say why there are none."""
    from convlens.models.classifier import load_by_card

    try:
        return load_by_card(photo.path, card)
    except PhotoError as error:
        return error.reason


def open_distances(model: OpenedModel) -> Callable[[Sequence[Path]], np.ndarray]:
    """Open a function from photo files to their distance from the training photos, float64 (N,).

    It is NaN for a photo that cannot be read, and for a model without reference statistics.
    """
    embed, reference = _open_embedding(model), model.reference

    def measure(paths: Sequence[Path]) -> np.ndarray:
        distances = np.full(len(paths), np.nan)
        if reference is None:
            return distances
        photos = [FoundPhoto(path, "", "") for path in paths]
        loaded = list(map_in_threads(partial(_load_or_explain, card=model.classifier.card), photos))
        read = [place for place, pixels in enumerate(loaded) if isinstance(pixels, np.ndarray)]
        if read:
            images = np.stack([loaded[place] for place in read])
            distances[read] = round_array(reference.measure_distances(embed(images)))
        return distances

    return measure


def _open_embedding(model: OpenedModel) -> Callable[[np.ndarray], np.ndarray]:
    """From pixels to features; to nothing for a model that they could not be compared with."""
    if model.reference is None or model.folder is None:
        return lambda images: np.empty((len(images), 0), np.float32)
    from convlens.lens.forward import open_features
    from convlens.models.files import load_trained_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_features(load_trained_model(model.folder))


# --- the evaluation ---

METRICS_FILE, PREDICTIONS_FILE, DRIFT_FILE, PAGE_FILE = "metrics.json", "predictions.csv", "drift.csv", "report.html"
MAX_FEATURES = 512  # photos in the test of features; as many as reference statistics keep
FEATURES = "features"  # the statistic that is a vector: what the network makes of a photo


@dataclass(frozen=True, kw_only=True)
class ExternalEvaluation:
    """Results of evaluating a model on a folder of images.

    Attributes:
        model: as the user named it.
        card: of the model.
        classes: of the model.
        metrics: all numbers on one level: those of an evaluation if the photos have labels, the differences to the
            test split and drift if the model has reference statistics.
        predictions: one row per photo: path, label, predicted, correct, probability_<class> …, unsure, distance,
            unlike, error.
        drift: one row per statistic, and one for the features; empty without reference statistics.
        evaluation: curves and scores of the classes; None without labels.
        test_metrics: of the model's test split; empty without reference statistics.
        statistics: values of training photos and of these photos, by name.
        confidence: of intervals and tests.
        note: why something is missing; empty if nothing is.
    """

    model: str
    card: Mapping[str, Any]
    classes: tuple[str, ...]
    metrics: dict[str, Any]
    predictions: pd.DataFrame
    drift: pd.DataFrame
    evaluation: Evaluation | None = None
    test_metrics: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    confidence: float
    note: str = ""

    @classmethod
    def measure(cls, given: PredictedPhotos, model: OpenedModel, settings: EvaluateParams) -> "ExternalEvaluation":
        """Compute everything that is told about a folder.

        Args:
            given: what `predict_folder` returned.
            model: that predicted.
            settings: of intervals and tests; those that the test split was measured with make the two comparable.

        Raises:
            ConvLensError: the model's reference statistics are about other classes.
        """
        reference, classes, point = model.reference, tuple(model.classifier.classes), model.operating_point
        if reference is not None and reference.classes != classes:
            raise ConvLensError(
                "Expected reference statistics of the model's classes. "
                f"Received: those of {', '.join(reference.classes)}."
            )
        numbers = {name: index for index, name in enumerate(classes)}
        labels = np.array([numbers.get(photo.label, 0) for photo in given.photos], dtype=np.int64)
        names = [photo.name for photo in given.photos]
        predictions = Predictions(names, classes, labels, round_array(given.probabilities))
        evaluation = Evaluation.measure(predictions, settings, point) if given.photos[0].label else None
        metrics: dict[str, Any] = {
            "model": _make_printable(model.address),
            "key": str(model.classifier.card.get("key", "")),
            "num_photos": len(given.photos),
            "num_unreadable": len(given.failures),
        }
        if evaluation is not None:
            metrics |= {name: value for name, value in evaluation.metrics.items() if name != "num_photos"}
        distances, drift = np.full(len(names), np.nan), pd.DataFrame()
        if reference is not None:
            distances = round_array(reference.measure_distances(given.features))
            if evaluation is not None:
                metrics |= _compare_with_test_split(predictions, model, settings)
            drift = _measure_drift(given, predictions.probabilities, reference, settings.confidence)
            num_unlike = int((distances > reference.unlike_above).sum())
            low, high = wilson_interval(num_unlike, len(distances), confidence=settings.confidence)
            metrics |= {
                "drift": ", ".join(drift.loc[drift["differs"].astype(bool), "statistic"]),
                "num_unlike": num_unlike,
                "share_unlike": num_unlike / len(distances),
                "share_unlike_low": low,
                "share_unlike_high": high,
            }
        known = {} if reference is None else reference.statistics
        return cls(
            model=_make_printable(model.address),
            card=model.classifier.card,
            classes=classes,
            metrics={name: round_number(value) if isinstance(value, float) else value
                     for name, value in metrics.items()},
            predictions=_list_predictions(given, predictions.tabulate(point), distances, reference),
            drift=drift,
            evaluation=evaluation,
            test_metrics={} if reference is None else reference.metrics,
            statistics={name: (known[name], given.statistics[name]) for name in known},
            confidence=settings.confidence,
            note=model.note,
        )  # fmt: skip

    @property
    def readable(self) -> pd.DataFrame:
        """The predictions for photos that could be read."""
        read = self.predictions[self.predictions["error"] == ""]
        return read.assign(correct=read["correct"].astype(bool)) if self.labeled else read

    @property
    def failures(self) -> pd.DataFrame:
        """The photos that could not be read, with the reason as `error`."""
        return self.predictions[self.predictions["error"] != ""]

    @property
    def labeled(self) -> bool:
        """Whether the folder says what is on its photos."""
        return bool((self.predictions["label"] != "").all())

    def save(self, folder: Path, page: str) -> None:
        """Write metrics, predictions, drift and the page, in place of what the folder held; whole or not at all."""
        with new_folder(folder) as fresh:
            write_json(fresh / METRICS_FILE, self.metrics)
            write_csv(fresh / PREDICTIONS_FILE, self.predictions)
            if not self.drift.empty:
                write_csv(fresh / DRIFT_FILE, self.drift)
            write_text(fresh / PAGE_FILE, page)

    @staticmethod
    def load(folder: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
        """Read the metrics, predictions and drift that `save` wrote; labels, classes and paths stay text.

        Raises:
            ConvLensError: a file is missing or cannot be read.
        """
        predictions = read_csv(folder / PREDICTIONS_FILE, ("path", "label", "predicted", "error"))
        drift = folder / DRIFT_FILE
        return (
            read_json(folder / METRICS_FILE),
            predictions,
            read_csv(drift, ("statistic", "test")) if drift.is_file() else pd.DataFrame(),
        )


def _compare_with_test_split(given: Predictions, model: OpenedModel, settings: EvaluateParams) -> dict[str, Any]:
    """The differences of the headline metrics to the test split, with their intervals."""
    reference, point = model.reference, model.operating_point
    if reference is None:
        return {}
    test = reference.test_probabilities
    compared = compare_samples(
        Sample(reference.test_labels, test, point.predict(test)),
        Sample(given.labels, given.probabilities, point.predict(given.probabilities)),
        **settings.model_dump(include={"num_resamples", "confidence", "seed"}),
    )
    found: dict[str, Any] = {
        "against_test_split": compared.word,
        "against_test_split_p_value": compared.p_value,
    }
    for name, change in compared.differences.items():
        ends = {"": change.value, "_low": change.low, "_high": change.high}
        found |= {f"difference_{name}{end}": value for end, value in ends.items()}
    return found


def _measure_drift(
    given: PredictedPhotos, probabilities: np.ndarray, reference: ReferenceStatistics, confidence: float
) -> pd.DataFrame:
    """Compare photos as a group with those of the training, a row per test.

    Statistics are compared with training photos. What the network makes of the photos, and how sure it is of its
    predictions, is compared with held-out photos: training photos it knows by heart. The p-values of the statistics
    are corrected for their number; one below 1 - confidence is a difference.
    """
    known = {**reference.statistics, "confidence": reference.test_probabilities.max(axis=1)}
    observed = {**given.statistics, "confidence": probabilities.max(axis=1)}
    rows: list[dict[str, Any]] = [
        {
            "statistic": item.name,
            "test": "Kolmogorov-Smirnov, Holm",
            "reference_median": round_number(item.reference_median),
            "median": round_number(item.observed_median),
            "effect": round_number(item.gap),
            "p_value": round_number(item.p_value),
            "differs": item.p_value < 1 - confidence,
        }
        for item in compare_statistics(known, observed)
    ]
    chosen = evenly_spaced(len(given.features), MAX_FEATURES)
    test = energy_test(reference.held_out_features, round_features(given.features[chosen]))
    last = {"statistic": FEATURES, "test": "energy distance, permutations", "effect": round_number(test.share)}
    differs = test.p_value < 1 - confidence
    return pd.DataFrame([*rows, {**last, "p_value": round_number(test.p_value), "differs": differs}])


def _list_predictions(
    given: PredictedPhotos, table: pd.DataFrame, distances: np.ndarray, reference: ReferenceStatistics | None
) -> pd.DataFrame:
    """One row per photo of the folder, by name; cells about photos that could not be read are empty."""
    labels = np.array([photo.label for photo in given.photos], dtype=object)
    unlike = None if reference is None else (distances > reference.unlike_above).astype(object)
    pairs = zip(labels, table["predicted"], strict=True)
    correct = pd.Series([label == name if label else None for label, name in pairs], table.index, dtype=object)
    read = table.assign(label=labels, correct=correct, distance=distances, unlike=unlike, error="").astype(
        {"unsure": object}
    )
    failed = [
        {"path": photo.name, "label": photo.label, "predicted": "", "error": reason} for photo, reason in given.failures
    ]
    rows = [*read.to_dict("records"), *failed]
    return pd.DataFrame(rows, columns=list(read.columns)).sort_values("path", kind="stable").reset_index(drop=True)


def _make_printable(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "replace")
