"""What the network makes of the chosen photos: facts about filters, the page, and the lecture's pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
import pandas as pd

from convlens.lens.adoption import name_logits
from convlens.lens.atlas import Atlas, Sample, measure_atlas
from convlens.lens.forward import Scorer
from convlens.lens.lens import Lens
from convlens.lens.program import find_program
from convlens.lens.saliency import choose_cam
from convlens.network.inference import LOGITS, apply_temperature, predict_logits
from convlens.report.feature_maps import FeatureMapInputs, count_filters, render_feature_maps
from convlens.report.feature_maps_arithmetic import encode_arithmetic, encode_kernels
from convlens.report.feature_maps_encode import compact_json, encode_blocks
from convlens.report.feature_maps_facts import encode_facts, encode_field, encode_regions, encode_trust
from convlens.report.feature_maps_gallery import encode_gallery, number_gallery
from convlens.report.feature_maps_program import encode_program
from convlens.stages.report_over_time import Backdrop, LookedBack, Past, look_back
from convlens.stages.report_photos import Choice, Unreadable
from convlens.stages.report_plan import Layout, lay_out
from convlens.stages.report_portraits import Answer, Plan, Shown, show_photos
from convlens.stages.report_tables import describe_maps, filter_table, region_filter_table, region_table, trust_table

MAX_PAGE_BYTES = 14_500_000  # what photos, kernels and facts may take of a page of 15 MB


@dataclass(frozen=True)
class Material:
    """What filters are measured on; see `convlens.lens.atlas.Sample`.

    Attributes:
        sample: held-out and training photos; None to measure nothing.
        training_names: of the training photos.
        training_labels: their classes.
    """

    sample: Sample | None = None
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
    atlas: Atlas
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
    atlas, shown = found.atlas, found.shown
    tables = {"filters.csv": filter_table(atlas), "regions.csv": region_table(atlas),
              "region_filters.csv": region_filter_table(atlas), "trust.csv": trust_table(atlas)}  # fmt: skip
    metrics = describe_maps(atlas, count_filters(atlas.filters, found.inputs.encoded_blocks), shown.errors)
    past = found.looked_back or LookedBack("", {}, {})
    page, pictures = render_feature_maps(found.inputs), {**shown.pictures, **past.pictures}
    return MapResults(page, {**tables, **past.tables}, metrics, pictures, len(shown.photos), found.inputs.left_out)


def gather_page(
    scorer: Scorer, choices: Sequence[Choice], material: Material, wanted: Wanted, answer: Answer
) -> Gathered:
    """Everything the page shows; `answer` gives calibrated and raw probabilities (n, classes) of photos."""
    lens = scorer.lens
    atlas = measure_atlas(scorer, material.sample) if material.sample else Atlas(measure_nothing())
    layout = lay_out(scorer, atlas, choices, max_filters=wanted.max_filters)
    plan = layout.plan
    facts = {block.name: _facts(atlas, block.name, plan.chosen) for block in lens.blocks}
    program, program_why = find_program(scorer, planned=set(layout.recipes), chosen=plan.chosen)
    operations, dense = encode_program(program)
    resources = {
        "kernels": compact_json({"blocks": encode_kernels(layout.recipes, plan.chosen), "dense": dense}),
        "gallery": compact_json(_gallery(lens, material, number_gallery(facts))),
    }
    backdrop = Backdrop(material.sample, atlas, plan.chosen, answer, wanted.classes)
    looked_back = look_back(scorer, wanted.past, choices, backdrop)
    resources |= {"over-time": looked_back.resource} if looked_back else {}
    more = _more(atlas, plan, wanted) | {"program": operations, "programWhy": program_why}
    room = MAX_PAGE_BYTES - sum(len(compact_json(part)) for part in (facts, more)) - sum(map(len, resources.values()))
    shown = show_photos(scorer, choices, answer, plan=plan, classes=wanted.classes, max_bytes=room)
    inputs = FeatureMapInputs(
        model_name=lens.model.name,
        num_parameters=int(lens.model.count_params()),
        classes=wanted.classes,
        picture_shape=lens.picture_shape,
        blocks=lens.blocks,
        encoded_blocks=encode_blocks(
            lens.blocks, atlas.filters, plan.chosen, _extras(facts, layout, shown), worked=plan.worked
        ),
        filters=atlas.filters,
        num_sample=atlas.num_sample,
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
    return Gathered(inputs, atlas, shown, looked_back)


def measure_nothing() -> pd.DataFrame:
    """The table of filters without photos to measure on."""
    return filter_table(Atlas(pd.DataFrame()))


def _answer(
    model: keras.Model, photos: np.ndarray, *, views: Mapping[str, Any], temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated and raw probabilities (n, classes) of photos."""
    logits = predict_logits(model, photos, **views)
    return apply_temperature(logits, temperature), apply_temperature(logits)


def _facts(atlas: Atlas, block: str, chosen: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    rows = atlas.filters[atlas.filters["layer"] == block]
    return encode_facts(rows, chosen[block], block, atlas)


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


def _more(atlas: Atlas, plan: Plan, wanted: Wanted) -> dict[str, Any]:
    first = choose_cam(plan.cams)
    return {
        "temperature": wanted.temperature,
        "centerCrop": wanted.center_crop,
        "camSteps": [{"name": cam.name, "shape": list(cam.shape), "field": encode_field(cam.field)}
                     for cam in plan.cams],
        "camStep": first.name if first else None,
        "regions": encode_regions(atlas, plan.chosen),
        "numRegionPhotos": atlas.num_region_photos,
        "trust": encode_trust(atlas.trust),
    }  # fmt: skip
