"""The section of the overview page on the user's own photos: answers, pixels, and whether to believe them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from convlens.report.overview_page import picture_source
from convlens.report.wording import show_count, show_share

MAX_PHOTOS = 60
MAX_CHANCES = 4


def describe_own(own: pd.DataFrame, pictures: Mapping[str, bytes]) -> dict[str, Any] | None:
    """What the section shows; None without photos.

    Args:
        own: the table of `reports/own.csv`.
        pictures: PNG bytes by path.
    """
    if own.empty:
        return None
    read = own[own["error"].fillna("") == ""]
    failed = own[own["error"].fillna("") != ""]
    doubted = int((~read["believe"].astype(bool)).sum())
    return {
        "photos": [_describe_photo(row, pictures) for row in read.head(MAX_PHOTOS).to_dict("records")],
        "num_photos": len(read),
        "num_hidden": max(len(read) - MAX_PHOTOS, 0),
        "sentence": _summarise(len(read), doubted),
        "failures": [{"path": row["path"], "reason": row["error"]} for row in failed.to_dict("records")],
    }


def _summarise(num_photos: int, doubted: int) -> str:
    if not num_photos:
        return "None of your photos could be read."
    answered = f"{show_count(num_photos, 'photo')} of yours"
    if not doubted:
        return f"{answered}; nothing speaks against {'the answer' if num_photos == 1 else 'the answers'}."
    return f"{answered}; {show_count(doubted, 'answer')} should not be relied on."


def _describe_photo(row: Mapping[Any, Any], pictures: Mapping[str, bytes]) -> dict[str, Any]:
    chances = sorted(
        ((name.removeprefix("probability_"), float(value)) for name, value in row.items() if _is_chance(str(name))),
        key=lambda item: -item[1],
    )
    return {
        "path": row["path"],
        "source": picture_source(pictures.get(row["path"])),
        "predicted": row["predicted"],
        "probability": show_share(float(row["probability"])),
        "truth": row["label"],
        "correct": bool(row["correct"]) if row["label"] else None,
        "believe": bool(row["believe"]),
        "why": row["why"],
        "chances": [(name, show_share(value), round(100 * value, 1)) for name, value in chances[:MAX_CHANCES]],
        "facts": [
            ("Probability", _say_probability(row), row["probability"] < row["unsure_below"]),
            (
                "Distance to training photos",
                _say_distance(row),
                row["distance"] > row["unlike_above"],
            ),
            (
                "Same answer when shifted",
                f"{row['num_same']:.0f} of {row['num_shifts']:.0f}",
                row["num_same"] < row["num_shifts"],
            ),
        ],
    }


def _say_probability(row: Mapping[Any, Any]) -> str:
    return f"{show_share(float(row['probability']))}; unsure below {show_share(float(row['unsure_below']))}"


def _say_distance(row: Mapping[Any, Any]) -> str:
    further = f"further than {show_share(float(row['held_out_closer']))} of the held-out photos"
    return f"{row['distance']:.3f}, {further}; unlike above {row['unlike_above']:.3f}"


def _is_chance(name: str) -> bool:
    return name.startswith("probability_")
