"""The feature-map page: one HTML file that opens from disk, with every filter's maps for the chosen photos."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from convlens.files import encode_jpeg
from convlens.lens.graph import LayerView, ParameterComparison
from convlens.lens.lens import Block, Skipped
from convlens.pages.engine import fill_template
from convlens.pages.feature_maps.encode import (
    POSITIVE,
    RARE,
    SIGNED,
    EncodedPhoto,
    as_base64,
    color_table,
    compact_json,
)
from convlens.pages.photos import Unreadable

# --- The page's JavaScript modules as one script, and its styles as one sheet ---

ASSETS = Path(__file__).parent / "assets"
STYLES = ("page.css", "filters.css", "views.css", "over_time.css", "print.css")  # what is for paper comes last
IMPORT = re.compile(r"^import\s.*?from\s+\"\./([\w-]+\.js)\";\n", re.MULTILINE | re.DOTALL)
EXPORT = re.compile(r"^export (?=(?:async )?function|const|class)", re.MULTILINE)


def bundle_script(folder: Path = ASSETS, entry: str = "page.js") -> str:
    """Join all modules that the entry needs, each once, after those it needs itself; imports and exports taken out.

    The modules share one scope then: no two of them may use one name at top level (a test holds this).
    """
    found: dict[str, str] = {}

    def visit(name: str) -> None:
        source = (folder / name).read_text(encoding="utf-8")
        for needed in IMPORT.findall(source):
            if needed not in found:
                visit(needed)
        found.setdefault(name, EXPORT.sub("", IMPORT.sub("", source)).strip() + "\n")

    visit(entry)
    return "\n".join(found.values())


# --- The training photos that patches are cut from, each once and small ---

GALLERY_SIDE = 144
GALLERY_QUALITY = 82


def number_gallery(facts: Mapping[str, Any]) -> list[int]:
    """Photos that patches name, in order; afterwards the patches name them by their place in this list.

    Args:
        facts: facts of each block by its name, changed in place.
    """
    lists = [patches for known in facts.values() if known and known["patches"] for patches in known["patches"]]
    used = sorted({int(patch[0]) for patches in lists for patch in patches})
    places = {number: place for place, number in enumerate(used)}
    for patches in lists:
        for patch in patches:
            patch[0] = places[int(patch[0])]
    return used


def encode_gallery(
    photos: Sequence[np.ndarray], *, picture_shape: tuple[int, int], names: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    """JPEGs of photos, none longer than 144 pixels.

    Args:
        photos: uint8 (rows, columns, 3), as the loader gives them.
        picture_shape: rows and columns of the picture that receptive fields count in.
        names: of the photos.
        labels: their classes.
    """
    scale = min(1.0, GALLERY_SIDE / max(picture_shape))
    size = (round(picture_shape[1] * scale), round(picture_shape[0] * scale))
    images = (Image.fromarray(photo) for photo in photos)
    small = (image if image.size == size else image.resize(size, Image.Resampling.LANCZOS) for image in images)
    pictures = [as_base64(encode_jpeg(image, GALLERY_QUALITY, optimize=True)) for image in small]
    return {"scale": scale, "pictures": pictures, "names": list(names), "labels": list(labels)}


# --- The page ---

FORMAT = 3
PHOTO_GROUPS = (("user", "Your photos"), ("error", "Errors"), ("correct", "Classified correctly"))


@dataclass(frozen=True, kw_only=True)
class FeatureMapInputs:
    """Everything the page shows, as plain values.

    Attributes:
        model_name: what to call the network.
        num_parameters: parameters of the whole network.
        classes: names of the classes.
        picture_shape: rows and columns of the picture that receptive fields count in.
        blocks: convolutions and what follows them.
        encoded_blocks: the same, by `encode_block`.
        filters: one row per filter, by the lens.
        num_sample: held-out photos behind the facts about filters.
        photos: ready for the page, in its order.
        layers: the table of layers.
        comparisons: the table of parameters.
        skipped: layers that are not drawn.
        unreadable: own photos that could not be read.
        notes: sentences above everything.
        left_out: names of photos left out to keep the page small.
        mirror: whether the answers are the mean over each photo and its mirror image.
        more: further keys of the page's data, as FORMAT.md names them.
        resources: JSON text of further script elements, by id.
        report_link: whether report.html lies beside the page.
    """

    model_name: str
    num_parameters: int
    classes: Sequence[str]
    picture_shape: tuple[int, int]
    blocks: Sequence[Block]
    encoded_blocks: Sequence[dict[str, Any]]
    filters: pd.DataFrame
    num_sample: int
    photos: Sequence[EncodedPhoto]
    layers: Sequence[LayerView]
    comparisons: Sequence[ParameterComparison]
    skipped: Sequence[Skipped] = ()
    unreadable: Sequence[Unreadable] = ()
    notes: Sequence[str] = ()
    left_out: Sequence[str] = ()
    mirror: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    report_link: bool = True


def render_feature_maps(inputs: FeatureMapInputs) -> str:
    """Render the whole page as HTML text; the same inputs give the same bytes."""
    short_names = shorten_names([block["name"] for block in inputs.encoded_blocks])
    numbered = list(enumerate(inputs.photos))
    groups = [
        {"title": title, "photos": [(i, photo) for i, photo in numbered if photo.facts["group"] == name]}
        for name, title in PHOTO_GROUPS
    ]
    rows = {row.name: row for row in inputs.layers}
    values = {
        "inputs": inputs,
        "groups": [group for group in groups if group["photos"]],
        "specs": {
            block.name: _describe_block(rows[block.name], block) for block in inputs.blocks if block.name in rows
        },
        "short_names": short_names,
        "totals": count_filters(inputs.filters, inputs.encoded_blocks),
        "data": compact_json(_page_data(inputs, short_names)),
        "resources": inputs.resources,
        "script": bundle_script(),
        "style": "".join((ASSETS / name).read_text(encoding="utf-8") for name in STYLES),
    }
    return fill_template("feature_maps/feature_maps.html", values)


def count_filters(filters: pd.DataFrame, encoded_blocks: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Count filters in all, shown, dead, and rare (they fire on fewer than 1 % of photos)."""
    convolutions = [block for block in encoded_blocks if block["isConvolution"]]
    return {
        "filters": sum(block["numFilters"] for block in convolutions),
        "shown": sum(len(block["shown"]) for block in convolutions),
        "dead": int(filters["dead"].sum()) if len(filters) else 0,
        "rare": int(((filters["firing_rate"] < RARE) & ~filters["dead"].astype(bool)).sum()) if len(filters) else 0,
    }


def shorten_names(names: Sequence[str]) -> dict[str, str]:
    """Names of layers without the models that all of them lie in: `conv_1` for `backbone/stem/conv_1`."""
    split = [name.split("/") for name in names]
    shared = 0
    while split and all(len(parts) > shared + 1 and parts[shared] == split[0][shared] for parts in split):
        shared += 1
    return {name: "/".join(parts[shared:]) for name, parts in zip(names, split, strict=True)}


def _describe_block(row: LayerView, block: Block) -> str:
    """The operation of a block in a line: `3×3 kernel, stride 2, same padding · sees 7×7 pixels`."""
    receptive = block.response.receptive_field
    kernel = "×".join(str(size) for size in row.kernel_size or ())
    stride = " by ".join(str(step) for step in dict.fromkeys(row.strides or ()))
    sees = "the whole photo" if receptive is None else f"{receptive.columns.size}×{receptive.rows.size} pixels"
    sees += ", and the whole photo through gates" if receptive is not None and receptive.gated else ""
    return f"{row.kind} {kernel}, stride {stride}, {row.padding} padding · a cell sees {sees}"


def _page_data(inputs: FeatureMapInputs, short_names: Mapping[str, str]) -> dict[str, Any]:
    """The page's data as FORMAT.md describes it."""
    labels = {step.label for block in inputs.blocks for step in block.steps if step.kind == "activation"}
    photos = inputs.photos
    limits = {
        name: (min(photo.limits[name][0] for photo in photos), max(photo.limits[name][1] for photo in photos))
        for name in (photos[0].limits if photos else ())
    }
    return {
        **inputs.more,
        "format": FORMAT,
        "classes": list(inputs.classes),
        "pictureSize": list(inputs.picture_shape),
        "numSample": inputs.num_sample,
        "activation": labels.pop() if len(labels) == 1 else "activation",
        "blocks": [block | {"short": short_names[block["name"]]} for block in inputs.encoded_blocks],
        "photos": [photo.facts for photo in photos],
        "limits": limits,
        "colors": {name: color_table(table).tobytes().hex() for name, table in (("signed", SIGNED),
                                                                               ("positive", POSITIVE))},
        "mirror": inputs.mirror,
    }  # fmt: skip
