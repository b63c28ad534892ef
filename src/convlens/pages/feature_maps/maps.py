"""Plan and make the feature maps of photos."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import keras
import numpy as np
import pandas as pd

from convlens.data.prepared import Prepared
from convlens.lens.arithmetic import find_program, find_recipes
from convlens.lens.attribution import choose_cam, find_cam_targets
from convlens.lens.filters import COLUMNS, measure_filters
from convlens.lens.forward import Scorer, name_logits
from convlens.lens.lens import Lens
from convlens.lens.statistics import (
    FilterStatistics,
    PhotoSample,
    measure_filter_statistics,
    spread_places,
    strongest_first,
)
from convlens.models.inference import LOGITS, apply_temperature, predict_logits
from convlens.pages.feature_maps.arithmetic import (
    encode_arithmetic,
    encode_kernels,
    encode_program,
    fine_steps,
    plan_arithmetic,
    round_kernels,
    worked_convolutions,
)
from convlens.pages.feature_maps.encode import (
    MAX_VALUES,
    choose_filters,
    compact_json,
    encode_blocks,
    is_stored,
    store_maps,
)
from convlens.pages.feature_maps.over_time import Backdrop, LookedBack, Past, look_back
from convlens.pages.feature_maps.page import (
    FeatureMapInputs,
    count_filters,
    encode_gallery,
    number_gallery,
    render_feature_maps,
)
from convlens.pages.feature_maps.photos import (
    Answer,
    Plan,
    Shown,
    encode_facts,
    encode_field,
    encode_regions,
    encode_trust,
    show_photos,
)
from convlens.pages.photos import Box, Choice, HeldOut, Unreadable

# --- The facts about feature maps as files: flat tables and one list of numbers ---

MEASURES = ("edge_correlation", "brightness_correlation", "effect_on_probability", "effect_on_log_odds")
ENDS = ("", "_low", "_high")
REGION_COLUMNS = ("region", "num_photos", "area_share", "effect", "effect_low", "effect_high", "null", "null_low",
                  "null_high", "difference", "difference_low", "difference_high", "found")  # fmt: skip
RATIO_COLUMNS = ("layer", "filter", "region", "num_photos", "ratio", "ratio_low", "ratio_high")
TRUST_COLUMNS = ("check", "of", "num_photos", "value", "low", "high")


def filter_table(statistics: FilterStatistics) -> pd.DataFrame:
    """One row per filter: the columns of `measure_filters`, then correlations and effects with their intervals."""
    table = statistics.filters if len(statistics.filters) else pd.DataFrame(columns=list(COLUMNS))
    columns = {f"{name}{end}": np.full(len(table), np.nan) for name in MEASURES for end in ENDS}
    for block, places in table.groupby("layer", sort=False).indices.items():
        for name, number, values in _measures(statistics, str(block), len(places)):
            for end, value in zip(ENDS, values, strict=True):
                columns[f"{name}{end}"][places[number]] = value
    rounded = {name: _rounded(values) for name, values in columns.items()}
    return table.assign(
        **rounded, num_profile_photos=statistics.num_profiled, num_ablation_photos=statistics.num_ablated
    )


def region_table(statistics: FilterStatistics) -> pd.DataFrame:
    """One row per region, over the held-out photos."""
    rows = [
        (region.name, region.num_photos, *_rounded([region.share, *region.effect, *region.null, *region.difference]),
         region.found)
        for region in statistics.regions
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(REGION_COLUMNS))


def region_filter_table(statistics: FilterStatistics) -> pd.DataFrame:
    """One row per filter and region: share of its response inside over share of the area."""
    parts = [
        pd.DataFrame({"layer": block, "filter": np.arange(len(found.value)), "region": region, "num_photos": found.num,
                      "ratio": _rounded(found.value), "ratio_low": _rounded(found.low),
                      "ratio_high": _rounded(found.high)})
        for block, regions in statistics.ratios.items()
        for region, found in regions.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(RATIO_COLUMNS))


def trust_table(statistics: FilterStatistics) -> pd.DataFrame:
    """One row per number that says whether explanations can be believed."""
    trust = statistics.trust
    num_photos = trust.num_photos if trust else 0
    rows = [(check, of, num_photos, *_rounded(values)) for check, of, values in _checks(statistics)]
    return pd.DataFrame(rows, columns=list(TRUST_COLUMNS))


def describe_maps(
    statistics: FilterStatistics, totals: Mapping[str, int], errors: Mapping[str, tuple[float, float]]
) -> dict[str, float | bool]:
    """The numbers of maps_metrics.json; what was not measured is left out."""
    table = statistics.filters
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
    found["num_regions"] = len(statistics.regions)
    found["num_regions_found"] = sum(region.found for region in statistics.regions)
    return found | _trust_metrics(statistics)


def _trust_metrics(statistics: FilterStatistics) -> dict[str, float | bool]:
    names = {("deletion", "saliency"): "deletion", ("deletion", "random"): "deletion_random",
             ("deletion", "edges"): "deletion_edges", ("insertion", "saliency"): "insertion",
             ("insertion", "random"): "insertion_random", ("insertion", "edges"): "insertion_edges",
             ("randomization", "final"): "randomisation_correlation"}  # fmt: skip
    if statistics.trust is None:
        return {}
    found: dict[str, float | bool] = {
        names[check, of]: round(float(values[0]), 6)
        for check, of, values in _checks(statistics)
        if (check, of) in names
    }
    if statistics.trust.curves and statistics.trust.randomization:
        found["explanation_beats_chance"] = statistics.trust.curves.passes
        found["randomisation_passed"] = statistics.trust.randomization.passes
    found["shift_consistency"] = (
        round(float(np.mean(statistics.trust.shift.same)), 6) if statistics.trust.shift.same else 1.0
    )
    errors = [row.error[0] for row in statistics.trust.equivariance]
    return found | ({"mean_equivariance_error": round(float(np.mean(errors)), 6)} if errors else {})


def _measures(
    statistics: FilterStatistics, block: str, count: int
) -> Iterable[tuple[str, int, tuple[float, float, float]]]:
    """Name of the measure, number of the filter, value with its ends."""
    profile, ablation = statistics.profiles.get(block), statistics.ablations.get(block)
    if profile:
        for number in range(count):
            yield "edge_correlation", number, profile.edges[number]
            yield "brightness_correlation", number, profile.brightness[number]
    if ablation:
        for place, number in enumerate(ablation.filters.tolist()):
            yield "effect_on_probability", number, ablation.probability[place]
            yield "effect_on_log_odds", number, ablation.log_odds[place]


def _checks(statistics: FilterStatistics) -> Iterable[tuple[str, str, tuple[float, float, float]]]:
    trust = statistics.trust
    if trust is None:
        return
    if trust.curves:
        for kind in ("deletion", "insertion"):
            for order in trust.curves.deletion:
                yield kind, order, trust.curves.area(kind, order)[0]
            yield kind, "saliency - random", trust.curves.difference(kind)[0]
    if trust.randomization:
        for layer, values in zip(trust.randomization.layers, trust.randomization.steps, strict=True):
            yield "randomization", layer, values
        yield "randomization", "final", trust.randomization.final
    for pixels, same, change in zip(trust.shift.pixels, trust.shift.same, trust.shift.change, strict=True):
        yield "same answer when shifted", f"{pixels} pixels", (same, np.nan, np.nan)
        yield "change of probability when shifted", f"{pixels} pixels", (change, np.nan, np.nan)
    for row in trust.equivariance:
        yield "equivariance error", row.block, row.error


def _rounded(values: Any) -> list[float]:
    """Six significant digits: what is beyond differs from processor to processor."""
    return [float(f"{float(value):.6g}") for value in values]


# --- What of a network finds room on the feature-map page: filters, kernels, and maps that are kept finely ---

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


def lay_out(scorer: Scorer, statistics: FilterStatistics, choices: Sequence[Choice], *, max_filters: int) -> Layout:
    """As many filters as keep every photo below a megabyte, as far as some of the photos tell.

    Args:
        scorer: the network.
        statistics: what was measured; without it, filters are ranked by the photos shown.
        choices: photos to show.
        max_filters: at most, per layer.
    """
    ranking = statistics.filters if statistics.num_sample else _rank_by_photos(scorer, choices)
    probed = [choices[i] for i in spread_places(len(choices), NUM_PROBED)]
    room = MAX_VALUES
    for _ in range(TRIES):
        chosen = choose_filters(scorer.lens.blocks, ranking, max_filters, max_values=room)
        layout = _lay_out(scorer, statistics, chosen)
        taken = _measure(scorer, layout.plan, probed)
        if taken <= MAX_MAP_BYTES:
            break
        room = int(_num_values(scorer, chosen) * MAX_MAP_BYTES / taken * 0.97)
    return layout


def _lay_out(scorer: Scorer, statistics: FilterStatistics, chosen: Mapping[str, np.ndarray]) -> Layout:
    blocks = scorer.lens.blocks
    recipes, reasons = plan_arithmetic(blocks, find_recipes(scorer.lens), chosen)
    fine = fine_steps(blocks, recipes)
    worked = worked_convolutions(blocks, recipes, fine, chosen)
    cams = find_cam_targets(scorer)
    plan = Plan(chosen, _ranked(statistics, chosen), cams, round_kernels(recipes), fine, worked)
    return Layout(plan, recipes, reasons)


def _ranked(statistics: FilterStatistics, chosen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The filters shown, the strongest first; those of poolings alone are none."""
    ranked = {}
    for name, shown in chosen.items():
        order = strongest_first(statistics.filters, name) if statistics.num_sample else shown
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
    maps = scorer.lens.run(choice.pixels).maps
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


# --- What the network makes of the chosen photos: facts about filters, the page, and the lecture's pictures ---

MAX_PAGE_BYTES = 14_500_000  # what photos, kernels and facts may take of a page of 15 MB


@dataclass(frozen=True)
class Material:
    """What filters are measured on; see `convlens.lens.statistics.PhotoSample`.

    Attributes:
        sample: held-out and training photos; None to measure nothing.
        training_names: of the training photos.
        training_labels: their classes.
    """

    sample: PhotoSample | None = None
    training_names: Sequence[str] = ()
    training_labels: Sequence[str] = ()


@dataclass(frozen=True)
class MapResults:
    """Everything about feature maps, ready to be written.

    Attributes:
        page: HTML.
        tables: by file name.
        metrics: numbers of maps_metrics.json.
        pictures: PNG by path below the folder of feature maps.
        num_photos: on the page.
        left_out: names of photos that found no room.
    """

    page: str
    tables: Mapping[str, pd.DataFrame]
    metrics: Mapping[str, Any]
    pictures: Mapping[str, bytes]
    num_photos: int
    left_out: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the page is to show; see `make_maps`."""

    classes: Sequence[str]
    max_filters: int
    mirror: bool = False
    center_crop: float | None = None
    temperature: float = 1.0
    unreadable: Sequence[Unreadable] = ()
    report_link: bool = True
    past: Past | None = None


@dataclass(frozen=True)
class Gathered:
    """The page before it is written, and what it was made of."""

    inputs: FeatureMapInputs
    statistics: FilterStatistics
    shown: Shown
    looked_back: LookedBack | None = None


def make_maps(lens: Lens, choices: Sequence[Choice], material: Material, **wanted: Any) -> MapResults:
    """Measure the filters, show the network every photo, and make the page, tables and pictures.

    Args:
        lens: the opened model.
        choices: photos to show, in order.
        material: photos to measure on.
        wanted: the fields of `Wanted`: `classes` (names), `max_filters` (shown per layer), `mirror` (whether answers
            take the mirror image in), `temperature` (that calibrates them), `unreadable` (photos to name),
            `report_link` (whether report.html lies beside the page), `past` (snapshots of the training).

    Raises:
        ConvLensError: the opened model does not answer as the model does.
    """
    settings = Wanted(**wanted)
    scorer = Scorer(lens, settings.temperature)
    answer = partial(
        _answer,
        name_logits(scorer, LOGITS),
        views={"mirror": settings.mirror, "center_crop": settings.center_crop},
        temperature=settings.temperature,
    )
    found = gather_page(scorer, choices, material, settings, answer)
    statistics, shown = found.statistics, found.shown
    tables = {"filters.csv": filter_table(statistics), "regions.csv": region_table(statistics),
              "region_filters.csv": region_filter_table(statistics), "trust.csv": trust_table(statistics)}  # fmt: skip
    metrics = describe_maps(statistics, count_filters(statistics.filters, found.inputs.encoded_blocks), shown.errors)
    past = found.looked_back or LookedBack("", {}, {})
    page, pictures = render_feature_maps(found.inputs), {**shown.pictures, **past.pictures}
    return MapResults(page, {**tables, **past.tables}, metrics, pictures, len(shown.photos), found.inputs.left_out)


def gather_page(
    scorer: Scorer, choices: Sequence[Choice], material: Material, wanted: Wanted, answer: Answer
) -> Gathered:
    """Everything the page shows; `answer` gives calibrated and raw probabilities (n, classes) of photos."""
    lens = scorer.lens
    statistics = (
        measure_filter_statistics(scorer, material.sample) if material.sample else FilterStatistics(measure_nothing())
    )
    layout = lay_out(scorer, statistics, choices, max_filters=wanted.max_filters)
    plan = layout.plan
    facts = {block.name: _facts(statistics, block.name, plan.chosen) for block in lens.blocks}
    program, program_why = find_program(scorer, planned=set(layout.recipes), chosen=plan.chosen)
    operations, dense = encode_program(program)
    resources = {
        "kernels": compact_json({"blocks": encode_kernels(layout.recipes, plan.chosen), "dense": dense}),
        "gallery": compact_json(_gallery(lens, material, number_gallery(facts))),
    }
    backdrop = Backdrop(material.sample, statistics, plan.chosen, answer, wanted.classes)
    looked_back = look_back(scorer, wanted.past, choices, backdrop)
    resources |= {"over-time": looked_back.resource} if looked_back else {}
    more = _more(statistics, plan, wanted) | {"program": operations, "programWhy": program_why}
    room = MAX_PAGE_BYTES - sum(len(compact_json(part)) for part in (facts, more)) - sum(map(len, resources.values()))
    shown = show_photos(scorer, choices, answer, plan=plan, classes=wanted.classes, max_bytes=room)
    inputs = FeatureMapInputs(
        model_name=lens.model.name,
        num_parameters=int(lens.model.count_params()),
        classes=wanted.classes,
        picture_shape=lens.picture_shape,
        blocks=lens.blocks,
        encoded_blocks=encode_blocks(
            lens.blocks, statistics.filters, plan.chosen, _extras(facts, layout, shown), worked=plan.worked
        ),
        filters=statistics.filters,
        num_sample=statistics.num_sample,
        photos=shown.photos,
        layers=lens.layers,
        comparisons=lens.comparisons,
        skipped=lens.skipped,
        unreadable=wanted.unreadable,
        left_out=[choice.name for choice in choices[len(shown.photos) :]],
        mirror=wanted.mirror,
        more=more,
        resources=resources,
        report_link=wanted.report_link,
    )
    return Gathered(inputs, statistics, shown, looked_back)


def measure_nothing() -> pd.DataFrame:
    """The table of filters without photos to measure on."""
    return filter_table(FilterStatistics(pd.DataFrame()))


def _answer(
    model: keras.Model, photos: np.ndarray, *, views: Mapping[str, Any], temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated and raw probabilities (n, classes) of photos."""
    logits = predict_logits(model, photos, **views)
    return apply_temperature(logits, temperature), apply_temperature(logits)


def _facts(statistics: FilterStatistics, block: str, chosen: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    rows = statistics.filters[statistics.filters["layer"] == block]
    return encode_facts(rows, chosen[block], block, statistics)


def _gallery(lens: Lens, material: Material, used: Iterable[int]) -> dict[str, Any]:
    numbers = list(used)
    photos = material.sample.training if material.sample else ()
    return encode_gallery(
        [photos[number : number + 1][0] for number in numbers],
        picture_shape=lens.picture_shape,
        names=[material.training_names[number] for number in numbers],
        labels=[material.training_labels[number] for number in numbers],
    )


def _extras(facts: Mapping[str, Any], layout: Layout, shown: Shown) -> dict[str, dict[str, Any]]:
    """What the page says of a block besides its steps."""
    plan = layout.plan
    found: dict[str, dict[str, Any]] = {}
    for name, known in facts.items():
        recipe = plan.recipes.get(name)
        error, largest = shown.errors.get(name, (0.0, 0.0))
        arithmetic = recipe and encode_arithmetic(
            recipe,
            plan.chosen[name],
            block=name,
            error=(error, error / largest if largest else 0.0),
            map_error=shown.map_errors.get(name, 0.0) if name in plan.worked else None,
        )
        found[name] = {"facts": known, "arithmetic": arithmetic, "why": layout.reasons.get(name, "")}
    return found


def _more(statistics: FilterStatistics, plan: Plan, wanted: Wanted) -> dict[str, Any]:
    first = choose_cam(plan.cams)
    return {
        "temperature": wanted.temperature,
        "centerCrop": wanted.center_crop,
        "camSteps": [{"name": cam.name, "shape": list(cam.shape), "field": encode_field(cam.field)}
                     for cam in plan.cams],
        "camStep": first.name if first else None,
        "regions": encode_regions(statistics, plan.chosen),
        "numRegionPhotos": statistics.num_region_photos,
        "trust": encode_trust(statistics.trust),
    }  # fmt: skip


# --- The photos that filters are measured on, with their named boxes ---

MAX_TRAINING = 160


def gather_material(
    data: Prepared, regions: Mapping[str, Mapping[str, Box]], *, picture_shape: tuple[int, int]
) -> Material:
    """Held-out photos, evenly taken, and training photos that patches are cut from.

    Args:
        data: prepared photos.
        regions: boxes by path and name, in pixels of the arrays.
        picture_shape: rows and columns of the picture that the network works on.
    """
    held_out = HeldOut(data)
    scale = (picture_shape[0] / data.loader.image_size, picture_shape[1] / data.loader.image_size)
    rows = data.photos("train")
    places = spread_places(len(rows), MAX_TRAINING)
    chosen = rows.iloc[places]
    sample = PhotoSample(
        held_out=held_out,
        labels=held_out.labels,
        classes=data.classes,
        training=data.images("train")[np.array(places, dtype=np.int64)],
        regions=[_scaled(regions.get(path, {}), scale) for path in held_out.paths],
    )
    return Material(sample, chosen["path"].tolist(), chosen["label"].tolist())


def add_regions(choices: Sequence[Choice], regions: Mapping[str, Mapping[str, Box]]) -> list[Choice]:
    """The photos with the boxes that are known of them, by name."""
    return [replace(choice, regions=regions.get(choice.name, {})) for choice in choices]


def _scaled(boxes: Mapping[str, Box], scale: tuple[float, float]) -> dict[str, Box]:
    down, across = scale
    return {name: (left * across, top * down, right * across, bottom * down)
            for name, (left, top, right, bottom) in boxes.items()}  # fmt: skip
