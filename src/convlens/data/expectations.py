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

# --- rules: each limit of the group `validate` in plain values, and the tables they judge ---

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
        column: that is judged.
        kind: name of the Great Expectations class, without `ExpectColumnValuesToBe`.
        settings: its other arguments.
        table: whether it judges photos or classes.
    """

    name: str
    title: str
    expected: str
    parameter: str
    column: str
    kind: Literal["Unique", "InSet", "Between"]
    settings: Mapping[str, Any] = field(default_factory=dict)
    table: Literal["photos", "classes"] = "photos"


def build_rules(limits: ValidateParams) -> list[Rule]:
    """List the expectations, in the order in which a person should read them."""

    def share(name: str, title: str, column: str, allowed: float) -> Rule:
        """At most a share of the photos may be false in a column of truths."""
        settings = {"value_set": [True], "mostly": 1 - allowed}
        return Rule(name, f"at least {1 - allowed:.0%} of the photos {title}", f"at most {allowed:.0%} not",
                    f"validate.max_{name}_fraction", column, "InSet", settings)  # fmt: skip

    def most(name: str, title: str, column: str, limit: float, allowed: float) -> Rule:
        """At most a share of the photos may lie below a limit."""
        return Rule(name, f"at most {allowed:.0%} of the photos {title} {limit:g}", f"at most {allowed:.0%} below "
                    f"{limit:g}", f"validate.max_{name}_fraction", column, "Between",
                    {"min_value": limit, "mostly": 1 - allowed})  # fmt: skip

    fewest, ratio, side, aspect = (
        limits.min_photos_per_class,
        limits.max_class_ratio,
        limits.min_side,
        limits.max_aspect,
    )
    formats = ", ".join(limits.formats)
    return [
        share("unreadable", "can be decoded", "decodes", limits.max_unreadable_fraction),
        share("quarantined", "are usable", "usable", limits.max_quarantined_fraction),
        Rule("photos_per_class", f"at least {fewest} usable photos in every class", f"at least {fewest}",
             "validate.min_photos_per_class", "num_usable", "Between", {"min_value": fewest}, "classes"),
        Rule("class_balance", f"the largest class has at most {ratio:g} times the photos of any other",
             f"at most {ratio:g} times", "validate.max_class_ratio", "times_smaller", "Between", {"max_value": ratio},
             "classes"),
        Rule("unique_paths", "no path twice", "none twice", "data.source", "path", "Unique"),
        Rule("formats", f"formats are {formats}", formats, "validate.formats", "format", "InSet",
             {"value_set": list(limits.formats)}),
        share("duplicated", "are no copy of another one", "is_first", limits.max_duplicated_fraction),
        Rule("two_labels", "no photo under two labels (by digest)", "none", "data.source", "has_one_label", "InSet",
             {"value_set": [True]}),
        Rule("min_side", f"the shorter side has at least {side} pixels", f"at least {side} pixels",
             "validate.min_side", "shorter_side", "Between", {"min_value": side}),
        Rule("aspect", f"the longer side is at most {aspect:g} times the shorter", f"at most {aspect:g} : 1",
             "validate.max_aspect", "elongation", "Between", {"max_value": aspect}),
        most("dark", "are darker than", "brightness", limits.dark_brightness, limits.max_dark_fraction),
        most("blurred", "have a sharpness below", "sharpness", limits.blurred_sharpness, limits.max_blurred_fraction),
    ]  # fmt: skip


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


# --- Data Docs made to stand alone: the same for the same data, and nothing loaded from outside ---
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
    words = {True: (PASSED, "all is as expected"), False: (FAILED, "not all is as expected")}
    rows = [
        ROW.format(name=name, title=name.capitalize(), mark=words[good][0], word=words[good][1])
        for name, good in passed.items()
    ]
    (site / "index.html").write_text(INDEX.format(rows="\n".join(rows)), encoding="utf-8", newline="\n")
    style = files("convlens.data").joinpath("data_docs.css").read_text(encoding="utf-8")
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        for pattern in FROM_OUTSIDE:
            text = pattern.sub("", text)
        text = LOGO.sub("Data Docs", text).replace("</head>", f"<style>\n{style}</style>\n</head>", 1)
        page.write_text(_fix_names(text.replace(run_folder, "latest"), kept), encoding="utf-8", newline="\n")
    for folder in sorted(site.rglob(run_folder)):
        folder.rename(folder.with_name("latest"))


def _fix_names(page: str, kept: frozenset[str]) -> str:
    """Remove times and number random ids, but for those that belong to photos."""
    numbers = {name: name for name in kept}
    page = TIMES.sub(lambda found: found[0] if found[0] in kept else "", page)
    return RANDOM_IDS.sub(lambda found: numbers.setdefault(found[0], f"id{len(numbers) + 1}"), page)


# --- the rules as a Great Expectations 1.x suite written in code ---

MAX_WORST = 5
RUN_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # the same data must give the same pages


def check_photos(manifest: pd.DataFrame, limits: ValidateParams, *, docs: Path) -> list[Verdict]:
    """Run the suite over the table of photos and the table of classes, and build Data Docs.

    Args:
        manifest: one row per photo, from `scan_photos`.
        limits: the group `validate`.
        docs: empty folder for the Data Docs site.
    """
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
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

    rules = build_rules(limits)
    severities = {rule.name: "critical" if rule.name in limits.critical else "warning" for rule in rules}
    tables = {"photos": flatten_photos(manifest), "classes": count_classes(manifest)}
    # Great Expectations writes names into its pages as they come, so they come escaped.
    tables = {name: table.assign(path=table["path"].map(html.escape)) for name, table in tables.items()}
    results = {name: _run_suite(context, name, table, rules, severities) for name, table in tables.items()}
    context.build_data_docs()
    names = "\n".join([*manifest["path"], *manifest["label"].unique()])
    passed = {name: all(row.success for row in rows) for name, rows in results.items()}
    settle_data_docs(docs, run_folder=RUN_TIME.strftime("%Y%m%dT%H%M%S.%fZ"), names=names, passed=passed)
    return [_judge(rule, results[rule.table].pop(0), severities[rule.name]) for rule in rules]


def _run_suite(
    context: Any, name: str, table: pd.DataFrame, rules: list[Rule], severities: Mapping[str, str]
) -> list[Any]:
    suite = context.suites.add(gx.ExpectationSuite(name=name))
    for rule in rules:
        if rule.table == name:
            expectation = getattr(gxe, f"ExpectColumnValuesToBe{rule.kind}")(column=rule.column, **rule.settings)
            expectation.meta = {"parameter": rule.parameter, "title": rule.title}
            expectation.severity = severities[rule.name]
            suite.add_expectation(expectation)
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


def _judge(rule: Rule, outcome: Any, severity: str) -> Verdict:
    """Put a result into words; the rows farthest from the limit, where there is one, are named first."""
    found = outcome.result
    what, count, total = rule.table, found.get("unexpected_count", 0), found.get("element_count", 0)
    share = f" ({count / total:.1%})" if count and rule.table == "photos" else ""
    worst = found.get("unexpected_index_list") or []
    if rule.kind == "Between":
        worst = sorted(worst, key=lambda row: row[rule.column], reverse="max_value" in rule.settings)
    return Verdict(
        name=rule.name,
        expectation=rule.title,
        severity=severity,
        success=bool(outcome.success),
        observed=f"{count:,} of {total:,} {what} do not{share}" if count else f"all {total:,} {what} meet it",
        expected=rule.expected,
        parameter=rule.parameter,
        worst=tuple(html.unescape(str(row["path"])) for row in worst[:MAX_WORST]),
    )
