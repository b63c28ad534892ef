"""The mistakes of the overview page: photos to look at, because the network, the photo or the label may be wrong."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from convlens.report.wording import show_share

MAX_MISTAKES = 24
MAX_UNSURE = 12
MAX_DOUBTS = 24
FEATURE_MAPS = "feature_maps.html#photo="


def choose_mistakes(predictions: pd.DataFrame) -> pd.DataFrame:
    """The wrong answers, the most confident first; at most 24."""
    wrong = add_confidence(predictions[~predictions["correct"]])
    return wrong.sort_values(["confidence", "path"], ascending=[False, True]).head(MAX_MISTAKES)


def choose_unsure(predictions: pd.DataFrame) -> pd.DataFrame:
    """The least confident answers, right or wrong; at most 12."""
    return add_confidence(predictions).sort_values(["confidence", "path"]).head(MAX_UNSURE)


def choose_doubts(doubts: pd.DataFrame) -> pd.DataFrame:
    """The photos whose label is probably wrong, the worst first; at most 24."""
    if doubts.empty:
        return doubts
    return doubts[doubts["suspicious"]].sort_values(["label_quality", "path"]).head(MAX_DOUBTS)


def add_confidence(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions with the probability of the answer as column `confidence`."""
    given = predictions[[name for name in predictions.columns if str(name).startswith("probability_")]]
    return predictions.assign(confidence=given.max(axis=1))


def photos_of_mistakes(predictions: pd.DataFrame, doubts: pd.DataFrame) -> list[str]:
    """The paths of all photos that the galleries show."""
    chosen = (choose_mistakes(predictions), choose_unsure(predictions), choose_doubts(doubts))
    return [str(path) for table in chosen if len(table) for path in table["path"]]


def describe_mistakes(
    predictions: pd.DataFrame, doubts: pd.DataFrame, shown_photos: Mapping[str, int]
) -> dict[str, Any]:
    """What the galleries show.

    Args:
        predictions: `reports/evaluation/predictions.csv`.
        doubts: `reports/mistakes/photos.csv`; empty if nobody looked.
        shown_photos: number of each photo on the feature-map page, by path.
    """
    return {
        "num_mistakes": int((~predictions["correct"]).sum()),
        "mistakes": _describe_answers(choose_mistakes(predictions), shown_photos),
        "unsure": _describe_answers(choose_unsure(predictions), shown_photos),
        "num_judged": len(doubts),
        "num_doubts": int(doubts["suspicious"].sum()) if len(doubts) else 0,
        "doubts": _describe_answers(choose_doubts(doubts), shown_photos),
        "all_judged": bool((doubts["split"] == "train").any()) if len(doubts) else False,
    }


def _describe_answers(answers: pd.DataFrame, shown_photos: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "path": row["path"],
            "file": PurePosixPath(row["path"]).name,
            "label": row["label"],
            "predicted": row["predicted"],
            "correct": bool(row["correct"]),
            "probability": show_share(float(row["confidence"])),
            "maps": f"{FEATURE_MAPS}{shown_photos[row['path']]}" if row["path"] in shown_photos else "",
        }
        for row in answers.to_dict("records")
    ]
