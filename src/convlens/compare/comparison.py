"""What differs between two runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from PIL import Image

from convlens.compare.runs import Snapshot
from convlens.compare.verdict import PREFIX, NoVerdict, PairedPredictions, RunVerdict, judge, pair_predictions
from convlens.data.prepared import ShardedImages
from convlens.data.sources import PREFIX as OWN_COLUMN
from convlens.files import encode_jpeg
from convlens.metrics.comparison import McNemar, Word, mcnemar_test
from convlens.metrics.drift import correct_by_holm
from convlens.metrics.evaluation import list_features
from convlens.metrics.slices import MIN_PHOTOS, Feature
from convlens.params import CompareParams, EvaluateParams, ParameterRow, list_differences

if TYPE_CHECKING:
    from convlens.compare.filters import FilterComparison

# --- photos whose prediction changed, and confusion matrices ---

Kind = Literal["gained", "lost", "other"]
CHANGED_SIDE = 160  # of a picture, in pixels


@dataclass(frozen=True)
class ChangedPrediction:
    """A test photo that the two runs classify differently.

    Attributes:
        kind: `gained`: only the run is right; `lost`: only the base was; `other`: both are wrong.
        path: as the run names it.
        base_path: as the base names it.
        label: its class.
        base_prediction: class and its probability.
        head_prediction: class and its probability.
        change: of the probability of its class, run minus base.
    """

    kind: Kind
    path: str
    base_path: str
    label: str
    base_prediction: tuple[str, float]
    head_prediction: tuple[str, float]
    change: float


def list_changed(pair: PairedPredictions) -> tuple[ChangedPrediction, ...]:
    """All of them, the largest change of the truth's probability first."""
    rows = np.arange(len(pair.table))
    truth = [pair.probabilities(side)[rows, pair.labels] for side in ("base", "head")]
    table = pair.table.assign(change=truth[1] - truth[0])
    differs = table[table["predicted_base"] != table["predicted_head"]]
    order = differs.assign(size=differs["change"].abs()).sort_values(["size", "path_head"], ascending=[False, True])
    found = []
    for row in order.to_dict("records"):
        label, before, now = row["label"], row["predicted_base"], row["predicted_head"]
        kind: Kind = "gained" if now == label else "lost" if before == label else "other"
        base, head = (before, float(row[f"{PREFIX}{before}_base"])), (now, float(row[f"{PREFIX}{now}_head"]))
        change = float(row["change"])
        found.append(ChangedPrediction(kind, row["path_head"], row["path_base"], label, base, head, change))
    return tuple(found)


def count_kinds(changed: Sequence[ChangedPrediction]) -> dict[Kind, int]:
    """How many there are of each kind."""
    kinds: tuple[Kind, ...] = ("lost", "gained", "other")
    return {kind: sum(prediction.kind == kind for prediction in changed) for kind in kinds}


def encode_thumbnails(changed: Sequence[ChangedPrediction], base: Snapshot, head: Snapshot) -> dict[str, bytes]:
    """JPEG bytes of the photos as the network gets them, by the run's path; what is not on this disk is left out."""
    sources = [_open(head), _open(base)]
    found = {}
    for prediction in changed:
        paths = prediction.path, prediction.base_path
        pixels = next((images[rows[path]] for (images, rows), path in zip(sources, paths, strict=True)
                       if path in rows), None)  # fmt: skip
        if pixels is not None:
            picture = Image.fromarray(pixels)
            picture.thumbnail((CHANGED_SIDE, CHANGED_SIDE))
            found[prediction.path] = encode_jpeg(picture, quality=85)
    return found


def _open(run: Snapshot) -> tuple[ShardedImages, dict[str, int]]:
    """The arrays of the test photos, and the row of each path that they hold."""
    images = ShardedImages([np.load(path, mmap_mode="r") for path in run.files.test_shards])
    if run.photos is None or "row" not in run.photos.columns:
        return images, {}
    test = run.photos[run.photos["split"] == "test"]
    rows = dict(zip(test["path"], test["row"].astype(int), strict=True))
    return images, {path: row for path, row in rows.items() if row < len(images)}


# --- classes and slices that are classified better or worse than before ---
#
# There are many groups, so some change by chance: the p-values of McNemar's exact test are corrected by Holm's method
# over all groups, and what is told is right with the chosen confidence, all of it together.

CLASS = "class"
FACTS = ("path", "width", "height", "aspect", "brightness", "sharpness", "format")


@dataclass(frozen=True)
class SliceChange:
    """How a slice of the test photos is classified by the base and by the run.

    Attributes:
        feature: what the photos are sorted by; `class` for their own class.
        name: of the group.
        num_photos: in it.
        base_accuracy: share that the base classifies correctly.
        head_accuracy: share that the run classifies correctly.
        test: photos that only one of the two classifies correctly.
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


def measure_slice_changes(
    pair: PairedPredictions, base: Snapshot, head: Snapshot, *, confidence: float
) -> tuple[SliceChange, ...]:
    """Every class, and every slice, of at least ten photos; slices only if the facts are on this disk."""
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
    p_values = correct_by_holm([test.p_value for test in tests])
    found = []
    for (title, name, inside), test, p_value in zip(groups, tests, p_values, strict=True):
        before, after = (float(right[inside].mean()) for right in rights)
        up: Word = "better" if test.only_second > test.only_first else "worse"
        word: Word = up if p_value < 1 - confidence else "same"
        found.append(SliceChange(title, name, int(inside.sum()), before, after, test, float(p_value), word))
    return tuple(found)


def _find_features(pair: PairedPredictions, base: Snapshot, head: Snapshot) -> dict[str, Feature]:
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

    names = [name for name in parquet.read_schema(path).names if name in wanted or name.startswith(OWN_COLUMN)]
    return pd.read_parquet(path, columns=names)


# --- several runs side by side ---


@dataclass(frozen=True)
class Detail:
    """What only a pair of runs is asked for.

    Attributes:
        pair: predictions for the test photos that both have; None if they cannot be paired.
        changed: photos that the two classify differently.
        slices: classes and slices.
    """

    pair: PairedPredictions | None = None
    changed: tuple[ChangedPrediction, ...] = ()
    slices: tuple[SliceChange, ...] = ()


@dataclass(frozen=True)
class RunsCompared:
    """Runs side by side; the first is the base.

    Attributes:
        runs: the base, then the others, R.
        parameters: what differs between them.
        verdicts: one per run after the base, R - 1.
        confidence: coverage of the intervals.
        max_regression: largest loss of accuracy tolerated.
        detail: of two runs; empty for more.
        filters: which filters of two runs are the same; None if nobody asked, or they could not be compared.
        filters_note: why they could not.
    """

    runs: tuple[Snapshot, ...]
    parameters: tuple[ParameterRow, ...]
    verdicts: tuple[RunVerdict | NoVerdict, ...]
    confidence: float
    max_regression: float
    detail: Detail = Detail()
    filters: "FilterComparison | None" = None
    filters_note: str = ""

    @property
    def has_regression(self) -> bool:
        """Whether any run is a regression from the base."""
        return any(isinstance(verdict, RunVerdict) and verdict.regression for verdict in self.verdicts)


@dataclass(frozen=True)
class FirstResults:
    """Runs without a base to compare them with, as in the first pull request of a repository.

    Attributes:
        base: name of the revision that has no results.
        reason: what it lacks.
        runs: the others.
    """

    base: str
    reason: str
    runs: tuple[Snapshot, ...]

    @property
    def has_regression(self) -> bool:
        """Never: there is nothing to fall back from."""
        return False


def compare_runs(runs: Sequence[Snapshot], *, evaluate: EvaluateParams, compare: CompareParams) -> RunsCompared:
    """Compare every run with the first one.

    Args:
        runs: two or more.
        evaluate: says how the intervals are made.
        compare: says which loss is a regression.
    """
    base, *others = runs
    verdicts = tuple(judge(base, run, evaluate=evaluate, compare=compare) for run in others)
    parameters, detail = list_differences([run.params for run in runs]), Detail()
    pair = pair_predictions(base, others[0]) if len(others) == 1 else None
    if pair is not None:
        slices = measure_slice_changes(pair, base, others[0], confidence=evaluate.confidence)
        detail = Detail(pair, list_changed(pair), slices)
    return RunsCompared(tuple(runs), parameters, verdicts, evaluate.confidence, compare.max_regression, detail)
