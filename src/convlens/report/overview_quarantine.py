"""The part of the data section on what is left out: a gallery with reasons, copies, and pictures that look alike."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from convlens.errors import printable
from convlens.report.overview_page import picture_source

MAX_SHOWN = 24
MAX_DOUBTFUL = 12
MAX_GROUPS = 12
MAX_PHOTOS_OF_A_GROUP = 4
MAX_PATHS_OF_A_GROUP = 6
MAX_NAME = 48  # letters of a file's name; its path is in the picture's title
CAUSES = {  # of quarantine.csv: title, meaning; in the order in which a person should see them
    "unreadable": ("cannot be read", "The file cannot be decoded whole."),
    "two_labels": ("two labels", "The same file stands under two labels: none of them can be trusted."),
    "too_small": ("too small", "A side is below validate.min_side."),
    "format": ("format", "validate.formats does not name the format."),
    "too_large": ("too large", "More pixels than validate.max_megapixels; not decoded."),
    "duplicate": ("copy", "The same file as another one of its class, which is used."),
    "later_frames": ("later pictures", "Of an animation or a file of several pages the first picture is used."),
}
DOUBTS = {
    "dark": ("dark", "brightness", "brightness {:.2f}"),
    "blurred": ("blurred", "sharpness", "sharpness {:.0f}"),
}


def describe_quarantine(
    manifest: pd.DataFrame, quarantine: pd.DataFrame, gallery: pd.DataFrame, duplicates: Mapping[str, Any]
) -> dict[str, Any]:
    """What the page shows of doubtful photos; numbers say what it does not show."""
    left_out = _pictured(quarantine, manifest, gallery)
    shown = _take_turns(left_out)
    copied = _group_copies(manifest)
    return {
        "num_photos": int((quarantine["cause"] != "later_frames").sum()),
        "counts": _count_causes(quarantine),
        "shown": shown,
        "num_hidden": len(quarantine) - len(shown),
        "doubtful": _list_doubtful(manifest, gallery),
        "copies": [_describe_copies(group, gallery) for group in copied[:MAX_GROUPS]],
        "num_copied": len(copied),
        "alike": [_describe_alike(group, manifest) for group in list(duplicates.get("groups", ()))[:MAX_GROUPS]],
        "num_alike": len(duplicates.get("groups", ())),
        "num_alike_of_two_labels": duplicates.get("groups_of_two_labels", 0),
        "num_alike_across_splits": duplicates.get("groups_across_splits", 0),
        "num_alike_left_out": len(duplicates.get("left_out", ())),
    }


def shown_groups(duplicates: Mapping[str, Any]) -> list[list[str]]:
    """The paths of the photos that the page shows of each group of photos that look alike."""
    return [list(group)[:MAX_PHOTOS_OF_A_GROUP] for group in list(duplicates.get("groups", ()))[:MAX_GROUPS]]


def _count_causes(quarantine: pd.DataFrame) -> list[dict[str, Any]]:
    counts = quarantine["cause"].value_counts()
    return [
        {"title": title, "meaning": meaning, "count": int(counts[cause])}
        for cause, (title, meaning) in CAUSES.items()
        if cause in counts
    ]


def _pictured(quarantine: pd.DataFrame, manifest: pd.DataFrame, gallery: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of the quarantine with their picture, found by path, or by digest for copies."""
    digests = dict(zip(manifest["path"], manifest["sha256"], strict=True))
    by_path = dict(zip(gallery["path"], gallery["thumbnail"], strict=True))
    by_digest = dict(zip(gallery["sha256"], gallery["thumbnail"], strict=True))
    return [
        {
            **{str(name): value for name, value in row.items()},
            "file": _name_file(row["path"]),
            "title": CAUSES[row["cause"]][0],
            "reason": row["reason"].removeprefix("cannot be decoded: "),
            "source": picture_source(by_path.get(row["path"]) or by_digest.get(digests.get(row["path"], ""))),
        }
        for row in quarantine.to_dict("records")
    ]


def _name_file(path: str) -> str:
    """The name without its folders, on one line, and without the middle of a very long one."""
    name = printable(PurePosixPath(path).name)
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 16]}…{name[-15:]}"


def _take_turns(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A bounded choice in which every cause has its share, in the order of the causes."""
    by_cause = [[row for row in rows if row["cause"] == cause] for cause in CAUSES]
    turns = [row for turn in zip_longest(*by_cause) for row in turn if row is not None][:MAX_SHOWN]
    order = list(CAUSES)
    return sorted(turns, key=lambda row: order.index(row["cause"]))


def _list_doubtful(manifest: pd.DataFrame, gallery: pd.DataFrame) -> list[dict[str, Any]]:
    known = manifest[manifest["usable"]].set_index("path")
    rows = gallery[gallery["doubt"].isin(list(DOUBTS)) & gallery["path"].isin(known.index)]
    return [
        {
            "path": row["path"],
            "file": _name_file(row["path"]),
            "label": known.at[row["path"], "label"],
            "title": DOUBTS[row["doubt"]][0],
            "reason": DOUBTS[row["doubt"]][2].format(known.at[row["path"], DOUBTS[row["doubt"]][1]]),
            "source": picture_source(row["thumbnail"]),
        }
        for row in rows.head(MAX_DOUBTFUL).to_dict("records")
    ]


def _group_copies(manifest: pd.DataFrame) -> list[pd.DataFrame]:
    """Photos of the same bytes that decode, of which at least one is left out for that."""
    causes = manifest.groupby("sha256")["cause"].agg(set)
    digests = causes.index[[bool({"duplicate", "two_labels"} & found) for found in causes]]
    same = manifest[manifest["sha256"].isin(digests)]
    return [group for _, group in same.groupby("sha256", sort=False)]


def _describe_copies(group: pd.DataFrame, gallery: pd.DataFrame) -> dict[str, Any]:
    found = gallery.loc[gallery["sha256"] == group["sha256"].iloc[0], "thumbnail"]
    files = sorted(({"path": row["path"], "role": _name_role(row)} for row in group.to_dict("records")),
                   key=lambda file: (file["role"] != "used", file["path"]))  # fmt: skip
    return {
        "source": picture_source(found.iloc[0]) if len(found) else "",
        "paths": files[:MAX_PATHS_OF_A_GROUP],
        "num_more": max(len(files) - MAX_PATHS_OF_A_GROUP, 0),
    }


def _name_role(photo: Mapping[Any, Any]) -> str:
    return str(photo["label"]) if photo["cause"] == "two_labels" else "used" if photo["usable"] else "copy"


def _describe_alike(group: Sequence[str], manifest: pd.DataFrame) -> dict[str, Any]:
    labels = dict(zip(manifest["path"], manifest["label"], strict=True))
    shown = list(group)[:MAX_PHOTOS_OF_A_GROUP]
    return {
        "photos": [{"path": path, "file": _name_file(path), "label": labels.get(path, "")} for path in shown],
        "num_photos": len(group),
        "num_more": len(group) - len(shown),
    }
