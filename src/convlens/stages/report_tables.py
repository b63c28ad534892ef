"""The facts about feature maps as files: flat tables and one list of numbers."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from convlens.lens.atlas import Atlas
from convlens.lens.filters import COLUMNS

MEASURES = ("edge_correlation", "brightness_correlation", "effect_on_probability", "effect_on_log_odds")
ENDS = ("", "_low", "_high")
REGION_COLUMNS = ("region", "num_photos", "area_share", "effect", "effect_low", "effect_high", "null", "null_low",
                  "null_high", "difference", "difference_low", "difference_high", "found")  # fmt: skip
RATIO_COLUMNS = ("layer", "filter", "region", "num_photos", "ratio", "ratio_low", "ratio_high")
TRUST_COLUMNS = ("check", "of", "num_photos", "value", "low", "high")


def filter_table(atlas: Atlas) -> pd.DataFrame:
    """One row per filter: the columns of `measure_filters`, then correlations and effects with their intervals."""
    table = atlas.filters if len(atlas.filters) else pd.DataFrame(columns=list(COLUMNS))
    columns = {f"{name}{end}": np.full(len(table), np.nan) for name in MEASURES for end in ENDS}
    for block, places in table.groupby("layer", sort=False).indices.items():
        for name, number, values in _measures(atlas, str(block), len(places)):
            for end, value in zip(ENDS, values, strict=True):
                columns[f"{name}{end}"][places[number]] = value
    rounded = {name: _rounded(values) for name, values in columns.items()}
    return table.assign(**rounded, num_profile_photos=atlas.num_profiled, num_ablation_photos=atlas.num_ablated)


def region_table(atlas: Atlas) -> pd.DataFrame:
    """One row per region, over the held-out photos."""
    rows = [
        (region.name, region.num_photos, *_rounded([region.share, *region.effect, *region.null, *region.difference]),
         region.found)
        for region in atlas.regions
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(REGION_COLUMNS))


def region_filter_table(atlas: Atlas) -> pd.DataFrame:
    """One row per filter and region: share of its response inside over share of the area."""
    parts = [
        pd.DataFrame({"layer": block, "filter": np.arange(len(found.value)), "region": region, "num_photos": found.num,
                      "ratio": _rounded(found.value), "ratio_low": _rounded(found.low),
                      "ratio_high": _rounded(found.high)})
        for block, regions in atlas.ratios.items()
        for region, found in regions.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(RATIO_COLUMNS))


def trust_table(atlas: Atlas) -> pd.DataFrame:
    """One row per number that says whether explanations can be believed."""
    rows = [(check, of, atlas.trust.num_photos, *_rounded(values)) for check, of, values in _checks(atlas)] if (
        atlas.trust is not None) else []  # fmt: skip
    return pd.DataFrame(rows, columns=list(TRUST_COLUMNS))


def describe_maps(
    atlas: Atlas, totals: Mapping[str, int], errors: Mapping[str, tuple[float, float]]
) -> dict[str, float | bool]:
    """The numbers of maps_metrics.json; what was not measured is left out."""
    table = atlas.filters
    alive = table.loc[~table["dead"].astype(bool), "selectivity"].to_numpy(np.float64) if len(table) else np.empty(0)
    found: dict[str, float | bool] = {
        "num_filters": len(table),
        "num_dead_filters": totals["dead"],
        "share_dead_filters": round(totals["dead"] / len(table), 6) if len(table) else 0.0,
        "num_rare_filters": totals["rare"],
        "mean_selectivity": round(float(alive.mean()), 6) if alive.size else 0.0,
        "max_selectivity": round(float(alive.max()), 6) if alive.size else 0.0,
        "rebuilt_difference": 0.0,  # a difference would have stopped the report
        "max_arithmetic_error": float(f"{max((error for error, _ in errors.values()), default=0.0):.2g}"),
    }
    found["num_regions"] = len(atlas.regions)
    found["num_regions_found"] = sum(region.found for region in atlas.regions)
    return found | _trust_metrics(atlas)


def _trust_metrics(atlas: Atlas) -> dict[str, float | bool]:
    names = {("deletion", "saliency"): "deletion", ("deletion", "random"): "deletion_random",
             ("deletion", "edges"): "deletion_edges", ("insertion", "saliency"): "insertion",
             ("insertion", "random"): "insertion_random", ("insertion", "edges"): "insertion_edges",
             ("randomisation", "final"): "randomisation_correlation"}  # fmt: skip
    if atlas.trust is None:
        return {}
    found: dict[str, float | bool] = {
        names[check, of]: round(float(values[0]), 6) for check, of, values in _checks(atlas) if (check, of) in names
    }
    if atlas.trust.curves and atlas.trust.randomisation:
        found["explanation_beats_chance"] = atlas.trust.curves.passes
        found["randomisation_passed"] = atlas.trust.randomisation.passes
    found["shift_consistency"] = round(float(np.mean(atlas.trust.shift.same)), 6) if atlas.trust.shift.same else 1.0
    errors = [row.error[0] for row in atlas.trust.equivariance]
    return found | ({"mean_equivariance_error": round(float(np.mean(errors)), 6)} if errors else {})


def _measures(atlas: Atlas, block: str, count: int) -> Iterable[tuple[str, int, tuple[float, float, float]]]:
    """Name of the measure, number of the filter, value with its ends."""
    profile, ablation = atlas.profiles.get(block), atlas.ablations.get(block)
    if profile:
        for number in range(count):
            yield "edge_correlation", number, profile.edges[number]
            yield "brightness_correlation", number, profile.brightness[number]
    if ablation:
        for place, number in enumerate(ablation.filters.tolist()):
            yield "effect_on_probability", number, ablation.probability[place]
            yield "effect_on_log_odds", number, ablation.log_odds[place]


def _checks(atlas: Atlas) -> Iterable[tuple[str, str, tuple[float, float, float]]]:
    trust = atlas.trust
    if trust is None:
        return
    if trust.curves:
        for kind in ("deletion", "insertion"):
            for order in trust.curves.deletion:
                yield kind, order, trust.curves.area(kind, order)[0]
            yield kind, "saliency - random", trust.curves.difference(kind)[0]
    if trust.randomisation:
        for layer, values in zip(trust.randomisation.layers, trust.randomisation.steps, strict=True):
            yield "randomisation", layer, values
        yield "randomisation", "final", trust.randomisation.final
    for pixels, same, change in zip(trust.shift.pixels, trust.shift.same, trust.shift.change, strict=True):
        yield "same answer when shifted", f"{pixels} pixels", (same, np.nan, np.nan)
        yield "change of probability when shifted", f"{pixels} pixels", (change, np.nan, np.nan)
    for row in trust.equivariance:
        yield "equivariance error", row.block, row.error


def _rounded(values: Any) -> list[float]:
    """Six significant digits: what is beyond differs from processor to processor."""
    return [float(f"{float(value):.6g}") for value in values]
