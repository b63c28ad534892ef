"""Compare the filters of two networks."""

import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from convlens.compare.runs import Snapshot, read_snapshot
from convlens.data.prepared import ShardedImages
from convlens.errors import ConvLensError
from convlens.files import encode_png, evenly_spaced, write_text
from convlens.lens.attribution import choose_cam, find_cam_targets, grad_cam
from convlens.lens.filters import Responses, gather_responses
from convlens.lens.forward import Scorer
from convlens.lens.lens import Lens, open_lens
from convlens.lens.over_time import MIN_PARTNER_CORRELATION, LayerMatch, match_networks, shrink_map
from convlens.models.files import FILE, load_trained_model
from convlens.pages.engine import fill_template, picture_source
from convlens.pages.feature_maps.encode import POSITIVE, SIGNED, color_index, color_table
from convlens.wording import show_count, show_share

# --- What the page of two networks shows, as plain values ---


class LayerChange(Protocol):
    """A layer of one network beside its counterpart."""

    @property
    def base(self) -> str: ...
    @property
    def head(self) -> str: ...
    @property
    def num_base(self) -> int: ...
    @property
    def num_head(self) -> int: ...
    @property
    def matched(self) -> int: ...
    @property
    def born(self) -> int: ...
    @property
    def died(self) -> int: ...
    @property
    def dead_base(self) -> int: ...
    @property
    def dead_head(self) -> int: ...
    @property
    def correlation(self) -> float: ...
    @property
    def chance(self) -> float: ...


@dataclass(frozen=True)
class FilterTile:
    """Two partners, or a filter without one, on the photo that they fire on most.

    Attributes:
        kind: `changed`, `alike`, `died` or `born`.
        base: filter of the base; None for one that was born.
        head: filter of the head; None for one that died.
        correlation: of partners.
        photo: uint8 (rows, columns, 3).
        base_map: small map (rows, columns) of the base's filter.
        head_map: of the head's.
    """

    kind: str
    base: int | None
    head: int | None
    correlation: float
    photo: np.ndarray
    base_map: np.ndarray | None
    head_map: np.ndarray | None


@dataclass(frozen=True)
class LayerTiles:
    """The tiles of a layer; `rectified` says of base and head whether values are never below zero."""

    base: str
    head: str
    rectified: tuple[bool, ...]
    tiles: Sequence[FilterTile]


@dataclass(frozen=True)
class ChangedAnswer:
    """A photo with two answers.

    Attributes:
        path: of the photo.
        label: its class.
        answers: of base and head.
        probabilities: that each gave to its answer.
        photo: uint8 (rows, columns, 3).
        cams: signed Grad-CAM of each; None for a network without convolution.
        speaks_for: class that they explain.
    """

    path: str
    label: str
    answers: tuple[str, str]
    probabilities: tuple[float, float]
    photo: np.ndarray
    cams: tuple[np.ndarray | None, np.ndarray | None]
    speaks_for: str


@dataclass(frozen=True, kw_only=True)
class ComparedFilters:
    """Everything the page shows, as plain values.

    Attributes:
        base: what to call the first network.
        head: the second.
        sentence: the outcome in a line.
        layers: counts by pair of layers.
        unmatched: names of layers without a counterpart, of base and head.
        num_photos: photos that filters were matched on.
        threshold: correlation from which filters are partners.
        resized: whether the base takes photos of another size.
        tiles: of some layers.
        changed: photos with two answers, those shown.
        num_changed: all of them.
        note: why answers cannot be compared; empty if they can.
        totals: filters matched, of how many of the base, died, born.
    """

    base: str
    head: str
    sentence: str
    layers: Sequence[LayerChange]
    unmatched: tuple[Sequence[str], Sequence[str]]
    num_photos: int
    threshold: float
    resized: bool
    tiles: Sequence[LayerTiles]
    changed: Sequence[ChangedAnswer]
    num_changed: int
    note: str
    totals: tuple[int, int, int, int]


# --- The networks of two runs, opened, and the photos that both are shown. Loads TensorFlow ---

NUM_SAMPLE = 48


@dataclass(frozen=True)
class Network:
    """The network of one run.

    Attributes:
        run: what the run left behind.
        lens: its network, opened.
    """

    run: Snapshot
    lens: Lens

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the network's answers; empty where its card is not here."""
        return tuple(self.run.card.get("classes", ()))

    @property
    def side(self) -> tuple[int, int]:
        """Rows and columns of the photos it takes."""
        rows, columns = self.lens.model.inputs[0].shape[1:3]
        return int(rows), int(columns)

    @cached_property
    def scorer(self) -> Scorer:
        """What gives its probabilities."""
        known = self.run.metrics.get("temperature") or self.run.card.get("temperature") or 1.0
        return Scorer(self.lens, float(known))


@dataclass(frozen=True)
class Networks:
    """Two networks, and the test photos of the second.

    Attributes:
        base: the one to compare with.
        head: the one that is compared.
        photos: all test photos of the head, as prepared for it.
        sample: rows of them that filters are matched on.
    """

    base: Network
    head: Network
    photos: ShardedImages
    sample: Sequence[int]

    @property
    def resized(self) -> bool:
        """Whether the base takes photos of another size."""
        return self.base.side != self.head.side

    def photos_of(self, network: Network, rows: Sequence[int]) -> np.ndarray:
        """Test photos, uint8 (n, rows, columns, 3), at the size a network takes."""
        photos = self.photos[np.array(rows, dtype=np.int64)]
        return photos if photos.shape[1:3] == network.side else _resize(photos, network.side)


def open_networks(root: Path, base: str, head: str) -> Networks:
    """Open the networks of two revisions, and the second's test photos.

    Raises:
        ConvLensError: a revision has no results, or its network or photos are not on this disk.
    """
    runs = [read_snapshot(root, name) for name in (base, head)]
    shards = runs[1].files.test_shards
    if not shards:
        raise ConvLensError(_lacks(runs[1], "the prepared test photos"))
    photos = ShardedImages([np.load(path, mmap_mode="r") for path in shards])
    opened = [Network(run, open_lens(_load(run))) for run in runs]
    return Networks(opened[0], opened[1], photos, evenly_spaced(len(photos), NUM_SAMPLE).tolist())


def _load(run: Snapshot) -> Any:
    """The network's file under its own name, which Keras asks for; in DVC's cache it has another."""
    if run.files.model is None:
        raise ConvLensError(_lacks(run, "the network"))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(run.files.model, Path(folder) / FILE)
        return load_trained_model(Path(folder))


def _resize(photos: np.ndarray, side: tuple[int, int]) -> np.ndarray:
    size = side[1], side[0]
    return np.stack([np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC)) for photo in photos])


def _lacks(run: Snapshot, what: str) -> str:
    start = f"Expected {what} of {run.name} on this disk. Received: neither in the workspace nor in DVC's cache."
    if not run.commit:
        return f"{start} Bring them with `dvc pull`, or make them with `dvc repro`."
    return (
        f"{start} Bring them with `dvc fetch --all-commits` (an experiment: `dvc exp pull origin {run.name}`), or make "
        f"them again: `git switch --detach {run.name}` (an experiment: `dvc exp apply {run.name}`), then `dvc repro`."
    )


# --- Which filters of one run's network are those of another's: matched, born and died. Loads TensorFlow ---


@dataclass(frozen=True)
class LayerChangeFilters:
    """A layer of one network beside its counterpart.

    Attributes:
        base: name of the layer in the base's network.
        head: in the head's.
        num_base: filters there.
        num_head: filters here.
        matched: pairs of filters whose responses correlate with at least 0.5.
        born: filters of the head that fire and have no partner.
        died: filters of the base that fire and have no partner.
        dead_base: filters that never fire on these photos.
        dead_head: the same of the head.
        correlation: mean over the matched pairs; 0 without any.
        chance: the mean when one network sees other photos than the other.
    """

    base: str
    head: str
    num_base: int
    num_head: int
    matched: int
    born: int
    died: int
    dead_base: int
    dead_head: int
    correlation: float
    chance: float


@dataclass(frozen=True)
class FiltersCompared:
    """All layers of two networks.

    Attributes:
        layers: pairs of layers, in the order of the networks.
        unmatched_base: layers of the base without a counterpart.
        unmatched_head: layers of the head.
        num_photos: test photos of the head that both networks saw.
        threshold: correlation from which filters are partners.
    """

    layers: tuple[LayerChangeFilters, ...]
    unmatched_base: tuple[str, ...]
    unmatched_head: tuple[str, ...]
    num_photos: int
    threshold: float = MIN_PARTNER_CORRELATION

    @property
    def num_matched(self) -> int:
        """Pairs of filters."""
        return sum(layer.matched for layer in self.layers)

    @property
    def num_born(self) -> int:
        """Filters of the head without a partner."""
        return sum(layer.born for layer in self.layers)

    @property
    def num_died(self) -> int:
        """Filters of the base without a partner."""
        return sum(layer.died for layer in self.layers)

    @property
    def num_filters(self) -> int:
        """Filters of the base in the layers compared."""
        return sum(layer.num_base for layer in self.layers)

    @property
    def sentence(self) -> str:
        """All of it in a line or two."""
        if not self.layers:
            return "Filters cannot be compared: one of the two networks has no convolution."
        dead = [sum(getattr(layer, side) for layer in self.layers) for side in ("dead_base", "dead_head")]
        left_out = len(self.unmatched_base) + len(self.unmatched_head)
        rest = f" {show_count(left_out, 'layer')} without a counterpart left out." if left_out else ""
        return (
            f"Filters: {self.num_matched:,} of {self.num_filters:,} have a partner (responses correlate by at least "
            f"{self.threshold:g} on {show_count(self.num_photos, 'test photo')}). {self.num_died:,} died, "
            f"{self.num_born:,} were born: these fire and have no partner. Never fire: {dead[0]:,} before, {dead[1]:,} "
            f"after.{rest}"
        )


@dataclass(frozen=True)
class Matched:
    """Two networks with everything that was measured of them.

    Attributes:
        networks: the two, and the photos.
        responses: of the base and of the head, by name of the block.
        layers: what matches what.
    """

    networks: Networks
    responses: tuple[dict[str, Responses], dict[str, Responses]]
    layers: tuple[LayerMatch, ...]

    def summarize(self) -> FiltersCompared:
        """The counts."""
        taken = {layer.base for layer in self.layers}, {layer.head for layer in self.layers}
        base, head = (
            tuple(block.name for block in network.lens.convolutions if block.name not in names)
            for network, names in zip((self.networks.base, self.networks.head), taken, strict=True)
        )
        return FiltersCompared(tuple(map(_count, self.layers)), base, head, num_photos=len(self.networks.sample))


def compare_filters(root: Path, base: str, head: str) -> FiltersCompared:
    """Compare the filters of two revisions on test photos of the second.

    Args:
        root: of the repository.
        base: a Git revision, a DVC experiment, or `workspace`.
        head: the same.

    Raises:
        ConvLensError: a revision has no results, or its network or photos are not on this disk.
    """
    return match_runs(open_networks(root, base, head)).summarize()


def match_runs(networks: Networks) -> Matched:
    """Show both networks the photos and match their filters."""
    base = gather_responses(networks.base.lens, networks.photos_of(networks.base, networks.sample))
    head = gather_responses(networks.head.lens, networks.photos_of(networks.head, networks.sample))
    return Matched(networks, (base, head), tuple(match_networks(base, head)))


def _count(layer: LayerMatch) -> LayerChangeFilters:
    return LayerChangeFilters(
        base=layer.base,
        head=layer.head,
        num_base=layer.num_base,
        num_head=layer.num_head,
        matched=len(layer.pairs),
        born=len(layer.born),
        died=len(layer.died),
        dead_base=len(layer.dead_base),
        dead_head=len(layer.dead_head),
        correlation=round(layer.correlation, 6),
        chance=round(layer.chance, 6),
    )


# --- Photos that one network answers otherwise than another, with what each answer hangs on. Loads TensorFlow ---

MAX_CHANGED = 12
PREFIX = "probability_"


def find_changed(networks: Networks) -> tuple[list[ChangedAnswer], int, str]:
    """The photos of both test splits whose answer is another: those shown, how many there are, and why there are none.

    What the head answers wrong comes first, then what it answers right, then the rest; in each the largest change of
    the right answer's probability first.
    """
    base, head = networks.base, networks.head
    for run in (base.run, head.run):
        if run.predictions is None or run.photos is None:
            return [], 0, f"The answers of {run.name} to the single test photos are not on this disk: dvc pull."
    if set(base.classes) != set(head.classes) or not head.classes:
        return [], 0, "The two know different classes, so their answers cannot be compared."
    table = _join(base, head)
    if not len(table):
        return [], 0, "The two share no test photo, so their answers cannot be compared."
    other = table[table["predicted_base"] != table["predicted_head"]]
    ranked = _rank(other, head)
    return _explain(networks, ranked.head(MAX_CHANGED)), len(other), ""


def _join(base: Network, head: Network) -> pd.DataFrame:
    """The test photos that both have, by content and label, with the row in the head's arrays."""
    first, second = _identify(base), _identify(head)
    return first.merge(second, on=["sha256", "label"], suffixes=("_base", "_head"))


def _identify(network: Network) -> pd.DataFrame:
    run = network.run
    if run.predictions is None or run.photos is None:
        return pd.DataFrame()
    photos = run.photos[run.photos["split"] == "test"]
    columns = [column for column in ("path", "sha256", "row") if column in photos]
    chances = [f"{PREFIX}{name}" for name in network.classes]
    found = run.predictions.merge(photos[columns], on="path")
    return found[[*columns, "label", "predicted", *chances]].drop_duplicates(["sha256", "label"])


def _rank(other: pd.DataFrame, head: Network) -> pd.DataFrame:
    labels = other["label"].tolist()
    change = [
        abs(row[f"{PREFIX}{label}_head"] - row[f"{PREFIX}{label}_base"]) if label in head.classes else 0.0
        for label, row in zip(labels, other.to_dict("records"), strict=True)
    ]
    wrong = (other["predicted_base"] == other["label"]).to_numpy()
    right = (other["predicted_head"] == other["label"]).to_numpy()
    ranked = other.assign(kind=np.where(wrong, 0, np.where(right, 1, 2)), change=np.array(change, dtype=float))
    return ranked.sort_values(["kind", "change", "path_head"], ascending=[True, False, True])


def _explain(networks: Networks, table: pd.DataFrame) -> list[ChangedAnswer]:
    rows = [int(str(row)) for row in table["row_head"]]
    if not rows:
        return []
    names = networks.head.classes
    wanted = [names[-1] if len(names) == 2 else str(label) for label in table["label"]]  # the second of two, as always
    cams = [_draw_cams(networks, network, rows, wanted) for network in (networks.base, networks.head)]
    pixels = networks.photos_of(networks.head, rows)
    return [
        ChangedAnswer(
            path=row["path_head"],
            label=row["label"],
            answers=(row["predicted_base"], row["predicted_head"]),
            probabilities=(_chance(row, "base"), _chance(row, "head")),
            photo=pixels[number],
            cams=(cams[0][number], cams[1][number]),
            speaks_for=wanted[number],
        )
        for number, row in enumerate(table.to_dict("records"))
    ]


def _chance(row: Mapping[Any, Any], side: str) -> float:
    """The probability that a run gave to its answer."""
    return float(row[f"{PREFIX}{row[f'predicted_{side}']}_{side}"])


def _draw_cams(
    networks: Networks, network: Network, rows: Sequence[int], wanted: Sequence[str]
) -> Sequence[np.ndarray | None]:
    """The signed Grad-CAM of every photo for a class."""
    target = choose_cam(find_cam_targets(network.scorer))
    if target is None:
        return [None] * len(rows)
    classes = np.array([network.classes.index(name) for name in wanted])
    return list(grad_cam(network.scorer, networks.photos_of(network, rows), classes, [target])[target.name])


# --- filters compare ---
# The page of `convlens compare --feature-maps`: two networks beside each other, filter by filter, in one HTML file.

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
        "compared": compared,
        "rows": [_describe_row(layer) for layer in compared.layers],
        "shown": [_describe_tiles(layer, compared) for layer in compared.tiles],
        "answers": [_describe_answer(answer, compared) for answer in compared.changed],
        "total": show_count(compared.num_changed, "photo"),
        "ramps": {"signed": _ramp(signed=True), "positive": _ramp(signed=False)},
        "picture": picture_source,
    }
    return fill_template("comparison/filters.html", values)


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
                          "source": picture_source(_color(values, limit, signed=signed))})  # fmt: skip
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


def _color(values: np.ndarray, limit: float, *, signed: bool) -> bytes:
    return encode_png(_table(signed=signed)[color_index(values, limit, signed=signed)])


def _overlay(photo: np.ndarray, cam: np.ndarray, limit: float) -> bytes:
    """The gray photo under the map: half of what is seen is either."""
    side = 2 * PHOTO_SIDE
    gray = Image.fromarray(photo).convert("L").resize((side, side), Image.Resampling.BILINEAR)
    smooth = np.asarray(Image.fromarray(cam.astype(np.float32), "F").resize((side, side), Image.Resampling.BILINEAR))
    colors = _table(signed=True)[color_index(smooth, limit, signed=True)].astype(np.float64)
    mixed = 0.45 * np.asarray(gray, np.float64)[..., np.newaxis] + 0.55 * colors
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
    """The colors of a scale from end to end, even in the values, as the tiles are painted."""
    values = np.linspace(-1 if signed else 0, 1, 256)[np.newaxis]
    return picture_source(_color(values, 1.0, signed=signed))


def _table(*, signed: bool) -> np.ndarray:
    return color_table(SIGNED if signed else POSITIVE)


# --- The page of `convlens compare --feature-maps`: two networks side by side, filter by filter. Loads TensorFlow ---

MAX_LAYERS = 12
MOST_CHANGED, MOST_ALIKE, MOST_ALONE = 4, 2, 4
SIDE = 24  # of a tile, in cells

Wanted = tuple[str, int | None, int | None, float]  # kind, filter of the base, of the head, correlation


def write_filters_page(root: Path, base: str, head: str, out: Path) -> str:
    """Write the page, and say in a sentence what is on it.

    Args:
        root: of the repository.
        base: a Git revision, a DVC experiment, or `workspace`.
        head: the same.
        out: file to write.

    Raises:
        ConvLensError: a revision has no results, or its network or photos are not on this disk.
    """
    matched = match_runs(open_networks(root, base, head))
    compared = matched.summarize()
    write_text(out, render_filters(describe_filters(matched)))
    return compared.sentence


def describe_filters(matched: Matched) -> ComparedFilters:
    """Everything the page shows, as plain values."""
    networks, compared = matched.networks, matched.summarize()
    changed, num_changed, note = find_changed(networks)
    return ComparedFilters(
        base=_title(networks.base),
        head=_title(networks.head),
        sentence=compared.sentence,
        layers=compared.layers,
        unmatched=(compared.unmatched_base, compared.unmatched_head),
        num_photos=compared.num_photos,
        threshold=compared.threshold,
        resized=networks.resized,
        tiles=_draw_layers(matched),
        changed=changed,
        num_changed=num_changed,
        note=note,
        totals=(compared.num_matched, compared.num_filters, compared.num_died, compared.num_born),
    )


def _title(network: Network) -> str:
    commit = network.run.commit[:7]
    return f"{network.run.name} ({commit})" if commit and not network.run.commit.startswith(network.run.name) else (
        network.run.name)  # fmt: skip


def _draw_layers(matched: Matched) -> list[LayerTiles]:
    """Tiles of at most twelve layers, evenly taken; each photo is shown to each network once."""
    layers = matched.layers
    if len(layers) > MAX_LAYERS:
        layers = tuple(layers[round(i * (len(layers) - 1) / (MAX_LAYERS - 1))] for i in range(MAX_LAYERS))
    wanted = [[(item, _photo_of(item, layer, matched)) for item in _choose(layer)] for layer in layers]
    maps = _look(matched.networks, layers, [[photo for _, photo in items] for items in wanted])
    return [
        LayerTiles(
            base=layer.base,
            head=layer.head,
            rectified=tuple(side[name].rectified for side, name in _sides(matched, layer)),
            tiles=[_tile(item, maps[photo], layer, matched.networks, photo) for item, photo in items],
        )
        for layer, items in zip(layers, wanted, strict=True)
        if items
    ]


def _choose(layer: LayerMatch) -> Iterator[Wanted]:
    """Partners that changed most and least, then filters without a partner."""
    least = layer.pairs[::-1][:MOST_CHANGED]
    alike = [pair for pair in layer.pairs[:MOST_ALIKE] if pair not in least]
    for kind, pairs in (("changed", least), ("alike", alike)):
        yield from ((kind, pair.base, pair.head, pair.correlation) for pair in pairs)
    yield from (("died", number, None, 0.0) for number in layer.died[:MOST_ALONE])
    yield from (("born", None, number, 0.0) for number in layer.born[:MOST_ALONE])


def _sides(matched: Matched, layer: LayerMatch) -> Iterator[tuple[Mapping[str, Responses], str]]:
    return zip(matched.responses, (layer.base, layer.head), strict=True)


def _photo_of(item: Wanted, layer: LayerMatch, matched: Matched) -> int:
    """The place in the sample of the photo that the filters fire on most, each measured by its own highest."""
    score = np.zeros(len(matched.networks.sample))
    for (side, name), number in zip(_sides(matched, layer), item[1:3], strict=True):
        if number is not None:
            values = side[name].highest[:, number].astype(np.float64)
            score += values / max(float(np.abs(values).max()), 1e-12)
    return int(np.argmax(np.round(score, 6)))


def _look(
    networks: Networks, layers: tuple[LayerMatch, ...], photos: list[list[int]]
) -> dict[int, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Small maps (filters, rows, columns) of both networks, by place of the photo and name of the layer."""
    found: dict[int, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = {}
    for photo in sorted({photo for places in photos for photo in places}):
        names = [layer for layer, places in zip(layers, photos, strict=True) if photo in places]
        base = _small_maps(networks, networks.base, photo, {layer.base for layer in names})
        found[photo] = base, _small_maps(networks, networks.head, photo, {layer.head for layer in names})
    return found


def _small_maps(networks: Networks, network: Network, photo: int, names: set[str]) -> dict[str, np.ndarray]:
    activations = network.lens.run(networks.photos_of(network, [networks.sample[photo]])[0])
    steps = {block.name: block.response.name for block in network.lens.blocks if block.name in names}
    return {name: shrink_map(np.moveaxis(activations.maps[step], -1, 0), SIDE) for name, step in steps.items()}


def _tile(
    item: Wanted,
    maps: tuple[dict[str, np.ndarray], dict[str, np.ndarray]],
    layer: LayerMatch,
    networks: Networks,
    photo: int,
) -> FilterTile:
    kind, base, head, correlation = item
    return FilterTile(
        kind=kind,
        base=base,
        head=head,
        correlation=correlation,
        photo=networks.photos_of(networks.head, [networks.sample[photo]])[0],
        base_map=None if base is None else maps[0][layer.base][base],
        head_map=None if head is None else maps[1][layer.head][head],
    )
