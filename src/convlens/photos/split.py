"""Which photo goes into training, validation and test."""

import hashlib

import pandas as pd

from convlens.errors import ConvLensError
from convlens.params import PreprocessParams

SPLITS = ("train", "validation", "test")


def split_photos(photos: pd.DataFrame, params: PreprocessParams) -> pd.Series:
    """Assign every photo to `train`, `validation` or `test`, stratified by class.

    Photos are ordered by a digest of seed and content, so the split does not depend on names or order, and a few more
    photos move only a few others. A source's own split is kept: its training photos stay in training, its held-out
    photos stay out of it; a held-out part that is missing is taken from the nearest one there is. A source with
    nothing but training photos counts as one without a split.

    Args:
        photos: usable photos with the columns `sha256`, `path`, `label` and `split` (empty: source has none).
        params: fractions and seed.

    Returns:
        The split of every photo, with the index of `photos`.

    Raises:
        ConvLensError: there are no photos, or a class would be left without photos in a split.
    """
    order = _shuffle(photos, params.seed)
    assigned = photos["split"].copy()
    if set(assigned) == {"train"}:
        assigned[:] = ""
    own = set(assigned) - {""}
    for _, rows in photos.loc[order].groupby("label", sort=True):
        _assign_free(assigned, rows.index[(assigned[rows.index] == "").to_numpy()], params)
        if own:
            _complete_own(assigned, rows.index, params, own)
    _check_classes(photos["label"], assigned)
    return assigned


def _shuffle(photos: pd.DataFrame, seed: int) -> pd.Index:
    """By content; names only order exact copies among themselves, which so end up side by side."""
    keys = [hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest() for digest in photos["sha256"]]
    return photos.assign(key=keys).sort_values(["key", "path"], kind="stable").index


def _assign_free(assigned: pd.Series, free: pd.Index, params: PreprocessParams) -> None:
    """Split the photos of one class for which the source says nothing."""
    num_test = _share(len(free), params.test_fraction)
    num_validation = _share(len(free), params.validation_fraction)
    assigned[free[:num_test]] = "test"
    assigned[free[num_test : num_test + num_validation]] = "validation"
    assigned[free[num_test + num_validation :]] = "train"


def _complete_own(assigned: pd.Series, rows: pd.Index, params: PreprocessParams, own: set[str]) -> None:
    """Give one class of a source that has its own split the part that the source lacks."""
    held_out = params.validation_fraction + params.test_fraction
    if "test" not in own:
        _move(assigned, rows, "validation", "test", share=params.test_fraction / held_out)
    elif "validation" not in own:
        _move(assigned, rows, "train", "validation", share=params.validation_fraction)


def _move(assigned: pd.Series, rows: pd.Index, origin: str, target: str, *, share: float) -> None:
    having = rows[(assigned[rows] == origin).to_numpy()]
    assigned[having[: _share(len(having), share)]] = target


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
                "Add photos, or change preprocess.validation_fraction or preprocess.test_fraction."
            )
