"""The network after earlier epochs, shown the photos of the page: snapshots of `train` put into words and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from convlens.lens.atlas import Atlas, Sample, spread, strongest_first
from convlens.lens.blocks import Block
from convlens.lens.forward import Scorer
from convlens.lens.over_time import Moment, Watched, choose_layers, follow, formed_at
from convlens.report.feature_maps_over_time import OverTime, ShownLayer, answer_table, encode_over_time, layer_table
from convlens.report.feature_maps_over_time_pictures import draw_epochs
from convlens.stages.report_photos import Choice
from convlens.stages.report_portraits import Answer

NUM_FILTERS = 4  # shown of each layer
NUM_SAMPLE = 48
MAX_BYTES = 1_000_000  # of the page; photos at the end are left out of this view


@dataclass(frozen=True)
class Past:
    """The training behind a network.

    Attributes:
        snapshots: weights by epoch.
        kept_epoch: the epoch whose weights the network has.
    """

    snapshots: Mapping[int, Sequence[np.ndarray]]
    kept_epoch: int


@dataclass(frozen=True)
class Backdrop:
    """What is known of the network as it is.

    Attributes:
        sample: photos that rates and correlations are measured on.
        atlas: says which filters have the largest effect.
        chosen: filters on the page, by name of the block.
        answer: calibrated and raw probabilities (n, classes) of photos.
        classes: names.
    """

    sample: Sample | None
    atlas: Atlas
    chosen: Mapping[str, np.ndarray]
    answer: Answer
    classes: Sequence[str]


@dataclass(frozen=True)
class LookedBack:
    """What is told of the training: JSON for the page, tables and pictures by file name."""

    resource: str
    tables: Mapping[str, pd.DataFrame]
    pictures: Mapping[str, bytes]


def look_back(scorer: Scorer, past: Past | None, choices: Sequence[Choice], backdrop: Backdrop) -> LookedBack | None:
    """Show the network of every snapshot the photos; None without snapshots, photos, convolutions or a sample."""
    blocks, sample = choose_layers(scorer.lens.blocks), backdrop.sample
    if past is None or not past.snapshots or not choices or not blocks or sample is None or not len(sample.labels):
        return None
    shown = [_shown_layer(block, backdrop.atlas, backdrop.chosen[block.name]) for block in blocks]
    watched = Watched(
        photos=np.stack([choice.pixels for choice in choices]),
        sample=spread(sample.held_out, NUM_SAMPLE),
        chosen={layer.name: layer.filters for layer in shown},
        answer=lambda photos: backdrop.answer(photos)[0],
    )
    moments = follow(scorer, past.snapshots, past.kept_epoch, watched)
    names = [choice.name for choice in choices]
    found = OverTime(moments, shown, _formed(moments), backdrop.classes, names, len(watched.sample))
    tables = {"over_time.csv": layer_table(found), "over_time_answers.csv": answer_table(found)}
    return LookedBack(encode_over_time(found, max_bytes=MAX_BYTES), tables, draw_epochs(found))


def _shown_layer(block: Block, atlas: Atlas, chosen: np.ndarray) -> ShownLayer:
    step = block.response
    filters = _most_wanted(block, atlas, chosen)[:NUM_FILTERS]
    return ShownLayer(block.name, step.label, step.rectified, step.shape[:2], filters)


def _most_wanted(block: Block, atlas: Atlas, chosen: np.ndarray) -> np.ndarray:
    """Filters of the page, those first that move the answer most when they are switched off, else the strongest."""
    ablation = atlas.ablations.get(block.name)
    if ablation is not None and len(ablation.filters):
        sizes = np.nan_to_num(np.abs(ablation.log_odds.value))
        order = ablation.filters[np.lexsort((ablation.filters, -np.round(sizes, 6)))]
    else:
        order = strongest_first(atlas.filters, block.name) if atlas.num_sample else chosen
    return np.asarray(order[np.isin(order, chosen)], dtype=np.int64)


def _formed(moments: Sequence[Moment]) -> dict[str, np.ndarray]:
    """From which moment on every filter of every layer is what it is in the end."""
    last = next(place for place, moment in enumerate(moments) if moment.is_kept)
    return {
        name: formed_at(np.stack([moment.layers[name].correlation for moment in moments[: last + 1]]))
        for name in moments[last].layers
    }
