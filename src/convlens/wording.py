"""Numbers and names as text: the same on pages, in figures, in summaries and in the terminal."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

UNDEFINED = "undefined"
PERCENT = "\N{NO-BREAK SPACE}%"
METRICS = {  # those of a headline, in the order in which they are shown
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "log_loss": "Log loss",
    "brier": "Brier score",
}
SHARES = ("accuracy", "balanced_accuracy", "expected_calibration_error")  # shown in percent, others as scores


def show_share(value: float | None, decimals: int = 1) -> str:
    """Show a share as a percentage: 0.975 becomes `97.5 %`; 100 % and 0 % mean all and none, nothing rounded."""
    if value is None or math.isnan(value):
        return UNDEFINED
    percent = round(100 * value, decimals)
    step = 10.0**-decimals
    if percent >= 100 and value < 1:
        return f"> {100 - step:.{decimals}f}{PERCENT}"
    if percent <= 0 and value > 0:
        return f"< {step:.{decimals}f}{PERCENT}"
    return f"{percent:.{0 if percent in (0, 100) else decimals}f}{PERCENT}"


def show_range(low: float | None, high: float | None, show: Callable[[float], str] = show_share) -> str:
    """Show the ends of an interval: `90.0 % to 95.0 %`; empty if there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"{show(low)} to {show(high)}"


def show_interval(low: float | None, high: float | None) -> str:
    """Show the ends of an interval of shares in brackets, with a leading space; empty if there is none."""
    ends = show_range(low, high)
    return f" (interval {ends})" if ends else ""


def show_number(value: float | None) -> str:
    """Show a score with three digits after the point; 0.000 and 1.000 mean exactly that, nothing rounded."""
    if value is None or math.isnan(value):
        return UNDEFINED
    if 0.9995 <= value < 1:
        return "> 0.999"
    return "< 0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def show_count(count: int, one: str, many: str | None = None) -> str:
    """Show a count with its noun: `1 photo`, `1,200 photos`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def show_bytes(size: float) -> str:
    """Show a size in bytes with its unit: `12.3 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def shorten(text: str, length: int) -> str:
    """Cut text to `length` characters with an ellipsis; `$` would start mathematics in figures."""
    short = text if len(text) <= length else text[: length - 1] + "…"
    return short.replace("$", r"\$")


def join_words(words: Sequence[str], last: str = "and") -> str:
    """Join words: `cats, dogs and birds`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def interval_of(metrics: Mapping[Any, Any], name: str) -> tuple[float | None, float | None, float | None]:
    """Return a metric with the ends of its interval, from the flat `metrics.json`; None where undefined."""
    return metrics.get(name), metrics.get(f"{name}_low"), metrics.get(f"{name}_high")


def show_metric(metrics: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Show a metric of the flat `metrics.json` and its interval: `("93.0 %", "89.7 % to 95.3 %")`."""
    value, low, high = interval_of(metrics, name)
    show = show_share if name.removesuffix("_before") in SHARES else show_number
    return show(value), show_range(low, high, show)


def show_share_of(values: Mapping[Any, Any], name: str, decimals: int = 1) -> str:
    """Show a share with its interval, of a row or of metrics: `93.0 % (89.7 % to 95.3 %)`."""
    value, low, high = interval_of(values, name)
    ends = show_range(low, high, lambda end: show_share(end, decimals))
    return show_share(value, decimals) + (f" ({ends})" if ends else "")


def class_keys(classes: Sequence[str]) -> tuple[str, ...]:
    """Each class's name as a part of metric names: letters, digits and underscores, each once.

    `maine coon` becomes `maine_coon`; a name that is taken, or has no letters, gets the number of its class.
    """
    keys: list[str] = []
    for number, name in enumerate(classes, start=1):
        key = re.sub(r"\W+", "_", name).strip("_") or "class"
        while key in keys or key == "class":
            key = f"{key}_{number}"
        keys.append(key)
    return tuple(keys)


def show_metric_of(metrics: Mapping[str, Any], name: str) -> str:
    """Show a metric of the flat `metrics.json` with its interval: `93.0 % (89.7 % to 95.3 %)`."""
    value, ends = show_metric(metrics, name)
    return value + (f" ({ends})" if ends else "")
