"""What a split did with the groups of near-duplicates: which there are, and that none is in two splits."""

from typing import Any

import pandas as pd

from convlens.photos.split import LEFT_OUT

MIN_LARGE = 20  # photos
LARGE_SHARE = 0.01


def describe_groups(photos: pd.DataFrame, groups: pd.Series, splits: pd.Series) -> dict[str, Any]:
    """Tell of the groups with more than one photo.

    Args:
        photos: `path`, `label`, and `split`: the source's own, empty if it has none.
        groups: the number of each photo's group.
        splits: what `split_photos` assigned.

    Returns:
        Plain values: `num_photos`, `num_groups`, `num_grouped_photos`, `largest_group` (photos), `groups_of_two_labels`
        (one of the labels must be wrong), `groups_across_source_splits` (found in several of the source's own splits),
        `groups_across_splits` (after the split; must be 0), `left_out` (paths), `groups` (lists of paths, both sorted).
    """
    table = photos[["path", "label", "split"]].assign(group=groups, assigned=splits)
    sizes = table.groupby("group")["path"].transform("size")
    copies = table[sizes > 1]
    kept = copies[copies["assigned"] != LEFT_OUT]
    return {
        "num_photos": len(table),
        "num_groups": int(copies["group"].nunique()),
        "num_grouped_photos": len(copies),
        "largest_group": int(sizes.max()) if len(copies) else 0,
        "groups_of_two_labels": _count_mixed(copies, "label"),
        "groups_across_source_splits": _count_mixed(copies[copies["split"] != ""], "split"),
        "groups_across_splits": _count_mixed(kept, "assigned"),
        "left_out": sorted(table.loc[table["assigned"] == LEFT_OUT, "path"]),
        "groups": sorted(sorted(paths) for _, paths in copies.groupby("group")["path"]),
    }


def is_large(num_grouped: int, num_photos: int) -> bool:
    """Whether a group is so large that it may have come about by likeness of different photos."""
    return num_grouped >= max(MIN_LARGE, LARGE_SHARE * num_photos)


def _count_mixed(table: pd.DataFrame, column: str) -> int:
    return int((table.groupby("group")[column].nunique() > 1).sum())
