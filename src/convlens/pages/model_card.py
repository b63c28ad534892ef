"""The summary and the model card, as Markdown.

Headings of the card are those of Hugging Face's template, which follows Mitchell et al., Model Cards for Model
Reporting (FAT* 2019). Sections that matter most stand first: MLflow shows as many of them as fit a description.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from convlens.metrics.evaluation import count_predictions
from convlens.models.files import FILE
from convlens.pages.engine import MAX_CLASSES, escape_markdown, fill_template, markdown_table
from convlens.pages.photos import shorten_path
from convlens.pages.readiness import conclude
from convlens.pages.report import ReportInputs, judge_readiness
from convlens.pages.report_data import count_splits
from convlens.pages.report_evaluation import name_task
from convlens.params import read_yaml
from convlens.wording import METRICS, join_words, show_metric, show_range, show_share, show_share_of

# --- The summary, for pull requests and for the description in MLflow ---

PAGES = {
    "report.html": "Data, training, evaluation",
    "feature_maps.html": "What the network sees",
    "validation/data_docs/index.html": "Data Docs",
    "evaluation/predictions.csv": "Every prediction",
}


def render_summary(inputs: ReportInputs) -> str:
    """Render the headline, whether it is ready to use, numbers, confusion matrix, counts and links, as Markdown."""
    classes = list(inputs.prepared.card["classes"])
    names = [escape_markdown(name) for name in classes]
    counts = count_predictions(inputs.evaluation.predictions, classes).tolist()
    rows = [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, counts, strict=True)]
    return fill_template("report/summary.md", {
        "title": name_task(classes),
        "accuracy": show_metric(inputs.evaluation.metrics, "accuracy"),
        "num_photos": inputs.evaluation.metrics["num_photos"],
        "readiness": _list_readiness(inputs),
        "results": _list_metrics(inputs.evaluation.metrics, "Test split"),
        "confusion": markdown_table(["Label ↓ predicted →", *names], rows) if len(classes) <= MAX_CLASSES else "",
        "counts": _list_counts(inputs.prepared.card),
        "card": inputs.training.card,
        "pages": PAGES,
    })  # fmt: skip


# --- The model card ---

MAX_SLICES = 12
EVEN = 0.5
PERTURBATIONS = {
    "shift": "shifted", "rotation": "rotated", "scale": "larger or smaller", "brightness": "brighter or darker",
    "contrast": "other contrast", "blur": "blurred", "noise": "noisy", "jpeg": "compressed",
    "occlusion": "partly hidden", "flip": "mirrored", "gray": "without color",
}  # fmt: skip
RECIPE = ("optimizer", "learning_rate", "schedule", "batch_size", "weight_decay", "label_smoothing", "seed")


def render_model_card(inputs: ReportInputs) -> str:
    """Render what a trained network is for, what it is worth and where it fails, as Markdown."""
    card, prepared, params = inputs.training.card, inputs.prepared.card, inputs.params
    metrics, scores = inputs.evaluation.metrics, inputs.evaluation.class_scores
    names = [escape_markdown(str(name)) for name in prepared["classes"]]
    shown = names if len(names) <= MAX_CLASSES else [*names[: MAX_CLASSES - 1], f"{len(names) - 11} more classes"]
    counts = prepared["counts"].get("train", {})
    perturbed = inputs.robustness.metrics if inputs.robustness else {}
    source = read_source_card(str(prepared.get("source", "")))
    known = scores.dropna(subset=["recall"])
    weakest = None if known.empty else known.iloc[int(known["recall"].to_numpy().argmin())]
    recalls = [
        [f"Recall of {escape_markdown(str(row['class']))}", show_share(row["recall"]),
         show_range(row["recall_low"], row["recall_high"])]
        for row in scores.head(MAX_CLASSES).to_dict("records")
    ]  # fmt: skip
    return fill_template("report/model_card.md", {
        "title": name_task([str(name) for name in prepared["classes"]]),
        "classes": {"and": join_words(shown), "or": join_words(shown, "or")},
        "name": params.model_name,
        "card": card,
        "prepared": {**prepared, "source": shorten_path(*[str(prepared.get("source", ""))] * 2)},
        "source": source,
        "license": source.get("license") or "not stated; ask whoever gave the photos",
        "num_megabytes": (inputs.training.folder / FILE).stat().st_size / 1e6,
        "num_found": len(inputs.validation.manifest),
        "num_seen": sum(counts.values()) * card["epochs"],
        "fewest": min(counts.values(), default=0),
        "most": max(counts.values(), default=0),
        "num_photos": metrics["num_photos"],
        "accuracy": show_metric(metrics, "accuracy"),
        "confidence": show_share(params.evaluate.confidence, 0),
        "near_duplicates": params.preprocess.near_duplicates,
        "weakest": weakest if weakest is not None and weakest["recall"] < 1 else None,
        "readiness": _list_readiness(inputs),
        "results": _list_metrics(metrics, "Metric", recalls),
        "slices": _list_slices(inputs.evaluation.slices),
        "robustness": _list_robustness(perturbed),
        "num_perturbed": perturbed.get("num_photos"),
        "metrics": metrics,
        "even": EVEN,
        "counts": _list_counts(prepared),
        "recipe": _list_settings({name: getattr(params.train, name) for name in RECIPE}),
        "augmentation": _list_settings({name: value for name, value in params.augment.model_dump(mode="json").items()
                                        if value}),
    })  # fmt: skip


def read_source_card(source: str) -> Mapping[str, Any]:
    """Read the data-set card that `data.source` names, which `ingest` has checked; empty for a folder or an archive."""
    path = Path(source)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return {}
    values = read_yaml(path)
    return values if isinstance(values, dict) else {}


# --- Tables of both ---


def _list_metrics(metrics: Mapping[str, Any], head: str, more: Sequence[Sequence[str]] = ()) -> str:
    rows = [[title, *show_metric(metrics, name)] for name, title in METRICS.items()]
    return markdown_table([head, "Value", "Interval"], [*rows, *more])


def _list_readiness(inputs: ReportInputs) -> str:
    """Whether the network is ready to be used: a sentence, and a line for each of five questions."""
    rows = judge_readiness(inputs)
    lines = [f"- **{row.title}: {row.word}.** {escape_markdown(row.sentence)}" for row in rows]
    return "\n".join([conclude(rows)[1], "", *lines])


def _list_counts(prepared_card: Mapping[str, Any]) -> str:
    counts = count_splits(prepared_card)
    rows = [[escape_markdown(str(name)), *(f"{count:,}" for count in row)] for name, *row in
            counts["rows"][:MAX_CLASSES]]  # fmt: skip
    totals = [f"{total:,}" for total in counts["totals"]]
    return markdown_table(["Class", *counts["splits"]], [*rows, ["all", *totals]])


def _list_slices(slices: pd.DataFrame) -> dict[str, Any] | None:
    """List the accuracy of slices of the test photos, the lowest first; None without slices."""
    if slices.empty:
        return None
    lowest = slices.sort_values(["accuracy", "feature", "slice"], kind="stable").head(MAX_SLICES)
    rows = [
        [f"{escape_markdown(str(row['feature']))}: {escape_markdown(str(row['slice']))}", f"{int(row['num_photos']):,}",
         show_share(row["accuracy"]), show_range(row["low"], row["high"])]
        for row in lowest.to_dict("records")
    ]  # fmt: skip
    table = markdown_table(["Photos", "Number", "Accuracy", "Interval"], rows)
    return {"table": table, "num": len(slices), "num_worse": int(slices["worse"].astype(bool).sum())}


def _list_robustness(robustness: Mapping[str, Any]) -> str:
    """List accuracy on perturbed test photos, and how many predictions stay; empty if it was not measured."""
    rows = [
        [title, *(show_share_of(robustness, f"model_{name}_{measure}") for measure in ("accuracy", "consistency"))]
        for name, title in PERTURBATIONS.items()
        if robustness.get(f"model_{name}_accuracy") is not None
    ]
    return markdown_table(["Photos", "Accuracy", "Same prediction as before"], rows) if rows else ""


def _list_settings(values: Mapping[str, Any]) -> str:
    shown = {
        name: "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in values.items()
    }
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
