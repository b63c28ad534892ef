"""A comparison as a page: one HTML file that needs nothing else, with curves, confusion matrices and photos."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from convlens.comparison.compare import FirstResults, RunsCompared
from convlens.comparison.describe import describe
from convlens.comparison.page_answers import describe_gallery, draw_confusions
from convlens.comparison.page_dots import MEANINGS, place_dots
from convlens.comparison.page_figures import draw_courses, draw_differences
from convlens.comparison.paired import NoVerdict, Verdict
from convlens.comparison.sections import Section, name_run
from convlens.metrics.intervals import Interval
from convlens.report.overview_page import picture_source, read_asset
from convlens.report.wording import show_count, show_share

CORNERS = {"parameters": "Parameter", "metrics": "Metric"}
BADGES = {"better": "met", "worse": "failed"}


def render_page(compared: RunsCompared | FirstResults) -> str:
    """The whole page as HTML text; the same runs give the same bytes."""
    sections = {section.key: section for section in describe(compared)}
    values = _describe_first(compared) if isinstance(compared, FirstResults) else _describe(compared)
    return (
        _environment()
        .get_template("comparison.html")
        .render(style=read_asset("overview.css"), headline=sections["verdict"].title, sections=sections, **values)
    )


def _describe_first(first: FirstResults) -> dict[str, Any]:
    return {
        "short": [name_run(run) for run in first.runs],
        "verdict": None,
        "dots": None,
        "courses": [],
        "differences": [],
        "confusions": [],
        "gallery": [],
        "pictures": {},
        "groups": [],
        "layers": [],
        "confidence": "",
    }


def _describe(compared: RunsCompared) -> dict[str, Any]:
    """What the page shows beyond the sections."""
    (verdict,) = compared.verdicts
    gallery, pictures = describe_gallery(compared)
    pair = compared.detail.pair
    return {
        "short": [name_run(run) for run in compared.runs],
        "verdict": _describe_verdict(verdict),
        "dots": None if pair is None else place_dots(pair),
        "courses": draw_courses(compared),
        "differences": [] if isinstance(verdict, NoVerdict) else draw_differences(verdict, compared.max_regression),
        "confusions": draw_confusions(compared),
        "gallery": gallery,
        "pictures": pictures,
        "groups": compared.detail.groups,
        "layers": [] if compared.filters is None else compared.filters.layers,
        "confidence": show_share(compared.confidence, 0),
    }


def _describe_verdict(verdict: Verdict | NoVerdict) -> dict[str, str]:
    if isinstance(verdict, NoVerdict):
        return {"mark": "warnings", "word": "no verdict", "points": "", "interval": ""}
    difference = verdict.differences["accuracy"]
    word = "regression" if verdict.regression else verdict.word
    mark = {"regression": "failed", "worse": "warnings", "better": "passed"}.get(word, "same")
    return {
        "mark": mark,
        "word": {"same": "no difference"}.get(word, word),
        "points": _set_minus(f"{100 * (difference.value or 0.0):+.1f}"),
        "interval": _say_ends(difference),
    }


def _say_ends(difference: Interval) -> str:
    """Both ends of an interval in points; empty if there are none."""
    if difference.low is None or difference.high is None:
        return ""
    return _set_minus(f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}")


def _mark_code(text: str) -> Markup:
    """Words between backticks as code."""
    parts = re.split(r"`([^`]*)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(_set_minus(part))
        for index, part in enumerate(parts)
    )


def _is_badge(text: str) -> str:
    """The kind of badge that a cell is, from its first word; empty for a plain one."""
    return BADGES.get(text.split(",")[0], "")


def _split_interval(text: str) -> tuple[str, str]:
    """A value, and its interval without the brackets."""
    value, _, interval = _set_minus(text).partition(" (")
    return value, interval.removesuffix(")")


def _set_minus(text: str) -> str:
    """The hyphen before a number, not one within a name, as the minus that the figures have."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "−", text)


def _picture_source(pictures: Mapping[str, bytes], path: str) -> str:
    return picture_source(pictures.get(path))


def _has_table(section: Section | None) -> bool:
    return section is not None and bool(section.head)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("convlens.comparison"), PackageLoader("convlens.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(code=_mark_code, badge=_is_badge, parts=_split_interval, share=show_share)
    environment.globals.update(count=show_count, source=_picture_source, meanings=MEANINGS, corners=CORNERS)
    environment.tests["table"] = _has_table
    return environment
