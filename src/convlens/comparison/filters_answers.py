"""Photos that one network answers otherwise than another, with what each answer hangs on. Loads TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from convlens.comparison.filters_networks import Network, Networks
from convlens.lens.saliency import choose_cam, find_cam_targets, grad_cam
from convlens.report.filters_compare_values import ChangedAnswer

MAX_CHANGED = 12
PREFIX = "probability_"


def find_changed(networks: Networks) -> tuple[list[ChangedAnswer], int, str]:
    """The photos of both test splits whose answer is another: those shown, how many there are, and why there are none.

    What the head answers wrong comes first, then what it answers right, then the rest; in each the largest change of
    the right answer's probability first.
    """
    base, head = networks.base, networks.head
    for run in (base.run, head.run):
        if run.predictions is None or run.photos is None:
            return [], 0, f"The answers of {run.name} to the single test photos are not on this disk: dvc pull."
    if set(base.classes) != set(head.classes) or not head.classes:
        return [], 0, "The two know different classes, so their answers cannot be compared."
    table = _join(base, head)
    if not len(table):
        return [], 0, "The two share no test photo, so their answers cannot be compared."
    other = table[table["predicted_base"] != table["predicted_head"]]
    ranked = _rank(other, head)
    return _explain(networks, ranked.head(MAX_CHANGED)), len(other), ""


def _join(base: Network, head: Network) -> pd.DataFrame:
    """The test photos that both have, by content and label, with the row in the head's arrays."""
    first, second = _identify(base), _identify(head)
    return first.merge(second, on=["sha256", "label"], suffixes=("_base", "_head"))


def _identify(network: Network) -> pd.DataFrame:
    run = network.run
    if run.predictions is None or run.photos is None:
        return pd.DataFrame()
    photos = run.photos[run.photos["split"] == "test"]
    columns = [column for column in ("path", "sha256", "row") if column in photos]
    chances = [f"{PREFIX}{name}" for name in network.classes]
    found = run.predictions.merge(photos[columns], on="path")
    return found[[*columns, "label", "predicted", *chances]].drop_duplicates(["sha256", "label"])


def _rank(other: pd.DataFrame, head: Network) -> pd.DataFrame:
    labels = other["label"].tolist()
    change = [
        abs(row[f"{PREFIX}{label}_head"] - row[f"{PREFIX}{label}_base"]) if label in head.classes else 0.0
        for label, row in zip(labels, other.to_dict("records"), strict=True)
    ]
    wrong = (other["predicted_base"] == other["label"]).to_numpy()
    right = (other["predicted_head"] == other["label"]).to_numpy()
    ranked = other.assign(kind=np.where(wrong, 0, np.where(right, 1, 2)), change=np.array(change, dtype=float))
    return ranked.sort_values(["kind", "change", "path_head"], ascending=[True, False, True])


def _explain(networks: Networks, table: pd.DataFrame) -> list[ChangedAnswer]:
    rows = [int(str(row)) for row in table["row_head"]]
    if not rows:
        return []
    names = networks.head.classes
    wanted = [names[-1] if len(names) == 2 else str(label) for label in table["label"]]  # the second of two, as always
    cams = [_draw_cams(networks, network, rows, wanted) for network in (networks.base, networks.head)]
    pixels = networks.photos_of(networks.head, rows)
    return [
        ChangedAnswer(
            path=row["path_head"],
            label=row["label"],
            answers=(row["predicted_base"], row["predicted_head"]),
            probabilities=(_chance(row, "base"), _chance(row, "head")),
            photo=pixels[number],
            cams=(cams[0][number], cams[1][number]),
            speaks_for=wanted[number],
        )
        for number, row in enumerate(table.to_dict("records"))
    ]


def _chance(row: Mapping[Any, Any], side: str) -> float:
    """The probability that a run gave to its answer."""
    return float(row[f"{PREFIX}{row[f'predicted_{side}']}_{side}"])


def _draw_cams(
    networks: Networks, network: Network, rows: Sequence[int], wanted: Sequence[str]
) -> Sequence[np.ndarray | None]:
    """The signed Grad-CAM of every photo for a class."""
    target = choose_cam(find_cam_targets(network.scorer))
    if target is None:
        return [None] * len(rows)
    classes = np.array([network.classes.index(name) for name in wanted])
    return list(grad_cam(network.scorer, networks.photos_of(network, rows), classes, [target])[target.name])
