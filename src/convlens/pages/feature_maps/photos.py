"""What the feature-map page says of filters, of explanations, and of each photo."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convlens.files import encode_png, round_number
from convlens.lens.arithmetic import ConvolutionRecipe, convolve, derive_steps, follow_steps, read_source
from convlens.lens.attribution import CamTarget, Occlusion, RegionEffect
from convlens.lens.filters import Estimates, FilterProfile, Patches
from convlens.lens.forward import Scorer
from convlens.lens.lens import Activations, Lens
from convlens.lens.statistics import Ablation, FilterEffects, FilterStatistics, PhotoAnalysis, analyze_photo
from convlens.lens.trust import DELETION_SHARES, Trust
from convlens.pages.feature_maps.encode import (
    EncodedPhoto,
    StoredMaps,
    as_base64,
    compact_json,
    draw_tiles,
    store_maps,
    to_json_number,
)
from convlens.pages.photos import Choice
from convlens.progress import track

# --- Facts about filters, regions and explanations ---

FACT_COLUMNS = ("mean", "maximum", "firing_rate", "active_share", "auc_mean", "selectivity", "auc_low", "auc_high")
TALLEST_BAR = 255


def encode_facts(statistics: FilterStatistics, block: str, shown: np.ndarray) -> dict[str, Any] | None:
    """Encode the cards of the filters shown of a block; None where no photos were there to measure on."""
    rows = statistics.filters[statistics.filters["layer"] == block]
    if not len(rows) or not statistics.num_sample:
        return None
    facts = rows.set_index("filter").reindex(shown)
    profile, ablation = statistics.profiles.get(block), statistics.ablations.get(block)
    patches = statistics.patches.get(block)
    return {
        "dead": [bool(value) for value in facts["dead"]],
        "prefers": [str(value) for value in facts["prefers"]],
        **{name: [to_json_number(value) for value in facts[name]] for name in FACT_COLUMNS},
        "selectivity_low": [to_json_number(2 * value - 1) for value in facts["auc_low"]],
        "selectivity_high": [to_json_number(2 * value - 1) for value in facts["auc_high"]],
        "edges": _encode_estimates(profile.edges, shown) if profile else None,
        "brightness": _encode_estimates(profile.brightness, shown) if profile else None,
        "histogram": _encode_histogram(profile, shown) if profile else None,
        "numProfilePhotos": statistics.num_profiled,
        "ablation": _encode_ablation(ablation, shown, statistics.num_ablated) if ablation else None,
        "patches": _encode_patches(patches, shown) if patches else None,
        "numPatchPhotos": statistics.num_patch_photos,
    }


def encode_regions(statistics: FilterStatistics, chosen: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Encode the regions over the held-out photos, with every filter's share of activation over share of area."""
    return [
        {
            "name": region.name,
            "numPhotos": region.num_photos,
            "share": to_json_number(region.share),
            "effect": _encode_interval(region.effect),
            "null": _encode_interval(region.null),
            "difference": _encode_interval(region.difference),
            "found": region.found,
            "ratios": {
                block: {end: as_base64(getattr(found[region.name], end)[chosen[block]])
                        for end in ("value", "low", "high")}
                for block, found in statistics.ratios.items()
            },
        }
        for region in statistics.regions
    ]  # fmt: skip


def encode_trust(trust: Trust | None) -> dict[str, Any] | None:
    """Encode the checks of explanations."""
    if trust is None:
        return None
    curves, randomization, kinds = trust.curves, trust.randomization, ("deletion", "insertion")
    return {
        "numPhotos": trust.num_photos,
        "curves": curves and {"shares": list(DELETION_SHARES)} | {
            kind: {order: {"probability": [to_json_number(value) for value in values.mean(axis=0)],
                           "area": _encode_interval(curves.area(kind, order)[0])}
                   for order, values in getattr(curves, kind).items()}
            for kind in kinds
        },
        "curvesPass": curves and curves.passes,
        "curvesDifference": curves and {kind: _encode_interval(curves.difference(kind)[0]) for kind in kinds},
        "randomization": randomization and {
            "steps": [{"layer": layer, "correlation": _encode_interval(values)}
                      for layer, values in zip(randomization.layers, randomization.steps, strict=True)],
            "final": _encode_interval(randomization.final),
            "pass": randomization.passes,
            "threshold": randomization.threshold,
        },
        "equivariance": [{"block": row.block, "pixels": row.pixels, "error": _encode_interval(row.error)}
                         for row in trust.equivariance],
    }  # fmt: skip


def _encode_interval(values: Sequence[float]) -> dict[str, float | None]:
    return dict(zip(("value", "low", "high"), map(to_json_number, values), strict=True))


def _encode_estimates(found: Estimates, shown: np.ndarray) -> list[dict[str, float | None]]:
    return [_encode_interval(found[number]) for number in shown.tolist()]


def _encode_ablation(found: Ablation, shown: np.ndarray, num_photos: int) -> dict[str, Any]:
    """Effects of the filters shown; no number for those that were not measured."""
    places = {number: place for place, number in enumerate(found.filters.tolist())}
    nothing = (np.nan, np.nan, np.nan)
    effects = {
        name: [_encode_interval(values[places[number]] if number in places else nothing) for number in shown.tolist()]
        for name, values in (("probability", found.probability), ("logOdds", found.log_odds))
    }
    return {**effects, "numPhotos": num_photos}


def _encode_histogram(profile: FilterProfile, shown: np.ndarray) -> dict[str, Any]:
    counts = profile.counts[shown]
    tallest = np.maximum(counts.max(axis=1, keepdims=True), 1)
    bars = np.maximum(np.round(TALLEST_BAR * np.sqrt(counts / tallest)), counts > 0).astype(np.uint8)
    return {
        "low": [to_json_number(value) for value in profile.low[shown]],
        "high": [to_json_number(value) for value in profile.high[shown]],
        "numBins": counts.shape[1],
        "bars": as_base64(bars),
        "numValues": [int(value) for value in counts.sum(axis=1)],
    }


def _encode_patches(patches: Patches, shown: np.ndarray) -> list[list[list[float]]]:
    """Per filter: photo, row, column, value; the photo by its number in the sample, which the gallery replaces."""
    rows = zip(patches.photo[shown], patches.row[shown], patches.column[shown], patches.value[shown], strict=True)
    return [
        [[int(photo), int(row), int(column), round_number(value, 6)]
         for photo, row, column, value in zip(*each, strict=True) if photo >= 0]
        for each in rows
    ]  # fmt: skip


# --- The analysis of one photo: Grad-CAM, occlusion, ablation, regions, and a sentence ---

GRID_LEVELS = 127
LEAST_CHANGE = 0.01  # a change of probability below one point is not worth a place in a sentence


def encode_analysis(analysis: PhotoAnalysis, chosen: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Encode the analysis of a photo for its payload."""
    return {
        "cams": {name: encode_grid(values) for name, values in analysis.cams.items()},
        "occlusion": [
            {"size": list(found.size), "stride": list(found.stride), "grid": encode_grid(found.log_odds),
             "probability": encode_grid(found.probability)}
            for found in analysis.occlusions
        ],
        "effects": {name: _encode_effects(found, chosen[name]) for name, found in analysis.effects.items()},
        "regions": [_encode_region(found) for found in analysis.regions],
    }  # fmt: skip


def encode_grid(values: np.ndarray) -> dict[str, Any]:
    """Encode values (rows, columns) as whole numbers -127..127 times a step; zero is exact."""
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    largest = float(np.abs(finite).max(initial=0))
    step = float(np.float32(largest / GRID_LEVELS)) if largest else 0.0
    whole = np.clip(np.round(finite / step), -GRID_LEVELS, GRID_LEVELS) if step else finite
    return {"shape": list(values.shape), "step": step, "values": as_base64(whole.astype(np.int8))}


def _encode_effects(found: FilterEffects, shown: np.ndarray) -> dict[str, str]:
    """Per filter shown; NaN where a filter was not measured."""
    values = {}
    for key, measured in (("probability", found.probability), ("logOdds", found.log_odds)):
        whole = np.full(int(max(shown.max(), found.filters.max())) + 1, np.nan)
        whole[found.filters] = measured
        values[key] = as_base64(whole[shown])
    return values


def _encode_region(found: RegionEffect) -> dict[str, Any]:
    null = found.null if len(found.null) else np.array([np.nan])
    return {
        "name": found.name,
        "box": [to_json_number(side) for side in found.box],
        "share": to_json_number(found.share),
        "effect": to_json_number(found.effect),
        "logOdds": to_json_number(found.log_odds),
        "null": {"value": to_json_number(null.mean()), "low": to_json_number(null.min()),
                 "high": to_json_number(null.max()), "num": len(found.null)},
    }  # fmt: skip


def describe_answer(
    analysis: PhotoAnalysis, *, answer: str, truth: str | None, probability: float, picture_shape: tuple[int, int]
) -> str:
    """Describe the answer in one plain sentence; every number in it was measured.

    Args:
        analysis: of the photo.
        answer: the class the network predicts.
        truth: its class, None if unknown.
        probability: of the answer, as shown: the mean over the views of the photo.
        picture_shape: rows and columns of the picture the network works on.
    """
    verdict = "" if truth is None else ", correct" if truth == answer else f", but the label is {truth}"
    parts = [f"The network says {answer}, {_show_percent(probability)}{verdict}"]
    if analysis.occlusions:
        parts.append(_describe_occlusion(analysis.occlusions[0], picture_shape, answer=answer, before=probability))
    if analysis.regions:
        parts.append(_describe_region(analysis.regions))
    return "; ".join(parts) + "."


def place_words(row: float, column: float) -> str:
    """Where a point at shares of the height and width lies, in words."""
    down = ("upper", "middle", "lower")[min(2, int(3 * row))]
    across = ("left", "center", "right")[min(2, int(3 * column))]
    return "in the center" if (down, across) == ("middle", "center") else f"at the {down} {across}"


def _describe_occlusion(found: Occlusion, shape: tuple[int, int], *, answer: str, before: float) -> str:
    """Where covering lowers the probability of the answer most."""
    row, column = np.unravel_index(int(found.probability.argmax()), found.probability.shape)
    size, effect = f"{found.size[1]}×{found.size[0]} pixels", float(found.probability[row, column])
    if effect < LEAST_CHANGE:
        return f"covering any box of {size} lowers that by less than one point"
    middle = ((row * found.stride[0] + found.size[0] / 2) / shape[0],
              (column * found.stride[1] + found.size[1] / 2) / shape[1])  # fmt: skip
    return (
        f"with the box of {size} {place_words(*middle)} covered, which counts most, {answer} falls from "
        f"{_show_percent(before)} to {_show_percent(before - effect)}"
    )


def _describe_region(regions: Sequence[RegionEffect]) -> str:
    """The named region that does most beyond random boxes of its size."""
    means = {found.name: float(found.null.mean()) if len(found.null) else 0.0 for found in regions}
    best = max(regions, key=lambda found: (found.effect - means[found.name], found.name))
    if best.effect < LEAST_CHANGE or best.effect <= best.null.max(initial=0.0):
        return "covering any of its named parts lowers it no more than random boxes of the same size do"
    change = round(-100 * means[best.name])
    sign_text = "\N{MINUS SIGN}" if change < 0 else "+" if change > 0 else ""
    return (
        f"of its named parts the {best.name.replace('_', ' ')} counts most: covering it lowers the probability by "
        f"{_show_points(abs(round(100 * best.effect)))}, covering random boxes of its size changes it by "
        f"{sign_text}{_show_points(abs(change))} on average"
    )


def _show_percent(share: float) -> str:
    if 0 < share < 0.01:
        return "<\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}%"
    if 0.99 < share < 1:
        return ">\N{NO-BREAK SPACE}99\N{NO-BREAK SPACE}%"
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _show_points(points: int) -> str:
    return f"{points}\N{NO-BREAK SPACE}{'point' if points == 1 else 'points'}"


# --- Every chosen photo seen through the network, as text for the page and as the lecture's pictures ---

MAX_FOLDER_NAME = 60


@dataclass(frozen=True)
class PagePlan:
    """What is shown of every photo.

    Attributes:
        chosen: filters shown, by name of the block.
        ranked: the same, the strongest first.
        cams: maps with a Grad-CAM.
        exact: blocks whose values can be worked out on the page, with kernels as the network has them.
        recipes: the same, with kernels as the page holds them.
        reasons: why a block's values cannot be worked out, by its name.
        fine: stored steps that are kept finely.
        worked: convolutions whose maps the page works out.
    """

    chosen: Mapping[str, np.ndarray]
    ranked: Mapping[str, np.ndarray]
    cams: Sequence[CamTarget]
    exact: Mapping[str, ConvolutionRecipe]
    recipes: Mapping[str, ConvolutionRecipe]
    reasons: Mapping[str, str]
    fine: frozenset[str]
    worked: frozenset[str]


@dataclass
class ShownPhotos:
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
    scorer: Scorer,
    choices: Sequence[Choice],
    probabilities: np.ndarray,
    predicted: np.ndarray,
    *,
    plan: PagePlan,
    classes: Sequence[str],
    max_bytes: int,
) -> ShownPhotos:
    """Show the network one photo after the other, until the page is full.

    Args:
        scorer: the network.
        choices: the photos.
        probabilities: calibrated, (n, classes), the mean over the views of each.
        predicted: their predicted classes, int (n,).
        plan: what is shown.
        classes: names of the classes.
        max_bytes: room on the page.

    Raises:
        ConvLensError: the opened model does not answer as the model does.
    """
    shown, lens = ShownPhotos(), scorer.lens
    seen = track(_analyze_ahead(scorer, choices, predicted, plan), total=len(choices), task="report: feature maps")
    for choice, given, answer, (activations, analysis) in zip(choices, probabilities, predicted, seen, strict=True):
        stored = store_maps(activations.maps, lens.blocks, plan.chosen, plan.fine, plan.worked)
        sentence = describe_answer(
            analysis,
            answer=classes[answer],
            truth=choice.truth,
            probability=float(given[answer]),
            picture_shape=lens.picture_shape,
        )
        facts = {
            "name": choice.name,
            "group": choice.group,
            "truth": choice.truth,
            "answer": classes[answer],
            "probabilities": [round(float(value), 6) for value in given],
            "views": [round(value, 6) for value in analysis.views],
            "storedSize": list(choice.pixels.shape[:2]),
            "pictureSize": list(activations.picture.shape[:2]),
            "sentence": sentence,
        }
        resized = not np.array_equal(choice.pixels, activations.picture)
        payload = {
            "picture": as_base64(encode_png(activations.picture)) if resized else None,
            "limits": stored.limits,
            "maps": stored.texts,
        } | encode_analysis(analysis, plan.chosen)
        pixels = as_base64(encode_png(choice.pixels))
        photo = EncodedPhoto(facts, pixels, compact_json(payload), stored.limits)
        max_bytes -= photo.num_bytes
        if max_bytes < 0:
            break
        shown.photos.append(photo)
        _note_errors(shown, lens, activations, stored, plan)
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", choice.name.rsplit("/", 1)[-1])[-MAX_FOLDER_NAME:]
        folder = f"{len(shown.photos):02d}-{name}"
        shown.pictures |= {f"{folder}/{file}": png for file, png in _draw_layers(lens, activations, choice.name)}
    return shown


def _analyze_ahead(
    scorer: Scorer, choices: Sequence[Choice], predicted: np.ndarray, plan: PagePlan
) -> Iterator[tuple[Activations, PhotoAnalysis]]:
    """Photos seen through the network, in order; each is analyzed while the one before is put into text."""
    lens = scorer.lens

    def analyze(number: int) -> tuple[Activations, PhotoAnalysis]:
        choice = choices[number]
        down, across = (n / m for n, m in zip(lens.picture_shape, choice.pixels.shape[:2], strict=True))
        regions = {name: (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
                   for name, box in choice.regions.items()}  # fmt: skip
        target = int(predicted[number])
        analysis = analyze_photo(scorer, choice.pixels, target, cams=plan.cams, filters=plan.ranked, regions=regions)
        return lens.run(choice.pixels), analysis

    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = [pool.submit(analyze, number) for number in range(min(1, len(choices)))]
        for number in range(len(choices)):
            seen = coming.pop().result()
            coming += [pool.submit(analyze, following) for following in range(number + 1, len(choices))[:1]]
            yield seen


def _note_errors(shown: ShownPhotos, lens: Lens, activations: Activations, stored: StoredMaps, plan: PagePlan) -> None:
    """Note how far values worked out from what the page holds are from the network's own."""
    whole = [block for block in lens.blocks if len(plan.chosen[block.name]) == block.num_filters]  # others are not read
    maps = {name: values for block in whole for name, values in derive_steps(block.steps, stored.decoded).items()}
    for name, recipe in plan.recipes.items():
        filters = plan.chosen[name]
        convolved = convolve(recipe, read_source(recipe.source, maps, activations.picture))
        expected = activations.maps[recipe.up_to or name]
        difference = float(np.abs(follow_steps(recipe, convolved) - expected)[:, :, filters].max())
        error, largest = shown.errors.get(name, (0.0, 0.0))
        shown.errors[name] = (max(error, difference), max(largest, float(np.abs(expected).max())))
        if name in plan.worked:
            difference = float(np.abs(convolved - activations.maps[name])[:, :, filters].max())
            shown.map_errors[name] = max(shown.map_errors.get(name, 0.0), difference)


def _draw_layers(lens: Lens, activations: Activations, photo: str) -> Iterable[tuple[str, bytes]]:
    """The lecture's picture of every convolution, by file name."""
    for block in lens.blocks:
        step = block.response
        image = draw_tiles(
            activations.maps[step.name],
            title=f"{block.name}: {block.num_filters} filters, {step.shape[0]}×{step.shape[1]}, {step.label}",
            subtitle=f"{photo} · one scale for all tiles, root colors",
            rectified=step.rectified,
        )
        yield f"{block.name.replace('/', '__')}.png", encode_png(image)
