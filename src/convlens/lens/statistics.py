"""Statistics of all filters over many photos, and the analysis of one photo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from convlens.lens.attribution import (
    SHARES,
    Box,
    CamTarget,
    Occlusion,
    RegionEffect,
    RegionSummary,
    ablate_filters,
    cam_blocks,
    choose_cam,
    find_cam_targets,
    grad_cam,
    occlude,
    plan_ablation,
    plan_null,
    region_effects,
    region_ratios,
    summarize_regions,
)
from convlens.lens.estimates import Estimates, estimate
from convlens.lens.filters import FilterProfile, Patches, measure_filters, profile_filters, strongest_patches
from convlens.lens.forward import Scorer
from convlens.lens.lens import Activations
from convlens.lens.trust import (
    Curves,
    Equivariance,
    Randomization,
    ShiftedAnswers,
    deletion_insertion,
    equivariance,
    randomize,
    shift_answers,
)

# --- Everything that is known of a network's filters from a sample of photos, measured in one go ---

NUM_PROFILED = 48
NUM_ABLATED = 16
NUM_TRUSTED = 12
NUM_WITH_REGIONS = 24
MAX_NULL = 4  # photos differ far more than random boxes on one: with eight, intervals are no narrower
NULL_BUDGET = 2e11  # multiplications for all random boxes: about three seconds on two cores
ABLATION_BUDGET = 3.2e11  # multiplications: about five seconds on two cores


@dataclass(frozen=True)
class PhotoSample:
    """Photos to measure on.

    Attributes:
        held_out: photos that slice, uint8 (n, rows, columns, 3), not trained on.
        labels: int (n,).
        classes: names.
        training: photos that slice; patches come from them.
        regions: named boxes of each held-out photo, in pixels of the picture; empty where none are known.
    """

    held_out: Any
    labels: np.ndarray
    classes: Sequence[str]
    training: Any = ()
    regions: Sequence[Mapping[str, Box]] = ()


@dataclass(frozen=True)
class Ablation:
    """Effect of switching filters off, over photos; see `ablation`.

    Attributes:
        filters: which were measured.
        probability: on the calibrated probability of the target.
        log_odds: on its log-odds.
    """

    filters: np.ndarray
    probability: Estimates
    log_odds: Estimates


@dataclass(frozen=True)
class Trust:
    """Whether explanations can be believed; parts that need a convolution are None without one."""

    num_photos: int
    shift: ShiftedAnswers
    equivariance: Sequence[Equivariance]
    curves: Curves | None
    randomization: Randomization | None


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
    chosen = [places[i] for i in spread_places(len(places), NUM_WITH_REGIONS)]
    photos = [sample.held_out[i : i + 1][0] for i in chosen]
    boxes = [sample.regions[i] for i in chosen]
    return FilterStatistics(
        filters=filters,
        num_sample=len(sample.labels),
        profiles=profile_filters(scorer, spread(sample.held_out, NUM_PROFILED)),
        num_profiled=min(NUM_PROFILED, len(sample.labels)),
        patches=strongest_patches(scorer, sample.training),
        num_patch_photos=len(sample.training),
        ablations=ablations,
        num_ablated=num_ablated,
        regions=_regions(scorer, photos, boxes, sample.labels[chosen]),
        ratios=region_ratios(scorer, photos, boxes),
        num_region_photos=len(chosen),
        trust=measure_trust(scorer, spread(sample.held_out, NUM_TRUSTED)),
    )


def measure_trust(scorer: Scorer, photos: np.ndarray) -> Trust:
    """Put the explanation of the answers of photos to the test."""
    answers = scorer.answers(scorer.logits(photos))
    target = choose_cam(find_cam_targets(scorer))
    curves, randomization = None, None
    if target is not None:
        maps = grad_cam(scorer, photos, answers, [target])[target.name]
        curves = deletion_insertion(scorer, photos, maps, answers)
        randomization = randomize(scorer, photos, answers, target=target)
    return Trust(len(photos), shift_answers(scorer, photos), equivariance(scorer, photos), curves, randomization)


def spread(photos: Any, count: int) -> np.ndarray:
    """At most `count` photos, evenly taken."""
    return np.concatenate([photos[i : i + 1] for i in spread_places(len(photos), count)])


def spread_places(length: int, count: int) -> list[int]:
    """At most `count` whole numbers below `length`, evenly taken."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int)).tolist() if length else []


def _ablate(scorer: Scorer, photos: np.ndarray, filters: pd.DataFrame) -> tuple[dict[str, Ablation], int]:
    ranked = {block.name: strongest_first(filters, block.name) for block in cam_blocks(scorer.lens.blocks)}
    if not ranked:
        return {}, 0
    count, chosen = plan_ablation(scorer, ranked, budget=ABLATION_BUDGET, most=len(photos))
    photos = photos[spread_places(len(photos), count)]
    known = scorer.logits(photos)
    targets = np.array([scorer.target_of(int(answer)) for answer in scorer.answers(known)])
    odds, chances = scorer.scores(known, targets)
    found = {}
    for name, logits in ablate_filters(scorer, photos, chosen).items():
        after = scorer.scores(logits.reshape(-1, logits.shape[-1]), np.repeat(targets, logits.shape[1]))
        lost = [before[:, np.newaxis] - values.reshape(logits.shape[:2])
                for before, values in zip((odds, chances), after, strict=True)]  # fmt: skip
        found[name] = Ablation(chosen[name], estimate(lost[1]), estimate(lost[0]))
    return found, len(photos)


def strongest_first(filters: pd.DataFrame, block: str) -> np.ndarray:
    """Filters of a block by their mean over the sample."""
    rows = filters[filters["layer"] == block].sort_values(["mean", "filter"], ascending=[False, True])
    return rows["filter"].to_numpy(dtype=np.int64)


def _regions(
    scorer: Scorer, photos: Sequence[np.ndarray], boxes: Sequence[Mapping[str, Box]], labels: np.ndarray
) -> list[RegionSummary]:
    num_null = plan_null(scorer, sum(map(len, boxes)), budget=NULL_BUDGET, most=MAX_NULL)
    found = [
        region_effects(scorer, photo, own, int(label), num_null=num_null, seed=[number])
        for number, (photo, own, label) in enumerate(zip(photos, boxes, labels, strict=True))
    ]
    return summarize_regions(found)


# --- One photo seen through a network: its maps, where the answer comes from, and what each filter does for it ---

PHOTO_NULL_BUDGET = 2.5e10  # multiplications for the random boxes of one photo: about half a second on two cores
MAX_PHOTO_NULL = 19  # one more would lie beyond all of them, on either side, once in ten times
PHOTO_ABLATION_BUDGET = 4e10  # multiplications for the filters of one photo: about half a second on two cores


@dataclass(frozen=True)
class FilterEffects:
    """Effects of switching filters off on one photo; `filters` says which, the others are of the same length."""

    filters: np.ndarray
    probability: np.ndarray
    log_odds: np.ndarray


@dataclass(frozen=True)
class PhotoAnalysis:
    """What the network made of one photo, without its mirror image.

    Attributes:
        activations: answer, picture and all maps.
        target: the class that everything below speaks for.
        log_odds: of the target.
        probability: of the target, calibrated.
        cams: signed Grad-CAM by name of its target, float32 (rows, columns).
        occlusions: effects of covering boxes, finest first.
        effects: of switching filters off, by name of the block.
        regions: effects of covering named regions.
    """

    activations: Activations
    target: int
    log_odds: float
    probability: float
    cams: Mapping[str, np.ndarray]
    occlusions: Sequence[Occlusion]
    effects: Mapping[str, FilterEffects]
    regions: Sequence[RegionEffect]


def analyze_photo(
    scorer: Scorer,
    photo: np.ndarray,
    *,
    cams: Sequence[CamTarget],
    filters: Mapping[str, np.ndarray],
    regions: Mapping[str, Box],
) -> PhotoAnalysis:
    """Look at one photo from every side.

    Args:
        scorer: the network.
        photo: uint8 (rows, columns, 3), as the loader gives it.
        cams: maps to explain by.
        filters: filters to switch off, by name of the block, the most wanted first.
        regions: named boxes in pixels of the picture.

    Raises:
        ConvLensError: the opened model does not answer as the model does.
    """
    activations = scorer.lens.run(photo)
    logits = scorer.logits(photo[np.newaxis])
    target = scorer.target_of(int(scorer.answers(logits)[0]))
    odds, chances = scorer.scores(logits, target)
    num_null = plan_null(scorer, len(regions), budget=PHOTO_NULL_BUDGET, most=MAX_PHOTO_NULL)
    maps = grad_cam(scorer, photo[np.newaxis], np.array([target]), cams)
    return PhotoAnalysis(
        activations=activations,
        target=target,
        log_odds=float(odds[0]),
        probability=float(chances[0]),
        cams={name: values[0] for name, values in maps.items()},
        occlusions=[occlude(scorer, photo, target, share=share) for share in SHARES],
        effects=_switch_off(scorer, photo, filters, target),
        regions=region_effects(scorer, photo, regions, target, num_null=num_null, seed=[0]),
    )


def _switch_off(
    scorer: Scorer, photo: np.ndarray, filters: Mapping[str, np.ndarray], target: int
) -> dict[str, FilterEffects]:
    if not filters:
        return {}
    _, chosen = plan_ablation(scorer, filters, budget=PHOTO_ABLATION_BUDGET, most=1)
    before = scorer.scores(scorer.logits(photo[np.newaxis]), target)
    found = {}
    for name, logits in ablate_filters(scorer, photo[np.newaxis], chosen).items():
        odds, chances = scorer.scores(logits[0], target)
        found[name] = FilterEffects(chosen[name], before[1][0] - chances, before[0][0] - odds)
    return found
