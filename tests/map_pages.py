"""A small network, two photos, and the feature-map page made of them, with everything measured on a few photos."""

from dataclasses import replace
from functools import cache

import numpy as np
from lens_models import CLASSES, SIZE, photos, residual

from convlens.lens.forward import Scorer, class_probabilities
from convlens.lens.lens import Activations, Lens, Skipped, open_lens
from convlens.lens.statistics import PhotoSample
from convlens.models.inference import OperatingPoint
from convlens.pages.feature_maps.maps import FeatureMapContent, PageSettings, gather_content
from convlens.pages.feature_maps.page import FeatureMapInputs, render_feature_maps
from convlens.pages.photos import Choice, Unreadable

EVERY = 8  # filters shown of a layer: all of them, so that the page can run the network
ANSWERS = ([0.8, 0.2], [0.9, 0.1])
BOXES = {"left_ear": (2.0, 2.0, 9.0, 8.0), "tongue": (10.0, 14.0, 16.0, 20.0)}


@cache
def small_lens() -> Lens:
    """The residual test network, opened."""
    return open_lens(residual())


@cache
def runs() -> tuple[Activations, ...]:
    """What it makes of two photos."""
    return tuple(small_lens().run(photo) for photo in photos(2))


@cache
def gathered(max_filters: int = 6) -> FeatureMapContent:
    """The page's content; six of the eight filters of the deeper layers are shown."""
    pixels = photos(2)
    choices = [Choice("cat.jpg", "user", None, pixels[0], BOXES), Choice("b.png", "error", "dogs", pixels[1], {})]
    scale = small_lens().picture_shape[0] / SIZE
    boxes = {name: tuple(side * scale for side in box) for name, box in BOXES.items()}
    names = [f"train/{number}.jpg" for number in range(12)]
    labels = [CLASSES[number % 2] for number in range(12)]
    sample = PhotoSample(
        photos(6), np.array([0, 1, 0, 1, 0, 1]), CLASSES, photos(12, seed=1), [boxes] * 6, names, labels
    )
    settings = PageSettings(
        classes=CLASSES, max_filters=max_filters, unreadable=[Unreadable("broken<b>.jpg", "No image.")]
    )

    def answer(given: np.ndarray) -> np.ndarray:
        return np.array([ANSWERS[int(np.array_equal(photo, pixels[1]))] for photo in given])

    return gather_content(Scorer(small_lens()), choices, sample, settings, answer)


@cache
def contested_page() -> str:
    """The page of a photo of which the network announces another class than for its first view alone."""
    point = OperatingPoint(mirror=True, center_crop=0.75)
    model, many = residual(), photos(64, seed=2)
    scorer = Scorer(open_lens(model), mirror=True, center_crop=0.75)
    logits = model.get_layer("logits")
    logits.set_weights([logits.get_weights()[0], logits.get_weights()[1] - scorer.view_logits(many).mean()])
    scorer = Scorer(open_lens(model), mirror=True, center_crop=0.75)
    views = scorer.view_logits(many)[..., 0]
    contested = many[np.flatnonzero((views[0] > 0) != (views.mean(axis=0) > 0))[:1]]
    choices = [Choice("contested.jpg", "error", None, contested[0], {})]
    found = gather_content(scorer, choices, None, PageSettings(classes=CLASSES, max_filters=EVERY, point=point),
                           lambda given: class_probabilities(scorer.view_logits(given).mean(axis=0)))  # fmt: skip
    return render_feature_maps(found.inputs)


def page_inputs(name: str = "cat.jpg", max_filters: int = 6) -> FeatureMapInputs:
    """Everything the page needs; the first photo has the name given."""
    inputs = gathered(max_filters).inputs
    first, *others = inputs.photos
    named = replace(first, facts={**first.facts, "name": name})
    return replace(
        inputs,
        num_parameters=1234,
        photos=[named, *others],
        skipped=[Skipped("up", "Transposed.")],
        left_out=["late.jpg"],
    )


def page_text(name: str = "cat.jpg", max_filters: int = 6) -> str:
    """The page as HTML."""
    return render_feature_maps(page_inputs(name, max_filters))
