"""The tables of the model card: results, counts, slices, disturbances, recipe."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from convlens.report.markdown import escape_markdown, markdown_table
from convlens.report.overview_data import SPLITS
from convlens.report.summary import HEADLINES
from convlens.report.wording import interval_of, show_number, show_share

SHARES = ("accuracy", "balanced_accuracy")
MAX_CLASSES = 12
MAX_SLICES = 12
MODEL = "model"
EVEN = 0.5
DISTORTIONS = {
    "shift": "shifted",
    "rotation": "turned",
    "scale": "larger or smaller",
    "brightness": "brighter or darker",
    "contrast": "other contrast",
    "blur": "blurred",
    "noise": "noisy",
    "jpeg": "compressed",
    "occlusion": "partly hidden",
    "flip": "mirrored",
    "grey": "without colour",
}
RECIPE = ("optimizer", "learning_rate", "schedule", "batch_size", "weight_decay", "label_smoothing", "seed")


def list_results(metrics: Mapping[str, Any], class_scores: pd.DataFrame) -> str:
    """Headline metrics, then the recall of every class, each with its interval."""
    rows = []
    for name, title in HEADLINES.items():
        show = show_share if name in SHARES else show_number
        value, low, high = interval_of(metrics, name)
        rows.append([title, show(value), "" if low is None else f"{show(low)} to {show(high)}"])
    classes = class_scores.head(MAX_CLASSES).to_dict("records")
    recalls = [[f"Recall of {escape_markdown(str(row['class']))}", *_show_recall(row)] for row in classes]
    return markdown_table(["Metric", "Value", "Interval"], [*rows, *recalls])


def list_counts(card: Mapping[str, Any]) -> str:
    """Photos per class and split."""
    names = list(card["classes"])[:MAX_CLASSES]
    counts = [[card["counts"].get(split, {}).get(name, 0) for split in SPLITS] for name in names]
    rows = [[escape_markdown(name), *(f"{count:,}" for count in row)] for name, row in zip(names, counts, strict=True)]
    totals = [f"{sum(card['counts'].get(split, {}).values()):,}" for split in SPLITS]
    return markdown_table(["Class", *SPLITS], [*rows, ["all", *totals]])


def list_slices(slices: pd.DataFrame | None) -> list[str]:
    """Accuracy of groups of test photos, the weakest first; nothing without slices."""
    if slices is None or slices.empty or not {"feature", "slice", "num_photos", "accuracy"} <= set(slices.columns):
        return []
    known = slices.assign(accuracy=pd.to_numeric(slices["accuracy"], errors="coerce")).dropna(subset=["accuracy"])
    weakest = known.sort_values(["accuracy", "feature", "slice"], kind="stable").head(MAX_SLICES)
    rows = [
        [
            f"{escape_markdown(str(row['feature']))}: {escape_markdown(str(row['slice']))}",
            f"{int(row['num_photos']):,}",
            show_share(float(row["accuracy"])),
            _show_ends(row.get("low"), row.get("high")),
        ]
        for row in weakest.to_dict("records")
    ]
    worse = int(slices["worse"].astype(str).eq("True").sum()) if "worse" in slices else 0
    verdict = f"{worse:,} of {len(slices):,} groups" if worse else f"none of {len(slices):,} groups"
    head = f"Groups of test photos, the weakest first; {verdict} is worse than the rest beyond chance:"
    return [head, markdown_table(["Photos", "Number", "Accuracy", "Interval"], rows)]


def list_invariance(invariance: Mapping[str, Any]) -> list[str]:
    """Accuracy on disturbed test photos, and how many answers stay; nothing if it was not measured."""
    rows = []
    for name, title in DISTORTIONS.items():
        accuracy = interval_of(invariance, f"{MODEL}_{name}_accuracy")
        same = interval_of(invariance, f"{MODEL}_{name}_consistency")
        if accuracy[0] is not None:
            rows.append([title, _show_share_with_ends(*accuracy), _show_share_with_ends(*same)])
    if not rows:
        return []
    head = f"The same photos disturbed ({invariance['num_photos']:,} of them, means over several strengths):"
    return [head, markdown_table(["Photos", "Accuracy", "Same answer as before"], rows)]


def say_calibration(metrics: Mapping[str, Any], model_card: Mapping[str, Any]) -> list[str]:
    """What its probabilities are worth, and below which an answer is unsure."""
    error = metrics.get("expected_calibration_error")
    if error is None:
        return []
    temperature = model_card.get("temperature")
    how = "" if temperature is None else f" (temperature {temperature:g}, fitted on validation photos)"
    limit, wrong = metrics.get("min_probability"), metrics.get("max_error")
    unsure = f" Answers with no more than {show_share(limit)} are unsure: left to people, " if limit else ""
    if unsure:
        unsure += f"at most {show_share(wrong)} of the others should be wrong."
    threshold = metrics.get("threshold", EVEN)
    chosen = "" if threshold == EVEN else f" The second class is the answer above {show_share(threshold)}."
    return [f"Its probabilities are off by {show_share(error)} on average{how}.{unsure}{chosen}"]


def list_recipe(params: Mapping[str, Any], card: Mapping[str, Any], prepared: Mapping[str, Any]) -> str:
    """How photos are prepared and how the network was trained, as a list."""
    aspect = "padded to a square" if prepared["keep_aspect"] else "squashed to a square"
    size = f"{prepared['image_size']} × {prepared['image_size']} pixels"
    train = params["train"]
    settings = ", ".join(f"{_spell(name)} {_show(train[name])}" for name in RECIPE if name in train)
    changes = ", ".join(f"{_spell(name)} {_show(value)}" for name, value in params["augment"].items() if value)
    return "\n".join(
        [
            f"- **Preprocessing:** upright, RGB, {aspect} of {size}, {prepared['resampling']}",
            f"- **Random changes to training photos:** {escape_markdown(changes) or 'none'}",
            f"- **Hyperparameters:** {escape_markdown(settings)}",
            f"- **Epochs:** {card['epochs']:,}, weights of epoch {card['best_epoch']:,} kept",
        ]
    )


def _show_recall(row: Mapping[Any, Any]) -> Sequence[str]:
    value, low, high = (_number(row.get(name)) for name in ("recall", "recall_low", "recall_high"))
    return [show_share(value), _show_ends(low, high)]


def _show_ends(low: Any, high: Any) -> str:
    ends = _number(low), _number(high)
    return "" if ends[0] is None or ends[1] is None else f"{show_share(ends[0])} to {show_share(ends[1])}"


def _show_share_with_ends(value: float | None, low: float | None, high: float | None) -> str:
    ends = _show_ends(low, high)
    return show_share(value) + (f" ({ends})" if ends else "")


def _number(value: Any) -> float | None:
    """An undefined number is an empty cell, which a table of texts holds as ""."""
    return None if value is None or value == "" or pd.isna(value) else float(value)


def _spell(name: str) -> str:
    return name.replace("_", " ")


def _show(value: Any) -> str:
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)
