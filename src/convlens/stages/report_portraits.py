"""Every chosen photo seen through the network, as text for the page and as the lecture's pictures."""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convlens.lens.forward import Scorer
from convlens.lens.kernels import Recipe
from convlens.lens.lens import Lens, Look
from convlens.lens.portrait import Portrait, draw_portrait
from convlens.lens.saliency import CamTarget
from convlens.lens.sources import read_source
from convlens.lens.worked import convolve, derive_steps, follow_steps
from convlens.progress import track
from convlens.report.feature_maps_encode import EncodedPhoto, ShownPhoto, StoredMaps, encode_photo, store_maps
from convlens.report.feature_maps_facts import rounded
from convlens.report.feature_maps_pictures import draw_tiles
from convlens.report.feature_maps_portrait import describe_answer, encode_portrait
from convlens.stages.report_photos import Choice

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
    recipes: Mapping[str, Recipe]
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
    portraits = track(_draw_portraits(scorer, choices, plan), total=len(choices), task="report: feature maps")
    for choice, portrait in portraits:
        stored = store_maps(portrait.look.maps, scorer.lens.blocks, plan.chosen, plan.fine, plan.worked)
        calibrated, raw = answer(choice.pixels[np.newaxis])
        photo = _encode(choice, portrait, stored, (calibrated[0], raw[0]), plan=plan, classes=classes)
        max_bytes -= photo.num_bytes
        if max_bytes < 0:
            break
        shown.photos.append(photo)
        _note_errors(shown, scorer.lens, portrait.look, stored, plan)
        folder = f"{len(shown.photos):02d}-{_plain_name(choice.name)}"
        shown.pictures |= {f"{folder}/{name}": png for name, png in _draw_layers(scorer.lens, portrait.look, choice)}
    return shown


def _draw_portraits(scorer: Scorer, choices: Sequence[Choice], plan: Plan) -> Iterator[tuple[Choice, Portrait]]:
    """Photos with their portraits, in order; each is drawn while the one before is put into text."""

    def draw(choice: Choice) -> Portrait:
        return draw_portrait(scorer, choice.pixels, cams=plan.cams, filters=plan.ranked,
                             regions=_picture_boxes(choice, scorer.lens))  # fmt: skip

    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = [pool.submit(draw, choice) for choice in choices[:1]]
        for number, choice in enumerate(choices):
            portrait = coming.pop().result()
            coming += [pool.submit(draw, following) for following in choices[number + 1 : number + 2]]
            yield choice, portrait


def _encode(
    choice: Choice,
    portrait: Portrait,
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
        picture=portrait.look.picture,
    )
    sentence = describe_answer(
        portrait,
        answer=photo.answer,
        truth=choice.truth,
        probability=float(probabilities[said]),
        classes=classes,
    )
    facts = {
        "rawProbabilities": [round(float(value), 6) for value in raw],
        "target": classes[portrait.target],
        "logOdds": rounded(portrait.log_odds),
        "probabilityTarget": rounded(portrait.probability),
        "sentence": sentence,
    }
    return encode_photo(photo, stored, facts=facts, payload=encode_portrait(portrait, plan.chosen))


def _picture_boxes(choice: Choice, lens: Lens) -> dict[str, Any]:
    """Boxes in pixels of the picture the network works on."""
    down, across = (n / m for n, m in zip(lens.picture_shape, choice.pixels.shape[:2], strict=True))
    return {
        name: (box[0] * across, box[1] * down, box[2] * across, box[3] * down) for name, box in choice.regions.items()
    }


def _note_errors(shown: Shown, lens: Lens, look: Look, stored: StoredMaps, plan: Plan) -> None:
    """How far values worked out from what the page holds are from the network's own."""
    whole = [block for block in lens.blocks if len(plan.chosen[block.name]) == block.num_filters]  # others are not read
    maps = {name: values for block in whole for name, values in derive_steps(block.steps, stored.decoded).items()}
    for name, recipe in plan.recipes.items():
        convolved = convolve(recipe, read_source(recipe.source, maps, look.picture))
        expected = look.maps[recipe.up_to or name]
        difference = _difference(follow_steps(recipe, convolved), expected, plan.chosen[name])
        error, largest = shown.errors.get(name, (0.0, 0.0))
        shown.errors[name] = (max(error, difference), max(largest, float(np.abs(expected).max())))
        if name in plan.worked:
            difference = _difference(convolved, look.maps[name], plan.chosen[name])
            shown.map_errors[name] = max(shown.map_errors.get(name, 0.0), difference)


def _difference(values: np.ndarray, expected: np.ndarray, filters: np.ndarray) -> float:
    return float(np.abs(values - expected)[:, :, filters].max())


def _draw_layers(lens: Lens, look: Look, choice: Choice) -> Iterable[tuple[str, bytes]]:
    """The lecture's picture of every convolution, by file name."""
    for block in lens.blocks:
        step = block.response
        title = f"{block.name}: {block.num_filters} filters, {step.shape[0]}×{step.shape[1]}, {step.label}"
        image = draw_tiles(
            look.maps[step.name],
            title=title,
            subtitle=f"{choice.name} · one scale for all tiles, root colours",
            rectified=step.rectified,
        )
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=6)
        yield f"{block.name.replace('/', '__')}.png", buffer.getvalue()


def _plain_name(name: str) -> str:
    """The file name of a photo in letters that every system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name.rsplit("/", 1)[-1])[-MAX_NAME:]
