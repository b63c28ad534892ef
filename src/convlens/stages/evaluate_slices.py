"""What the photos of an evaluation are sorted by: facts from the data checks, and columns of `labels.csv`."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from convlens.metrics.slices import Feature, cut_evenly
from convlens.photos.labels_csv import PREFIX

MAX_VALUES = 20
FEW_NUMBERS = 8  # a column of numbers with fewer different values is one of names
SQUARE = 1.05
OTHERS = "all others"


def list_features(paths: Sequence[str], manifest: pd.DataFrame, photos: pd.DataFrame) -> dict[str, Feature]:
    """Features of photos, in the order of their paths.

    Args:
        paths: of the photos.
        manifest: one row per photo of the data set, with its facts.
        photos: the list that `ingest` wrote; columns that start with `extra_` are the data's own.
    """
    facts = manifest.drop_duplicates("path").set_index("path").reindex(list(paths))
    extra = photos.drop_duplicates("path").set_index("path").reindex(list(paths)).filter(regex=f"^{PREFIX}")
    own = {str(name).removeprefix(PREFIX): _sort_column(extra[name]) for name in extra.columns}
    return {**_sort_facts(facts), **own}


def _sort_facts(facts: pd.DataFrame) -> Mapping[str, Feature]:
    side = facts[["width", "height"]].min(axis=1)
    return {
        "brightness": _sort_numbers(facts["brightness"], "{:.2f}"),
        "sharpness": _sort_numbers(facts["sharpness"], "{:,.0f}"),
        "size": _sort_numbers(side, "{:,.0f}", unit=" px"),
        "aspect": _sort_aspects(facts["aspect"].to_numpy(float)),
        "format": _sort_names(facts["format"]),
    }


def _sort_numbers(values: pd.Series, form: str, unit: str = "") -> Feature:
    """Bins of about as many photos, named by their smallest and largest value."""
    numbers = values.to_numpy(float)
    known = np.isfinite(numbers)
    codes = np.full(len(numbers), -1, dtype=np.int64)
    if not known.any():
        return Feature(codes, ())
    codes[known] = cut_evenly(numbers[known])
    bins = [numbers[codes == code] for code in range(codes.max() + 1)]
    return Feature(codes, tuple(_name_bin(form.format(part.min()), form.format(part.max()), unit) for part in bins))


def _name_bin(low: str, high: str, unit: str) -> str:
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def _sort_aspects(aspects: np.ndarray) -> Feature:
    known = np.isfinite(aspects) & (aspects > 0)
    codes = np.where(aspects < 1 / SQUARE, 0, np.where(aspects <= SQUARE, 1, 2))
    return Feature(np.where(known, codes, -1).astype(np.int64), ("portrait", "square", "landscape"))


def _sort_column(values: pd.Series) -> Feature:
    """A column of the data's own: numbers in bins if there are many different ones, else names."""
    texts = values.fillna("").astype(str).str.strip()
    numbers = pd.to_numeric(texts.where(texts != ""), errors="coerce")
    if (numbers.notna() | (texts == "")).all() and numbers.nunique() >= FEW_NUMBERS:
        return _sort_numbers(numbers, "{:g}")
    return _sort_names(texts)


def _sort_names(values: pd.Series) -> Feature:
    """The most frequent names, by the alphabet, and one for all others."""
    texts = values.fillna("").astype(str).str.strip().to_numpy(dtype=object)
    names, counts = np.unique(texts[texts != ""].astype(str), return_counts=True)
    kept = sorted(names[np.argsort(-counts, kind="stable")[:MAX_VALUES]])
    codes = {name: code for code, name in enumerate(kept)}
    listed = (*kept, OTHERS) if len(names) > len(kept) else tuple(kept)
    found = [-1 if text == "" else codes.get(str(text), len(kept)) for text in texts]
    return Feature(np.array(found, dtype=np.int64), tuple(str(name) for name in listed))
