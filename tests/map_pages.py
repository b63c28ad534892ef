"""A small network, two photos, and the feature-map page made of them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from lens_models import CLASSES, photos, residual

from convlens.lens.filters import measure_filters
from convlens.lens.lens import Lens, Look, open_lens
from convlens.report.feature_maps import FeatureMapInputs, render_feature_maps
from convlens.report.feature_maps_encode import ShownPhoto, choose_filters, encode_blocks, encode_photo


@dataclass(frozen=True)
class Note:
    """Something that is not shown, and why."""

    name: str
    reason: str


@cache
def small_lens() -> Lens:
    """The residual test network, opened."""
    return open_lens(residual())


@cache
def looks() -> tuple[Look, ...]:
    """What it makes of two photos."""
    return tuple(small_lens().look(photo) for photo in photos(2))


def page_inputs(name: str = "cat.jpg", max_filters: int = 6) -> FeatureMapInputs:
    """Everything the page needs; six of the eight filters of the deeper layers are shown."""
    lens, pixels = small_lens(), photos(2)
    filters = measure_filters(lens, photos(6), labels=np.array([0, 1, 0, 1, 0, 1]), classes=CLASSES)
    chosen = choose_filters(lens.blocks, filters, max_filters)
    shown = [
        ShownPhoto(name=name, group="own", truth=None, answer="cats", probabilities=[0.8, 0.2], stored=pixels[0],
                   picture=looks()[0].picture, maps=looks()[0].maps),
        ShownPhoto(name="b.png", group="mistake", truth="dogs", answer="cats", probabilities=[0.9, 0.1],
                   stored=pixels[1], picture=looks()[1].picture, maps=looks()[1].maps),
    ]  # fmt: skip
    return FeatureMapInputs(
        model_name="residual",
        num_parameters=1234,
        classes=CLASSES,
        picture_shape=lens.picture_shape,
        blocks=lens.blocks,
        encoded_blocks=encode_blocks(lens.blocks, filters, chosen),
        filters=filters,
        num_sample=6,
        photos=[encode_photo(photo, lens.blocks, chosen) for photo in shown],
        layers=lens.layers,
        comparisons=lens.comparisons,
        skipped=[Note("up", "Transposed.")],
        unreadable=[Note("broken<b>.jpg", "No image.")],
        left_out=["late.jpg"],
    )


def page_text(name: str = "cat.jpg") -> str:
    """The page as HTML."""
    return render_feature_maps(page_inputs(name))
