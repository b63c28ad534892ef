"""Split photos into training, validation and test photos, and into folds."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from convlens.errors import ConvLensError
from convlens.params import PreprocessParams

# --- Which photo goes into training, validation and test ---

SPLITS = ("train", "validation", "test")
LEFT_OUT = ""
_OUTSIDE_HOME = "outside home"  # of its group


def split_photos(photos: pd.DataFrame, params: PreprocessParams, *, groups: pd.Series | None = None) -> pd.Series:
    """Assign every photo to `train`, `validation` or `test`, stratified by class, and no group to two of them.

    Groups are ordered by a digest of seed and content, so the split does not depend on names or order, and a few more
    photos move only a few others. A group that a split has no room for goes into the next one. A source's own split is
    kept: its training photos stay in training, its held-out photos stay out of it; a held-out part that is missing is
    taken from the nearest one there is. A source with nothing but training photos counts as one without a split.
    Where a group spans a source's own splits, its test photos stay, else its validation photos, and its others are
    left out: what is measured stays what the source says, and nothing of it is seen in training.

    Args:
        photos: usable photos with the columns `sha256`, `path`, `label` and `split` (empty: source has none).
        params: fractions and seed.
        groups: the number of each photo's group, as `group_duplicates` gives them; without, each photo is its own.

    Returns:
        The split of every photo, with the index of `photos`; empty for photos that are left out.

    Raises:
        ConvLensError: there are no photos, or a class would be left without photos in a split.
    """
    table = photos[["label", "split"]].assign(group=range(len(photos)) if groups is None else groups)
    if set(table["split"]) == {"train"}:
        table["split"] = ""
    own = set(table["split"]) - {""}
    table = _follow_group(table.loc[_shuffle(photos, params.seed)])
    table["class"] = _common_label(table)
    for _, rows in table[table["split"] == ""].groupby("class", sort=True):
        held_out = {"test": params.test_fraction, "validation": params.validation_fraction}
        _assign(table, rows, {split: _share(len(rows), fraction) for split, fraction in held_out.items()})
    for _, rows in table.groupby("class", sort=True) if own else ():
        _complete_own(table, rows, params, own)
    assigned = table["split"].where(table["split"] != _OUTSIDE_HOME, LEFT_OUT).reindex(photos.index)
    _check_classes(photos["label"], assigned)
    return assigned


def _shuffle(photos: pd.DataFrame, seed: int) -> pd.Index:
    """By content; names only order exact copies among themselves, which so end up side by side."""
    keys = [hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest() for digest in photos["sha256"]]
    return photos.assign(key=keys).sort_values(["key", "path"], kind="stable").index


def _follow_group(table: pd.DataFrame) -> pd.DataFrame:
    """A group belongs to the last of the source's splits that it is in; what the source has in others is left out."""
    ranks = table["split"].map({"": -1, **{split: rank for rank, split in enumerate(SPLITS)}})
    highest = ranks.groupby(table["group"]).transform("max")
    home = highest.map({-1: "", **dict(enumerate(SPLITS))})
    elsewhere = (table["split"] != "") & (table["split"] != home)
    return table.assign(split=home.mask(elsewhere, _OUTSIDE_HOME))


def _common_label(table: pd.DataFrame) -> pd.Series:
    """The label most of a group have, the first by name of equally many: a group counts for one class."""
    counts = table.groupby(["group", "label"], sort=True).size().rename("count").reset_index()
    common = counts.sort_values("count", ascending=False, kind="stable").drop_duplicates("group")
    labels: pd.Series = table["group"].map(common.set_index("group")["label"])
    return labels


def _assign(table: pd.DataFrame, rows: pd.DataFrame, shares: dict[str, int], *, rest: str = "train") -> None:
    """Fill the held-out splits with whole groups, each with the next that it still has room for; the rest remains."""
    sizes = rows.groupby("group", sort=False).size()
    chosen = dict.fromkeys(sizes.index, rest)
    room = dict(shares)
    for group, size in sizes.items():
        target = next((split for split in room if size <= room[split]), None)
        if target is not None:
            chosen[group] = target
            room[target] -= size
    _fill_empty(chosen, sizes, [split for split in shares if room[split] == shares[split] > 0], rest=rest)
    table.loc[rows.index, "split"] = rows["group"].map(chosen)


def _fill_empty(chosen: dict[int, str], sizes: pd.Series, empty: Iterable[str], *, rest: str) -> None:
    """A split that every group is too large for takes the smallest of the rest, if another one is left there."""
    for split in empty:
        free = [group for group in sizes.sort_values(kind="stable").index if chosen[group] == rest]
        if len(free) > 1:
            chosen[free[0]] = split


def _complete_own(table: pd.DataFrame, rows: pd.DataFrame, params: PreprocessParams, own: set[str]) -> None:
    """Give one class of a source that has its own split the part that the source lacks."""
    held_out = params.validation_fraction + params.test_fraction
    if "test" not in own:
        _move(table, rows, "validation", "test", share=params.test_fraction / held_out)
    elif "validation" not in own:
        _move(table, rows, "train", "validation", share=params.validation_fraction)


def _move(table: pd.DataFrame, rows: pd.DataFrame, origin: str, target: str, *, share: float) -> None:
    having = rows[table.loc[rows.index, "split"] == origin]
    _assign(table, having, {target: _share(len(having), share)}, rest=origin)


def _share(count: int, fraction: float) -> int:
    """At least one photo, as long as there are enough for every split."""
    return max(round(count * fraction), 1) if count > 1 else 0


def _check_classes(labels: pd.Series, assigned: pd.Series) -> None:
    if labels.empty:
        raise ConvLensError("Expected usable photos to split. Received: none. The quarantine list says why.")
    for split in SPLITS:
        missing = sorted(set(labels) - set(labels[assigned == split]))
        if missing:
            raise ConvLensError(
                f"Expected photos of every class in the {split} split. Received: none of {', '.join(missing)}. "
                "Add photos, or change preprocess.validation_fraction, preprocess.test_fraction or, if photos that "
                "differ count as near-duplicates, preprocess.near_duplicates."
            )


# --- Folds of a cross-validation ---


def deal_folds(labels: np.ndarray, groups: np.ndarray, *, count: int, seed: int) -> np.ndarray:
    """Stratified folds: every class is dealt out evenly, and a group goes into one fold.

    Args:
        labels: int64 (N,); that of a group's first member counts for the group.
        groups: names or numbers (N,), the same for near-duplicates.
        count: number of folds.
        seed: of the shuffling.

    Returns:
        The fold of each photo, int64 (N,), from 0.
    """
    _, places, members = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(places))
    ordered = shuffled[np.argsort(labels[places[shuffled]], kind="stable")]
    dealt = np.empty(len(places), np.int64)
    dealt[ordered] = np.arange(len(places)) % count
    assigned: np.ndarray = dealt[members]
    return assigned
