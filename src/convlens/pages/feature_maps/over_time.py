"""Maps and filters over the epochs."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from convlens.lens.forward import Scorer
from convlens.lens.lens import Block
from convlens.lens.over_time import EpochSnapshot, Watched, choose_layers, follow, formed_at
from convlens.lens.statistics import FilterStatistics, PhotoSample, spread, strongest_first
from convlens.pages.feature_maps.encode import (
    FAINT,
    INK,
    MARGIN,
    PAPER,
    POSITIVE,
    SIGNED,
    as_base64,
    color_index,
    color_table,
    compact_json,
    write_font,
)
from convlens.pages.feature_maps.photos import Answer
from convlens.pages.photos import Choice

# --- The network over its training, as the feature-map page holds it: answers, rates, correlations, small maps ---
#
# FORMAT.md describes the script element `over-time`. One step per layer holds for all epochs and photos, so what looks
# stronger is stronger.

LEVELS = 127
COLUMNS = ("epoch", "layer", "num_filters", "dead", "firing_rate", "correlation_low", "correlation_median",
           "correlation_high", "formed")  # fmt: skip


@dataclass(frozen=True)
class ShownLayer:
    """A layer whose maps are shown over the epochs.

    Attributes:
        name: of the block.
        label: what its response is, in words: `ReLU`.
        rectified: values are never below zero.
        shape: rows and columns of its maps in the network; those shown may be smaller.
        filters: that are shown, the one with the largest effect first.
    """

    name: str
    label: str
    rectified: bool
    shape: tuple[int, int]
    filters: np.ndarray


@dataclass(frozen=True)
class OverTime:
    """Everything about the epochs.

    Attributes:
        snapshots: the earliest first.
        shown: layers with maps.
        formed: by name of the layer, the snapshot from which each filter is what it is in the end.
        classes: names.
        photos: names of the photos, in the order of the page.
        num_sample: photos behind rates and correlations.
    """

    snapshots: Sequence[EpochSnapshot]
    shown: Sequence[ShownLayer]
    formed: Mapping[str, np.ndarray]
    classes: Sequence[str]
    photos: Sequence[str]
    num_sample: int

    @property
    def kept(self) -> int:
        """The place of the network that was kept among the snapshots."""
        return next(place for place, snapshot in enumerate(self.snapshots) if snapshot.is_kept)

    def limit(self, name: str) -> float:
        """The largest magnitude that a layer's maps have in any snapshot, on any photo."""
        maps = (snapshot.maps[name] for snapshot in self.snapshots)
        return max((float(np.abs(values).max()) for values in maps if values.size), default=0.0)


def encode_over_time(found: OverTime, *, max_bytes: int = 1_000_000) -> str:
    """The content of the script element `over-time`; photos at the end have no maps where they would make it too long.

    Args:
        found: what is told.
        max_bytes: of the text, about.
    """
    table = layer_table(found)
    steps = {layer.name: _step(found.limit(layer.name)) for layer in found.shown}
    known = {
        "epochs": [snapshot.epoch for snapshot in found.snapshots],
        "kept": found.kept,
        "numSample": found.num_sample,
        "numLayers": len(found.formed),
        "answers": [[_rounded(snapshot.probabilities[photo]) for snapshot in found.snapshots]
                    for photo in range(len(found.photos))],
        "layers": [_encode_layer(found, layer, table, steps[layer.name]) for layer in found.shown],
        "kernels": _encode_kernels([snapshot.kernels for snapshot in found.snapshots]),
    }  # fmt: skip
    room = max_bytes - len(compact_json(known))
    maps: list[dict[str, str]] = []
    for photo in range(len(found.photos)):
        texts = {layer.name: _encode_maps(found, layer.name, photo, steps[layer.name]) for layer in found.shown}
        room -= sum(map(len, texts.values()))
        if room < 0:
            break
        maps.append(texts)
    return compact_json(known | {"maps": maps})


def layer_table(found: OverTime) -> pd.DataFrame:
    """One row per epoch and convolution.

    Correlations are the quartiles, over the filters that fire in the end, of each filter's correlation with what it is
    in the end; `formed` counts those whose correlation is, and stays, at least 0.9.
    """
    rows = []
    for place, snapshot in enumerate(found.snapshots):
        for name, then in snapshot.layers.items():
            alive = ~found.snapshots[found.kept].layers[name].dead
            quartiles = np.percentile(then.correlation[alive], (25, 50, 75)) if alive.any() else [np.nan] * 3
            formed = int((found.formed[name][alive] <= place).sum()) if place <= found.kept else int(alive.sum())
            rows.append((snapshot.epoch, name, len(then.dead), int(then.dead.sum()),
                         *_rounded([then.firing_rate.mean(), *quartiles]), formed))  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def answer_table(found: OverTime) -> pd.DataFrame:
    """One row per epoch and photo of the page: its calibrated probabilities."""
    columns = [f"probability_{name}" for name in found.classes]
    rows = [
        (snapshot.epoch, photo, *_rounded(snapshot.probabilities[number]))
        for snapshot in found.snapshots
        for number, photo in enumerate(found.photos)
    ]
    return pd.DataFrame(rows, columns=["epoch", "photo", *columns])


def _encode_layer(found: OverTime, layer: ShownLayer, table: pd.DataFrame, step: float) -> dict[str, Any]:
    rows = table[table["layer"] == layer.name]
    then = [snapshot.layers[layer.name] for snapshot in found.snapshots]
    shown = layer.filters.tolist()
    small = found.snapshots[0].maps[layer.name].shape[-2:]
    return {
        "name": layer.name,
        "label": layer.label,
        "rectified": layer.rectified,
        "numFilters": int(rows["num_filters"].iloc[0]),
        "dead": rows["dead"].tolist(),
        "firing": rows["firing_rate"].tolist(),
        "low": _plain(rows["correlation_low"]),
        "median": _plain(rows["correlation_median"]),
        "high": _plain(rows["correlation_high"]),
        "formed": rows["formed"].tolist(),
        "shown": shown,
        "correlation": [_rounded([snapshot.correlation[number] for snapshot in then]) for number in shown],
        "rates": [_rounded([snapshot.firing_rate[number] for snapshot in then]) for number in shown],
        "formedAt": [int(found.formed[layer.name][number]) for number in shown],
        "size": list(layer.shape),
        "shape": [int(length) for length in small],
        "step": step,
    }


def _encode_maps(found: OverTime, name: str, photo: int, step: float) -> str:
    """Whole numbers of eight bits: epoch by epoch, filter by filter, row by row."""
    return as_base64(_quantize(np.stack([snapshot.maps[name][photo] for snapshot in found.snapshots]), step))


def _encode_kernels(kernels: Sequence[np.ndarray | None]) -> dict[str, Any] | None:
    known = [values for values in kernels if values is not None]
    if len(known) < len(kernels) or not known:
        return None
    stacked = np.stack(known)
    step = _step(float(np.abs(stacked).max()))
    return {
        "numFilters": stacked.shape[1],
        "shape": list(stacked.shape[3:]),
        "step": step,
        "values": as_base64(_quantize(stacked, step)),
    }


def _quantize(values: np.ndarray, step: float) -> np.ndarray:
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    return np.clip(np.round(finite / step), -LEVELS, LEVELS).astype(np.int8)


def _step(limit: float) -> float:
    """What one level is worth; six digits, rounded up so that the largest value fits."""
    return float(f"{limit / LEVELS * (1 + 1e-6):.6g}") if 0 < limit < np.inf else 1.0


def _plain(values: Any) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def _rounded(values: Any) -> list[float]:
    """Six significant digits: what is beyond differs from processor to processor."""
    return [float(f"{float(value):.6g}") for value in values]


# --- feature maps over time pictures ---
# A picture per epoch for those who leaf through a run: kernels, and small maps of one photo, on scales all share.

TILE: Final = 72
GAP: Final = 6
CAPTION: Final = 20
NAMES: Final = 170
ROW: Final = TILE + CAPTION + GAP
KERNELS_PER_ROW: Final = 24
KERNEL: Final = 22
WORDS: Final = ("Each layer has one scale for all epochs, root colors.",
                "Below a tile: the filter, and its correlation with its end.")  # fmt: skip


def draw_epochs(found: OverTime) -> dict[str, bytes]:
    """PNG by file name, `over_time_00008.png` for epoch 8; all of one size. The maps are those of the first photo."""
    return {f"over_time_{snapshot.epoch:05d}.png": _encode(_draw(found, place))
            for place, snapshot in enumerate(found.snapshots)}  # fmt: skip


def kernel_pictures(kernels: np.ndarray, limit: float) -> np.ndarray:
    """Kernels (filters, 3, rows, columns) in their own colors, uint8 (filters, rows, columns, 3): gray is zero."""
    shares = kernels.transpose(0, 2, 3, 1) / (limit if limit > 0 else 1.0)
    return np.clip(np.round(127.5 + 127.5 * shares), 0, 255).astype(np.uint8)


def _draw(found: OverTime, place: int) -> Image.Image:
    snapshot = found.snapshots[place]
    num_kernels = 0 if snapshot.kernels is None else len(snapshot.kernels)
    kernel_rows = -(-num_kernels // KERNELS_PER_ROW)
    most = max((len(layer.filters) for layer in found.shown), default=1)
    width = max(2 * MARGIN + NAMES + most * (TILE + GAP), 2 * MARGIN + KERNELS_PER_ROW * (KERNEL + 2), 640)
    height = MARGIN + 94 + kernel_rows * (KERNEL + 2) + GAP + len(found.shown) * ROW + MARGIN
    page = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(page)
    title = f"After epoch {snapshot.epoch}" + (", the network that was kept" if snapshot.is_kept else "")
    pen.text((MARGIN, MARGIN - 6), title, fill=INK, font=write_font(20))
    pen.text((MARGIN, MARGIN + 24), _answer_words(found, place), fill=FAINT, font=write_font(13))
    for line, text in enumerate(WORDS):
        pen.text((MARGIN, MARGIN + 44 + 19 * line), text, fill=FAINT, font=write_font(13))
    top = MARGIN + 94
    _paste_kernels(page, found, place, top)
    for number, layer in enumerate(found.shown):
        _paste_layer(page, found, (place, layer), top + kernel_rows * (KERNEL + 2) + GAP + number * ROW)
    return page


def _answer_words(found: OverTime, place: int) -> str:
    if not found.photos:
        return ""
    chances = found.snapshots[place].probabilities[0]
    best = int(np.argmax(chances))
    return f"{PurePosixPath(found.photos[0]).name}: {found.classes[best]}, {chances[best]:.0%}"


def _paste_kernels(page: Image.Image, found: OverTime, place: int, top: int) -> None:
    kernels = found.snapshots[place].kernels
    if kernels is None:
        return
    limit = max(float(np.abs(snapshot.kernels).max()) for snapshot in found.snapshots if snapshot.kernels is not None)
    for number, pixels in enumerate(kernel_pictures(kernels, limit)):
        row, column = divmod(number, KERNELS_PER_ROW)
        picture = Image.fromarray(pixels).resize((KERNEL, KERNEL), Image.Resampling.NEAREST)
        page.paste(picture, (MARGIN + column * (KERNEL + 2), top + row * (KERNEL + 2)))


def _paste_layer(page: Image.Image, found: OverTime, what: tuple[int, ShownLayer], top: int) -> None:
    place, layer = what
    snapshot = found.snapshots[place]
    then, limit = snapshot.layers[layer.name], found.limit(layer.name)
    pen = ImageDraw.Draw(page)
    scale = f"0 to {limit:.3g}" if layer.rectified else f"\u2212{limit:.3g} to {limit:.3g}"
    words = (layer.name, f"{int(then.dead.sum())} of {len(then.dead)} dead", f"scale {scale}")
    for line, text in enumerate(words):
        pen.text((MARGIN, top + 4 + 20 * line), text, fill=FAINT if line else INK, font=write_font(13))
    table = color_table(POSITIVE if layer.rectified else SIGNED)
    for number, values in enumerate(snapshot.maps[layer.name][0]):
        tile = table[color_index(values, limit, signed=not layer.rectified)]
        left = MARGIN + NAMES + number * (TILE + GAP)
        page.paste(Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.NEAREST), (left, top))
        like = f"{layer.filters[number]}: {then.correlation[layer.filters[number]]:.2f}".replace("-", "\u2212")
        pen.text((left, top + TILE + 3), like, fill=FAINT, font=write_font(12))


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


# --- report over time ---
# The network after earlier epochs, shown the photos of the page: snapshots of `train` put into words and pictures.

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
        statistics: says which filters have the largest effect.
        chosen: filters on the page, by name of the block.
        answer: calibrated and raw probabilities (n, classes) of photos.
        classes: names.
    """

    sample: PhotoSample | None
    statistics: FilterStatistics
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
    shown = [_shown_layer(block, backdrop.statistics, backdrop.chosen[block.name]) for block in blocks]
    watched = Watched(
        photos=np.stack([choice.pixels for choice in choices]),
        sample=spread(sample.held_out, NUM_SAMPLE),
        chosen={layer.name: layer.filters for layer in shown},
        answer=lambda photos: backdrop.answer(photos)[0],
    )
    snapshots = follow(scorer, past.snapshots, past.kept_epoch, watched)
    names = [choice.name for choice in choices]
    found = OverTime(snapshots, shown, _formed(snapshots), backdrop.classes, names, len(watched.sample))
    tables = {"over_time.csv": layer_table(found), "over_time_answers.csv": answer_table(found)}
    return LookedBack(encode_over_time(found, max_bytes=MAX_BYTES), tables, draw_epochs(found))


def _shown_layer(block: Block, statistics: FilterStatistics, chosen: np.ndarray) -> ShownLayer:
    step = block.response
    filters = _most_wanted(block, statistics, chosen)[:NUM_FILTERS]
    return ShownLayer(block.name, step.label, step.rectified, step.shape[:2], filters)


def _most_wanted(block: Block, statistics: FilterStatistics, chosen: np.ndarray) -> np.ndarray:
    """Filters of the page, those first that move the answer most when they are switched off, else the strongest."""
    ablation = statistics.ablations.get(block.name)
    if ablation is not None and len(ablation.filters):
        sizes = np.nan_to_num(np.abs(ablation.log_odds.value))
        order = ablation.filters[np.lexsort((ablation.filters, -np.round(sizes, 6)))]
    else:
        order = strongest_first(statistics.filters, block.name) if statistics.num_sample else chosen
    return np.asarray(order[np.isin(order, chosen)], dtype=np.int64)


def _formed(snapshots: Sequence[EpochSnapshot]) -> dict[str, np.ndarray]:
    """From which snapshot on every filter of every layer is what it is in the end."""
    last = next(place for place, snapshot in enumerate(snapshots) if snapshot.is_kept)
    return {
        name: formed_at(np.stack([snapshot.layers[name].correlation for snapshot in snapshots[: last + 1]]))
        for name in snapshots[last].layers
    }
