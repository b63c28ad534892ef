"""What the network makes of the chosen photos: facts about filters, the page, and the lecture's pictures."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from convlens.lens.filters import measure_filters
from convlens.lens.lens import Lens, Look
from convlens.network.inference import predict_probabilities
from convlens.progress import track
from convlens.report.feature_maps import FeatureMapInputs, count_filters, render_feature_maps
from convlens.report.feature_maps_encode import (
    EncodedPhoto,
    ShownPhoto,
    choose_filters,
    encode_blocks,
    encode_photo,
)
from convlens.report.feature_maps_pictures import draw_tiles
from convlens.stages.report_photos import Choice, HeldOut, Unreadable

MAX_PAGE_BYTES = 14_500_000  # what photos may take of a page of 15 MB


@dataclass(frozen=True)
class MapResults:
    """Everything about feature maps, ready to be written."""

    page: str
    filters: pd.DataFrame
    metrics: Mapping[str, float]
    pictures: Mapping[str, bytes]
    num_photos: int
    left_out: Sequence[str]


def make_maps(
    lens: Lens,
    choices: Sequence[Choice],
    sample: HeldOut,
    *,
    classes: Sequence[str],
    max_filters: int,
    mirror: bool,
    unreadable: Sequence[Unreadable] = (),
) -> MapResults:
    """Show the network every photo, one after the other, and gather pages, tables and pictures.

    Raises:
        ConvLensError: the opened model does not answer as the model does.
    """
    filters = measure_filters(lens, sample, labels=sample.labels, classes=classes)
    chosen = choose_filters(lens.blocks, filters, max_filters)
    blocks = encode_blocks(lens.blocks, filters, chosen)
    photos: list[EncodedPhoto] = []
    pictures: dict[str, bytes] = {}
    room = MAX_PAGE_BYTES
    for choice in track(choices, total=len(choices), task="report: feature maps"):
        look = lens.look(choice.pixels)
        pictures = pictures or _draw_layers(lens, look, choice.name)
        probabilities = predict_probabilities(lens.model, choice.pixels[np.newaxis], mirror=mirror)[0]
        photo = encode_photo(_shown(choice, look, classes, probabilities), lens.blocks, chosen)
        room -= photo.num_bytes
        if room < 0:
            break
        photos.append(photo)
    left_out = [choice.name for choice in choices[len(photos) :]]
    inputs = FeatureMapInputs(
        model_name=lens.model.name,
        num_parameters=int(lens.model.count_params()),
        classes=classes,
        picture_shape=lens.picture_shape,
        blocks=lens.blocks,
        encoded_blocks=blocks,
        filters=filters,
        num_sample=len(sample),
        photos=photos,
        layers=lens.layers,
        comparisons=lens.comparisons,
        skipped=lens.skipped,
        unreadable=unreadable,
        left_out=left_out,
        mirror=mirror,
    )
    metrics = _metrics(filters, count_filters(filters, blocks))
    return MapResults(render_feature_maps(inputs), filters, metrics, pictures, len(photos), left_out)


def _shown(choice: Choice, look: Look, classes: Sequence[str], probabilities: np.ndarray) -> ShownPhoto:
    return ShownPhoto(
        name=choice.name,
        group=choice.group,
        truth=choice.truth,
        answer=classes[int(np.argmax(probabilities))],
        probabilities=probabilities.tolist(),
        stored=choice.pixels,
        picture=look.picture,
        maps=look.maps,
    )


def _draw_layers(lens: Lens, look: Look, photo: str) -> dict[str, bytes]:
    """The lecture's picture of every convolution, by file name."""
    pictures = {}
    for block in lens.blocks:
        step = block.response
        title = f"{block.name}: {block.num_filters} filters, {step.shape[0]}×{step.shape[1]}, {step.label}"
        image = draw_tiles(
            look.maps[step.name],
            title=title,
            subtitle=f"{photo} · one scale for all tiles, root colours",
            rectified=step.rectified,
        )
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=9)
        pictures[f"{block.name.replace('/', '__')}.png"] = buffer.getvalue()
    return pictures


def _metrics(filters: pd.DataFrame, totals: Mapping[str, int]) -> dict[str, float]:
    num_filters = len(filters)
    alive: Iterable[float] = filters.loc[~filters["dead"].astype(bool), "selectivity"] if num_filters else []
    selectivity = np.asarray(list(alive), dtype=np.float64)
    return {
        "num_filters": num_filters,
        "num_dead_filters": totals["dead"],
        "share_dead_filters": round(totals["dead"] / num_filters, 6) if num_filters else 0.0,
        "num_rare_filters": totals["rare"],
        "mean_selectivity": round(float(selectivity.mean()), 6) if selectivity.size else 0.0,
        "max_selectivity": round(float(selectivity.max()), 6) if selectivity.size else 0.0,
    }
