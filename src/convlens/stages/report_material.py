"""The photos that filters are measured on, with their named boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from convlens.lens.atlas import Sample, spread_places
from convlens.photos.prepared import Prepared
from convlens.stages.report_maps import Material
from convlens.stages.report_photos import Choice, HeldOut
from convlens.stages.report_regions import Box

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
    sample = Sample(
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
