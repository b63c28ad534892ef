"""The first screen of the overview page: what the network is worth, in one sentence and a few numbers."""

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from convlens.report.wording import interval_of, join_words, show_number, show_share

MAX_DOTS = 400
LECTURE_CLASSES = {"cats", "dogs"}
TILES = (
    ("balanced_accuracy", "Balanced accuracy", "Accuracy with every class counting alike."),
    ("roc_auc", "ROC AUC", "Chance that the right photo of a pair gets the higher probability."),
    ("macro_f1", "Macro F1", "Precision and recall in one number, mean of the classes."),
    ("average_precision", "Average precision", "Precision at every photo found, from the surest down."),
    ("log_loss", "Log loss", "Surprise at the truth; 0 is perfect, lower is better."),
    ("brier", "Brier score", "Squared error of the probabilities; 0 is perfect, lower is better."),
)
SHARES = ("accuracy", "balanced_accuracy")
LOWER_IS_BETTER = ("log_loss", "brier")


def describe_glance(
    metrics: Mapping[str, Any],
    model_card: Mapping[str, Any],
    prepared_card: Mapping[str, Any],
    class_scores: pd.DataFrame,
) -> dict[str, Any]:
    """What the first screen shows: title, baselines, numbers with intervals, one dot per test photo."""
    classes = list(prepared_card["classes"])
    num_photos = metrics["num_photos"]
    num_right = int(class_scores["num_correct"].sum())
    most = class_scores.iloc[int(class_scores["num_photos"].to_numpy().argmax())]
    return {
        "title": name_task(classes),
        "num_photos": num_photos,
        "num_right": num_right,
        "accuracy": interval_of(metrics, "accuracy"),
        "guess": {"class": most["class"], "share": most["num_photos"] / num_photos},
        "compares_with_lecture": is_lectures_task(classes, str(prepared_card.get("source", ""))),
        "dots": _place_dots(num_right, num_photos),
        "tiles": [_describe_tile(metrics, *tile, num_classes=len(classes)) for tile in TILES],
        "num_parameters": model_card["num_parameters"],
        "architecture": model_card["architecture"],
    }


def name_task(classes: Sequence[str]) -> str:
    """The question the network answers: `Cats or dogs?`."""
    if len(classes) > 4:
        return f"Which of {len(classes)} classes?"
    words = join_words(list(classes)).replace(" and ", " or ") if len(classes) == 2 else ", ".join(classes[:-1])
    question = words if len(classes) == 2 else f"{words} or {classes[-1]}"
    return question[:1].upper() + question[1:] + "?"


def is_lectures_task(classes: Sequence[str], source: str) -> bool:
    """Whether these are photos of cats and dogs, which the lecture's network answers right 69 % of the time."""
    return set(classes) == LECTURE_CLASSES and "painted" not in PurePosixPath(source).name


def _describe_tile(
    metrics: Mapping[str, Any], name: str, title: str, meaning: str, *, num_classes: int
) -> dict[str, Any]:
    value, low, high = interval_of(metrics, name)
    show = show_share if name in SHARES else show_number
    ends = [end for end in (low, value, high) if end is not None]
    defined = len(ends) == 3
    places = sorted(_place(end, name, num_classes) for end in ends) if defined else []
    return {
        "title": title,
        "meaning": meaning,
        "value": show(value),
        "interval": f"{show(low)} to {show(high)}" if defined else None,
        "places": places,
    }


def _place(value: float, name: str, num_classes: int) -> float:
    """How far a metric has come from guessing (0) to perfect (100)."""
    even = 1 / num_classes
    guess = {
        "roc_auc": 0.5,
        "log_loss": math.log(num_classes),
        "brier": 0.25 if num_classes == 2 else 1 - even,
    }.get(name, even)
    perfect = 0.0 if name in LOWER_IS_BETTER else 1.0
    return round(100 * min(max((value - guess) / (perfect - guess), 0.0), 1.0), 2)


def _place_dots(num_right: int, num_photos: int) -> dict[str, Any]:
    """A dot per photo; beyond 400 photos 200 dots, each for half a percent, and never a dot less than one mistake."""
    total = num_photos if num_photos <= MAX_DOTS else MAX_DOTS // 2
    wrong = num_photos - num_right
    num_wrong = wrong if total == num_photos else min(total, max(round(total * wrong / num_photos), int(wrong > 0)))
    columns = math.ceil(math.sqrt(1.7 * total))
    places = [(index % columns, index // columns) for index in range(total)]
    return {
        "right": places[: total - num_wrong],
        "wrong": places[total - num_wrong :],
        "columns": columns,
        "rows": math.ceil(total / columns),
        "one_per_photo": total == num_photos,
    }
