"""Check the tables of photos and classes with Great Expectations, whose only home this is, and write Data Docs."""

import html
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier

from convlens.data.validation import Verdict
from convlens.params import ValidateParams

# --- rules ---
# What photos must be like: each limit of the group `validate` as a rule in plain values, and the tables they judge.

JUDGED_COLUMNS = ["path", "label", "sha256", "format", "width", "height", "decodes", "usable", "cause", "brightness",
                  "sharpness"]  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """An expectation with what a person needs to act on it.

    Attributes:
        name: as `validate.critical` names it.
        title: what is expected, in words.
        expected: the same in few words, for a table.
        parameter: the parameter of `params.yaml` that sets the limit.
        kind: name of the Great Expectations class, and `settings` its arguments.
        table: whether it judges photos or classes.
    """

    name: str
    title: str
    expected: str
    parameter: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    table: Literal["photos", "classes"] = "photos"


def build_rules(limits: ValidateParams) -> list[Rule]:
    """The suite, in the order in which a person should read it."""
    return [*_rules_of_the_whole(limits), *_rules_of_files(limits), *_rules_of_pictures(limits)]


def _rules_of_the_whole(limits: ValidateParams) -> list[Rule]:
    return [
        _share("unreadable", "decodes", limits.max_unreadable_fraction, "of the photos can be decoded",
               "validate.max_unreadable_fraction"),
        _share("quarantined", "usable", limits.max_quarantined_fraction, "of the photos are usable",
               "validate.max_quarantined_fraction"),
        _between("photos_per_class", f"at least {limits.min_photos_per_class} usable photos in every class",
                 f"at least {limits.min_photos_per_class}", "validate.min_photos_per_class",
                 {"column": "num_usable", "min_value": limits.min_photos_per_class}, table="classes"),
        _between("class_balance",
                 f"the largest class has at most {limits.max_class_ratio:g} times the photos of any other",
                 f"at most {limits.max_class_ratio:g} times", "validate.max_class_ratio",
                 {"column": "times_smaller", "max_value": limits.max_class_ratio}, table="classes"),
    ]  # fmt: skip


def _rules_of_files(limits: ValidateParams) -> list[Rule]:
    formats = ", ".join(limits.formats)
    return [
        Rule("unique_paths", "no path twice", "none twice", "data.source", "ExpectColumnValuesToBeUnique",
             {"column": "path"}),
        Rule("formats", f"formats are {formats}", formats, "validate.formats", "ExpectColumnValuesToBeInSet",
             {"column": "format", "value_set": list(limits.formats)}),
        _share("duplicated", "is_first", limits.max_duplicated_fraction, "of the photos are no copy of another one",
               "validate.max_duplicated_fraction"),
        Rule("two_labels", "no photo under two labels (by digest)", "none", "data.source",
             "ExpectColumnValuesToBeInSet", {"column": "has_one_label", "value_set": [True]}),
    ]  # fmt: skip


def _rules_of_pictures(limits: ValidateParams) -> list[Rule]:
    dark, blurred = f"{limits.dark_brightness:g}", f"{limits.blurred_sharpness:g}"
    return [
        _between("min_side", f"the shorter side has at least {limits.min_side} pixels",
                 f"at least {limits.min_side} pixels", "validate.min_side",
                 {"column": "shorter_side", "min_value": limits.min_side}),
        _between("aspect", f"the longer side is at most {limits.max_aspect:g} times the shorter",
                 f"at most {limits.max_aspect:g} : 1", "validate.max_aspect",
                 {"column": "elongation", "max_value": limits.max_aspect}),
        _between("dark", f"at most {limits.max_dark_fraction:.0%} of the photos are darker than {dark}",
                 f"at most {limits.max_dark_fraction:.0%} below {dark}", "validate.max_dark_fraction",
                 {"column": "brightness", "min_value": limits.dark_brightness, "mostly": 1 - limits.max_dark_fraction}),
        _between("blurred", f"at most {limits.max_blurred_fraction:.0%} of the photos have a sharpness below {blurred}",
                 f"at most {limits.max_blurred_fraction:.0%} below {blurred}", "validate.max_blurred_fraction",
                 {"column": "sharpness", "min_value": limits.blurred_sharpness,
                  "mostly": 1 - limits.max_blurred_fraction}),
    ]  # fmt: skip


def _share(name: str, column: str, allowed: float, what: str, parameter: str) -> Rule:
    """At most the share `allowed` of the photos may be false in a column of truths."""
    return Rule(name, f"at least {1 - allowed:.0%} {what}", f"at most {allowed:.0%} not", parameter,
                "ExpectColumnValuesToBeInSet",
                {"column": column, "value_set": [True], "mostly": 1 - allowed})  # fmt: skip


def _between(name: str, title: str, expected: str, parameter: str, settings: Mapping[str, Any],
             *, table: Literal["photos", "classes"] = "photos") -> Rule:  # fmt: skip
    return Rule(name, title, expected, parameter, "ExpectColumnValuesToBeBetween", settings, table)


def flatten_photos(manifest: pd.DataFrame) -> pd.DataFrame:
    """One row per photo with the columns that rules name; what is not known of a photo is missing, not zero."""
    table = manifest[JUDGED_COLUMNS].copy()
    sides = manifest[["width", "height"]]
    known = manifest["decodes"]
    table["shorter_side"] = sides.min(axis=1).where(known)
    table["elongation"] = (sides.max(axis=1) / sides.min(axis=1).clip(lower=1)).where(known)
    for name in ("brightness", "sharpness", "format"):
        table[name] = manifest[name].where(known)
    table["is_first"] = manifest["cause"] != "duplicate"
    table["has_one_label"] = manifest["cause"] != "two_labels"
    return table.drop(columns="cause")


def count_classes(manifest: pd.DataFrame) -> pd.DataFrame:
    """One row per class: `path` (the class, as the index of failures), `num_usable`, `times_smaller`."""
    usable = manifest.groupby("label")["usable"].sum().astype(int)
    return pd.DataFrame(
        {
            "path": usable.index.astype(str),
            "num_usable": usable.to_numpy(),
            "times_smaller": usable.max() / np.maximum(usable.to_numpy(), 1),
        }
    )


# --- data docs ---
# Great Expectations' Data Docs made to stand alone: the same for the same data, and nothing loaded from outside.
#
# As built they carry times and random ids, take styles and scripts from seven sites, and need those scripts to show
# their index. Here the scripts go, one style sheet of our own takes the place of the others, and the index is plain
# HTML.

TIMES = re.compile(r"(\?d=)?20\d{6}T\d{6}\.\d+Z|20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC)?")
RANDOM_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
FROM_OUTSIDE = (  # names of photos come escaped, so no tag in a page is theirs
    re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<style\b.*?</style>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<link\b[^>]*>", re.IGNORECASE),
    re.compile(r"<footer\b.*?</footer>", re.DOTALL | re.IGNORECASE),
    re.compile(r"\son\w+=\"[^\"]*\"", re.IGNORECASE),
)
LOGO = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1.0">
<title>Data Docs</title>
</head>
<body>
<main>
<h1>Data Docs</h1>
<p class="lead">What was expected of the photos and of their classes, and what was found, by Great Expectations.</p>
<ul class="results">
{rows}
</ul>
</main>
</body>
</html>
"""
ROW = """<li><h2>{mark} {title}: {word}</h2>
<a href="validations/{name}/validation/latest/{name}-{name}.html">What was found</a> ·
<a href="expectations/{name}.html">What is expected</a></li>"""
PASSED = '<span class="text-success" aria-hidden="true">✓</span>'
FAILED = '<span class="text-danger" aria-hidden="true">✕</span>'


def settle_data_docs(site: Path, *, run_folder: str, names: str, passed: Mapping[str, bool]) -> None:
    """Rewrite a freshly built site in place.

    Args:
        site: folder of the Data Docs site.
        run_folder: name that Great Expectations gave the fixed run time; it becomes `latest`.
        names: text that holds the photos' names; the times and ids in them are not Great Expectations' and stay.
        passed: whether all expectations are met, by the name of the suite.
    """
    kept = frozenset(found[0] for pattern in (TIMES, RANDOM_IDS) for found in pattern.finditer(names))
    shutil.rmtree(site / "static", ignore_errors=True)
    (site / "index.html").write_text(_write_index(passed), encoding="utf-8", newline="\n")
    style = files("convlens.data").joinpath("data_docs.css").read_text(encoding="utf-8")
    for page in sorted(site.rglob("*.html")):
        text = _settle(_detach(page.read_text(encoding="utf-8"), style), run_folder, kept)
        page.write_text(text, encoding="utf-8", newline="\n")
    for folder in sorted(site.rglob(run_folder)):
        folder.rename(folder.with_name("latest"))


def _write_index(passed: Mapping[str, bool]) -> str:
    rows = [
        ROW.format(
            name=name,
            title=name.capitalize(),
            mark=PASSED if good else FAILED,
            word="all is as expected" if good else "not all is as expected",
        )
        for name, good in passed.items()
    ]
    return INDEX.format(rows="\n".join(rows))


def _detach(html: str, style: str) -> str:
    """The page with our style alone, without scripts, and without pictures, which are logos."""
    for pattern in FROM_OUTSIDE:
        html = pattern.sub("", html)
    html = LOGO.sub("Data Docs", html)
    return html.replace("</head>", f"<style>\n{style}</style>\n</head>", 1)


def _settle(html: str, run_folder: str, kept: frozenset[str]) -> str:
    numbers = {name: name for name in kept}
    html = html.replace(run_folder, "latest")
    html = TIMES.sub(lambda found: found[0] if found[0] in kept else "", html)
    return RANDOM_IDS.sub(lambda found: numbers.setdefault(found[0], f"id{len(numbers) + 1}"), html)


# --- The rules run as a Great Expectations 1.x suite written in code. The only home of Great Expectations ---

MAX_WORST = 5
RUN_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # the same data must give the same pages


def check_photos(manifest: pd.DataFrame, limits: ValidateParams, *, docs: Path) -> list[Verdict]:
    """Run the suite over the table of photos and the table of classes, and build Data Docs.

    Args:
        manifest: one row per photo, from `scan_photos`.
        limits: the group `validate`.
        docs: empty folder for the Data Docs site.
    """
    # Great Expectations writes names into its pages as they come, so they come escaped.
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    _add_docs_site(context, docs)
    rules = build_rules(limits)
    critical = frozenset(limits.critical)
    tables = {"photos": flatten_photos(manifest), "classes": count_classes(manifest)}
    tables = {name: table.assign(path=table["path"].map(html.escape)) for name, table in tables.items()}
    results = {name: _run_suite(context, name, table, rules, critical) for name, table in tables.items()}
    context.build_data_docs()
    names = "\n".join([*manifest["path"], *manifest["label"].unique()])
    passed = {name: all(row.success for row in rows) for name, rows in results.items()}
    settle_data_docs(docs, run_folder=RUN_TIME.strftime("%Y%m%dT%H%M%S.%fZ"), names=names, passed=passed)
    return [_judge(rule, results[rule.table].pop(0), critical) for rule in rules]


def _add_docs_site(context: Any, docs: Path) -> None:
    for name in list(context.get_site_names()):
        context.delete_data_docs_site(name)
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": backend,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site(site_name="validation", site_config=site)


def _run_suite(context: Any, name: str, table: pd.DataFrame, rules: list[Rule], critical: frozenset[str]) -> list[Any]:
    suite = context.suites.add(gx.ExpectationSuite(name=name))
    for rule in rules:
        if rule.table == name:
            suite.add_expectation(_express(rule, critical))
    batches = context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batches, suite=suite))
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["path"]},
        )
    )
    run = RunIdentifier(run_name="validation", run_time=RUN_TIME)
    outcome = checkpoint.run(batch_parameters={"dataframe": table}, run_id=run)
    (result,) = outcome.run_results.values()
    return list(result.results)


def _express(rule: Rule, critical: frozenset[str]) -> Any:
    expectation = getattr(gxe, rule.kind)(**rule.settings)
    expectation.meta = {"parameter": rule.parameter, "title": rule.title}
    expectation.severity = _severity(rule, critical)
    return expectation


def _severity(rule: Rule, critical: frozenset[str]) -> str:
    return "critical" if rule.name in critical else "warning"


def _judge(rule: Rule, outcome: Any, critical: frozenset[str]) -> Verdict:
    found = outcome.result
    count, total = found.get("unexpected_count", 0), found.get("element_count", 0)
    what = "classes" if rule.table == "classes" else "photos"
    share = f" ({count / total:.1%})" if count and rule.table == "photos" else ""
    return Verdict(
        name=rule.name,
        expectation=rule.title,
        severity=_severity(rule, critical),
        success=bool(outcome.success),
        observed=f"{count:,} of {total:,} {what} do not{share}" if count else f"all {total:,} {what} meet it",
        expected=rule.expected,
        parameter=rule.parameter,
        worst=_name_worst(rule, found.get("unexpected_index_list") or []),
    )


def _name_worst(rule: Rule, rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """The rows farthest from the limit, where there is one; else the first."""
    column = rule.settings["column"]
    if rule.kind == "ExpectColumnValuesToBeBetween":
        rows = sorted(rows, key=lambda row: row[column], reverse="max_value" in rule.settings)
    return tuple(html.unescape(str(row["path"])) for row in rows[:MAX_WORST])
