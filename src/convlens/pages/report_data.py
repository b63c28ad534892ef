"""The report's sections on data and training."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from convlens.errors import printable
from convlens.pages.engine import Drawing, draw, picture_source
from convlens.plots.data import MEASURES, plot_class_balance, plot_measure, plot_sizes
from convlens.plots.training import plot_accuracy, plot_learning_rate, plot_loss
from convlens.wording import show_bytes, show_count, show_number, show_share

# --- The data section of the overview page: where the photos come from, what they are like, which were left out ---

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
        ("Color modes", _count_values(decoded["mode"])),
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


# --- overview quarantine ---
# The part of the data section on what is left out: a gallery with reasons, copies, and pictures that look alike.

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


# --- The training section of the overview page: curves, final numbers and settings ---


def describe_training(history: pd.DataFrame, model_card: Mapping[str, Any]) -> dict[str, Any]:
    """What the training section shows."""
    return {
        "facts": _list_facts_overview_training(history, model_card),
        "figures": _draw_figures_overview_training(history),
    }


def describe_settings(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parameters that shaped this network, by group; of the architectures only the chosen one."""
    architecture = params["model"]["architecture"]
    groups = {
        f"model: {architecture}": params["model"].get(architecture, {}),
        "train": params.get("train", {}),
        "augment": params.get("augment", {}),
        "preprocess": params.get("preprocess", {}),
        "inference": params.get("inference", {}),
        "evaluate": params.get("evaluate", {}),
    }
    return [
        {"title": title, "rows": [(name, _show_setting(value)) for name, value in group.items()]}
        for title, group in groups.items()
    ]


def _show_setting(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_show_setting(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_show_setting, value))
    return str(value)


def _list_facts_overview_training(history: pd.DataFrame, card: Mapping[str, Any]) -> list[tuple[str, str]]:
    last = history.iloc[-1]
    return [
        ("Architecture", str(card["architecture"])),
        ("Parameters", f"{card['num_parameters']:,}"),
        ("Epochs", f"{len(history):,}; weights of epoch {card['best_epoch']:,} kept"),
        ("Looks at", f"{card['image_size']} × {card['image_size']} pixels"),
        ("Computed on", f"{card['device']}, {card['precision']}, {_show_threads(int(card['num_threads']))}"),
        ("Training", f"loss {show_number(last['train_loss'])}, accuracy {show_share(last['train_accuracy'])}"),
        ("Validation", f"loss {show_number(card['validation_loss'])}, "
                       f"accuracy {show_share(card['validation_accuracy'])} (weights kept)"),
    ]  # fmt: skip


def _draw_figures_overview_training(history: pd.DataFrame) -> list[Drawing]:
    loss = _describe_course(history, "loss", show_number)
    accuracy = _describe_course(history, "accuracy", show_share)
    rate = _describe_rate(history)
    plots = ((plot_loss, loss), (plot_accuracy, accuracy), (plot_learning_rate, rate))
    return [draw(plot(history), "Line chart by epoch", caption) for plot, caption in plots]


def _describe_rate(history: pd.DataFrame) -> str:
    rates = history["learning_rate"]
    if rates.nunique() == 1:
        return f"{rates.iloc[0]:.3g} throughout."
    peak = history.iloc[int(rates.to_numpy().argmax())]
    return f"Peak {peak['learning_rate']:.3g} at epoch {peak['epoch']:.0f}, {rates.iloc[-1]:.3g} at the end."


def _describe_course(history: pd.DataFrame, name: str, show: Any) -> str:
    first, last = history.iloc[0], history.iloc[-1]
    courses = [
        f"{title} {show(float(first[f'{split}_{name}']))} → {show(float(last[f'{split}_{name}']))}"
        for split, title in (("train", "Training"), ("validation", "validation"))
    ]
    return ", ".join(courses) + "."


def _show_threads(num_threads: int) -> str:
    return show_count(num_threads, "thread") if num_threads else "one thread per core"
