"""What a model answers to photos, what the photos are like, and how far they are from those it learned from."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from convlens.classifier import load_by_card
from convlens.errors import ConvLensError
from convlens.outside.folder import FoundPhoto
from convlens.outside.model import OpenedModel
from convlens.photos.facts import Candidate, Doubts, PhotoFacts, ScannedPhoto, scan_photo
from convlens.photos.loader import PhotoError
from convlens.photos.workers import map_in_processes, map_in_threads
from convlens.progress import track

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
        features: float32 (N, D); (N, 0) for a model without a profile.
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
    if model.profile is None or model.folder is None:
        return lambda images: np.empty((len(images), 0), np.float32)
    from convlens.lens.embeddings import open_features
    from convlens.network.model_files import load_trained_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_features(load_trained_model(model.folder))
