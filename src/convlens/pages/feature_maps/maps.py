"""Make the feature-map page of photos, with the tables and pictures that go with it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.data.prepared import Prepared
from convlens.files import evenly_spaced, new_folder, round_array, round_number, write_bytes, write_csv, write_json
from convlens.lens.arithmetic import find_program, find_recipes
from convlens.lens.attribution import Box, choose_cam, find_cam_targets
from convlens.lens.filters import FILTER_COLUMNS, Estimates, measure_filters
from convlens.lens.forward import Scorer, name_logits
from convlens.lens.lens import Lens
from convlens.lens.statistics import FilterStatistics, PhotoSample, measure_filter_statistics, strongest_first
from convlens.models.inference import LOGITS, OperatingPoint, predict_probabilities
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
    MAX_MAP_VALUES,
    choose_filters,
    compact_json,
    encode_block,
    encode_field,
    is_stored,
    store_maps,
)
from convlens.pages.feature_maps.over_time import SavedWeights, TrainingHistory, show_training_history
from convlens.pages.feature_maps.page import (
    FeatureMapInputs,
    count_filters,
    encode_gallery,
    number_gallery,
    render_feature_maps,
)
from convlens.pages.feature_maps.photos import (
    PagePlan,
    ShownPhotos,
    encode_facts,
    encode_regions,
    encode_trust,
    show_photos,
)
from convlens.pages.photos import Choice, HeldOut, Unreadable, shorten_path

# --- From photos to the page ---

MAX_PAGE_BYTES = 14_500_000  # what photos, kernels and facts may take of a page of 15 MB


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """What the page shows, and how the network predicts.

    Attributes:
        classes: names.
        max_filters: shown per layer, at most.
        point: how outputs become predictions: views, and the temperature that calibrates probabilities.
        unreadable: photos to name that could not be read.
        notes: sentences to stand above everything.
        report_link: whether report.html lies beside the page.
        weights: of earlier epochs; None where there are none.
    """

    classes: Sequence[str]
    max_filters: int
    point: OperatingPoint = field(default_factory=OperatingPoint)
    unreadable: Sequence[Unreadable] = ()
    notes: Sequence[str] = ()
    report_link: bool = True
    weights: SavedWeights | None = None


@dataclass(frozen=True)
class FeatureMapContent:
    """The page before it is rendered, and what it was made of."""

    inputs: FeatureMapInputs
    statistics: FilterStatistics
    shown: ShownPhotos
    history: TrainingHistory | None = None


@dataclass(frozen=True)
class FeatureMaps:
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
    left_out: Sequence[str]

    def save(self, folder: Path) -> None:
        """Write tables, metrics and pictures, whole or not at all; the page lies beside the folder."""
        with new_folder(folder) as fresh:
            for name, table in self.tables.items():
                write_csv(fresh / name, table)
            write_json(fresh / "maps_metrics.json", self.metrics)
            for name, content in self.pictures.items():
                write_bytes(fresh / name, content)


def make_feature_maps(
    lens: Lens, choices: Sequence[Choice], sample: PhotoSample | None, settings: PageSettings
) -> FeatureMaps:
    """Measure the filters, show the network every photo, and make the page, tables and pictures.

    Args:
        lens: the opened model.
        choices: photos to show, in order.
        sample: photos to measure filters on; None to measure nothing.
        settings: what to show.

    Raises:
        ConvLensError: the opened model does not predict as the model does.
    """
    point = settings.point
    scorer = Scorer(lens, point.temperature, mirror=point.mirror, center_crop=point.center_crop)
    network = name_logits(scorer, LOGITS)

    def answer(photos: np.ndarray) -> np.ndarray:
        return predict_probabilities(network, photos, point)

    found = gather_content(scorer, choices, sample, settings, answer)
    statistics, shown, history = found.statistics, found.shown, found.history
    tables = {"filters.csv": filter_table(statistics), "regions.csv": region_table(statistics),
              "region_filters.csv": region_filter_table(statistics), "trust.csv": trust_table(statistics)}  # fmt: skip
    totals = count_filters(statistics.filters, found.inputs.encoded_blocks)
    return FeatureMaps(
        page=render_feature_maps(found.inputs),
        tables={**tables, **(history.tables if history else {})},
        metrics=describe_maps(statistics, totals, shown.errors),
        pictures={**shown.pictures, **(history.pictures if history else {})},
        num_photos=len(shown.photos),
        left_out=found.inputs.left_out,
    )


def gather_content(
    scorer: Scorer,
    choices: Sequence[Choice],
    sample: PhotoSample | None,
    settings: PageSettings,
    answer: Callable[[np.ndarray], np.ndarray],
) -> FeatureMapContent:
    """Gather everything the page shows; `answer` gives calibrated probabilities (n, classes) of photos."""
    lens = scorer.lens
    statistics = measure_filter_statistics(scorer, sample) if sample else FilterStatistics(measure_nothing())
    plan = plan_page(scorer, statistics, choices, max_filters=settings.max_filters)
    probabilities = np.empty((0, len(settings.classes)))
    if choices:
        probabilities = answer(np.stack([choice.pixels for choice in choices]))
    history = None
    if settings.weights and sample:
        history = show_training_history(
            scorer,
            settings.weights,
            choices,
            sample=sample,
            statistics=statistics,
            chosen=plan.chosen,
            answer=answer,
            probabilities=probabilities,
        )
    facts = {block.name: encode_facts(statistics, block.name, plan.chosen[block.name]) for block in lens.blocks}
    program, program_why = find_program(scorer, planned=set(plan.exact), chosen=plan.chosen)
    operations, dense = encode_program(program)
    used = number_gallery(facts)
    gallery = encode_gallery(
        [sample.training[number] for number in used] if sample else [],
        picture_shape=lens.picture_shape,
        names=[sample.training_names[number] for number in used] if sample else [],
        labels=[sample.training_labels[number] for number in used] if sample else [],
    )
    resources = {
        "kernels": compact_json({"blocks": encode_kernels(plan.exact, plan.chosen), "dense": dense}),
        "gallery": compact_json(gallery),
        **({"over-time": history.resource} if history else {}),
    }
    first = choose_cam(plan.cams)
    more = {
        "temperature": settings.point.temperature,
        "centerCrop": settings.point.center_crop,
        "camSteps": [{"name": cam.name, "shape": list(cam.shape), "field": cam.field and encode_field(cam.field)}
                     for cam in plan.cams],
        "camStep": first.name if first else None,
        "program": operations,
        "programWhy": program_why,
        "regions": encode_regions(statistics, plan.chosen),
        "numRegionPhotos": statistics.num_region_photos,
        "trust": encode_trust(statistics.trust),
    }  # fmt: skip
    room = MAX_PAGE_BYTES - sum(len(compact_json(part)) for part in (facts, more)) - sum(map(len, resources.values()))
    predicted = settings.point.predict(probabilities)
    shown = show_photos(scorer, choices, probabilities, predicted, plan=plan, classes=settings.classes, max_bytes=room)
    inputs = FeatureMapInputs(
        model_name=lens.model.name,
        num_parameters=int(lens.model.count_params()),
        classes=settings.classes,
        picture_shape=lens.picture_shape,
        blocks=lens.blocks,
        encoded_blocks=_encode_blocks(lens, statistics, plan, facts, shown),
        filters=statistics.filters,
        num_sample=statistics.num_sample,
        photos=shown.photos,
        layers=lens.layers,
        comparisons=lens.comparisons,
        skipped=lens.skipped,
        unreadable=settings.unreadable,
        notes=settings.notes,
        left_out=[choice.name for choice in choices[len(shown.photos) :]],
        mirror=settings.point.mirror,
        more=more,
        resources=resources,
        report_link=settings.report_link,
    )
    return FeatureMapContent(inputs, statistics, shown, history)


def _encode_blocks(
    lens: Lens, statistics: FilterStatistics, plan: PagePlan, facts: Mapping[str, Any], shown: ShownPhotos
) -> list[dict[str, Any]]:
    """The blocks with the facts about their filters, and how their values are made."""
    blocks = []
    for block in lens.blocks:
        name, recipe = block.name, plan.recipes.get(block.name)
        error, largest = shown.errors.get(name, (0.0, 0.0))
        arithmetic = recipe and encode_arithmetic(
            recipe,
            plan.chosen[name],
            block=name,
            error=(error, error / largest if largest else 0.0),
            map_error=shown.map_errors.get(name, 0.0) if name in plan.worked else None,
        )
        encoded = encode_block(block, statistics.filters, plan.chosen[name], worked=plan.worked)
        blocks.append(encoded | {"facts": facts[name], "arithmetic": arithmetic, "why": plan.reasons.get(name, "")})
    return blocks


# --- What finds room on the page: filters, kernels, and maps that are kept finely ---

MAX_MAP_BYTES = 900_000  # of one photo's maps: with the photo and what else is known of it, one megabyte
MAX_BYTES_PER_VALUE = 2.7  # that a finely kept value takes, as base64
MAX_BYTES_PER_FILTER = 24  # its offset and step
MAX_BYTES_PER_STEP = 600  # the heads of two PNGs
NUM_PROBED = 3
MAX_TRIES = 6


def plan_page(scorer: Scorer, statistics: FilterStatistics, choices: Sequence[Choice], *, max_filters: int) -> PagePlan:
    """Plan to show as many filters as keep every photo below a megabyte, as far as some of the photos tell.

    Args:
        scorer: the network.
        statistics: what was measured; without it, filters are ranked by the photos shown.
        choices: photos to show.
        max_filters: at most, per layer.
    """
    blocks, cams, recipes = scorer.lens.blocks, find_cam_targets(scorer), find_recipes(scorer.lens)
    ranking = statistics.filters
    if not statistics.num_sample:
        photos = np.stack([choice.pixels for choice in choices]) if choices else np.empty((0,))
        ranking = measure_nothing() if not len(photos) else measure_filters(
            scorer.lens, photos, labels=np.zeros(len(photos), dtype=np.int64), classes=("",))  # fmt: skip
    probed = [choices[i] for i in evenly_spaced(len(choices), NUM_PROBED)]
    room = MAX_MAP_VALUES
    for _ in range(MAX_TRIES):
        chosen = choose_filters(blocks, ranking, max_filters, max_values=room)
        ranked = {}
        for name, shown in chosen.items():
            order = strongest_first(statistics.filters, name) if statistics.num_sample else shown
            ranked[name] = order[np.isin(order, shown)]
        exact, reasons = plan_arithmetic(blocks, recipes, chosen)
        fine = fine_steps(blocks, exact)
        plan = PagePlan(
            chosen=chosen,
            ranked={name: order for name, order in ranked.items() if len(order)},  # none of poolings alone
            cams=cams,
            exact=exact,
            recipes=round_kernels(exact),
            reasons=reasons,
            fine=fine,
            worked=worked_convolutions(blocks, exact, fine, chosen),
        )
        most = sum(filters * (MAX_BYTES_PER_VALUE * cells + MAX_BYTES_PER_FILTER) + MAX_BYTES_PER_STEP
                   for filters, cells in _stored_steps(scorer, chosen, plan.worked))  # fmt: skip
        if most <= MAX_MAP_BYTES:
            break
        taken = max((num_map_bytes(scorer, plan, choice) for choice in probed), default=0)
        if taken <= MAX_MAP_BYTES:
            break
        values = sum(filters * cells for filters, cells in _stored_steps(scorer, chosen))
        room = int(values * MAX_MAP_BYTES / taken * 0.97)
    return plan


def num_map_bytes(scorer: Scorer, plan: PagePlan, choice: Choice) -> int:
    """Bytes that the maps of one photo take on the page."""
    maps = scorer.lens.run(choice.pixels).maps
    stored = store_maps(maps, scorer.lens.blocks, plan.chosen, plan.fine, plan.worked)
    return sum(len(text) for texts in stored.texts.values() for text in texts.values())


def _stored_steps(
    scorer: Scorer, chosen: Mapping[str, np.ndarray], worked: frozenset[str] = frozenset()
) -> Iterator[tuple[int, int]]:
    """Filters, and cells of each, of every step that is stored."""
    for block in scorer.lens.blocks:
        for index, step in enumerate(block.steps):
            if is_stored(step, index, worked):
                yield len(chosen[block.name]), step.shape[0] * step.shape[1]


# --- The photos that filters are measured on, with their named boxes ---

MAX_TRAINING_PHOTOS = 160


def gather_sample(
    data: Prepared, regions: Mapping[str, Mapping[str, Box]], *, picture_shape: tuple[int, int]
) -> PhotoSample:
    """Held-out photos, evenly taken, and training photos that patches are cut from.

    Args:
        data: prepared photos.
        regions: boxes by path and name, in pixels of the arrays.
        picture_shape: rows and columns of the picture that the network works on.
    """
    held_out = HeldOut(data)
    down, across = (side / data.loader.image_size for side in picture_shape)
    rows = data.photos("train")
    places = evenly_spaced(len(rows), MAX_TRAINING_PHOTOS)
    return PhotoSample(
        held_out=held_out,
        labels=held_out.labels,
        classes=data.classes,
        training=data.images("train")[places],
        regions=[
            {name: (left * across, top * down, right * across, bottom * down)
             for name, (left, top, right, bottom) in regions.get(path, {}).items()}
            for path in held_out.paths
        ],
        training_names=[shorten_path(path, str(data.card.get("source", ""))) for path in rows["path"].iloc[places]],
        training_labels=rows["label"].iloc[places].tolist(),
    )  # fmt: skip


def add_regions(choices: Sequence[Choice], regions: Mapping[str, Mapping[str, Box]]) -> list[Choice]:
    """The photos with the boxes that are known of them, by name."""
    return [replace(choice, regions=regions.get(choice.name, {})) for choice in choices]


# --- The facts about feature maps as files: flat tables and one list of numbers ---

INTERVAL_ENDS = ("", "_low", "_high")
FILTER_EFFECTS = ("edge_correlation", "brightness_correlation", "effect_on_probability", "effect_on_log_odds")
REGION_TABLE_COLUMNS = ("region", "num_photos", "area_share", "effect", "effect_low", "effect_high", "null", "null_low",
                        "null_high", "difference", "difference_low", "difference_high", "found")  # fmt: skip
RATIO_COLUMNS = ("layer", "filter", "region", "num_photos", "ratio", "ratio_low", "ratio_high")
TRUST_COLUMNS = ("check", "of", "num_photos", "value", "low", "high")
TRUST_METRICS = {("deletion", "saliency"): "deletion", ("deletion", "random"): "deletion_random",
                 ("deletion", "edges"): "deletion_edges", ("insertion", "saliency"): "insertion",
                 ("insertion", "random"): "insertion_random", ("insertion", "edges"): "insertion_edges",
                 ("randomization", "final"): "randomization_correlation"}  # fmt: skip


def measure_nothing() -> pd.DataFrame:
    """The table of filters without photos to measure on."""
    return filter_table(FilterStatistics(pd.DataFrame()))


def filter_table(statistics: FilterStatistics) -> pd.DataFrame:
    """One row per filter: the columns of `measure_filters`, then correlations and effects with their intervals."""
    table = statistics.filters if len(statistics.filters) else pd.DataFrame(columns=list(FILTER_COLUMNS))
    columns = {f"{name}{end}": np.full(len(table), np.nan) for name in FILTER_EFFECTS for end in INTERVAL_ENDS}
    for block, places in table.groupby("layer", sort=False).indices.items():
        profile, ablation = statistics.profiles.get(str(block)), statistics.ablations.get(str(block))
        effects: list[tuple[str, np.ndarray, Estimates]] = []
        if profile:
            everything = np.arange(len(places))
            effects += [("edge_correlation", everything, profile.edges),
                        ("brightness_correlation", everything, profile.brightness)]  # fmt: skip
        if ablation:
            effects += [("effect_on_probability", ablation.filters, ablation.probability),
                        ("effect_on_log_odds", ablation.filters, ablation.log_odds)]  # fmt: skip
        for name, filters, found in effects:
            for end, values in zip(INTERVAL_ENDS, (found.value, found.low, found.high), strict=True):
                columns[f"{name}{end}"][places[filters]] = values
    rounded = {name: round_array(values, 6) for name, values in columns.items()}
    return table.assign(
        **rounded, num_profile_photos=statistics.num_profiled, num_ablation_photos=statistics.num_ablated
    )


def region_table(statistics: FilterStatistics) -> pd.DataFrame:
    """One row per region, over the held-out photos."""
    rows = [
        (region.name, region.num_photos,
         *_six_digits(region.share, *region.effect, *region.null, *region.difference), region.found)
        for region in statistics.regions
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(REGION_TABLE_COLUMNS))


def region_filter_table(statistics: FilterStatistics) -> pd.DataFrame:
    """One row per filter and region: share of its response inside over share of the area."""
    parts = [
        pd.DataFrame({"layer": block, "filter": np.arange(len(found.value)), "region": region, "num_photos": found.num,
                      "ratio": round_array(found.value, 6), "ratio_low": round_array(found.low, 6),
                      "ratio_high": round_array(found.high, 6)})
        for block, regions in statistics.ratios.items()
        for region, found in regions.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(RATIO_COLUMNS))


def trust_table(statistics: FilterStatistics) -> pd.DataFrame:
    """One row per number that says whether explanations can be believed."""
    num_photos = statistics.trust.num_photos if statistics.trust else 0
    rows = [(check, of, num_photos, *_six_digits(*values)) for check, of, values in _list_checks(statistics)]
    return pd.DataFrame(rows, columns=list(TRUST_COLUMNS))


def describe_maps(
    statistics: FilterStatistics, totals: Mapping[str, int], errors: Mapping[str, tuple[float, float]]
) -> dict[str, float | bool]:
    """The numbers of maps_metrics.json; what was not measured is left out."""
    table, trust = statistics.filters, statistics.trust
    alive = table.loc[~table["dead"].astype(bool), "selectivity"].to_numpy(np.float64) if len(table) else np.empty(0)
    found: dict[str, float | bool] = {
        "num_filters": len(table),
        "num_dead_filters": totals["dead"],
        "share_dead_filters": round(totals["dead"] / len(table), 6) if len(table) else 0.0,
        "num_rare_filters": totals["rare"],
        "mean_selectivity": round(float(alive.mean()), 6) if alive.size else 0.0,
        "max_selectivity": round(float(alive.max()), 6) if alive.size else 0.0,
        "rebuilt_difference": 0.0,  # a difference would have stopped the report
        "max_arithmetic_error": round_number(max((error for error, _ in errors.values()), default=0.0), 2),
        "num_regions": len(statistics.regions),
        "num_regions_found": sum(region.found for region in statistics.regions),
    }
    if trust is None:
        return found
    for check, of, values in _list_checks(statistics):
        if (check, of) in TRUST_METRICS:
            found[TRUST_METRICS[check, of]] = round(float(values[0]), 6)
    if trust.curves and trust.randomization:
        found["explanation_beats_chance"] = trust.curves.passes
        found["randomization_passed"] = trust.randomization.passes
    if trust.equivariance:
        found["mean_equivariance_error"] = round(float(np.mean([row.error[0] for row in trust.equivariance])), 6)
    return found


def _list_checks(statistics: FilterStatistics) -> Iterable[tuple[str, str, tuple[float, float, float]]]:
    """Every check of the explanations: its name, what it is of, and its value with the ends of the interval."""
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
    for row in trust.equivariance:
        yield "equivariance error", row.block, row.error


def _six_digits(*values: float) -> list[float]:
    return [round_number(value, 6) for value in values]
