"""Drift: how far photos are from those of the training."""

import json
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from convlens.errors import ConvLensError
from convlens.files import decode_arrays, evenly_spaced, write_arrays

if TYPE_CHECKING:
    from convlens.models.inference import OperatingPoint

# --- Whether photos are like those a network was made with: two-sample tests, and the distance of single photos ---
#
# One statistic at a time (brightness, say): Kolmogorov and Smirnov's test, its p-values corrected by Holm for there
# being several. What the network makes of the photos, as vectors: the energy test, which needs no bandwidth to be
# chosen. Single photos: the distance to the k-th nearest of some photos the network has learned from.

NUM_NEIGHBORS = 10
NUM_PERMUTATIONS = 999
EXACT_UP_TO = 200  # photos; beyond it the asymptotic distribution is as good, and quick
ROWS_AT_ONCE = 1024
SMALLEST_LENGTH = 1e-12
DECIMALS = 6  # of distances: below is rounding, and a photo that is there twice has distance 0
ROUNDING = 1e-12  # permutations that give the same sum in another order


@dataclass(frozen=True)
class StatisticDrift:
    """One statistic of two groups of photos.

    Attributes:
        name: of the statistic.
        reference_median: of the photos compared with.
        observed_median: of the photos at hand.
        gap: Kolmogorov and Smirnov's D, the largest gap between the two distribution functions, 0..1.
        p_value: chance of so large a gap if nothing differed, corrected by Holm, 0..1.
    """

    name: str
    reference_median: float
    observed_median: float
    gap: float
    p_value: float


@dataclass(frozen=True)
class EnergyTest:
    """Two groups of vectors.

    Attributes:
        share: energy distance as a share of the mean distance between the groups: 0 alike, 1 as different as can be.
        p_value: share of random divisions into two groups that differ at least as much, 0..1.
    """

    share: float
    p_value: float


def compare_statistics(
    reference: Mapping[str, np.ndarray], observed: Mapping[str, np.ndarray]
) -> tuple[StatisticDrift, ...]:
    """Compare every statistic that both groups have, float (N,) and (M,), in the order of the reference.

    Source: two-sample tests on single features with a correction for their number find shifts that matter about as
    well as anything does (Rabanser et al., Failing Loudly, NeurIPS 2019); Holm, Scand. J. Statistics 6 (1979).
    """
    names = [name for name in reference if name in observed]
    found = [_kolmogorov_smirnov(reference[name], observed[name]) for name in names]
    corrected = correct_by_holm([p_value for _, p_value in found])
    return tuple(
        StatisticDrift(name, float(np.median(reference[name])), float(np.median(observed[name])), gap, p_value)
        for name, (gap, _), p_value in zip(names, found, corrected, strict=True)
    )


def correct_by_holm(p_values: Sequence[float]) -> list[float]:
    """P-values that can each be held against one level, however many they are."""
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def energy_test(
    first: np.ndarray, second: np.ndarray, *, num_permutations: int = NUM_PERMUTATIONS, seed: int = 0
) -> EnergyTest:
    """Whether two groups of vectors, float (N, D) and (M, D), come from one distribution.

    The statistic is 2 E|X - Y| - E|X - X'| - E|Y - Y'|; random divisions of all vectors say how large it is by chance.

    Source: Székely and Rizzo, Energy statistics, J. Statistical Planning and Inference 143 (2013). It is the maximum
    mean discrepancy (Gretton et al., JMLR 13, 2012) with distance as its kernel (Sejdinovic et al., 2013).
    """
    points = np.concatenate([first, second]).astype(np.float64)
    distances = _pairwise(points, points)
    weights = np.r_[np.full(len(first), 1 / len(first)), np.full(len(second), -1 / len(second))]
    statistic = _energy(weights[np.newaxis], distances)[0]
    generator = np.random.default_rng(seed)
    shuffled = generator.permuted(np.tile(weights, (num_permutations, 1)), axis=1)
    as_large = int(np.sum(_energy(shuffled, distances) >= statistic - ROUNDING))
    between = float(distances[: len(first), len(first) :].mean())
    share = statistic / (2 * between) if between > SMALLEST_LENGTH else 0.0
    return EnergyTest(float(np.clip(share, 0, 1)), (1 + as_large) / (1 + num_permutations))


def neighbor_distances(points: np.ndarray, reference: np.ndarray, *, num_neighbors: int = NUM_NEIGHBORS) -> np.ndarray:
    """Distance of each point (N, D) to its k-th nearest among the reference (R, D); float64 (N,).

    Source: Sun et al., Out-of-distribution detection with deep nearest neighbors, ICML 2022.
    """
    place = min(num_neighbors, len(reference)) - 1
    blocks = [
        np.partition(_pairwise(points[start : start + ROWS_AT_ONCE], reference), place, axis=1)[:, place]
        for start in range(0, len(points), ROWS_AT_ONCE)
    ]
    return np.round(np.concatenate(blocks), DECIMALS) if blocks else np.empty(0)


def to_unit_length(features: np.ndarray) -> np.ndarray:
    """Vectors (N, D) divided by their length, float64; what points nowhere stays 0."""
    values = features.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    directions: np.ndarray = values / np.maximum(lengths, SMALLEST_LENGTH)
    return directions


def share_at_most(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """For each value the share of the reference that is not larger: how far up it stands among them, float64 (N,)."""
    return np.searchsorted(np.sort(reference), values, side="right") / max(len(reference), 1)


def _kolmogorov_smirnov(reference: np.ndarray, observed: np.ndarray) -> tuple[float, float]:
    """D and its p-value, in single precision, as references are kept: equal values have to stay equal."""
    method = "exact" if max(len(reference), len(observed)) <= EXACT_UP_TO else "asymp"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy tells when it falls back to the other method
        found = ks_2samp(np.float32(reference), np.float32(observed), method=method)
    return float(found.statistic), float(found.pvalue)


def _pairwise(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distances (N, M); differences of squares lose digits near 0, which is what `maximum` mends."""
    first, second = points.astype(np.float64), others.astype(np.float64)
    squares = (first**2).sum(axis=1)[:, np.newaxis] + (second**2).sum(axis=1) - 2 * first @ second.T
    distances: np.ndarray = np.sqrt(np.maximum(squares, 0))
    return distances


def _energy(weights: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Minus the quadratic form of each row of weights (P, N): that is the energy distance, (P,)."""
    energies: np.ndarray = -np.einsum("pn,pn->p", weights @ distances, weights)
    return energies


# --- reference statistics: what new photos are compared with; they travel with the model ---

REFERENCE = "reference.npz"
FORMER_NAME = "profile.npz"  # in models of earlier versions
ARRAYS = ("train_features", "held_out_features", "held_out_distances", "test_labels", "test_probabilities")
STATISTIC = "statistic_"
FACTS = "facts"
UNLIKE_QUANTILE = 0.99
MAX_FEATURES = 512  # photos of either kind whose features are kept
MAX_STATISTICS = 4096  # training photos whose brightness and the like are kept
MAX_PROBABILITIES = 2**18  # of test photos that are kept: 2 MB


@dataclass(frozen=True, kw_only=True)
class ReferenceStatistics:
    """The photos of a training, without a single one of them.

    Attributes:
        key: of the training; the model's card has the same.
        classes: names of the classes, K.
        settings: the group `evaluate` that the metrics were made with.
        metrics: of the test split.
        statistics: brightness and the like of training photos, float32, by name.
        train_features: embeddings of training photos, float16 (R, D), of unit length.
        held_out_features: the same of photos it has not learned from, float16 (H, D). They are what new photos are
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
        """Measure how far photos are from the training photos, by their embeddings (N, D); float64 (N,)."""
        return neighbor_distances(round_features(features), self.train_features)

    @property
    def unlike_above(self) -> float:
        """The distance beyond which a photo is unlike the training photos: 1 in 100 held-out photos are."""
        return float(np.quantile(self.held_out_distances, UNLIKE_QUANTILE, method="inverted_cdf"))

    def save(self, folder: Path) -> Path:
        """Write reference.npz, the same bytes for the same statistics; returns its path."""
        names = ("key", "classes", "settings", "metrics")
        facts = json.dumps({name: getattr(self, name) for name in names}, ensure_ascii=False, allow_nan=False)
        arrays = {name: getattr(self, name) for name in ARRAYS}
        statistics = {f"{STATISTIC}{name}": values for name, values in self.statistics.items()}
        write_arrays(folder / REFERENCE, {FACTS: np.frombuffer(facts.encode(), np.uint8), **arrays, **statistics})
        return folder / REFERENCE

    @classmethod
    def load(cls, folder: Path) -> "ReferenceStatistics":
        """Read reference.npz, or what earlier versions called profile.npz; nothing in it may run code.

        Raises:
            ConvLensError: there is none, or it holds something else.
        """
        path, former = folder / REFERENCE, folder / FORMER_NAME
        path = former if former.is_file() and not path.is_file() else path
        try:
            arrays = decode_arrays(path.read_bytes())
            facts: dict[str, Any] = json.loads(arrays.pop(FACTS).tobytes())
            statistics = {name.removeprefix(STATISTIC): arrays[name] for name in arrays if name.startswith(STATISTIC)}
            facts["classes"] = tuple(facts["classes"])
            return cls(**facts, statistics=statistics, **{name: arrays[name] for name in ARRAYS})  # type: ignore[arg-type]
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            shown = "nothing there" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
            raise ConvLensError(
                f"Expected reference statistics of training photos in {path}. Received: {shown}. Run `dvc repro`."
            ) from error


def round_features(features: np.ndarray) -> np.ndarray:
    """Round embeddings (N, D) as reference statistics keep them: of unit length, float16."""
    return to_unit_length(features).astype(np.float16)


def gather_statistics(photos: pd.DataFrame, manifest: pd.DataFrame) -> dict[str, np.ndarray]:
    """Gather statistics of photos, float32 by name, from what `validate` measured; evenly chosen if there are many."""
    measured = manifest.drop_duplicates("path").set_index("path").loc[list(photos["path"])]
    chosen = measured.iloc[evenly_spaced(len(measured), MAX_STATISTICS)]
    megapixels = chosen["width"].to_numpy(float) * chosen["height"].to_numpy(float) / 1e6
    columns = ("brightness", "contrast", "sharpness", "aspect")
    values = {name: chosen[name].to_numpy(np.float32) for name in columns}
    return {**values, "megapixels": megapixels.astype(np.float32)}


# --- a model, opened with the reference statistics that travel with it ---


@dataclass(frozen=True)
class OpenedModel:
    """A model, its operating point and its reference statistics.

    Attributes:
        address: as the user gave it.
        classifier: has `card`, `classes` and `predict_arrays`, whatever version of ConvLens packed it.
        operating_point: how its outputs become predictions; of a model of an earlier version what its card says.
        folder: with model.keras; None for a model that does not say, or of another's file.
        reference: what its training photos are like; None if it was packed without.
        note: why there are no reference statistics, as a sentence; empty if there are.
        network: the Keras model of a file that ConvLens did not write; else None, and `folder` has it.
        packaged: the model as MLflow opened it, if it came from a package.
    """

    address: str
    classifier: Any
    operating_point: "OperatingPoint"
    folder: Path | None
    reference: ReferenceStatistics | None
    note: str
    network: Any = None
    packaged: Any = None
