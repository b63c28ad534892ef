"""Numbers and names as words for readers: the same on the page, in figures and in the summary."""

from collections.abc import Mapping, Sequence
from typing import Any

UNDEFINED = "undefined"
PERCENT = "\N{NO-BREAK SPACE}%"


def show_share(value: float | None, decimals: int = 1) -> str:
    """A share as a percentage: 0.975 becomes `97.5 %`; 100 % and 0 % mean all and none, nothing rounded."""
    if value is None:
        return UNDEFINED
    percent = round(100 * value, decimals)
    step = 10.0**-decimals
    if percent >= 100 and value < 1:
        return f"> {100 - step:.{decimals}f}{PERCENT}"
    if percent <= 0 and value > 0:
        return f"< {step:.{decimals}f}{PERCENT}"
    return f"{percent:.{0 if percent in (0, 100) else decimals}f}{PERCENT}"


def show_interval(low: float | None, high: float | None) -> str:
    """The ends of an interval of shares in brackets, with a leading space; nothing if there is none."""
    return "" if low is None or high is None else f" (interval {show_share(low)} to {show_share(high)})"


def show_number(value: float | None) -> str:
    """A score with three digits after the point; 0.000 and 1.000 mean exactly that, nothing rounded."""
    if value is None:
        return UNDEFINED
    if 0.9995 <= value < 1:
        return "> 0.999"
    return "< 0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def show_count(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: `1 photo`, `1,200 photos`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def show_bytes(size: float) -> str:
    """A size in bytes with its unit: `12.3 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def shorten(text: str, length: int) -> str:
    """Text of at most `length` characters, cut with an ellipsis; `$` would start mathematics in figures."""
    short = text if len(text) <= length else text[: length - 1] + "…"
    return short.replace("$", r"\$")


def join_words(words: Sequence[str]) -> str:
    """`cats, dogs and birds`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def interval_of(metrics: Mapping[str, Any], name: str) -> tuple[float | None, float | None, float | None]:
    """A metric with the ends of its interval, from the flat `metrics.json`."""
    return metrics.get(name), metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
