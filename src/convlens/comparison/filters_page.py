"""The page of `convlens compare --feature-maps`: two networks side by side, filter by filter. Loads TensorFlow."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from convlens.comparison.filters import Matched, match_runs
from convlens.comparison.filters_answers import find_changed
from convlens.comparison.filters_networks import Network, Networks, open_networks
from convlens.lens.matching import LayerMatch
from convlens.lens.over_time import shrink_map
from convlens.lens.responses import Responses
from convlens.report.filters_compare import render_filters
from convlens.report.filters_compare_values import ComparedFilters, FilterTile, LayerTiles
from convlens.stages.outputs import write_text

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
    compared = matched.summarise()
    write_text(out, render_filters(describe_filters(matched)))
    return compared.sentence


def describe_filters(matched: Matched) -> ComparedFilters:
    """Everything the page shows, as plain values."""
    networks, compared = matched.networks, matched.summarise()
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
    look = network.lens.look(networks.photos_of(network, [networks.sample[photo]])[0])
    steps = {block.name: block.response.name for block in network.lens.blocks if block.name in names}
    return {name: shrink_map(np.moveaxis(look.maps[step], -1, 0), SIDE) for name, step in steps.items()}


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
