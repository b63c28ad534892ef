"""Which photos a data set has gained and lost between two runs, told by content."""

from dataclasses import dataclass

import pandas as pd

from convlens.comparison.snapshot import Snapshot


@dataclass(frozen=True)
class PhotoChanges:
    """Differences between the photos of two runs; each as paths, in their order.

    Attributes:
        added: in the run alone.
        removed: in the base alone.
        relabelled: in both, with another class.
        moved: in both, in another split.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabelled: tuple[str, ...]
    moved: tuple[str, ...]


def find_photo_changes(base: Snapshot, head: Snapshot) -> PhotoChanges | None:
    """What changed among the photos that are used; None where a list of photos cannot be had."""
    if base.photos is None or head.photos is None:
        return None
    before, after = (_by_content(photos) for photos in (base.photos, head.photos))
    both = after.join(before, how="inner", rsuffix="_base")
    return PhotoChanges(
        added=_paths(after.loc[after.index.difference(before.index)]),
        removed=_paths(before.loc[before.index.difference(after.index)]),
        relabelled=_paths(both[both["label"] != both["label_base"]]),
        moved=_paths(both[both["split"] != both["split_base"]]),
    )


def _by_content(photos: pd.DataFrame) -> pd.DataFrame:
    return photos.drop_duplicates("sha256").set_index("sha256")[["path", "label", "split"]]


def _paths(photos: pd.DataFrame) -> tuple[str, ...]:
    return tuple(sorted(photos["path"]))
