"""Which filters of one run's network are those of another's: matched, born and died. Loads TensorFlow."""

from dataclasses import dataclass
from pathlib import Path

from convlens.comparison.filters_networks import Networks, open_networks
from convlens.lens.matching import THRESHOLD, LayerMatch, match_networks
from convlens.lens.responses import Responses, gather_responses
from convlens.lens.saliency import cam_blocks
from convlens.report.wording import show_count


@dataclass(frozen=True)
class LayerChange:
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

    layers: tuple[LayerChange, ...]
    unmatched_base: tuple[str, ...]
    unmatched_head: tuple[str, ...]
    num_photos: int
    threshold: float = THRESHOLD

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

    def summarise(self) -> FiltersCompared:
        """The counts."""
        taken = {layer.base for layer in self.layers}, {layer.head for layer in self.layers}
        base, head = (
            tuple(block.name for block in cam_blocks(network.lens.blocks) if block.name not in names)
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
    return match_runs(open_networks(root, base, head)).summarise()


def match_runs(networks: Networks) -> Matched:
    """Show both networks the photos and match their filters."""
    base = gather_responses(networks.base.lens, networks.photos_of(networks.base, networks.sample))
    head = gather_responses(networks.head.lens, networks.photos_of(networks.head, networks.sample))
    return Matched(networks, (base, head), tuple(match_networks(base, head)))


def _count(layer: LayerMatch) -> LayerChange:
    return LayerChange(
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
