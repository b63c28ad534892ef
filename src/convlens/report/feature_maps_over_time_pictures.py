"""A picture per epoch for those who leaf through a run: kernels, and small maps of one photo, on scales all share."""

import io
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from convlens.report.feature_maps_colours import POSITIVE, SIGNED, colour_index, colour_table
from convlens.report.feature_maps_over_time import OverTime, ShownLayer
from convlens.report.feature_maps_pictures import FAINT, INK, MARGIN, PAPER, write_font

TILE: Final = 72
GAP: Final = 6
CAPTION: Final = 20
NAMES: Final = 170
ROW: Final = TILE + CAPTION + GAP
KERNELS_PER_ROW: Final = 24
KERNEL: Final = 22
WORDS: Final = ("Each layer has one scale for all epochs, root colours.",
                "Below a tile: the filter, and its correlation with its end.")  # fmt: skip


def draw_epochs(found: OverTime) -> dict[str, bytes]:
    """PNG by file name, `over_time_00008.png` for epoch 8; all of one size. The maps are those of the first photo."""
    return {f"over_time_{moment.epoch:05d}.png": _encode(_draw(found, place))
            for place, moment in enumerate(found.moments)}  # fmt: skip


def kernel_pictures(kernels: np.ndarray, limit: float) -> np.ndarray:
    """Kernels (filters, 3, rows, columns) in their own colours, uint8 (filters, rows, columns, 3): grey is zero."""
    shares = kernels.transpose(0, 2, 3, 1) / (limit if limit > 0 else 1.0)
    return np.clip(np.round(127.5 + 127.5 * shares), 0, 255).astype(np.uint8)


def _draw(found: OverTime, place: int) -> Image.Image:
    moment = found.moments[place]
    num_kernels = 0 if moment.kernels is None else len(moment.kernels)
    kernel_rows = -(-num_kernels // KERNELS_PER_ROW)
    most = max((len(layer.filters) for layer in found.shown), default=1)
    width = max(2 * MARGIN + NAMES + most * (TILE + GAP), 2 * MARGIN + KERNELS_PER_ROW * (KERNEL + 2), 640)
    height = MARGIN + 94 + kernel_rows * (KERNEL + 2) + GAP + len(found.shown) * ROW + MARGIN
    page = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(page)
    title = f"After epoch {moment.epoch}" + (", the network that was kept" if moment.is_kept else "")
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
    chances = found.moments[place].probabilities[0]
    best = int(np.argmax(chances))
    return f"{PurePosixPath(found.photos[0]).name}: {found.classes[best]}, {chances[best]:.0%}"


def _paste_kernels(page: Image.Image, found: OverTime, place: int, top: int) -> None:
    kernels = found.moments[place].kernels
    if kernels is None:
        return
    limit = max(float(np.abs(moment.kernels).max()) for moment in found.moments if moment.kernels is not None)
    for number, pixels in enumerate(kernel_pictures(kernels, limit)):
        row, column = divmod(number, KERNELS_PER_ROW)
        picture = Image.fromarray(pixels).resize((KERNEL, KERNEL), Image.Resampling.NEAREST)
        page.paste(picture, (MARGIN + column * (KERNEL + 2), top + row * (KERNEL + 2)))


def _paste_layer(page: Image.Image, found: OverTime, what: tuple[int, ShownLayer], top: int) -> None:
    place, layer = what
    moment = found.moments[place]
    then, limit = moment.layers[layer.name], found.limit(layer.name)
    pen = ImageDraw.Draw(page)
    scale = f"0 to {limit:.3g}" if layer.rectified else f"\u2212{limit:.3g} to {limit:.3g}"
    words = (layer.name, f"{int(then.dead.sum())} of {len(then.dead)} dead", f"scale {scale}")
    for line, text in enumerate(words):
        pen.text((MARGIN, top + 4 + 20 * line), text, fill=FAINT if line else INK, font=write_font(13))
    table = colour_table(POSITIVE if layer.rectified else SIGNED)
    for number, values in enumerate(moment.maps[layer.name][0]):
        tile = table[colour_index(values, limit, signed=not layer.rectified)]
        left = MARGIN + NAMES + number * (TILE + GAP)
        page.paste(Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.NEAREST), (left, top))
        like = f"{layer.filters[number]}: {then.correlation[layer.filters[number]]:.2f}".replace("-", "\u2212")
        pen.text((left, top + TILE + 3), like, fill=FAINT, font=write_font(12))


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
