"""What each filter does for the answer: switch it off and see.

A filter is switched off by setting its map to zero behind the activation. The network is resumed from there, so the
layers ahead are worked out once for all filters. After Morcos et al., "On the importance of single directions for
generalization", ICLR 2018 (arXiv:1803.06959).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from convlens.lens.forward import MAX_VALUES, Cut, Scorer, call_model

ROWS_AT_ONCE = 64


def ablate_filters(scorer: Scorer, photos: Any, filters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Logits of photos with one filter switched off at a time.

    Args:
        scorer: the network.
        photos: uint8 (n, rows, columns, 3), as the loader gives them.
        filters: filters to switch off, by name of the block; blocks that are not named are passed over.

    Returns:
        By name of the block, float32 (n, filters, units).
    """
    cuts = {name: cut for name, cut in scorer.cuts.items() if len(filters.get(name, ()))}
    tensors = {id(tensor): tensor for cut in cuts.values() for tensor in cut.frontier}
    if not cuts:
        return {}
    front = keras.Model(scorer.lens.graph.input, list(tensors.values()))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in cuts}
    for photo in photos:
        values = dict(zip(tensors, call_model(front, photo[np.newaxis].astype(scorer.dtype)), strict=True))
        for name, cut in cuts.items():
            known = [values[id(tensor)] for tensor in cut.frontier]
            parts[name].append(_switch_off(cut, known, filters[name]))
    return {name: np.stack(rows) for name, rows in parts.items()}


def plan_ablation(
    scorer: Scorer, filters: Mapping[str, np.ndarray], *, budget: float, most: int
) -> tuple[int, dict[str, np.ndarray]]:
    """How many photos, and which filters, so that the multiplications stay within a budget.

    Fewer photos come first; when even four are too many, only the first filters of each list are measured.

    Returns:
        Number of photos, and filters per block.
    """
    costs = _costs(scorer, filters)
    total = sum(costs[name] * len(chosen) for name, chosen in filters.items())
    num_photos = int(min(most, max(4, budget // max(total, 1))))
    share = min(1.0, budget / max(total * num_photos, 1))
    return num_photos, {name: chosen[: max(1, int(len(chosen) * share))] for name, chosen in filters.items()}


def _costs(scorer: Scorer, filters: Mapping[str, np.ndarray]) -> dict[str, int]:
    return {name: cut.multiplications for name, cut in scorer.cuts.items() if name in filters}


def _switch_off(cut: Cut, known: Sequence[Any], filters: np.ndarray) -> np.ndarray:
    """Logits (filters, units) of one photo."""
    values = sum(int(np.prod(tensor.shape)) for tensor in known)
    size = max(1, min(ROWS_AT_ONCE, MAX_VALUES // (4 * values)))
    parts = [filters[start : start + size].astype(np.int32) for start in range(0, len(filters), size)]
    return np.concatenate([np.asarray(cut.without(known, part)) for part in parts])
