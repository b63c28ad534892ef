"""Statistics of all filters over many photos, and the analysis of one photo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from convlens.files import evenly_spaced
from convlens.lens.attribution import (
    OCCLUSION_SHARES,
    Box,
    CamTarget,
    Occlusion,
    RegionEffect,
    RegionSummary,
    ablate_filters,
    announced_cam,
    measure_occlusion,
    plan_ablation,
    plan_null,
    region_effects,
    region_ratios,
    summarize_regions,
)
from convlens.lens.filters import (
    Estimates,
    FilterProfile,
    Patches,
    estimate,
    measure_filters,
    profile_filters,
    strongest_patches,
)
from convlens.lens.forward import Scorer
from convlens.lens.trust import Trust, measure_trust

# --- Statistics of all filters from a sample of photos, measured in one go ---

NUM_PROFILED = 48
NUM_ABLATED = 16
NUM_TRUSTED = 12  # with eight, it cannot be told of the default network that Grad-CAM beats chance
NUM_WITH_REGIONS = 16
MAX_NULL = 3  # photos differ far more than random boxes on one: with eight, intervals are no narrower
NULL_BUDGET = 2e11  # multiplications for all random boxes: about three seconds on two cores
ABLATION_BUDGET = 2.4e11  # multiplications: about three seconds on two cores; four photos of the default network


@dataclass(frozen=True)
class PhotoSample:
    """Photos to measure on.

    Attributes:
        held_out: photos that slice, uint8 (n, rows, columns, 3), not trained on.
        labels: int (n,).
        classes: names.
        training: photos that slice; patches come from them.
        regions: named boxes of each held-out photo, in pixels of the picture; empty where none are known.
        training_names: of the training photos.
        training_labels: their classes.
    """

    held_out: Any
    labels: np.ndarray
    classes: Sequence[str]
    training: Any = ()
    regions: Sequence[Mapping[str, Box]] = ()
    training_names: Sequence[str] = ()
    training_labels: Sequence[str] = ()


@dataclass(frozen=True)
class Ablation:
    """Effects of switching filters off, over photos.

    Attributes:
        filters: which were measured.
        probability: effect on the calibrated probability of the target.
        log_odds: on its log-odds.
    """

    filters: np.ndarray
    probability: Estimates
    log_odds: Estimates


@dataclass(frozen=True)
class FilterStatistics:
    """All of it, by name of the block where it belongs to filters; empty or None where it was not measured."""

    filters: pd.DataFrame
    num_sample: int = 0
    profiles: Mapping[str, FilterProfile] = field(default_factory=dict)
    num_profiled: int = 0
    patches: Mapping[str, Patches] = field(default_factory=dict)
    num_patch_photos: int = 0
    ablations: Mapping[str, Ablation] = field(default_factory=dict)
    num_ablated: int = 0
    regions: Sequence[RegionSummary] = ()
    ratios: Mapping[str, Mapping[str, Estimates]] = field(default_factory=dict)
    num_region_photos: int = 0
    trust: Trust | None = None


def measure_filter_statistics(scorer: Scorer, sample: PhotoSample) -> FilterStatistics:
    """Measure filters, regions and explanations on a sample; the same sample gives the same numbers."""
    filters = measure_filters(scorer.lens, sample.held_out, labels=sample.labels, classes=sample.classes)
    if not len(sample.labels):
        return FilterStatistics(filters)
    ablations, num_ablated = _ablate(scorer, spread(sample.held_out, NUM_ABLATED), filters)
    places = [i for i, boxes in enumerate(sample.regions) if boxes]
    chosen = [places[i] for i in evenly_spaced(len(places), NUM_WITH_REGIONS)]
    photos = [sample.held_out[i : i + 1][0] for i in chosen]
    boxes = [sample.regions[i] for i in chosen]
    num_null = plan_null(scorer, sum(map(len, boxes)), budget=NULL_BUDGET, most=MAX_NULL)
    effects = [
        region_effects(scorer, photo, own, int(label), num_null=num_null, seed=[number])
        for number, (photo, own, label) in enumerate(zip(photos, boxes, sample.labels[chosen], strict=True))
    ]
    return FilterStatistics(
        filters=filters,
        num_sample=len(sample.labels),
        profiles=profile_filters(scorer, spread(sample.held_out, NUM_PROFILED)),
        num_profiled=min(NUM_PROFILED, len(sample.labels)),
        patches=strongest_patches(scorer, sample.training),
        num_patch_photos=len(sample.training),
        ablations=ablations,
        num_ablated=num_ablated,
        regions=summarize_regions(effects),
        ratios=region_ratios(scorer, photos, boxes),
        num_region_photos=len(chosen),
        trust=measure_trust(scorer, spread(sample.held_out, NUM_TRUSTED)),
    )


def spread(photos: Any, count: int) -> np.ndarray:
    """At most `count` photos, evenly taken."""
    return np.concatenate([photos[i : i + 1] for i in evenly_spaced(len(photos), count)])


def strongest_first(filters: pd.DataFrame, block: str) -> np.ndarray:
    """Filters of a block by their mean over the sample."""
    rows = filters[filters["layer"] == block].sort_values(["mean", "filter"], ascending=[False, True])
    return rows["filter"].to_numpy(dtype=np.int64)


def _ablate(scorer: Scorer, photos: np.ndarray, filters: pd.DataFrame) -> tuple[dict[str, Ablation], int]:
    """Effects of switching filters off, by name of the block, and the number of photos behind them."""
    ranked = {block.name: strongest_first(filters, block.name) for block in scorer.lens.convolutions}
    if not ranked:
        return {}, 0
    count, chosen = plan_ablation(scorer, ranked, budget=ABLATION_BUDGET, most=len(photos))
    photos = photos[evenly_spaced(len(photos), count)]
    before = scorer.logits(photos)
    targets = np.array([scorer.target_of(int(answer)) for answer in scorer.answers(before)])
    odds, chances = scorer.scores(before, targets)
    found = {}
    for name, logits in ablate_filters(scorer, photos, chosen).items():
        after = scorer.scores(logits.reshape(-1, logits.shape[-1]), np.repeat(targets, logits.shape[1]))
        lost_odds, lost_chances = (
            known[:, np.newaxis] - values.reshape(logits.shape[:2])
            for known, values in zip((odds, chances), after, strict=True)
        )
        found[name] = Ablation(chosen[name], estimate(lost_chances), estimate(lost_odds))
    return found, len(photos)


# --- The analysis of one photo: where the answer comes from, and what each filter does for it ---

PHOTO_NULL_BUDGET = 2.5e10  # multiplications for the random boxes of one photo: about half a second on two cores
MAX_PHOTO_NULL = 19  # one more would lie beyond all of them, on either side, once in ten times
PHOTO_ABLATION_BUDGET = 2.5e10  # multiplications for the filters of one photo: a third of a second on two cores


@dataclass(frozen=True)
class FilterEffects:
    """Effects of switching filters off on one photo; `filters` says which, the others are of the same length."""

    filters: np.ndarray
    probability: np.ndarray
    log_odds: np.ndarray


@dataclass(frozen=True)
class PhotoAnalysis:
    """Why the network announces what it does about one photo: everything speaks for or against that class.

    Attributes:
        views: calibrated probability of the class by each view of the photo, the photo as it is first.
        cams: signed Grad-CAM by name of its target, float32 (rows, columns), of the mean over the views.
        occlusions: effects of covering boxes on that mean, finest first.
        effects: of switching filters off, by name of the block, on the photo as it is.
        regions: effects of covering named regions on the mean over the views.
    """

    views: Sequence[float]
    cams: Mapping[str, np.ndarray]
    occlusions: Sequence[Occlusion]
    effects: Mapping[str, FilterEffects]
    regions: Sequence[RegionEffect]


def analyze_photo(
    scorer: Scorer,
    photo: np.ndarray,
    target: int,
    *,
    cams: Sequence[CamTarget],
    filters: Mapping[str, np.ndarray],
    regions: Mapping[str, Box],
) -> PhotoAnalysis:
    """Explain the answer about one photo by Grad-CAM, occlusion, ablation of filters, and named regions.

    Args:
        scorer: the network and its views.
        photo: uint8 (rows, columns, 3), as the loader gives it.
        target: the class that is announced.
        cams: maps to explain by.
        filters: filters to switch off, by name of the block, the most wanted first.
        regions: named boxes in pixels of the picture.
    """
    batch = photo[np.newaxis]
    before_odds, before_chances = scorer.scores(scorer.view_logits(batch)[:, 0], target)
    effects = {}
    if filters:
        _, chosen = plan_ablation(scorer, filters, budget=PHOTO_ABLATION_BUDGET, most=1)
        for name, found in ablate_filters(scorer, batch, chosen).items():
            odds, chances = scorer.scores(found[0], target)
            effects[name] = FilterEffects(chosen[name], before_chances[0] - chances, before_odds[0] - odds)
    num_null = plan_null(scorer, len(regions), budget=PHOTO_NULL_BUDGET, most=MAX_PHOTO_NULL)
    return PhotoAnalysis(
        views=before_chances.tolist(),
        cams=announced_cam(scorer, photo, target, cams),
        occlusions=[measure_occlusion(scorer, photo, target, share=share) for share in OCCLUSION_SHARES],
        effects=effects,
        regions=region_effects(scorer, photo, regions, target, num_null=num_null, seed=[0]),
    )
