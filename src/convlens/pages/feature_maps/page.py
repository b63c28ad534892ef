"""The feature-map page."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from convlens.pages.engine import fill_template
from convlens.pages.feature_maps.encode import POSITIVE, RARE, SIGNED, Block, EncodedPhoto, color_hex, compact_json

# --- The page's JavaScript modules as one script, so that the page is one file that opens from disk ---

ASSETS = Path(__file__).parent / "assets"
ENTRY = "page.js"
STYLES = ("page.css", "filters.css", "views.css", "over_time.css", "print.css")
IMPORT = re.compile(r"^import\s.*?from\s+\"\./([\w-]+\.js)\";\n", re.MULTILINE | re.DOTALL)
EXPORT = re.compile(r"^export (?=(?:async )?function|const|class)", re.MULTILINE)


def bundle_script(folder: Path = ASSETS, entry: str = ENTRY) -> str:
    """All modules that the entry needs, each once, after those it needs itself; imports and exports taken out.

    The modules share one scope then: no two of them may use one name at top level (a test holds this).
    """
    order: list[str] = []
    _visit(folder, entry, order)
    return "\n".join(_strip((folder / name).read_text(encoding="utf-8")) for name in order)


def bundle_style(folder: Path = ASSETS) -> str:
    """The page's style sheets as one; what is for paper comes last."""
    return "".join((folder / name).read_text(encoding="utf-8") for name in STYLES)


def _visit(folder: Path, name: str, order: list[str]) -> None:
    if name in order:
        return
    for needed in IMPORT.findall((folder / name).read_text(encoding="utf-8")):
        _visit(folder, needed, order)
    if name not in order:
        order.append(name)


def _strip(source: str) -> str:
    return EXPORT.sub("", IMPORT.sub("", source)).strip() + "\n"


# --- The training photos that patches are cut from, each once and small ---

LONGEST_SIDE = 144
QUALITY = 82


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
    scale = min(1.0, LONGEST_SIDE / max(picture_shape))
    size = (round(picture_shape[1] * scale), round(picture_shape[0] * scale))
    pictures = [_jpeg(Image.fromarray(photo), size) for photo in photos]
    return {"scale": scale, "pictures": pictures, "names": list(names), "labels": list(labels)}


def _jpeg(image: Image.Image, size: tuple[int, int]) -> str:
    small = image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


# --- The feature-map page: one self-contained HTML file with every filter's maps for the chosen photos ---

FORMAT = 3
DEFAULTS: Mapping[str, Any] = {
    "temperature": 1.0, "centerCrop": None, "camSteps": [], "camStep": None, "program": None, "programWhy": "",
    "regions": [], "numRegionPhotos": 0, "trust": None,
}  # fmt: skip
GROUPS = (("user", "Your photos"), ("error", "Errors"), ("correct", "Classified correctly"))


class LayerRow(Protocol):
    """A row of the table of layers."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def kernel_size(self) -> tuple[int, int] | None: ...
    @property
    def strides(self) -> tuple[int, int] | None: ...
    @property
    def padding(self) -> str: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def output_shape(self) -> tuple[int, ...]: ...
    @property
    def num_parameters(self) -> int: ...
    @property
    def formula(self) -> str: ...
    @property
    def agrees(self) -> bool | None: ...
    @property
    def receptive_field(self) -> Any: ...


class ComparisonRow(Protocol):
    """Parameters of a convolution against dense."""

    @property
    def name(self) -> str: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def output_shape(self) -> tuple[int, ...]: ...
    @property
    def num_convolution(self) -> int: ...
    @property
    def num_dense(self) -> int: ...
    @property
    def ratio(self) -> float: ...


class Note(Protocol):
    """Something that is not shown, and why."""

    @property
    def name(self) -> str: ...
    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class FeatureMapInputs:
    """Everything the page shows, as plain values.

    Attributes:
        model_name: what to call the network.
        num_parameters: parameters of the whole network.
        classes: names of the classes.
        picture_shape: rows and columns of the picture that receptive fields count in.
        blocks: convolutions and what follows them.
        encoded_blocks: the same, by `encode_blocks`.
        filters: one row per filter, by the lens.
        num_sample: held-out photos behind the facts about filters.
        photos: by `encode_photo`, in the order of the page.
        layers: the table of layers.
        comparisons: the table of parameters.
        skipped: layers that are not drawn.
        unreadable: own photos that could not be read.
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
    layers: Sequence[LayerRow]
    comparisons: Sequence[ComparisonRow]
    skipped: Sequence[Note] = ()
    unreadable: Sequence[Note] = ()
    left_out: Sequence[str] = ()
    mirror: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    report_link: bool = True


def render_feature_maps(inputs: FeatureMapInputs) -> str:
    """The whole page as HTML text; the same inputs give the same bytes."""
    values = {
        "inputs": inputs,
        "groups": _group_photos(inputs.photos),
        "specs": _specs(inputs),
        "short_names": shorten_names([block["name"] for block in inputs.encoded_blocks]),
        "totals": count_filters(inputs.filters, inputs.encoded_blocks),
        "data": compact_json(_page_data(inputs)),
        "resources": inputs.resources,
        "script": bundle_script(),
        "style": bundle_style(),
    }
    return fill_template("feature_maps/feature_maps.html", values)


def count_filters(filters: pd.DataFrame, encoded_blocks: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Filters in all, shown, dead, and rare (they fire on fewer than 1 % of photos)."""
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


def _group_photos(photos: Sequence[EncodedPhoto]) -> list[dict[str, Any]]:
    """Photos under their headings; each keeps its number on the page."""
    numbered = list(enumerate(photos))
    groups = [
        {"title": title, "photos": [(i, photo) for i, photo in numbered if photo.facts["group"] == name]}
        for name, title in GROUPS
    ]
    return [group for group in groups if group["photos"]]


def _specs(inputs: FeatureMapInputs) -> dict[str, str]:
    """The operation of every block in a line: `3×3 kernel, stride 2, same padding · sees 7×7 pixels`."""
    rows = {row.name: row for row in inputs.layers}
    return {block.name: _spec(rows[block.name], block) for block in inputs.blocks if block.name in rows}


def _spec(row: LayerRow, block: Block) -> str:
    field = block.response.receptive_field
    kernel = "×".join(str(size) for size in row.kernel_size or ())
    stride = " by ".join(str(step) for step in dict.fromkeys(row.strides or ()))
    sees = "the whole photo" if field is None else f"{field.columns.size}×{field.rows.size} pixels"
    sees += ", and the whole photo through gates" if field is not None and field.gated else ""
    return f"{row.kind} {kernel}, stride {stride}, {row.padding} padding · a cell sees {sees}"


def _page_data(inputs: FeatureMapInputs) -> dict[str, Any]:
    labels = {step.label for block in inputs.blocks for step in block.steps if step.kind == "activation"}
    short = shorten_names([block["name"] for block in inputs.encoded_blocks])
    return (
        dict(DEFAULTS)
        | {
            "format": FORMAT,
            "classes": list(inputs.classes),
            "pictureSize": list(inputs.picture_shape),
            "numSample": inputs.num_sample,
            "activation": labels.pop() if len(labels) == 1 else "activation",
            "blocks": [block | {"short": short[block["name"]]} for block in inputs.encoded_blocks],
            "photos": [photo.facts for photo in inputs.photos],
            "limits": _common_limits(inputs.photos),
            "colors": {"signed": color_hex(SIGNED), "positive": color_hex(POSITIVE)},
            "mirror": inputs.mirror,
        }
        | dict(inputs.more)
    )


def _common_limits(photos: Sequence[EncodedPhoto]) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of every step over all photos."""
    names = photos[0].limits if photos else {}
    return {
        name: (min(photo.limits[name][0] for photo in photos), max(photo.limits[name][1] for photo in photos))
        for name in names
    }
