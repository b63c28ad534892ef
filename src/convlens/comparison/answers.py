"""Photos whose answer is another one than before, and how often classes are taken for each other."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image

from convlens.comparison.paired import PREFIX, Pair
from convlens.comparison.snapshot import Snapshot
from convlens.photos.prepared import ShardedImages

Kind = Literal["gained", "lost", "other"]
THUMBNAIL_SIDE = 160
THUMBNAIL_QUALITY = 85


@dataclass(frozen=True)
class ChangedAnswer:
    """A test photo that the two runs answer differently.

    Attributes:
        kind: `gained`: only the run is right; `lost`: only the base was; `other`: both are wrong.
        path: as the run names it.
        base_path: as the base names it.
        label: its class.
        base_answer: class and its probability.
        head_answer: class and its probability.
        change: of the probability of its class, run minus base.
    """

    kind: Kind
    path: str
    base_path: str
    label: str
    base_answer: tuple[str, float]
    head_answer: tuple[str, float]
    change: float


def list_changed(pair: Pair) -> tuple[ChangedAnswer, ...]:
    """All of them, the largest change of the truth's probability first."""
    rows = np.arange(len(pair.table))
    truth = [pair.probabilities(side)[rows, pair.labels] for side in ("base", "head")]
    table = pair.table.assign(change=truth[1] - truth[0])
    differs = table[table["predicted_base"] != table["predicted_head"]]
    order = differs.assign(size=differs["change"].abs()).sort_values(["size", "path_head"], ascending=[False, True])
    return tuple(_describe(row) for row in order.to_dict("records"))


def _describe(row: dict) -> ChangedAnswer:
    label = row["label"]
    kind: Kind = "gained" if row["predicted_head"] == label else "lost" if row["predicted_base"] == label else "other"
    answers = [(row[f"predicted_{side}"], float(row[f"{PREFIX}{row[f'predicted_{side}']}_{side}"]))
               for side in ("base", "head")]  # fmt: skip
    return ChangedAnswer(kind, row["path_head"], row["path_base"], label, answers[0], answers[1], float(row["change"]))


def count_kinds(changed: Sequence[ChangedAnswer]) -> dict[Kind, int]:
    """How many there are of each kind."""
    kinds: tuple[Kind, ...] = ("lost", "gained", "other")
    return {kind: sum(answer.kind == kind for answer in changed) for kind in kinds}


def count_answers(run: Snapshot, classes: Sequence[str]) -> np.ndarray | None:
    """The confusion matrix of a run's own test photos, int (K, K): rows are the truth; None without answers."""
    if run.predictions is None:
        return None
    table = pd.crosstab(run.predictions["label"], run.predictions["predicted"])
    counts: np.ndarray = table.reindex(index=list(classes), columns=list(classes), fill_value=0).to_numpy()
    return counts


def make_thumbnails(changed: Sequence[ChangedAnswer], base: Snapshot, head: Snapshot) -> dict[str, bytes]:
    """JPEG bytes of the photos as the network gets them, by the run's path; what is not on this disk is left out."""
    sources = [_open(head), _open(base)]
    found = {}
    for answer in changed:
        paths = answer.path, answer.base_path
        pixels = next((images[rows[path]] for (images, rows), path in zip(sources, paths, strict=True)
                       if path in rows), None)  # fmt: skip
        if pixels is not None:
            found[answer.path] = _jpeg(pixels)
    return found


def _open(run: Snapshot) -> tuple[ShardedImages, dict[str, int]]:
    """The arrays of the test photos, and the row of each path that they hold."""
    images = ShardedImages([np.load(path, mmap_mode="r") for path in run.files.test_shards])
    if run.photos is None or "row" not in run.photos.columns:
        return images, {}
    test = run.photos[run.photos["split"] == "test"]
    rows = dict(zip(test["path"], test["row"].astype(int), strict=True))
    return images, {path: row for path, row in rows.items() if row < len(images)}


def _jpeg(pixels: np.ndarray) -> bytes:
    picture = Image.fromarray(pixels)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()
