"""What a photo's portrait adds to the page: Grad-CAM, covered boxes, filters switched off, regions, and a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convlens.report.feature_maps_facts import rounded
from convlens.report.feature_maps_sprites import as_base64

LEVELS = 127
FAINT = 0.01  # a change of probability below one point is not worth a place in a sentence


def encode_portrait(portrait: Any, chosen: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The keys that a payload gets from a portrait (`convlens.lens.portrait.Portrait`)."""
    return {
        "cams": {name: encode_grid(values) for name, values in portrait.cams.items()},
        "occlusion": [
            {"size": list(found.size), "stride": list(found.stride), "grid": encode_grid(found.log_odds),
             "probability": encode_grid(found.probability)}
            for found in portrait.occlusions
        ],
        "effects": {name: _effects(found, chosen[name]) for name, found in portrait.effects.items()},
        "regions": [_region(found) for found in portrait.regions],
    }  # fmt: skip


def encode_grid(values: np.ndarray) -> dict[str, Any]:
    """Values (rows, columns) as whole numbers -127..127 times a step; zero is exact."""
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    largest = float(np.abs(finite).max(initial=0))
    step = float(np.float32(largest / LEVELS)) if largest else 0.0
    whole = np.clip(np.round(finite / step), -LEVELS, LEVELS) if step else finite
    return {"shape": list(values.shape), "step": step, "values": as_base64(whole.astype(np.int8))}


def describe_answer(
    portrait: Any, *, answer: str, truth: str | None, probability: float, classes: Sequence[str]
) -> str:
    """One plain sentence about the answer; every number in it was measured.

    Args:
        portrait: of the photo.
        answer: the class the network says.
        truth: its class, None if unknown.
        probability: of the answer, as shown: it may be a mean over views of the photo, such as its mirror image.
        classes: names of the classes.
    """
    verdict = "" if truth is None else ", rightly" if truth == answer else f", but it is {truth}"
    start = f"The network says {answer}, {_percent(probability)}{verdict}"
    same = classes[portrait.target] == answer
    if not same and len(classes) > 2:  # another view made the answer another one
        return f"{start}."
    finest = portrait.occlusions[0] if portrait.occlusions else None
    parts = []
    if finest is not None:
        parts = [_strongest_box(portrait, finest, answer, same=same, probability=probability)]
    parts += [_strongest_region(portrait, same=same)] if portrait.regions else []
    return "; ".join([start, *parts]) + "."


def place_words(row: float, column: float) -> str:
    """Where a point at shares of the height and width lies, in words."""
    down = ("upper", "middle", "lower")[min(2, int(3 * row))]
    across = ("left", "centre", "right")[min(2, int(3 * column))]
    return "in the centre" if (down, across) == ("middle", "centre") else f"at the {down} {across}"


def _strongest_box(portrait: Any, found: Any, answer: str, *, same: bool, probability: float) -> str:
    """Where covering lowers the probability of the answer most."""
    effects = found.probability if same else -found.probability
    row, column = np.unravel_index(int(effects.argmax()), effects.shape)
    size = f"{found.size[1]}×{found.size[0]} pixels"
    if effects[row, column] < FAINT:
        return f"covering any box of {size} lowers that by less than one point"
    height, width = portrait.look.picture.shape[:2]
    middle = (
        (row * found.stride[0] + found.size[0] / 2) / height,
        (column * found.stride[1] + found.size[1] / 2) / width,
    )
    before = portrait.probability if same else 1 - portrait.probability
    alone = " (the photo on its own)" if _percent(before) != _percent(probability) else ""
    after = before - float(effects[row, column])
    return (
        f"covering a box of {size} {place_words(*middle)}, the one that counts most, lowers the probability of "
        f"{answer} from {_percent(before)}{alone} to {_percent(after)}"
    )


def _strongest_region(portrait: Any, *, same: bool) -> str:
    """The named region that does most beyond random boxes of its size."""
    sign = 1 if same else -1
    best = max(portrait.regions, key=lambda found: (sign * (found.effect - _mean(found.null)), found.name))
    lost, chance = sign * best.effect, sign * _mean(best.null)
    if lost < FAINT or lost <= (sign * best.null).max(initial=0.0):
        return "covering any of its named parts lowers it no more than random boxes of the same size do"
    return (
        f"of its named parts the {best.name.replace('_', ' ')} counts most: covering it lowers the probability by "
        f"{_points(lost)}, covering random boxes of its size changes it by {_points(-chance, signed=True)} on average"
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _effects(found: Any, shown: np.ndarray) -> dict[str, str]:
    """Per filter shown; NaN where a filter was not measured."""
    values = {}
    for key, measured in (("probability", found.probability), ("logOdds", found.log_odds)):
        whole = np.full(int(max(shown.max(), found.filters.max())) + 1, np.nan)
        whole[found.filters] = measured
        values[key] = as_base64(whole[shown])
    return values


def _region(found: Any) -> dict[str, Any]:
    null = found.null if len(found.null) else np.array([np.nan])
    return {
        "name": found.name,
        "box": [rounded(side) for side in found.box],
        "share": rounded(found.share),
        "effect": rounded(found.effect),
        "logOdds": rounded(found.log_odds),
        "null": {"value": rounded(null.mean()), "low": rounded(null.min()), "high": rounded(null.max()),
                 "num": len(found.null)},
    }  # fmt: skip


def _percent(share: float) -> str:
    value = 100 * share
    if 0 < value < 1:
        return "<\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}%"
    if 99 < value < 100:
        return ">\N{NO-BREAK SPACE}99\N{NO-BREAK SPACE}%"
    return f"{value:.0f}\N{NO-BREAK SPACE}%"


def _points(change: float, *, signed: bool = False) -> str:
    value = round(100 * change)
    sign = ("\N{MINUS SIGN}" if value < 0 else "+" if value > 0 else "") if signed else ""
    return f"{sign}{abs(value)}\N{NO-BREAK SPACE}{'point' if abs(value) == 1 else 'points'}"
