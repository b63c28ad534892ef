"""Which photos are left out, and why. The files themselves stay as they are."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from convlens.params import ValidateParams
from convlens.photos.facts import SECOND_VIEWS

CAUSES = {
    "too_large": "more pixels than validate.max_megapixels; never decoded",
    "unreadable": "cannot be decoded whole",
    "format": "a format that validate.formats does not name",
    "too_small": "a side below validate.min_side",
    "two_labels": "the same bytes under two labels: none of them can be trusted",
    "duplicate": "the same bytes as another photo of the same label, which stays",
    "later_frames": "an animation or several pages: the first picture is used, the others are left out",
}
SPLIT_RANKS = {"test": 0, "validation": 1, "train": 2}  # of copies in several splits the held-out one stays
QUARANTINE_COLUMNS = ["path", "label", "cause", "reason"]


def judge_photos(table: pd.DataFrame, limits: ValidateParams) -> pd.DataFrame:
    """Add `cause`, `reason` and `usable` to the facts of all photos.

    Args:
        table: columns path, label, split, sha256 and those of `PhotoFacts`; a clean index.
        limits: the group `validate`.
    """
    judged = [_judge_alone(row, limits) for row in table.to_dict("records")]
    found = pd.DataFrame(judged, columns=["cause", "reason"], index=table.index, dtype=object)
    good = table[found["cause"] == ""]
    for _, same in good[good.duplicated("sha256", keep=False)].groupby("sha256", sort=False):
        for place, verdict in _judge_copies(same).items():
            found.loc[place] = verdict
    return table.assign(cause=found["cause"], reason=found["reason"], usable=found["cause"] == "")


def list_quarantine(manifest: pd.DataFrame) -> pd.DataFrame:
    """What is left out: photos, and of usable animations and multi-page files the pictures after the first."""
    later = manifest["usable"] & (manifest["frames"] > 1) & ~manifest["format"].isin(SECOND_VIEWS)
    frames = manifest.loc[later, "frames"]
    reasons = [f"{count} pictures in the file; the first is used, {count - 1} left out" for count in frames]
    table = manifest[QUARANTINE_COLUMNS].copy()
    table.loc[later, "cause"] = "later_frames"
    table.loc[later, "reason"] = reasons
    return table[later | ~manifest["usable"]]


def _judge_alone(photo: Mapping[Any, Any], limits: ValidateParams) -> tuple[str, str]:
    """Why a photo is left out whatever the others are; empty for a good one."""
    size = f"{photo['width']}x{photo['height']} pixels"
    if photo["width"] * photo["height"] > limits.max_megapixels * 1e6:
        return "too_large", f"{size}, above validate.max_megapixels = {limits.max_megapixels:g}"
    if not photo["decodes"]:
        return "unreadable", f"cannot be decoded: {photo['error']}"
    if photo["format"] not in limits.formats:
        return "format", f"format {photo['format']} is not among validate.formats"
    if min(photo["width"], photo["height"]) < limits.min_side:
        return "too_small", f"{size}, below validate.min_side = {limits.min_side}"
    return "", ""


def _judge_copies(same: pd.DataFrame) -> dict[Any, tuple[str, str]]:
    """The verdict on photos of the same bytes, by their place in the table; the one that stays has none."""
    labels = sorted(set(same["label"]))
    if len(labels) > 1:
        return dict.fromkeys(same.index, ("two_labels", f"the same bytes under the labels {', '.join(labels)}"))
    ranks = same["split"].map(SPLIT_RANKS).fillna(len(SPLIT_RANKS))
    order = same.assign(rank=ranks).sort_values(["rank", "path"]).index
    kept = str(same.at[order[0], "path"])
    return dict.fromkeys(order[1:], ("duplicate", "the same bytes as " + kept))
