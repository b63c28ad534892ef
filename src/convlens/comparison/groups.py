"""Classes and kinds of photos that are answered better or worse than before, photo by photo.

There are many groups, so some change by chance: the p-values of McNemar's exact test are corrected by Holm's method
over all groups, and what is told is right with the chosen confidence, all of it together.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from convlens.comparison.paired import Pair
from convlens.comparison.snapshot import Snapshot
from convlens.metrics.compare import McNemar, Word, mcnemar_test
from convlens.metrics.drift import correct_by_holm
from convlens.metrics.slices import MIN_PHOTOS, Feature
from convlens.photos.labels_csv import PREFIX
from convlens.stages.evaluate_slices import list_features

CLASS = "class"
FACTS = ("path", "width", "height", "aspect", "brightness", "sharpness", "format")


@dataclass(frozen=True)
class GroupChange:
    """How a group of test photos is answered by the base and by the run.

    Attributes:
        feature: what the photos are sorted by; `class` for their own class.
        name: of the group.
        num_photos: in it.
        base_accuracy: share that the base answers right.
        head_accuracy: share that the run answers right.
        test: photos that only one of the two answers right.
        p_value: of the test, corrected for the number of groups.
        word: what changed beyond chance.
    """

    feature: str
    name: str
    num_photos: int
    base_accuracy: float
    head_accuracy: float
    test: McNemar
    p_value: float
    word: Word


def measure_groups(pair: Pair, base: Snapshot, head: Snapshot, *, confidence: float) -> tuple[GroupChange, ...]:
    """Every class, and every kind of photos, of at least ten photos; kinds only if the facts are on this disk."""
    features = {CLASS: Feature(pair.labels, tuple(pair.classes)), **_find_features(pair, base, head)}
    rights = pair.right("base"), pair.right("head")
    groups = [
        (title, name, feature.codes == code)
        for title, feature in features.items()
        if len(set(feature.codes[feature.codes >= 0].tolist())) > 1  # a kind that all photos are of tells nothing
        for code, name in enumerate(feature.names)
        if (feature.codes == code).sum() >= MIN_PHOTOS
    ]
    tests = [mcnemar_test(rights[0][inside], rights[1][inside]) for _, _, inside in groups]
    chances = correct_by_holm([test.p_value for test in tests])
    return tuple(
        _describe(group, rights, test, chance, confidence)
        for group, test, chance in zip(groups, tests, chances, strict=True)
    )


def _describe(
    group: tuple[str, str, np.ndarray],
    rights: tuple[np.ndarray, np.ndarray],
    test: McNemar,
    chance: float,
    confidence: float,
) -> GroupChange:
    title, name, inside = group
    up: Word = "better" if test.only_second > test.only_first else "worse"
    return GroupChange(
        title,
        name,
        int(inside.sum()),
        float(rights[0][inside].mean()),
        float(rights[1][inside].mean()),
        test,
        float(chance),
        up if chance < 1 - confidence else "same",
    )


def _find_features(pair: Pair, base: Snapshot, head: Snapshot) -> dict[str, Feature]:
    """By the facts of the first run that has them here: they are about the same photos."""
    for run, side in ((head, "head"), (base, "base")):
        if run.files.manifest is not None:
            facts = _read(run.files.manifest, FACTS)
            own = pd.DataFrame({"path": []}) if run.files.listing is None else _read(run.files.listing, ("path",))
            if set(FACTS) <= set(facts.columns):
                return list_features(list(pair.table[f"path_{side}"]), facts, own)
    return {}


def _read(path: Path, wanted: tuple[str, ...]) -> pd.DataFrame:
    """Some columns of a large table, and the data's own."""
    from pyarrow import parquet

    names = [name for name in parquet.read_schema(path).names if name in wanted or name.startswith(PREFIX)]
    return pd.read_parquet(path, columns=names)
