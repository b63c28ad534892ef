"""The data section of the overview page: where the photos come from, what they are like, which were left out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from convlens.report.figures_data import MEASURES, plot_class_balance, plot_measure, plot_sizes
from convlens.report.overview_page import Drawing, draw
from convlens.report.wording import show_bytes, show_count

SAMPLES_PER_CLASS = 8
MAX_CLASSES_SHOWN = 12
LIMITS = {"brightness": "dark_brightness", "sharpness": "blurred_sharpness", "aspect": "max_aspect"}
SPLITS = ("train", "validation", "test")


def choose_samples(manifest: pd.DataFrame) -> dict[str, list[str]]:
    """Paths of a few usable photos per class, evenly spread over the sorted list."""
    usable = manifest[manifest["usable"]]
    chosen = {}
    for label, photos in list(usable.groupby("label", sort=True))[:MAX_CLASSES_SHOWN]:
        paths = sorted(photos["path"])
        places = np.unique(np.linspace(0, len(paths) - 1, SAMPLES_PER_CLASS).round().astype(int))
        chosen[str(label)] = [paths[place] for place in places]
    return chosen


def describe_data(
    manifest: pd.DataFrame,
    validation_result: Mapping[str, Any],
    prepared_card: Mapping[str, Any],
    splits: pd.DataFrame,
    limits: Mapping[str, Any],
) -> dict[str, Any]:
    """What the data section shows; `limits` is the group `validate`."""
    decoded = manifest[manifest["decodes"]]
    return {
        "facts": _list_facts(manifest, decoded, prepared_card),
        "counts": _count_table(prepared_card),
        "formats": _count_formats(decoded),
        "balance": _draw_balance(prepared_card),
        "figures": _draw_figures(decoded, limits) if len(decoded) else [],
        "validation": describe_verdict(validation_result),
        "expectations": validation_result["expectations"],
        "num_photos": len(manifest),
        "num_prepared": len(splits),
        "samples": choose_samples(manifest),
    }


def describe_verdict(validation_result: Mapping[str, Any]) -> dict[str, Any]:
    """The outcome of the data checks in one word and one sentence."""
    expectations = validation_result["expectations"]
    num_met = sum(bool(row["success"]) for row in expectations)
    missed = len(expectations) - num_met
    word = "failed" if not validation_result["success"] else "warnings" if missed else "passed"
    sentence = f"{num_met} of {show_count(len(expectations), 'expectation')} met"
    return {"word": word, "sentence": sentence, "num_missed": missed}


def _list_facts(manifest: pd.DataFrame, decoded: pd.DataFrame, card: Mapping[str, Any]) -> list[tuple[str, str]]:
    aspect = "padded to a square" if card["keep_aspect"] else "squashed to a square"
    return [
        ("Source", str(card.get("source", "unknown"))),
        ("Photos", f"{len(manifest):,} in {show_bytes(float(manifest['bytes'].sum()))}"),
        ("Formats", _count_values(decoded["format"])),
        ("Colour modes", _count_values(decoded["mode"])),
        ("Sizes", _describe_sizes(decoded)),
        ("Given to the network", f"{card['image_size']} × {card['image_size']} pixels, {aspect}, {card['resampling']}"),
    ]


def _count_values(column: pd.Series) -> str:
    counts = sorted(column.value_counts().items(), key=lambda item: (-item[1], str(item[0])))
    return ", ".join(f"{name} {count:,}" for name, count in counts) or "none"


def _describe_sizes(decoded: pd.DataFrame) -> str:
    sizes = decoded[["width", "height"]]
    if sizes.empty:
        return "none"
    if len(sizes.drop_duplicates()) == 1:
        return f"all {sizes['width'].iloc[0]} × {sizes['height'].iloc[0]} pixels"
    low, middle, high = (sizes.min(), sizes.median(), sizes.max())
    return (
        f"{low['width']:.0f} × {low['height']:.0f} to {high['width']:.0f} × {high['height']:.0f} pixels, "
        f"median {middle['width']:.0f} × {middle['height']:.0f}"
    )


def _count_table(card: Mapping[str, Any]) -> dict[str, Any]:
    rows = [[name, *(card["counts"].get(split, {}).get(name, 0) for split in SPLITS)] for name in card["classes"]]
    totals = [sum(row[column] for row in rows) for column in range(1, len(SPLITS) + 1)]
    return {"splits": SPLITS, "rows": rows, "totals": totals}


def _draw_balance(card: Mapping[str, Any]) -> Drawing:
    counts = {split: {name: card["counts"].get(split, {}).get(name, 0) for name in card["classes"]} for split in SPLITS}
    caption = "Photos of each class by split; a table on this page has the numbers."
    return draw(plot_class_balance(counts), "Bar chart", caption, alone=False)


def _count_formats(decoded: pd.DataFrame) -> dict[str, Any]:
    """Photos of each format in each class; empty if there is but one format."""
    formats = sorted(decoded["format"].unique())
    if len(formats) < 2:
        return {}
    counts = decoded.groupby(["label", "format"]).size().unstack(fill_value=0).reindex(columns=formats)
    rows = [
        [str(label), *(int(value) for value in row)] for label, row in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    return {"formats": formats, "rows": rows}


def _draw_figures(decoded: pd.DataFrame, limits: Mapping[str, Any]) -> list[Drawing]:
    figures = []
    if len(decoded[["width", "height"]].drop_duplicates()) > 1:
        figures.append(draw(plot_sizes(decoded), "Scatter plot of sizes", f"{_describe_sizes(decoded)}."))
    for measure in MEASURES:
        if measure.column == "aspect" and decoded["aspect"].nunique() < 2:
            continue
        medians = decoded.groupby("label", sort=True)[measure.column].median()
        shown = ", ".join(f"{name} {value:.3g}" for name, value in list(medians.items())[:MAX_CLASSES_SHOWN])
        lines, words = _name_limit(measure.column, limits)
        drawing = plot_measure(decoded, measure, limits=lines)
        figures.append(draw(drawing, "Histogram", f"{measure.title}, median: {shown}.{words}"))
    return figures


def _name_limit(column: str, limits: Mapping[str, Any]) -> tuple[tuple[float, ...], str]:
    """Where dashed lines stand in the histogram of a column, and the sentence that says so."""
    name = LIMITS.get(column, "")
    if not limits.get(name):
        return (), ""
    limit = float(limits[name])
    if column == "aspect":
        return (limit, 1 / limit), f" Dashed: validate.{name} = {limit:g}, either way."
    return (limit,), f" Dashed: validate.{name} = {limit:g}."
