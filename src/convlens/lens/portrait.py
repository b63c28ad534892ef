"""One photo seen through a network: its maps, where the answer comes from, and what each filter does for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convlens.lens.ablation import ablate_filters, plan_ablation
from convlens.lens.forward import Scorer
from convlens.lens.lens import Look
from convlens.lens.occlusion import SHARES, Box, Occlusion, occlude
from convlens.lens.regions import RegionEffect, plan_null, region_effects
from convlens.lens.saliency import CamTarget, grad_cam

NULL_BUDGET = 2.5e10  # multiplications for the random boxes of one photo: about half a second on two cores
MOST_NULL = 19  # one more would lie beyond all of them, on either side, once in ten times
EFFECT_BUDGET = 4e10  # multiplications for the filters of one photo: about half a second on two cores


@dataclass(frozen=True)
class FilterEffects:
    """Effects of switching filters off on one photo; `filters` says which, the others are of the same length."""

    filters: np.ndarray
    probability: np.ndarray
    log_odds: np.ndarray


@dataclass(frozen=True)
class Portrait:
    """What the network made of one photo, without its mirror image.

    Attributes:
        look: answer, picture and all maps.
        target: the class that everything below speaks for.
        log_odds: of the target.
        probability: of the target, calibrated.
        cams: signed Grad-CAM by name of its target, float32 (rows, columns).
        occlusions: effects of covering boxes, finest first.
        effects: of switching filters off, by name of the block.
        regions: effects of covering named regions.
    """

    look: Look
    target: int
    log_odds: float
    probability: float
    cams: Mapping[str, np.ndarray]
    occlusions: Sequence[Occlusion]
    effects: Mapping[str, FilterEffects]
    regions: Sequence[RegionEffect]


def draw_portrait(
    scorer: Scorer,
    photo: np.ndarray,
    *,
    cams: Sequence[CamTarget],
    filters: Mapping[str, np.ndarray],
    regions: Mapping[str, Box],
) -> Portrait:
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
    look = scorer.lens.look(photo)
    logits = scorer.logits(photo[np.newaxis])
    target = scorer.target_of(int(scorer.answers(logits)[0]))
    odds, chances = scorer.scores(logits, target)
    num_null = plan_null(scorer, len(regions), budget=NULL_BUDGET, most=MOST_NULL)
    maps = grad_cam(scorer, photo[np.newaxis], np.array([target]), cams)
    return Portrait(
        look=look,
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
    _, chosen = plan_ablation(scorer, filters, budget=EFFECT_BUDGET, most=1)
    before = scorer.scores(scorer.logits(photo[np.newaxis]), target)
    found = {}
    for name, logits in ablate_filters(scorer, photo[np.newaxis], chosen).items():
        odds, chances = scorer.scores(logits[0], target)
        found[name] = FilterEffects(chosen[name], before[1][0] - chances, before[0][0] - odds)
    return found
