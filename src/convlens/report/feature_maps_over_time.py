"""The network over its training, as the feature-map page holds it: answers, rates, correlations, small maps.

FORMAT.md describes the script element `over-time`. One step per layer holds for all epochs and photos, so what looks
stronger is stronger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from convlens.report.feature_maps_encode import compact_json
from convlens.report.feature_maps_sprites import as_base64

LEVELS = 127
COLUMNS = ("epoch", "layer", "num_filters", "dead", "firing_rate", "correlation_low", "correlation_median",
           "correlation_high", "formed")  # fmt: skip


class LayerThen(Protocol):
    """One layer after an epoch."""

    @property
    def firing_rate(self) -> np.ndarray: ...
    @property
    def dead(self) -> np.ndarray: ...
    @property
    def correlation(self) -> np.ndarray: ...


class Moment(Protocol):
    """The network after an epoch."""

    @property
    def epoch(self) -> int: ...
    @property
    def is_kept(self) -> bool: ...
    @property
    def probabilities(self) -> np.ndarray: ...
    @property
    def layers(self) -> Mapping[str, LayerThen]: ...
    @property
    def maps(self) -> Mapping[str, np.ndarray]: ...
    @property
    def kernels(self) -> np.ndarray | None: ...


@dataclass(frozen=True)
class ShownLayer:
    """A layer whose maps are shown over the epochs.

    Attributes:
        name: of the block.
        label: what its response is, in words: `ReLU`.
        rectified: values are never below zero.
        shape: rows and columns of its maps in the network; those shown may be smaller.
        filters: that are shown, the one with the largest effect first.
    """

    name: str
    label: str
    rectified: bool
    shape: tuple[int, int]
    filters: np.ndarray


@dataclass(frozen=True)
class OverTime:
    """Everything about the epochs.

    Attributes:
        moments: the earliest first.
        shown: layers with maps.
        formed: by name of the layer, the moment from which each filter is what it is in the end.
        classes: names.
        photos: names of the photos, in the order of the page.
        num_sample: photos behind rates and correlations.
    """

    moments: Sequence[Moment]
    shown: Sequence[ShownLayer]
    formed: Mapping[str, np.ndarray]
    classes: Sequence[str]
    photos: Sequence[str]
    num_sample: int

    @property
    def kept(self) -> int:
        """The place of the network that was kept among the moments."""
        return next(place for place, moment in enumerate(self.moments) if moment.is_kept)

    def limit(self, name: str) -> float:
        """The largest magnitude that a layer's maps have in any moment, on any photo."""
        return max((float(np.abs(moment.maps[name]).max()) for moment in self.moments if moment.maps[name].size),
                   default=0.0)  # fmt: skip


def encode_over_time(found: OverTime, *, max_bytes: int = 1_000_000) -> str:
    """The content of the script element `over-time`; photos at the end have no maps where they would make it too long.

    Args:
        found: what is told.
        max_bytes: of the text, about.
    """
    table = layer_table(found)
    steps = {layer.name: _step(found.limit(layer.name)) for layer in found.shown}
    known = {
        "epochs": [moment.epoch for moment in found.moments],
        "kept": found.kept,
        "numSample": found.num_sample,
        "numLayers": len(found.formed),
        "answers": [[_rounded(moment.probabilities[photo]) for moment in found.moments]
                    for photo in range(len(found.photos))],
        "layers": [_encode_layer(found, layer, table, steps[layer.name]) for layer in found.shown],
        "kernels": _encode_kernels([moment.kernels for moment in found.moments]),
    }  # fmt: skip
    room = max_bytes - len(compact_json(known))
    maps: list[dict[str, str]] = []
    for photo in range(len(found.photos)):
        texts = {layer.name: _encode_maps(found, layer.name, photo, steps[layer.name]) for layer in found.shown}
        room -= sum(map(len, texts.values()))
        if room < 0:
            break
        maps.append(texts)
    return compact_json(known | {"maps": maps})


def layer_table(found: OverTime) -> pd.DataFrame:
    """One row per epoch and convolution.

    Correlations are the quartiles, over the filters that fire in the end, of each filter's correlation with what it is
    in the end; `formed` counts those whose correlation is, and stays, at least 0.9.
    """
    rows = []
    for place, moment in enumerate(found.moments):
        for name, then in moment.layers.items():
            alive = ~found.moments[found.kept].layers[name].dead
            quartiles = np.percentile(then.correlation[alive], (25, 50, 75)) if alive.any() else [np.nan] * 3
            formed = int((found.formed[name][alive] <= place).sum()) if place <= found.kept else int(alive.sum())
            rows.append((moment.epoch, name, len(then.dead), int(then.dead.sum()),
                         *_rounded([then.firing_rate.mean(), *quartiles]), formed))  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def answer_table(found: OverTime) -> pd.DataFrame:
    """One row per epoch and photo of the page: its calibrated probabilities."""
    columns = [f"probability_{name}" for name in found.classes]
    rows = [
        (moment.epoch, photo, *_rounded(moment.probabilities[number]))
        for moment in found.moments
        for number, photo in enumerate(found.photos)
    ]
    return pd.DataFrame(rows, columns=["epoch", "photo", *columns])


def _encode_layer(found: OverTime, layer: ShownLayer, table: pd.DataFrame, step: float) -> dict[str, Any]:
    rows = table[table["layer"] == layer.name]
    then = [moment.layers[layer.name] for moment in found.moments]
    shown = layer.filters.tolist()
    small = found.moments[0].maps[layer.name].shape[-2:]
    return {
        "name": layer.name,
        "label": layer.label,
        "rectified": layer.rectified,
        "numFilters": int(rows["num_filters"].iloc[0]),
        "dead": rows["dead"].tolist(),
        "firing": rows["firing_rate"].tolist(),
        "low": _plain(rows["correlation_low"]),
        "median": _plain(rows["correlation_median"]),
        "high": _plain(rows["correlation_high"]),
        "formed": rows["formed"].tolist(),
        "shown": shown,
        "correlation": [_rounded([moment.correlation[number] for moment in then]) for number in shown],
        "rates": [_rounded([moment.firing_rate[number] for moment in then]) for number in shown],
        "formedAt": [int(found.formed[layer.name][number]) for number in shown],
        "size": list(layer.shape),
        "shape": [int(length) for length in small],
        "step": step,
    }


def _encode_maps(found: OverTime, name: str, photo: int, step: float) -> str:
    """Whole numbers of eight bits: epoch by epoch, filter by filter, row by row."""
    return as_base64(_quantise(np.stack([moment.maps[name][photo] for moment in found.moments]), step))


def _encode_kernels(kernels: Sequence[np.ndarray | None]) -> dict[str, Any] | None:
    known = [values for values in kernels if values is not None]
    if len(known) < len(kernels) or not known:
        return None
    stacked = np.stack(known)
    step = _step(float(np.abs(stacked).max()))
    return {
        "numFilters": stacked.shape[1],
        "shape": list(stacked.shape[3:]),
        "step": step,
        "values": as_base64(_quantise(stacked, step)),
    }


def _quantise(values: np.ndarray, step: float) -> np.ndarray:
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    return np.clip(np.round(finite / step), -LEVELS, LEVELS).astype(np.int8)


def _step(limit: float) -> float:
    """What one level is worth; six digits, rounded up so that the largest value fits."""
    return float(f"{limit / LEVELS * (1 + 1e-6):.6g}") if 0 < limit < np.inf else 1.0


def _plain(values: Any) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def _rounded(values: Any) -> list[float]:
    """Six significant digits: what is beyond differs from processor to processor."""
    return [float(f"{float(value):.6g}") for value in values]
