"""The rules run as a Great Expectations 1.x suite written in code. The only home of Great Expectations."""

import html
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier

from convlens.params import ValidateParams
from convlens.photos.data_docs import settle_data_docs
from convlens.photos.rules import Rule, build_rules, count_classes, flatten_photos

MAX_WORST = 5
RUN_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # the same data must give the same pages


@dataclass(frozen=True)
class Verdict:
    """What one expectation found.

    Attributes:
        name: of the expectation, as `validate.critical` names it.
        expectation: what was expected, in words.
        severity: `critical` stops the pipeline, `warning` is reported.
        success: whether the data meets it.
        observed: what was found, in words.
        expected: the limit in few words.
        parameter: the parameter of `params.yaml` that sets the limit.
        worst: paths or classes that do not meet it, a few of them, the farthest from the limit first.
    """

    name: str
    expectation: str
    severity: str
    success: bool
    observed: str
    expected: str
    parameter: str
    worst: tuple[str, ...]


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
