"""The gate's criteria as tables that people read: in a terminal, and in Markdown for the summary of a CI job."""

from collections.abc import Sequence

from convlens.tracking.gate import Criterion, all_passed

HEAD = ("criterion", "value", "demanded", "verdict", "measured")
NUMBERS = (1, 2)  # columns that end flush


def verdict_word(criterion: Criterion) -> str:
    """`passed` or `missed`."""
    return "passed" if criterion.passed else "missed"


def tell_verdict(criteria: Sequence[Criterion]) -> str:
    """`passed`, or what was missed: `missed: evaluation.accuracy, no_worse_than_champion`."""
    missed = [criterion.name for criterion in criteria if not criterion.passed]
    return f"missed: {', '.join(missed)}" if missed else "passed"


def tell_criterion(criterion: Criterion) -> str:
    """One criterion in a few words: `evaluation.accuracy passed, 0.9500 (at least 0.8000)`."""
    demanded = f" ({tell_demand(criterion)})" if tell_demand(criterion) else ""
    value = "" if criterion.value is None else f", {show_number(criterion.value)}{demanded}"
    return f"{criterion.name} {verdict_word(criterion)}{value}"


def tell_demand(criterion: Criterion) -> str:
    """`at least 0.8000`, `at most 0.0500`, `0.1000 to 0.2000`, or nothing."""
    if criterion.minimum is not None and criterion.maximum is not None:
        return f"{show_number(criterion.minimum)} to {show_number(criterion.maximum)}"
    if criterion.minimum is not None:
        return f"at least {show_number(criterion.minimum)}"
    return "" if criterion.maximum is None else f"at most {show_number(criterion.maximum)}"


def show_number(value: float) -> str:
    """Four decimals; large counts without."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"


def text_table(criteria: Sequence[Criterion]) -> list[str]:
    """Lines of a table in columns, the heads first."""
    rows = [HEAD, *_rows(criteria)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return ["  ".join(_pad(cell, widths[i], i) for i, cell in enumerate(row)).rstrip() for row in rows]


def markdown_table(criteria: Sequence[Criterion]) -> str:
    """The same as a table of GitHub's Markdown, headed by the verdict."""
    lines = [
        "| " + " | ".join(HEAD) + " |",
        "|---|--:|--:|---|---|",
        *("| " + " | ".join(_escape(cell) for cell in row) + " |" for row in _rows(criteria)),
    ]
    return "\n".join(lines)


def tell_outcome(criteria: Sequence[Criterion]) -> str:
    """How many of the criteria are met, as a sentence."""
    num_missed = sum(not criterion.passed for criterion in criteria)
    if all_passed(criteria):
        return f"All {len(criteria)} criteria are met."
    return f"{num_missed} of {len(criteria)} criteria {'is' if num_missed == 1 else 'are'} missed."


def _rows(criteria: Sequence[Criterion]) -> list[tuple[str, ...]]:
    return [
        (
            item.name,
            "–" if item.value is None else show_number(item.value),
            tell_demand(item) or "–",
            verdict_word(item),
            item.note,
        )
        for item in criteria
    ]


def _pad(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in NUMBERS else cell.ljust(width)


def _escape(cell: str) -> str:
    """Names of slices and reasons are other people's text: no cell, no mark-up comes of them."""
    text = " ".join(cell.split())
    for letter, escaped in (("&", "&amp;"), ("<", "&lt;"), ("\\", "\\\\"), ("|", "\\|"), ("`", "\\`"), ("[", "\\[")):
        text = text.replace(letter, escaped)
    return text
