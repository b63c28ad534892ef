"""The network over its training, as the feature-map page shows it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from convlens.files import encode_png, round_number
from convlens.lens.forward import Scorer
from convlens.lens.lens import Block
from convlens.lens.over_time import EpochSnapshot, Watched, choose_layers, follow, formed_at
from convlens.lens.statistics import FilterStatistics, PhotoSample, spread, strongest_first
from convlens.pages.feature_maps.encode import (
    PAGE_COLOR,
    PAGE_MARGIN,
    POSITIVE,
    QUIET_COLOR,
    SIGNED,
    TEXT_COLOR,
    as_base64,
    color_index,
    color_table,
    compact_json,
    load_font,
)
from convlens.pages.photos import Choice

# --- Answers, firing rates, correlations and small maps after every epoch, as text and as tables ---
#
# FORMAT.md describes the script element `over-time`. One step per layer holds for all epochs and photos, so what looks
# stronger is stronger.

QUANTIZED_LEVELS = 127
MAX_OVER_TIME_BYTES = 1_000_000  # of the page; photos at the end are left out of this view
EPOCH_COLUMNS = ("epoch", "layer", "num_filters", "dead", "firing_rate", "correlation_low", "correlation_median",
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


def encode_over_time(found: OverTime, *, max_bytes: int = MAX_OVER_TIME_BYTES) -> str:
    """Encode the script element `over-time`; photos at the end have no maps where they would make it too long.

    Args:
        found: what is told.
        max_bytes: of the text, about.
    """
    table = layer_table(found)
    steps = {layer.name: _quantization_step(found.limit(layer.name)) for layer in found.shown}
    known = {
        "epochs": [snapshot.epoch for snapshot in found.snapshots],
        "kept": found.kept,
        "numSample": found.num_sample,
        "numLayers": len(found.formed),
        "answers": [[_six_digits(snapshot.probabilities[photo]) for snapshot in found.snapshots]
                    for photo in range(len(found.photos))],
        "layers": [_encode_layer(found, layer, table, steps[layer.name]) for layer in found.shown],
        "kernels": _encode_kernels([snapshot.kernels for snapshot in found.snapshots]),
    }  # fmt: skip
    room = max_bytes - len(compact_json(known))
    maps: list[dict[str, str]] = []
    for photo in range(len(found.photos)):
        texts = {
            name: as_base64(_quantize(np.stack([snapshot.maps[name][photo] for snapshot in found.snapshots]), step))
            for name, step in steps.items()
        }
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
                         *_six_digits([then.firing_rate.mean(), *quartiles]), formed))  # fmt: skip
    return pd.DataFrame(rows, columns=list(EPOCH_COLUMNS))


def answer_table(found: OverTime) -> pd.DataFrame:
    """One row per epoch and photo of the page: its calibrated probabilities."""
    columns = [f"probability_{name}" for name in found.classes]
    rows = [
        (snapshot.epoch, photo, *_six_digits(snapshot.probabilities[number]))
        for snapshot in found.snapshots
        for number, photo in enumerate(found.photos)
    ]
    return pd.DataFrame(rows, columns=["epoch", "photo", *columns])


def _encode_layer(found: OverTime, layer: ShownLayer, table: pd.DataFrame, step: float) -> dict[str, Any]:
    rows = table[table["layer"] == layer.name]
    then = [snapshot.layers[layer.name] for snapshot in found.snapshots]
    shown = layer.filters.tolist()
    quartiles = {
        name: [None if np.isnan(value) else value for value in rows[f"correlation_{name}"].tolist()]
        for name in ("low", "median", "high")
    }
    return {
        "name": layer.name,
        "label": layer.label,
        "rectified": layer.rectified,
        "numFilters": int(rows["num_filters"].iloc[0]),
        "dead": rows["dead"].tolist(),
        "firing": rows["firing_rate"].tolist(),
        **quartiles,
        "formed": rows["formed"].tolist(),
        "shown": shown,
        "correlation": [_six_digits([snapshot.correlation[number] for snapshot in then]) for number in shown],
        "rates": [_six_digits([snapshot.firing_rate[number] for snapshot in then]) for number in shown],
        "formedAt": [int(found.formed[layer.name][number]) for number in shown],
        "size": list(layer.shape),
        "shape": [int(length) for length in found.snapshots[0].maps[layer.name].shape[-2:]],
        "step": step,
    }


def _encode_kernels(kernels: Sequence[np.ndarray | None]) -> dict[str, Any] | None:
    known = [values for values in kernels if values is not None]
    if len(known) < len(kernels) or not known:
        return None
    stacked = np.stack(known)
    step = _quantization_step(float(np.abs(stacked).max()))
    return {
        "numFilters": stacked.shape[1],
        "shape": list(stacked.shape[3:]),
        "step": step,
        "values": as_base64(_quantize(stacked, step)),
    }


def _quantize(values: np.ndarray, step: float) -> np.ndarray:
    """Whole numbers of eight bits."""
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    return np.clip(np.round(finite / step), -QUANTIZED_LEVELS, QUANTIZED_LEVELS).astype(np.int8)


def _quantization_step(limit: float) -> float:
    """What one level is worth; six digits, rounded up so that the largest value fits."""
    return round_number(limit / QUANTIZED_LEVELS * (1 + 1e-6), 6) if 0 < limit < np.inf else 1.0


def _six_digits(values: Any) -> list[float]:
    return [round_number(float(value), 6) for value in values]


# --- A picture per epoch for those who leaf through a run: kernels, and small maps of one photo ---

EPOCH_TILE: Final = 72
EPOCH_GAP: Final = 6
NAME_WIDTH: Final = 170
LAYER_ROW_HEIGHT: Final = EPOCH_TILE + 20 + EPOCH_GAP  # a caption stands below the tile
KERNELS_PER_ROW: Final = 24
KERNEL_SIDE: Final = 22
NOTES: Final = ("Each layer has one scale for all epochs, root colors.",
                "Below a tile: the filter, and its correlation with its end.")  # fmt: skip


def draw_epochs(found: OverTime) -> dict[str, bytes]:
    """PNG by file name, `over_time_00008.png` for epoch 8; all of one size. The maps are those of the first photo."""
    return {f"over_time_{snapshot.epoch:05d}.png": encode_png(_draw_epoch(found, snapshot))
            for snapshot in found.snapshots}  # fmt: skip


def kernel_pictures(kernels: np.ndarray, limit: float) -> np.ndarray:
    """Kernels (filters, 3, rows, columns) in their own colors, uint8 (filters, rows, columns, 3): gray is zero."""
    shares = kernels.transpose(0, 2, 3, 1) / (limit if limit > 0 else 1.0)
    return np.clip(np.round(127.5 + 127.5 * shares), 0, 255).astype(np.uint8)


def _draw_epoch(found: OverTime, snapshot: EpochSnapshot) -> Image.Image:
    kernels, margin, pitch = snapshot.kernels, PAGE_MARGIN, KERNEL_SIDE + 2
    kernel_rows = -(-(0 if kernels is None else len(kernels)) // KERNELS_PER_ROW)
    most = max((len(layer.filters) for layer in found.shown), default=1)
    width = max(2 * margin + NAME_WIDTH + most * (EPOCH_TILE + EPOCH_GAP), 2 * margin + KERNELS_PER_ROW * pitch, 640)
    top = margin + 94
    first = top + kernel_rows * pitch + EPOCH_GAP
    page = Image.new("RGB", (width, first + len(found.shown) * LAYER_ROW_HEIGHT + margin), PAGE_COLOR)
    pen = ImageDraw.Draw(page)
    title = f"After epoch {snapshot.epoch}" + (", the network that was kept" if snapshot.is_kept else "")
    pen.text((margin, margin - 6), title, fill=TEXT_COLOR, font=load_font(20))
    answer = ""
    if found.photos:
        chances = snapshot.probabilities[0]
        best = int(np.argmax(chances))
        answer = f"{PurePosixPath(found.photos[0]).name}: {found.classes[best]}, {chances[best]:.0%}"
    pen.text((margin, margin + 24), answer, fill=QUIET_COLOR, font=load_font(13))
    for line, text in enumerate(NOTES):
        pen.text((margin, margin + 44 + 19 * line), text, fill=QUIET_COLOR, font=load_font(13))
    if kernels is not None:
        limit = max(float(np.abs(other.kernels).max()) for other in found.snapshots if other.kernels is not None)
        for number, pixels in enumerate(kernel_pictures(kernels, limit)):
            row, column = divmod(number, KERNELS_PER_ROW)
            _paste_enlarged(page, pixels, KERNEL_SIDE, margin + column * pitch, top + row * pitch)
    for number, layer in enumerate(found.shown):
        _draw_layer(page, found, snapshot, layer, first + number * LAYER_ROW_HEIGHT)
    return page


def _draw_layer(page: Image.Image, found: OverTime, snapshot: EpochSnapshot, layer: ShownLayer, top: int) -> None:
    then, limit = snapshot.layers[layer.name], found.limit(layer.name)
    pen = ImageDraw.Draw(page)
    scale = f"0 to {limit:.3g}" if layer.rectified else f"\N{MINUS SIGN}{limit:.3g} to {limit:.3g}"
    for line, text in enumerate((layer.name, f"{int(then.dead.sum())} of {len(then.dead)} dead", f"scale {scale}")):
        color = QUIET_COLOR if line else TEXT_COLOR
        pen.text((PAGE_MARGIN, top + 4 + 20 * line), text, fill=color, font=load_font(13))
    table = color_table(POSITIVE if layer.rectified else SIGNED)
    for number, values in enumerate(snapshot.maps[layer.name][0]):
        left = PAGE_MARGIN + NAME_WIDTH + number * (EPOCH_TILE + EPOCH_GAP)
        _paste_enlarged(page, table[color_index(values, limit, signed=not layer.rectified)], EPOCH_TILE, left, top)
        like = f"{layer.filters[number]}: {then.correlation[layer.filters[number]]:.2f}"
        pen.text((left, top + EPOCH_TILE + 3), like.replace("-", "\N{MINUS SIGN}"), fill=QUIET_COLOR,
                 font=load_font(12))  # fmt: skip


def _paste_enlarged(page: Image.Image, pixels: np.ndarray, side: int, left: int, top: int) -> None:
    page.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), (left, top))


# --- The snapshots of a training, shown the photos of the page ---

NUM_EPOCH_FILTERS = 4  # shown of each layer
NUM_EPOCH_SAMPLE = 48


@dataclass(frozen=True)
class SavedWeights:
    """The training behind a network.

    Attributes:
        snapshots: weights by epoch.
        kept_epoch: the epoch whose weights the network has.
    """

    snapshots: Mapping[int, Sequence[np.ndarray]]
    kept_epoch: int


@dataclass(frozen=True)
class TrainingHistory:
    """What is told of the training: JSON for the page, tables and pictures by file name."""

    resource: str
    tables: Mapping[str, pd.DataFrame]
    pictures: Mapping[str, bytes]


def show_training_history(
    scorer: Scorer,
    weights: SavedWeights,
    choices: Sequence[Choice],
    *,
    sample: PhotoSample,
    statistics: FilterStatistics,
    chosen: Mapping[str, np.ndarray],
    answer: Callable[[np.ndarray], np.ndarray],
    probabilities: np.ndarray,
) -> TrainingHistory | None:
    """Show the network of every snapshot the photos; None without snapshots, photos, convolutions or a sample.

    Args:
        scorer: the network.
        weights: of earlier epochs.
        choices: the photos.
        sample: photos that rates and correlations are measured on.
        statistics: say which filters have the largest effect.
        chosen: filters on the page, by name of the block.
        answer: calibrated probabilities (n, classes) of photos by the network with the weights it has then.
        probabilities: those of the photos by the network as it is.
    """
    blocks = choose_layers(scorer.lens.blocks)
    if not weights.snapshots or not choices or not blocks or not len(sample.labels):
        return None
    shown = [
        ShownLayer(block.name, block.response.label, block.response.rectified, block.response.shape[:2],
                   _most_telling(block, statistics, chosen[block.name])[:NUM_EPOCH_FILTERS])
        for block in blocks
    ]  # fmt: skip
    watched = Watched(
        photos=np.stack([choice.pixels for choice in choices]),
        sample=spread(sample.held_out, NUM_EPOCH_SAMPLE),
        chosen={layer.name: layer.filters for layer in shown},
        answer=answer,
        probabilities=probabilities,
    )
    snapshots = follow(scorer, weights.snapshots, weights.kept_epoch, watched)
    last = next(place for place, snapshot in enumerate(snapshots) if snapshot.is_kept)
    formed = {
        name: formed_at(np.stack([snapshot.layers[name].correlation for snapshot in snapshots[: last + 1]]))
        for name in snapshots[last].layers
    }
    found = OverTime(snapshots, shown, formed, sample.classes, [choice.name for choice in choices], len(watched.sample))
    tables = {"over_time.csv": layer_table(found), "over_time_answers.csv": answer_table(found)}
    return TrainingHistory(encode_over_time(found), tables, draw_epochs(found))


def _most_telling(block: Block, statistics: FilterStatistics, chosen: np.ndarray) -> np.ndarray:
    """Filters of the page, those first that move the answer most when they are switched off, else the strongest."""
    ablation = statistics.ablations.get(block.name)
    if ablation is not None and len(ablation.filters):
        sizes = np.nan_to_num(np.abs(ablation.log_odds.value))
        order = ablation.filters[np.lexsort((ablation.filters, -np.round(sizes, 6)))]
    else:
        order = strongest_first(statistics.filters, block.name) if statistics.num_sample else chosen
    return np.asarray(order[np.isin(order, chosen)], dtype=np.int64)
