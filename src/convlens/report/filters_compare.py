"""The page of `convlens compare --feature-maps`: two networks beside each other, filter by filter, in one HTML file."""

import io
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from convlens.report.feature_maps_colours import POSITIVE, SIGNED, colour_index, colour_table
from convlens.report.feature_maps_sprites import encode_png
from convlens.report.filters_compare_values import ChangedAnswer, ComparedFilters, FilterTile, LayerChange, LayerTiles
from convlens.report.overview_page import fill_template, picture_source, read_asset
from convlens.report.wording import show_count, show_share

PHOTO_SIDE = 96  # of small photos, in pixels
KINDS = (
    ("changed", "Changed most", "Partners whose responses are least alike."),
    ("alike", "Stayed the same", "Partners whose responses are most alike."),
    ("died", "Died", "Filters of the first network without a partner in the second."),
    ("born", "Born", "Filters of the second network without a partner in the first."),
)


def render_filters(compared: ComparedFilters) -> str:
    """The whole page as HTML text; the same inputs give the same bytes."""
    values = {
        "style": read_asset("overview.css") + read_asset("filters_compare.css"),
        "compared": compared,
        "rows": [_describe_row(layer) for layer in compared.layers],
        "shown": [_describe_tiles(layer, compared) for layer in compared.tiles],
        "answers": [_describe_answer(answer, compared) for answer in compared.changed],
        "total": show_count(compared.num_changed, "photo"),
        "ramps": {"signed": _ramp(signed=True), "positive": _ramp(signed=False)},
        "picture": picture_source,
    }
    return fill_template("filters_compare.html", values)


def _describe_row(layer: LayerChange) -> dict[str, Any]:
    name = layer.base if layer.base == layer.head else f"{layer.base} → {layer.head}"
    return {
        "name": name,
        "filters": f"{layer.num_base:,}"
        if layer.num_base == layer.num_head
        else f"{layer.num_base:,} → {layer.num_head:,}",
        "matched": f"{layer.matched:,}",
        "share": layer.matched / max(1, layer.num_base),
        "correlation": f"{layer.correlation:.2f}" if layer.matched else "–",
        "chance": f"{layer.chance:.2f}",
        "died": f"{layer.died:,}",
        "born": f"{layer.born:,}",
        "dead": f"{layer.dead_base:,} → {layer.dead_head:,}",
    }


def _describe_tiles(layer: LayerTiles, compared: ComparedFilters) -> dict[str, Any]:
    """The groups of a layer; all its tiles, of both networks, share one scale."""
    maps = [found for tile in layer.tiles for found in (tile.base_map, tile.head_map) if found is not None]
    limit = max((float(np.abs(values).max()) for values in maps), default=0.0)
    signed = not all(layer.rectified)
    return {
        "name": layer.base if layer.base == layer.head else f"{layer.base} → {layer.head}",
        "signed": signed,
        "limit": f"{limit:.3g}",
        "groups": [
            {"title": title, "about": about, "kind": kind,
             "tiles": [_describe_tile(tile, limit, compared, signed=signed)
                       for tile in layer.tiles if tile.kind == kind]}
            for kind, title, about in KINDS
            if any(tile.kind == kind for tile in layer.tiles)
        ],
    }  # fmt: skip


def _describe_tile(tile: FilterTile, limit: float, compared: ComparedFilters, *, signed: bool) -> dict[str, Any]:
    sides = []
    for name, number, values in ((compared.base, tile.base, tile.base_map), (compared.head, tile.head, tile.head_map)):
        if number is not None and values is not None:
            peak = float(np.abs(values).max())
            active = f"above zero on {show_share(float((values > 0).mean()), 0)} of the cells"
            alt = f"Filter {number} of {name}: largest value {peak:.3g}, {active}"
            sides.append({"number": number, "name": name, "alt": alt,
                          "source": picture_source(_colour(values, limit, signed=signed))})  # fmt: skip
    pair = tile.base is not None and tile.head is not None
    return {
        "photo": picture_source(_small(tile.photo)),
        "sides": sides,
        "words": f"correlation {tile.correlation:.2f}".replace("-", "\N{MINUS SIGN}") if pair else "no partner",
    }


def _describe_answer(answer: ChangedAnswer, compared: ComparedFilters) -> dict[str, Any]:
    limit = max((float(np.abs(cam).max()) for cam in answer.cams if cam is not None), default=0.0)
    return {
        "path": answer.path,
        "file": PurePosixPath(answer.path).name,
        "label": answer.label,
        "photo": picture_source(_small(answer.photo, 2 * PHOTO_SIDE)),
        "sides": [
            {"name": name, "said": said, "right": said == answer.label, "chance": show_share(chance),
             "source": "" if cam is None else picture_source(_overlay(answer.photo, cam, limit)),
             "alt": f"Signed Grad-CAM of {name} for {answer.speaks_for} on {answer.path}"}
            for name, said, chance, cam in zip((compared.base, compared.head), answer.answers, answer.probabilities,
                                               answer.cams, strict=True)
        ],
        "speaks_for": answer.speaks_for,
        "limit": f"{limit:.3g}",
    }  # fmt: skip


def _colour(values: np.ndarray, limit: float, *, signed: bool) -> bytes:
    return encode_png(_table(signed=signed)[colour_index(values, limit, signed=signed)])


def _overlay(photo: np.ndarray, cam: np.ndarray, limit: float) -> bytes:
    """The grey photo under the map: half of what is seen is either."""
    side = 2 * PHOTO_SIDE
    grey = Image.fromarray(photo).convert("L").resize((side, side), Image.Resampling.BILINEAR)
    smooth = np.asarray(Image.fromarray(cam.astype(np.float32), "F").resize((side, side), Image.Resampling.BILINEAR))
    colours = _table(signed=True)[colour_index(smooth, limit, signed=True)].astype(np.float64)
    mixed = 0.45 * np.asarray(grey, np.float64)[..., np.newaxis] + 0.55 * colours
    return _encode_jpeg(Image.fromarray(np.round(mixed).astype(np.uint8)))


def _small(photo: np.ndarray, side: int = PHOTO_SIDE) -> bytes:
    picture = Image.fromarray(photo)
    picture.thumbnail((side, side), Image.Resampling.BOX)
    return _encode_jpeg(picture)


def _encode_jpeg(picture: Image.Image) -> bytes:
    """Photos only: measured maps stay lossless."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _ramp(*, signed: bool) -> str:
    """The colours of a scale from end to end, even in the values, as the tiles are painted."""
    values = np.linspace(-1 if signed else 0, 1, 256)[np.newaxis]
    return picture_source(_colour(values, 1.0, signed=signed))


def _table(*, signed: bool) -> np.ndarray:
    return colour_table(SIGNED if signed else POSITIVE)
