"""What the page says of one photo."""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from convlens.lens.arithmetic import ConvolutionRecipe, convolve, derive_steps, follow_steps, read_source
from convlens.lens.attribution import CamTarget
from convlens.lens.forward import Scorer
from convlens.lens.lens import Activations, Lens
from convlens.lens.statistics import PhotoAnalysis, analyze_photo
from convlens.pages.feature_maps.encode import (
    EncodedPhoto,
    ShownPhoto,
    StoredMaps,
    as_base64,
    draw_tiles,
    encode_photo,
    store_maps,
)
from convlens.pages.photos import Choice
from convlens.progress import track

# --- Facts about filters, regions and trust as the page reads them ---

PLAIN = ("mean", "maximum", "firing_rate", "active_share", "auc_mean", "selectivity", "auc_low", "auc_high")
NUM_BINS = 24
TALLEST = 255


def encode_facts(rows: pd.DataFrame, shown: np.ndarray, block: str, statistics: Any) -> dict[str, Any] | None:
    """The cards of the filters shown of a block; None where no photos were there to measure on.

    Args:
        rows: the block's rows of the table of filters.
        shown: numbers of the filters.
        block: name.
        statistics: what was measured (`convlens.lens.statistics.FilterStatistics`).
    """
    if not len(rows) or not statistics.num_sample:
        return None
    facts = rows.set_index("filter").reindex(shown)
    profile, patches = statistics.profiles.get(block), statistics.patches.get(block)
    return {
        "dead": [bool(value) for value in facts["dead"]],
        "prefers": [str(value) for value in facts["prefers"]],
        **{name: [rounded(value) for value in facts[name]] for name in PLAIN},
        "selectivity_low": [rounded(2 * value - 1) for value in facts["auc_low"]],
        "selectivity_high": [rounded(2 * value - 1) for value in facts["auc_high"]],
        "edges": estimates(profile.edges, shown) if profile else None,
        "brightness": estimates(profile.brightness, shown) if profile else None,
        "histogram": _histogram(profile, shown) if profile else None,
        "numProfilePhotos": statistics.num_profiled,
        "ablation": _ablation(statistics.ablations.get(block), shown, statistics.num_ablated),
        "patches": _patches(patches, shown) if patches else None,
        "numPatchPhotos": statistics.num_patch_photos,
    }


def encode_regions(statistics: Any, chosen: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
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
                for block, found in statistics.ratios.items()
            },
        }
        for region in statistics.regions
    ]  # fmt: skip


def encode_trust(trust: Any) -> dict[str, Any] | None:
    """The checks of explanations."""
    if trust is None:
        return None
    curves, randomization = trust.curves, trust.randomization
    return {
        "numPhotos": trust.num_photos,
        "curves": _curves(curves) if curves else None,
        "curvesPass": curves.passes if curves else None,
        "curvesDifference": {kind: _triple(curves.difference(kind)[0]) for kind in ("deletion", "insertion")}
        if curves
        else None,
        "randomization": _randomization(randomization) if randomization else None,
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


def _randomization(found: Any) -> dict[str, Any]:
    steps = [{"layer": layer, "correlation": _triple(values)}
             for layer, values in zip(found.layers, found.steps, strict=True)]  # fmt: skip
    return {"steps": steps, "final": _triple(found.final), "pass": found.passes, "threshold": found.threshold}


# --- feature maps analysis ---
# What a photo's analysis adds to the page: Grad-CAM, covered boxes, filters switched off, regions, and a sentence.

LEVELS = 127
FAINT = 0.01  # a change of probability below one point is not worth a place in a sentence


def encode_analysis(analysis: Any, chosen: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The keys that a payload gets from an analysis (`convlens.lens.statistics.PhotoAnalysis`)."""
    return {
        "cams": {name: encode_grid(values) for name, values in analysis.cams.items()},
        "occlusion": [
            {"size": list(found.size), "stride": list(found.stride), "grid": encode_grid(found.log_odds),
             "probability": encode_grid(found.probability)}
            for found in analysis.occlusions
        ],
        "effects": {name: _effects(found, chosen[name]) for name, found in analysis.effects.items()},
        "regions": [_region(found) for found in analysis.regions],
    }  # fmt: skip


def encode_grid(values: np.ndarray) -> dict[str, Any]:
    """Values (rows, columns) as whole numbers -127..127 times a step; zero is exact."""
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    largest = float(np.abs(finite).max(initial=0))
    step = float(np.float32(largest / LEVELS)) if largest else 0.0
    whole = np.clip(np.round(finite / step), -LEVELS, LEVELS) if step else finite
    return {"shape": list(values.shape), "step": step, "values": as_base64(whole.astype(np.int8))}


def describe_answer(
    analysis: Any, *, answer: str, truth: str | None, probability: float, classes: Sequence[str]
) -> str:
    """One plain sentence about the answer; every number in it was measured.

    Args:
        analysis: of the photo.
        answer: the class the network says.
        truth: its class, None if unknown.
        probability: of the answer, as shown: it may be a mean over views of the photo, such as its mirror image.
        classes: names of the classes.
    """
    verdict = "" if truth is None else ", rightly" if truth == answer else f", but it is {truth}"
    start = f"The network says {answer}, {_percent(probability)}{verdict}"
    same = classes[analysis.target] == answer
    if not same and len(classes) > 2:  # another view made the answer another one
        return f"{start}."
    finest = analysis.occlusions[0] if analysis.occlusions else None
    parts = []
    if finest is not None:
        parts = [_strongest_box(analysis, finest, answer, same=same, probability=probability)]
    parts += [_strongest_region(analysis, same=same)] if analysis.regions else []
    return "; ".join([start, *parts]) + "."


def place_words(row: float, column: float) -> str:
    """Where a point at shares of the height and width lies, in words."""
    down = ("upper", "middle", "lower")[min(2, int(3 * row))]
    across = ("left", "center", "right")[min(2, int(3 * column))]
    return "in the center" if (down, across) == ("middle", "center") else f"at the {down} {across}"


def _strongest_box(analysis: Any, found: Any, answer: str, *, same: bool, probability: float) -> str:
    """Where covering lowers the probability of the answer most."""
    effects = found.probability if same else -found.probability
    row, column = np.unravel_index(int(effects.argmax()), effects.shape)
    size = f"{found.size[1]}×{found.size[0]} pixels"
    if effects[row, column] < FAINT:
        return f"covering any box of {size} lowers that by less than one point"
    height, width = analysis.activations.picture.shape[:2]
    middle = (
        (row * found.stride[0] + found.size[0] / 2) / height,
        (column * found.stride[1] + found.size[1] / 2) / width,
    )
    before = analysis.probability if same else 1 - analysis.probability
    alone = " (the photo on its own)" if _percent(before) != _percent(probability) else ""
    after = before - float(effects[row, column])
    return (
        f"covering a box of {size} {place_words(*middle)}, the one that counts most, lowers the probability of "
        f"{answer} from {_percent(before)}{alone} to {_percent(after)}"
    )


def _strongest_region(analysis: Any, *, same: bool) -> str:
    """The named region that does most beyond random boxes of its size."""
    sign = 1 if same else -1
    best = max(analysis.regions, key=lambda found: (sign * (found.effect - _mean(found.null)), found.name))
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


# --- Every chosen photo seen through the network, as text for the page and as the lecture's pictures ---

Answer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
MAX_NAME = 60


@dataclass(frozen=True)
class Plan:
    """What is shown of every photo.

    Attributes:
        chosen: filters shown, by name of the block.
        ranked: the same, the strongest first.
        cams: maps with a Grad-CAM.
        recipes: blocks whose values can be worked out.
        fine: stored steps that are kept finely.
        worked: convolutions whose maps the page works out.
    """

    chosen: Mapping[str, np.ndarray]
    ranked: Mapping[str, np.ndarray]
    cams: Sequence[CamTarget]
    recipes: Mapping[str, ConvolutionRecipe]
    fine: frozenset[str]
    worked: frozenset[str]


@dataclass
class Shown:
    """What has been made so far.

    Attributes:
        photos: ready for the page.
        pictures: PNG by path below the folder of feature maps.
        errors: by name of the block, the largest difference between values worked out and the network's own, and the
            largest magnitude of these.
        map_errors: the same difference of convolutions that the page works out.
    """

    photos: list[EncodedPhoto] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    errors: dict[str, tuple[float, float]] = field(default_factory=dict)
    map_errors: dict[str, float] = field(default_factory=dict)


def show_photos(
    scorer: Scorer, choices: Sequence[Choice], answer: Answer, *, plan: Plan, classes: Sequence[str], max_bytes: int
) -> Shown:
    """Show the network one photo after the other, until the page is full.

    Args:
        scorer: the network.
        choices: the photos.
        answer: gives calibrated and raw probabilities (n, classes) of photos.
        plan: what is shown.
        classes: names of the classes.
        max_bytes: room on the page.

    Raises:
        ConvLensError: the opened model does not answer as the model does.
    """
    shown = Shown()
    analyses = track(_analyze_photos(scorer, choices, plan), total=len(choices), task="report: feature maps")
    for choice, analysis in analyses:
        stored = store_maps(analysis.activations.maps, scorer.lens.blocks, plan.chosen, plan.fine, plan.worked)
        calibrated, raw = answer(choice.pixels[np.newaxis])
        photo = _encode(choice, analysis, stored, (calibrated[0], raw[0]), plan=plan, classes=classes)
        max_bytes -= photo.num_bytes
        if max_bytes < 0:
            break
        shown.photos.append(photo)
        _note_errors(shown, scorer.lens, analysis.activations, stored, plan)
        folder = f"{len(shown.photos):02d}-{_plain_name(choice.name)}"
        shown.pictures |= {
            f"{folder}/{name}": png for name, png in _draw_layers(scorer.lens, analysis.activations, choice)
        }
    return shown


def _analyze_photos(scorer: Scorer, choices: Sequence[Choice], plan: Plan) -> Iterator[tuple[Choice, PhotoAnalysis]]:
    """Photos with their analyses, in order; each is drawn while the one before is put into text."""

    def draw(choice: Choice) -> PhotoAnalysis:
        return analyze_photo(scorer, choice.pixels, cams=plan.cams, filters=plan.ranked,
                             regions=_picture_boxes(choice, scorer.lens))  # fmt: skip

    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = [pool.submit(draw, choice) for choice in choices[:1]]
        for number, choice in enumerate(choices):
            analysis = coming.pop().result()
            coming += [pool.submit(draw, following) for following in choices[number + 1 : number + 2]]
            yield choice, analysis


def _encode(
    choice: Choice,
    analysis: PhotoAnalysis,
    stored: StoredMaps,
    answers: tuple[np.ndarray, np.ndarray],
    *,
    plan: Plan,
    classes: Sequence[str],
) -> EncodedPhoto:
    probabilities, raw = answers
    said = int(np.argmax(probabilities))
    photo = ShownPhoto(
        name=choice.name,
        group=choice.group,
        truth=choice.truth,
        answer=classes[said],
        probabilities=probabilities.tolist(),
        stored=choice.pixels,
        picture=analysis.activations.picture,
    )
    sentence = describe_answer(
        analysis,
        answer=photo.answer,
        truth=choice.truth,
        probability=float(probabilities[said]),
        classes=classes,
    )
    facts = {
        "rawProbabilities": [round(float(value), 6) for value in raw],
        "target": classes[analysis.target],
        "logOdds": rounded(analysis.log_odds),
        "probabilityTarget": rounded(analysis.probability),
        "sentence": sentence,
    }
    return encode_photo(photo, stored, facts=facts, payload=encode_analysis(analysis, plan.chosen))


def _picture_boxes(choice: Choice, lens: Lens) -> dict[str, Any]:
    """Boxes in pixels of the picture the network works on."""
    down, across = (n / m for n, m in zip(lens.picture_shape, choice.pixels.shape[:2], strict=True))
    return {
        name: (box[0] * across, box[1] * down, box[2] * across, box[3] * down) for name, box in choice.regions.items()
    }


def _note_errors(shown: Shown, lens: Lens, activations: Activations, stored: StoredMaps, plan: Plan) -> None:
    """How far values worked out from what the page holds are from the network's own."""
    whole = [block for block in lens.blocks if len(plan.chosen[block.name]) == block.num_filters]  # others are not read
    maps = {name: values for block in whole for name, values in derive_steps(block.steps, stored.decoded).items()}
    for name, recipe in plan.recipes.items():
        convolved = convolve(recipe, read_source(recipe.source, maps, activations.picture))
        expected = activations.maps[recipe.up_to or name]
        difference = _difference(follow_steps(recipe, convolved), expected, plan.chosen[name])
        error, largest = shown.errors.get(name, (0.0, 0.0))
        shown.errors[name] = (max(error, difference), max(largest, float(np.abs(expected).max())))
        if name in plan.worked:
            difference = _difference(convolved, activations.maps[name], plan.chosen[name])
            shown.map_errors[name] = max(shown.map_errors.get(name, 0.0), difference)


def _difference(values: np.ndarray, expected: np.ndarray, filters: np.ndarray) -> float:
    return float(np.abs(values - expected)[:, :, filters].max())


def _draw_layers(lens: Lens, activations: Activations, choice: Choice) -> Iterable[tuple[str, bytes]]:
    """The lecture's picture of every convolution, by file name."""
    for block in lens.blocks:
        step = block.response
        title = f"{block.name}: {block.num_filters} filters, {step.shape[0]}×{step.shape[1]}, {step.label}"
        image = draw_tiles(
            activations.maps[step.name],
            title=title,
            subtitle=f"{choice.name} · one scale for all tiles, root colors",
            rectified=step.rectified,
        )
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=6)
        yield f"{block.name.replace('/', '__')}.png", buffer.getvalue()


def _plain_name(name: str) -> str:
    """The file name of a photo in letters that every system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name.rsplit("/", 1)[-1])[-MAX_NAME:]
