"""The report's sections on data, photos left out, and training."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from convlens.data.prepared import Prepared
from convlens.data.validation import Validation
from convlens.errors import printable
from convlens.files import evenly_spaced
from convlens.pages.engine import MAX_CLASSES, Drawing, draw, picture_source
from convlens.pages.photos import shorten_path
from convlens.params import Params, ValidateParams
from convlens.plots.data import MEASURES, plot_measure, plot_sizes
from convlens.plots.training import plot_training_curve
from convlens.wording import show_bytes, show_count, show_number, show_share

# --- Where the photos come from, and what they are like ---

SAMPLES_PER_CLASS = 8
LIMITS = {"brightness": "dark_brightness", "sharpness": "blurred_sharpness", "aspect": "max_aspect"}
SPLITS = ("train", "validation", "test")


def describe_data(validation: Validation, prepared: Prepared, limits: ValidateParams) -> dict[str, Any]:
    """Describe the photos: facts, counts, figures, and the outcome of the data checks."""
    manifest, card = validation.manifest, prepared.card
    decoded = manifest[manifest["decodes"]]
    formats: dict[str, Any] = {}
    if decoded["format"].nunique() > 1:
        names = sorted(decoded["format"].unique())
        table = pd.crosstab(decoded["label"], decoded["format"])[names]
        cells = zip(table.index, table.to_numpy().tolist(), strict=True)
        formats = {"formats": names, "rows": [[str(label), *row] for label, row in cells]}
    aspect = "padded to a square" if card["keep_aspect"] else "squashed to a square"
    return {
        "facts": [
            ("Source", shorten_path(*[str(card.get("source", "unknown"))] * 2)),
            ("Photos", f"{len(manifest):,} in {show_bytes(float(manifest['bytes'].sum()))}"),
            ("Formats", _count_values(decoded["format"])),
            ("Color modes", _count_values(decoded["mode"])),
            ("Sizes", _describe_sizes(decoded)),
            ("Input of the network", f"{card['image_size']} × {card['image_size']} pixels, {aspect}, "
                                     f"{card['resampling']}"),
        ],
        "counts": count_splits(card),
        "formats": formats,
        "figures": _draw_measures(decoded, limits) if len(decoded) else [],
        "verdict": describe_verdict(validation.result),
        "expectations": validation.result["expectations"],
        "num_photos": len(manifest),
        "num_prepared": len(prepared.splits),
        "samples": choose_samples(manifest),
    }  # fmt: skip


def choose_samples(manifest: pd.DataFrame) -> dict[str, list[str]]:
    """Choose a few usable photos per class, evenly spread over the sorted list; paths by class."""
    chosen = {}
    for label, photos in list(manifest[manifest["usable"]].groupby("label", sort=True))[:MAX_CLASSES]:
        paths = sorted(photos["path"])
        chosen[str(label)] = [paths[place] for place in evenly_spaced(len(paths), SAMPLES_PER_CLASS)]
    return chosen


def describe_verdict(validation_result: Mapping[str, Any]) -> dict[str, Any]:
    """Sum up the data checks in one word and one sentence."""
    expectations = validation_result["expectations"]
    num_met = sum(bool(row["success"]) for row in expectations)
    missed = len(expectations) - num_met
    word = "failed" if not validation_result["success"] else "warnings" if missed else "passed"
    return {"word": word, "sentence": f"{num_met} of {show_count(len(expectations), 'expectation')} met"}


def count_splits(card: Mapping[str, Any]) -> dict[str, Any]:
    """Count the photos per class and split, from the card of the prepared photos."""
    rows = [[name, *(card["counts"].get(split, {}).get(name, 0) for split in SPLITS)] for name in card["classes"]]
    totals = [sum(row[column] for row in rows) for column in range(1, len(SPLITS) + 1)]
    return {"splits": SPLITS, "rows": rows, "totals": totals}


def _count_values(column: pd.Series) -> str:
    counts = sorted(column.value_counts().items(), key=lambda item: (-item[1], str(item[0])))
    return ", ".join(f"{name} {count:,}" for name, count in counts) or "none"


def _describe_sizes(decoded: pd.DataFrame) -> str:
    sizes = decoded[["width", "height"]]
    if sizes.empty:
        return "none"
    if len(sizes.drop_duplicates()) == 1:
        return f"all {sizes['width'].iloc[0]} × {sizes['height'].iloc[0]} pixels"
    low, middle, high = (f"{size['width']:.0f} × {size['height']:.0f}"
                         for size in (sizes.min(), sizes.median(), sizes.max()))  # fmt: skip
    return f"{low} to {high} pixels, median {middle}"


def _draw_measures(decoded: pd.DataFrame, limits: ValidateParams) -> list[Drawing]:
    """Draw sizes and histograms; dashed lines are the limits of the data checks."""
    figures = []
    if len(decoded[["width", "height"]].drop_duplicates()) > 1:
        figures.append(draw(plot_sizes(decoded), "Scatter plot of sizes", f"{_describe_sizes(decoded)}."))
    for measure in MEASURES:
        if measure.column == "aspect" and decoded["aspect"].nunique() < 2:
            continue
        medians = decoded.groupby("label", sort=True)[measure.column].median()
        shown = ", ".join(f"{name} {value:.3g}" for name, value in list(medians.items())[:MAX_CLASSES])
        limit = getattr(limits, LIMITS.get(measure.column, ""), None)
        lines = () if not limit else (limit, 1 / limit) if measure.column == "aspect" else (limit,)
        words = f" Dashed: validate.{LIMITS[measure.column]} = {limit:g}" if limit else ""
        words += ", either way." if len(lines) == 2 else "." if lines else ""
        drawing = plot_measure(decoded, measure, limits=lines)
        figures.append(draw(drawing, "Histogram", f"{measure.title}, median: {shown}.{words}"))
    return figures


# --- Photos left out: a gallery with reasons, copies, and near-duplicates ---

MAX_SHOWN = 24
MAX_FLAGGED = 12
MAX_GROUPS = 12
MAX_PHOTOS_OF_A_GROUP = 4
MAX_PATHS_OF_A_GROUP = 6
MAX_NAME = 48  # letters of a file's name; its path is in the picture's title
CAUSES = {  # of quarantine.csv: title, meaning; in the order in which a person should see them
    "unreadable": ("cannot be read", "The file cannot be decoded whole."),
    "two_labels": ("two labels", "The same file has two labels: none of them can be trusted."),
    "too_small": ("too small", "A side is below validate.min_side."),
    "format": ("format", "validate.formats does not name the format."),
    "too_large": ("too large", "More pixels than validate.max_megapixels; not decoded."),
    "duplicate": ("copy", "The same file as another one of its class, which is used."),
    "later_frames": ("later frames", "Of an animation or a file of several pages the first picture is used."),
}
FLAGS = {  # of the gallery's column `flag`: title, column of the manifest, how it is shown
    "dark": ("dark", "brightness", "brightness {:.2f}"),
    "blurred": ("blurred", "sharpness", "sharpness {:.0f}"),
}


def describe_quarantine(validation: Validation, duplicates: Mapping[str, Any]) -> dict[str, Any]:
    """Describe photos left out or flagged, copies and near-duplicates; numbers say what is not shown.

    Args:
        validation: what the data checks found.
        duplicates: groups of near-duplicates, of the prepared photos; empty if nobody looked.
    """
    manifest, quarantine, gallery = validation.manifest, validation.quarantine, validation.gallery
    shown = _choose_left_out(validation)
    causes = manifest.groupby("sha256")["cause"].agg(set)
    copied = causes.index[[bool({"duplicate", "two_labels"} & found) for found in causes]]
    copies = [group for _, group in manifest[manifest["sha256"].isin(copied)].groupby("sha256", sort=False)]
    labels = dict(zip(manifest["path"], manifest["label"], strict=True))
    groups = list(duplicates.get("groups", ()))
    counts = quarantine["cause"].value_counts()
    usable, flagged = manifest[manifest["usable"]].set_index("path"), []
    flags = gallery[gallery["flag"].isin(list(FLAGS)) & gallery["path"].isin(usable.index)]
    for row in flags.head(MAX_FLAGGED).to_dict("records"):
        title, column, form = FLAGS[row["flag"]]
        photo = usable.loc[row["path"]]
        flagged.append({
            "path": row["path"], "file": _shorten_name(row["path"]), "label": photo["label"], "title": title,
            "reason": form.format(photo[column]), "source": picture_source(row["thumbnail"]),
        })  # fmt: skip
    return {
        "num_photos": int((quarantine["cause"] != "later_frames").sum()),
        "counts": [
            {"title": title, "meaning": meaning, "count": int(counts[cause])}
            for cause, (title, meaning) in CAUSES.items()
            if cause in counts
        ],
        "shown": shown,
        "num_hidden": len(quarantine) - len(shown),
        "flagged": flagged,
        "copies": [_describe_copies(group, gallery) for group in copies[:MAX_GROUPS]],
        "num_copied": len(copies),
        "near_duplicates": [
            {
                "photos": [
                    {"path": path, "file": _shorten_name(path), "label": labels.get(path, "")} for path in paths
                ],
                "num_photos": len(group),
                "num_more": len(group) - len(paths),
            }
            for group, paths in zip(groups, shown_groups(duplicates), strict=False)
        ],
        "num_groups": len(groups),
        "num_groups_of_two_labels": duplicates.get("groups_of_two_labels", 0),
        "num_groups_across_splits": duplicates.get("groups_across_splits", 0),
        "num_left_out": len(duplicates.get("left_out", ())),
    }


def shown_groups(duplicates: Mapping[str, Any]) -> list[list[str]]:
    """List the paths of the photos that the page shows of each group of near-duplicates."""
    return [list(group)[:MAX_PHOTOS_OF_A_GROUP] for group in list(duplicates.get("groups", ()))[:MAX_GROUPS]]


def _choose_left_out(validation: Validation) -> list[dict[str, Any]]:
    """Choose a bounded number in which every cause has its share; pictures by path, or by digest for copies."""
    manifest, gallery = validation.manifest, validation.gallery
    digests = dict(zip(manifest["path"], manifest["sha256"], strict=True))
    by_path = dict(zip(gallery["path"], gallery["thumbnail"], strict=True))
    by_digest = dict(zip(gallery["sha256"], gallery["thumbnail"], strict=True))
    rows = validation.quarantine.to_dict("records")
    turns = zip_longest(*([row for row in rows if row["cause"] == cause] for cause in CAUSES))
    chosen = [row for turn in turns for row in turn if row is not None][:MAX_SHOWN]
    return [
        {
            **{str(name): value for name, value in row.items()},
            "file": _shorten_name(row["path"]),
            "title": CAUSES[row["cause"]][0],
            "reason": row["reason"].removeprefix("cannot be decoded: "),
            "source": picture_source(by_path.get(row["path"]) or by_digest.get(digests.get(row["path"], ""))),
        }
        for row in sorted(chosen, key=lambda row: list(CAUSES).index(row["cause"]))
    ]


def _describe_copies(group: pd.DataFrame, gallery: pd.DataFrame) -> dict[str, Any]:
    """Describe files of the same bytes, of which at least one is left out for that; the used one comes first."""
    found = gallery.loc[gallery["sha256"] == group["sha256"].iloc[0], "thumbnail"]
    files = [
        {"path": row["path"],
         "role": str(row["label"]) if row["cause"] == "two_labels" else "used" if row["usable"] else "copy"}
        for row in group.to_dict("records")
    ]  # fmt: skip
    files.sort(key=lambda file: (file["role"] != "used", file["path"]))
    return {
        "source": picture_source(found.iloc[0]) if len(found) else "",
        "paths": files[:MAX_PATHS_OF_A_GROUP],
        "num_more": max(len(files) - MAX_PATHS_OF_A_GROUP, 0),
    }


def _shorten_name(path: str) -> str:
    """Shorten a file's name: without its folders, on one line, and without the middle of a very long one."""
    name = printable(PurePosixPath(path).name)
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 16]}…{name[-15:]}"


# --- Training: curves, final numbers and settings ---


def describe_training(card: Mapping[str, Any], history: pd.DataFrame) -> dict[str, Any]:
    """Describe a training: facts, and curves by epoch.

    Args:
        card: of the network.
        history: a row per epoch, see `TrainingRun`.
    """
    first, last = history.iloc[0], history.iloc[-1]

    def course(name: str, show: Any) -> str:
        changes = (f"{show(float(first[f'{split}_{name}']))} → {show(float(last[f'{split}_{name}']))}"
                   for split in ("train", "validation"))  # fmt: skip
        return "Training {}, validation {}.".format(*changes)

    captions = {"loss": course("loss", show_number), "accuracy": course("accuracy", show_share)}
    threads = show_count(int(card["num_threads"]), "thread") if card["num_threads"] else "one thread per core"
    return {
        "facts": [
            ("Architecture", str(card["architecture"])),
            ("Parameters", f"{card['num_parameters']:,}"),
            ("Epochs", f"{len(history):,}; weights of epoch {card['best_epoch']:,} kept"),
            ("Input", f"{card['image_size']} × {card['image_size']} pixels"),
            ("Computed on", f"{card['device']}, {card['precision']}, {threads}"),
            ("Training", f"loss {show_number(last['train_loss'])}, accuracy {show_share(last['train_accuracy'])}"),
            ("Validation", f"loss {show_number(card['validation_loss'])}, "
                           f"accuracy {show_share(card['validation_accuracy'])} (weights kept)"),
        ],
        "figures": [
            draw(plot_training_curve(history, measure), "Line chart by epoch", caption)
            for measure, caption in captions.items()
        ],
    }  # fmt: skip


def describe_settings(params: Params) -> list[dict[str, Any]]:
    """List the parameters that shaped this network, by group; of the architectures only the chosen one."""
    values = {"train": params.train, "augment": params.augment, "preprocess": params.preprocess,
              "inference": params.inference, "evaluate": params.evaluate}  # fmt: skip
    groups = {name: group.model_dump(mode="json") for name, group in values.items()}
    architecture = params.model.architecture
    chosen = params.model.model_dump(mode="json").get(architecture, {})
    return [
        {"title": title, "rows": [(name, _show_setting(value)) for name, value in group.items()]}
        for title, group in {f"model: {architecture}": chosen, **groups}.items()
    ]


def _show_setting(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_show_setting(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(map(_show_setting, value))
    return str(value)
