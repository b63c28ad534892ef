"""What of a network finds room on the feature-map page: filters, kernels, and maps that are kept finely."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from convlens.lens.atlas import Atlas, spread_places, strongest_first
from convlens.lens.filters import measure_filters
from convlens.lens.forward import Scorer
from convlens.lens.kernels import find_recipes
from convlens.lens.saliency import find_cam_targets
from convlens.report.feature_maps_arithmetic import fine_steps, plan_arithmetic, round_kernels, worked_convolutions
from convlens.report.feature_maps_encode import MAX_VALUES, choose_filters, is_stored, store_maps
from convlens.stages.report_photos import Choice
from convlens.stages.report_portraits import Plan

MAX_MAP_BYTES = 900_000  # of one photo's maps: with the photo and what else is known of it, one megabyte
MOST_PER_VALUE = 2.7  # bytes that a finely kept value takes at most, as base64
MOST_PER_FILTER = 24  # its offset and step
MOST_PER_STEP = 600  # the heads of two PNGs
NUM_PROBED = 3
TRIES = 6


@dataclass(frozen=True)
class Layout:
    """What is shown, and why not more.

    Attributes:
        plan: what is shown of every photo.
        recipes: blocks whose kernels are on the page, as the network has them.
        reasons: why a block's arithmetic is not shown, by its name.
    """

    plan: Plan
    recipes: Mapping[str, Any]
    reasons: Mapping[str, str]


def lay_out(scorer: Scorer, atlas: Atlas, choices: Sequence[Choice], *, max_filters: int) -> Layout:
    """As many filters as keep every photo below a megabyte, as far as some of the photos tell.

    Args:
        scorer: the network.
        atlas: what was measured; without it, filters are ranked by the photos shown.
        choices: photos to show.
        max_filters: at most, per layer.
    """
    ranking = atlas.filters if atlas.num_sample else _rank_by_photos(scorer, choices)
    probed = [choices[i] for i in spread_places(len(choices), NUM_PROBED)]
    room = MAX_VALUES
    for _ in range(TRIES):
        chosen = choose_filters(scorer.lens.blocks, ranking, max_filters, max_values=room)
        layout = _lay_out(scorer, atlas, chosen)
        taken = _measure(scorer, layout.plan, probed)
        if taken <= MAX_MAP_BYTES:
            break
        room = int(_num_values(scorer, chosen) * MAX_MAP_BYTES / taken * 0.97)
    return layout


def _lay_out(scorer: Scorer, atlas: Atlas, chosen: Mapping[str, np.ndarray]) -> Layout:
    blocks = scorer.lens.blocks
    recipes, reasons = plan_arithmetic(blocks, find_recipes(scorer.lens), chosen)
    fine = fine_steps(blocks, recipes)
    worked = worked_convolutions(blocks, recipes, fine, chosen)
    cams = find_cam_targets(scorer)
    plan = Plan(chosen, _ranked(atlas, chosen), cams, round_kernels(recipes), fine, worked)
    return Layout(plan, recipes, reasons)


def _ranked(atlas: Atlas, chosen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The filters shown, the strongest first; those of poolings alone are none."""
    ranked = {}
    for name, shown in chosen.items():
        order = strongest_first(atlas.filters, name) if atlas.num_sample else shown
        ranked[name] = order[np.isin(order, shown)]
    return {name: order for name, order in ranked.items() if len(order)}


def _rank_by_photos(scorer: Scorer, choices: Sequence[Choice]) -> pd.DataFrame:
    photos = np.stack([choice.pixels for choice in choices]) if choices else np.empty((0,))
    if not len(photos):
        return pd.DataFrame({"layer": [], "filter": [], "mean": []})
    return measure_filters(scorer.lens, photos, labels=np.zeros(len(photos), dtype=np.int64), classes=("",))


def _measure(scorer: Scorer, plan: Plan, probed: Sequence[Choice]) -> int:
    """Bytes of the largest of some photos' maps; not looked at where they cannot be too many."""
    if sum(_most_bytes(*sprite) for sprite in _sprites(scorer, plan.chosen, plan.worked)) <= MAX_MAP_BYTES:
        return 0
    return max((num_map_bytes(scorer, plan, choice) for choice in probed), default=0)


def num_map_bytes(scorer: Scorer, plan: Plan, choice: Choice) -> int:
    """Bytes that the maps of one photo take on the page."""
    maps = scorer.lens.look(choice.pixels).maps
    stored = store_maps(maps, scorer.lens.blocks, plan.chosen, plan.fine, plan.worked)
    return sum(len(text) for texts in stored.texts.values() for text in texts.values())


def _num_values(scorer: Scorer, chosen: Mapping[str, np.ndarray]) -> int:
    """Map values of a photo that may be stored."""
    return sum(filters * cells for filters, cells in _sprites(scorer, chosen))


def _sprites(
    scorer: Scorer, chosen: Mapping[str, np.ndarray], worked: frozenset[str] = frozenset()
) -> Iterator[tuple[int, int]]:
    """Filters, and cells of each, of every step that is stored."""
    for block in scorer.lens.blocks:
        for index, step in enumerate(block.steps):
            if is_stored(step, index, worked):
                yield len(chosen[block.name]), step.shape[0] * step.shape[1]


def _most_bytes(filters: int, cells: int) -> float:
    """What the sprites of a step take at most."""
    return filters * (MOST_PER_VALUE * cells + MOST_PER_FILTER) + MOST_PER_STEP
