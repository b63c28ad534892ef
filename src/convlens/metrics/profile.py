"""What the photos of a training are like, in one small file that goes with the model: to compare other photos with."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convlens.arrays import encode_arrays
from convlens.errors import ConvLensError
from convlens.metrics.drift import neighbour_distances, to_unit_length

ARRAYS = ("train_features", "held_out_features", "held_out_distances", "test_labels", "test_probabilities")
STATISTIC = "statistic_"
FACTS = "facts"
UNLIKE_QUANTILE = 0.99


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The photos of a training, without a single one of them.

    Attributes:
        key: of the training; the model's card has the same.
        classes: names of the classes, K.
        settings: the group `evaluate` that the metrics were made with.
        metrics: of the test split.
        statistics: brightness and the like of training photos, float32, by name.
        train_features: what the network makes of training photos, float16 (R, D), of unit length.
        held_out_features: the same for photos it has not learned from, float16 (H, D). They are what new photos are
            compared with as a group: the network knows training photos by heart, any other photo differs from them.
        held_out_distances: of held-out photos to the training photos, float64 (H,), rising.
        test_labels: of test photos, int64 (T,).
        test_probabilities: of test photos, float64 (T, K).
    """

    key: str
    classes: tuple[str, ...]
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]
    statistics: Mapping[str, np.ndarray]
    train_features: np.ndarray
    held_out_features: np.ndarray
    held_out_distances: np.ndarray
    test_labels: np.ndarray
    test_probabilities: np.ndarray

    def measure_distances(self, features: np.ndarray) -> np.ndarray:
        """How far photos are from the training photos, by what the network makes of them (N, D); float64 (N,)."""
        return neighbour_distances(round_features(features), self.train_features)

    @property
    def unlike_above(self) -> float:
        """The distance beyond which a photo is unlike the training photos: 1 in 100 held-out photos are."""
        return float(np.quantile(self.held_out_distances, UNLIKE_QUANTILE, method="inverted_cdf"))


def round_features(features: np.ndarray) -> np.ndarray:
    """Features (N, D) as profiles keep them: of unit length, float16."""
    return to_unit_length(features).astype(np.float16)


def encode_profile(profile: Profile) -> bytes:
    """The profile as a `.npz` file; the same profile gives the same bytes."""
    names = ("key", "classes", "settings", "metrics")
    facts = json.dumps({name: getattr(profile, name) for name in names}, ensure_ascii=False, allow_nan=False)
    arrays = {name: getattr(profile, name) for name in ARRAYS}
    statistics = {f"{STATISTIC}{name}": values for name, values in profile.statistics.items()}
    content: dict[str, Any] = {FACTS: np.frombuffer(facts.encode(), np.uint8), **arrays, **statistics}
    return encode_arrays(content)


def decode_profile(content: bytes, where: str) -> Profile:
    """Read what `encode_profile` gave; nothing in it may run code.

    Args:
        content: bytes of the file.
        where: the file, for the error.

    Raises:
        ConvLensError: it is no profile.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(arrays.pop(FACTS).tobytes())
        statistics = {name.removeprefix(STATISTIC): arrays[name] for name in arrays if name.startswith(STATISTIC)}
        facts["classes"] = tuple(facts["classes"])
        return Profile(**facts, statistics=statistics, **{name: arrays[name] for name in ARRAYS})
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        shown = " ".join(str(error).split())
        raise ConvLensError(f"Expected a profile of training photos in {where}. Received: {shown}") from error
