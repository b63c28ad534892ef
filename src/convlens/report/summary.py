"""The short Markdown summary for pull requests and for the description in MLflow."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from convlens.report.markdown import escape_markdown as _escape
from convlens.report.markdown import markdown_table as _table
from convlens.report.overview_data import SPLITS, describe_verdict
from convlens.report.overview_evaluation import count_answers
from convlens.report.overview_glance import SHARES, name_task
from convlens.report.wording import interval_of, show_count, show_number, show_share

HEADLINES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "log_loss": "Log loss",
    "brier": "Brier score",
}
PAGES = {
    "report.html": "Data, training, evaluation",
    "feature_maps.html": "What the network sees",
    "validation/data_docs/index.html": "Data Docs",
    "evaluation/predictions.csv": "Every answer",
}
MAX_CLASSES = 12


def render_summary(
    metrics: Mapping[str, Any],
    model_card: Mapping[str, Any],
    prepared_card: Mapping[str, Any],
    validation_result: Mapping[str, Any],
    *,
    predictions: pd.DataFrame | None = None,
) -> str:
    """Headline numbers, confusion matrix, photo counts, verdict of the data checks and links, as Markdown.

    Args:
        metrics: `reports/evaluation/metrics.json`.
        model_card: `data/model/card.json`.
        prepared_card: `data/prepared/card.json`.
        validation_result: `reports/validation/result.json`.
        predictions: `reports/evaluation/predictions.csv`; without it the confusion matrix is left out.
    """
    parts = [
        f"# {_escape(name_task(prepared_card['classes']))}",
        _say_accuracy(metrics),
        _list_headlines(metrics),
        *_list_answers(predictions, prepared_card["classes"]),
        "## Photos",
        _list_counts(prepared_card),
        _say_checks(validation_result),
        "## Network",
        _say_network(model_card),
        " · ".join(f"[{title}]({page})" for page, title in PAGES.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _say_accuracy(metrics: Mapping[str, Any]) -> str:
    value, low, high = interval_of(metrics, "accuracy")
    interval = "" if low is None else f" (interval {show_share(low)} to {show_share(high)})"
    photos = show_count(metrics["num_photos"], "photo")
    return f"On {photos} the network never saw, it is right **{show_share(value)}** of the time{interval}."


def _list_headlines(metrics: Mapping[str, Any]) -> str:
    rows = []
    for name, title in HEADLINES.items():
        show = show_share if name in SHARES else show_number
        value, low, high = interval_of(metrics, name)
        rows.append([title, show(value), "" if low is None else f"{show(low)} to {show(high)}"])
    return _table(["Test split", "Value", "Interval"], rows)


def _list_answers(predictions: pd.DataFrame | None, classes: Sequence[str]) -> list[str]:
    if predictions is None or len(classes) > MAX_CLASSES:
        return []
    names = [_escape(name) for name in classes]
    counts = count_answers(predictions, classes).tolist()
    rows = [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, counts, strict=True)]
    return ["## Answers", _table(["Truth ↓ answer →", *names], rows)]


def _list_counts(card: Mapping[str, Any]) -> str:
    rows = [
        [_escape(name), *(f"{card['counts'].get(split, {}).get(name, 0):,}" for split in SPLITS)]
        for name in card["classes"][:MAX_CLASSES]
    ]
    totals = [f"{sum(card['counts'].get(split, {}).values()):,}" for split in SPLITS]
    return _table(["Class", *SPLITS], [*rows, ["all", *totals]])


def _say_checks(result: Mapping[str, Any]) -> str:
    verdict = describe_verdict(result)
    left_out = result["num_photos"] - result["num_usable"]
    lines = [f"Data checks: **{verdict['word']}**, {verdict['sentence']}, {show_count(left_out, 'photo')} left out."]
    missed = [row for row in result["expectations"] if not row["success"]]
    lines += [f"- {row['severity']}: {_escape(row['expectation'])}: {_escape(row['observed'])}" for row in missed]
    return "\n".join([lines[0], "", *lines[1:]]).rstrip()


def _say_network(card: Mapping[str, Any]) -> str:
    size = f"{card['image_size']} × {card['image_size']}"
    return (
        f"{_escape(card['architecture'])}, {card['num_parameters']:,} parameters, looks at {size} pixels; "
        f"{show_count(card['epochs'], 'epoch')}, weights of epoch {card['best_epoch']} kept; key `{card['key'][:12]}`, "
        f"data `{card['data_digest'][:12]}`."
    )
