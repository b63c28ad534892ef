"""Everything that is known of a network's filters from a sample of photos, measured in one go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from convlens.lens.ablation import ablate_filters, plan_ablation
from convlens.lens.estimates import Estimates, estimate
from convlens.lens.filters import measure_filters
from convlens.lens.forward import Scorer
from convlens.lens.occlusion import Box
from convlens.lens.patches import Patches, strongest_patches
from convlens.lens.profiles import Profile, profile_filters
from convlens.lens.randomisation import Randomisation, randomise
from convlens.lens.regions import RegionSummary, plan_null, region_effects, region_ratios, summarise_regions
from convlens.lens.saliency import cam_blocks, choose_cam, find_cam_targets, grad_cam
from convlens.lens.shifts import Equivariance, ShiftedAnswers, equivariance, shift_answers
from convlens.lens.trust import Curves, deletion_insertion

NUM_PROFILED = 48
NUM_ABLATED = 16
NUM_TRUSTED = 12
NUM_WITH_REGIONS = 24
MOST_NULL = 4  # photos differ far more than random boxes on one: with eight, intervals are no narrower
NULL_BUDGET = 2e11  # multiplications for all random boxes: about three seconds on two cores
ABLATION_BUDGET = 3.2e11  # multiplications: about five seconds on two cores


@dataclass(frozen=True)
class Sample:
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
    randomisation: Randomisation | None


@dataclass(frozen=True)
class Atlas:
    """All of it, by name of the block where it belongs to filters; empty or None where it was not measured."""

    filters: pd.DataFrame
    num_sample: int = 0
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    num_profiled: int = 0
    patches: Mapping[str, Patches] = field(default_factory=dict)
    num_patch_photos: int = 0
    ablations: Mapping[str, Ablation] = field(default_factory=dict)
    num_ablated: int = 0
    regions: Sequence[RegionSummary] = ()
    ratios: Mapping[str, Mapping[str, Estimates]] = field(default_factory=dict)
    num_region_photos: int = 0
    trust: Trust | None = None


def measure_atlas(scorer: Scorer, sample: Sample) -> Atlas:
    """Measure filters, regions and explanations on a sample; the same sample gives the same numbers."""
    filters = measure_filters(scorer.lens, sample.held_out, labels=sample.labels, classes=sample.classes)
    if not len(sample.labels):
        return Atlas(filters)
    ablations, num_ablated = _ablate(scorer, spread(sample.held_out, NUM_ABLATED), filters)
    places = [i for i, boxes in enumerate(sample.regions) if boxes]
    chosen = [places[i] for i in spread_places(len(places), NUM_WITH_REGIONS)]
    photos = [sample.held_out[i : i + 1][0] for i in chosen]
    boxes = [sample.regions[i] for i in chosen]
    return Atlas(
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
    curves, randomisation = None, None
    if target is not None:
        maps = grad_cam(scorer, photos, answers, [target])[target.name]
        curves = deletion_insertion(scorer, photos, maps, answers)
        randomisation = randomise(scorer, photos, answers, target=target)
    return Trust(len(photos), shift_answers(scorer, photos), equivariance(scorer, photos), curves, randomisation)


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
    num_null = plan_null(scorer, sum(map(len, boxes)), budget=NULL_BUDGET, most=MOST_NULL)
    found = [
        region_effects(scorer, photo, own, int(label), num_null=num_null, seed=[number])
        for number, (photo, own, label) in enumerate(zip(photos, boxes, labels, strict=True))
    ]
    return summarise_regions(found)
