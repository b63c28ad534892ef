"""Facts about filters, regions and trust as the page reads them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from convlens.report.feature_maps_sprites import as_base64

PLAIN = ("mean", "maximum", "firing_rate", "active_share", "auc_mean", "selectivity", "auc_low", "auc_high")
NUM_BINS = 24
TALLEST = 255


def encode_facts(rows: pd.DataFrame, shown: np.ndarray, block: str, atlas: Any) -> dict[str, Any] | None:
    """The cards of the filters shown of a block; None where no photos were there to measure on.

    Args:
        rows: the block's rows of the table of filters.
        shown: numbers of the filters.
        block: name.
        atlas: what was measured (`convlens.lens.atlas.Atlas`).
    """
    if not len(rows) or not atlas.num_sample:
        return None
    facts = rows.set_index("filter").reindex(shown)
    profile, patches = atlas.profiles.get(block), atlas.patches.get(block)
    return {
        "dead": [bool(value) for value in facts["dead"]],
        "prefers": [str(value) for value in facts["prefers"]],
        **{name: [rounded(value) for value in facts[name]] for name in PLAIN},
        "selectivity_low": [rounded(2 * value - 1) for value in facts["auc_low"]],
        "selectivity_high": [rounded(2 * value - 1) for value in facts["auc_high"]],
        "edges": estimates(profile.edges, shown) if profile else None,
        "brightness": estimates(profile.brightness, shown) if profile else None,
        "histogram": _histogram(profile, shown) if profile else None,
        "numProfilePhotos": atlas.num_profiled,
        "ablation": _ablation(atlas.ablations.get(block), shown, atlas.num_ablated),
        "patches": _patches(patches, shown) if patches else None,
        "numPatchPhotos": atlas.num_patch_photos,
    }


def encode_regions(atlas: Any, chosen: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The regions over the held-out photos, with every filter's share of activation over share of area."""
    return [
        {
            "name": region.name,
            "numPhotos": region.num_photos,
            "share": rounded(region.share),
            "effect": _triple(region.effect),
            "null": _triple(region.null),
            "difference": _triple(region.difference),
            "found": region.found,
            "ratios": {
                block: {end: as_base64(getattr(found[region.name], end)[chosen[block]])
                        for end in ("value", "low", "high")}
                for block, found in atlas.ratios.items()
            },
        }
        for region in atlas.regions
    ]  # fmt: skip


def encode_trust(trust: Any) -> dict[str, Any] | None:
    """The checks of explanations."""
    if trust is None:
        return None
    curves, randomisation = trust.curves, trust.randomisation
    return {
        "numPhotos": trust.num_photos,
        "curves": _curves(curves) if curves else None,
        "curvesPass": curves.passes if curves else None,
        "curvesDifference": {kind: _triple(curves.difference(kind)[0]) for kind in ("deletion", "insertion")}
        if curves
        else None,
        "randomisation": _randomisation(randomisation) if randomisation else None,
        "shift": {"pixels": list(trust.shift.pixels), "same": [rounded(v) for v in trust.shift.same],
                  "change": [rounded(v) for v in trust.shift.change]},
        "equivariance": [{"block": row.block, "pixels": row.pixels, "error": _triple(row.error)}
                         for row in trust.equivariance],
    }  # fmt: skip


def encode_field(field: Any) -> dict[str, Any] | None:
    """A receptive field; None sees the whole picture."""
    if field is None:
        return None
    return {name: {"size": span.size, "stride": span.stride, "start": span.start}
            for name, span in (("rows", field.rows), ("columns", field.columns))}  # fmt: skip


def estimates(found: Any, shown: np.ndarray) -> list[dict[str, float | None]]:
    """Means with intervals of the filters shown."""
    return [_triple(found[int(index)]) for index in shown]


def rounded(value: Any) -> float | None:
    """Six significant digits, more than a screen can show; None for no number."""
    return float(f"{float(value):.6g}") if np.isfinite(value) else None


def _triple(values: Sequence[float]) -> dict[str, float | None]:
    return dict(zip(("value", "low", "high"), map(rounded, values), strict=True))


def _ablation(found: Any, shown: np.ndarray, num_photos: int) -> dict[str, Any] | None:
    if found is None:
        return None
    places = {int(number): place for place, number in enumerate(found.filters)}
    nothing = (np.nan, np.nan, np.nan)

    def pick(values: Any) -> list[dict[str, float | None]]:
        return [_triple(values[places[number]] if number in places else nothing) for number in shown.tolist()]

    return {"probability": pick(found.probability), "logOdds": pick(found.log_odds), "numPhotos": num_photos}


def _histogram(profile: Any, shown: np.ndarray) -> dict[str, Any]:
    counts = profile.counts[shown]
    tallest = np.maximum(counts.max(axis=1, keepdims=True), 1)
    bars = np.maximum(np.round(TALLEST * np.sqrt(counts / tallest)), counts > 0).astype(np.uint8)
    return {
        "low": [rounded(value) for value in profile.low[shown]],
        "high": [rounded(value) for value in profile.high[shown]],
        "numBins": NUM_BINS,
        "bars": as_base64(bars),
        "numValues": [int(value) for value in counts.sum(axis=1)],
    }


def _patches(patches: Any, shown: np.ndarray) -> list[list[list[float]]]:
    """Per filter: photo, row, column, value; the photo by its number in the sample, which the gallery replaces."""
    rows = zip(patches.photo[shown], patches.row[shown], patches.column[shown], patches.value[shown], strict=True)
    return [
        [[int(photo), int(row), int(column), float(f"{value:.6g}")]
         for photo, row, column, value in zip(*each, strict=True) if photo >= 0]
        for each in rows
    ]  # fmt: skip


def _curves(curves: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"shares": [round(0.1 * i, 1) for i in range(11)]}
    for kind in ("deletion", "insertion"):
        found[kind] = {
            order: {"probability": [rounded(value) for value in values.mean(axis=0)],
                    "area": _triple(curves.area(kind, order)[0])}
            for order, values in getattr(curves, kind).items()
        }  # fmt: skip
    return found


def _randomisation(found: Any) -> dict[str, Any]:
    steps = [{"layer": layer, "correlation": _triple(values)}
             for layer, values in zip(found.layers, found.steps, strict=True)]  # fmt: skip
    return {"steps": steps, "final": _triple(found.final), "pass": found.passes, "threshold": found.threshold}
