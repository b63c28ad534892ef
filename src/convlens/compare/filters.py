"""Compare the filters of two networks: which have a counterpart, layer by layer."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from convlens.compare.runs import Snapshot, explain_fetch
from convlens.data.prepared import ShardedImages
from convlens.errors import ConvLensError
from convlens.files import evenly_spaced
from convlens.lens.filters import Responses, gather_responses
from convlens.lens.lens import Lens, open_lens
from convlens.lens.over_time import MIN_PARTNER_CORRELATION, LayerMatch, match_networks
from convlens.models.files import FILE, load_trained_model
from convlens.wording import show_count

MAX_SAMPLE = 48  # photos that both networks are shown


@dataclass(frozen=True)
class FilterComparison:
    """The filters of two networks on the same photos.

    Attributes:
        layers: pairs of layers, in the order of the networks.
        unmatched_base: layers of the base without a counterpart.
        unmatched_head: layers of the run.
        num_photos: test photos of the run that both networks saw.
        resized: whether the base takes photos of another size, and was shown resized ones.
    """

    layers: tuple[LayerMatch, ...]
    unmatched_base: tuple[str, ...]
    unmatched_head: tuple[str, ...]
    num_photos: int
    resized: bool = False

    @property
    def are_apart(self) -> bool:
        """Whether the networks have unlike layers: filters without a partner then tell nothing."""
        unlike = any(layer.num_base != layer.num_head for layer in self.layers)
        return unlike or bool(self.unmatched_base or self.unmatched_head)

    @property
    def sentence(self) -> str:
        """All of it in a line or two."""
        if not self.layers:
            return "Filters cannot be compared: one of the two networks has no convolution."
        matched, died, born, before, after = (
            sum(len(getattr(layer, kind)) for layer in self.layers)
            for kind in ("pairs", "died", "born", "dead_base", "dead_head")
        )
        left_out = len(self.unmatched_base) + len(self.unmatched_head)
        rest = f" {show_count(left_out, 'layer')} without a counterpart left out." if left_out else ""
        resized = " The base takes photos of another size and was shown resized ones." if self.resized else ""
        if self.are_apart:
            return (
                f"Filters: the two networks have unlike layers, so their filters have no counterpart; {matched:,} of "
                f"{sum(layer.num_base for layer in self.layers):,} respond alike. Never fire: {before:,} before, "
                f"{after:,} after.{rest}{resized}"
            )
        return (
            f"Filters: {matched:,} of {sum(layer.num_base for layer in self.layers):,} have a partner (responses "
            f"correlate by at least {MIN_PARTNER_CORRELATION:g} on {show_count(self.num_photos, 'test photo')}). "
            f"{died:,} died, {born:,} were born: these fire and have no partner. Never fire: {before:,} before, "
            f"{after:,} after.{rest}{resized}"
        )


def compare_filters(base: Snapshot, head: Snapshot) -> FilterComparison:
    """Match the filters of two runs' networks on test photos of the second.

    Filters of two layers are assigned one to one so that the sum of the correlations of their responses is largest
    (Hungarian method; Li et al., Convergent learning, ICLR 2016).

    Raises:
        ConvLensError: a network or the photos are not on this disk.
    """
    if not head.files.test_shards:
        raise ConvLensError(_explain_lack(head, "the prepared test photos"))
    photos = ShardedImages([np.load(path, mmap_mode="r") for path in head.files.test_shards])
    sample = photos[evenly_spaced(len(photos), MAX_SAMPLE)]
    networks = [_open_network(run) for run in (base, head)]
    shown = [_fit_photos(sample, network) for network in networks]
    responses = [gather_responses(network, images) for network, images in zip(networks, shown, strict=True)]
    layers = tuple(match_networks(*responses))
    return FilterComparison(
        layers,
        _list_unmatched(responses[0], [layer.base for layer in layers]),
        _list_unmatched(responses[1], [layer.head for layer in layers]),
        num_photos=len(sample),
        resized=shown[0].shape != shown[1].shape,
    )


def _open_network(run: Snapshot) -> Lens:
    """Copy the network to its own name first, which Keras asks for; in DVC's cache it has another."""
    if run.files.model is None:
        raise ConvLensError(_explain_lack(run, "the network"))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(run.files.model, Path(folder) / FILE)
        return open_lens(load_trained_model(Path(folder)))


def _fit_photos(photos: np.ndarray, network: Lens) -> np.ndarray:
    """Bring photos, uint8 (n, rows, columns, 3), to the size that a network takes."""
    rows, columns = network.model.inputs[0].shape[1:3]
    if photos.shape[1:3] == (rows, columns):
        return photos
    resized = [Image.fromarray(photo).resize((columns, rows), Image.Resampling.BICUBIC) for photo in photos]
    return np.stack([np.asarray(photo) for photo in resized])


def _list_unmatched(responses: dict[str, Responses], matched: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in responses if name not in matched)


def _explain_lack(run: Snapshot, what: str) -> str:
    where = "neither in the workspace nor in DVC's cache"
    return f"Expected {what} of {run.name} on this disk. Received: {where}. {explain_fetch(run)}"
