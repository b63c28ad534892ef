"""What photos must be like, as a Great Expectations 1.x suite written in code. The only home of Great Expectations."""

import html
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier

from convlens.params import ValidateParams
from convlens.photos.data_docs import settle_data_docs

MAX_WORST = 5
RUN_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # the same data must give the same pages
CHECKED_COLUMNS = ["path", "label", "sha256", "format", "width", "height", "decodes", "usable", "brightness"]


@dataclass(frozen=True)
class Rule:
    """An expectation with what a person needs to act on it."""

    title: str
    severity: Literal["critical", "warning"]
    parameter: str
    expectation: Any
    table: Literal["photos", "classes"] = "photos"


@dataclass(frozen=True)
class Verdict:
    """What one expectation found.

    Attributes:
        expectation: what was expected, in words.
        severity: `critical` stops the pipeline, `warning` is reported.
        success: whether the data meets it.
        observed: what was found, in words.
        parameter: the parameter of `params.yaml` that sets the limit.
        worst: paths or classes that do not meet it, a few of them.
    """

    expectation: str
    severity: str
    success: bool
    observed: str
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
    tables = {"photos": _flatten(manifest), "classes": count_classes(manifest)}
    tables = {name: table.assign(path=table["path"].map(html.escape)) for name, table in tables.items()}
    results = {name: _run_suite(context, name, table, rules) for name, table in tables.items()}
    context.build_data_docs()
    names = "\n".join([*manifest["path"], *manifest["label"].unique()])
    settle_data_docs(docs, run_folder=RUN_TIME.strftime("%Y%m%dT%H%M%S.%fZ"), names=names)
    return [_judge(rule, results[rule.table].pop(0)) for rule in rules]


def build_rules(limits: ValidateParams) -> list[Rule]:
    """The suite: every limit of the group `validate` as one expectation."""
    return [
        Rule(
            f"at least {1 - limits.max_unreadable_fraction:.0%} of the photos can be decoded",
            "critical",
            "validate.max_unreadable_fraction",
            gxe.ExpectColumnValuesToBeInSet(
                column="decodes", value_set=[True], mostly=1 - limits.max_unreadable_fraction
            ),
        ),
        Rule(
            f"at least {1 - limits.max_quarantined_fraction:.0%} of the photos are usable",
            "critical",
            "validate.max_quarantined_fraction",
            gxe.ExpectColumnValuesToBeInSet(
                column="usable", value_set=[True], mostly=1 - limits.max_quarantined_fraction
            ),
        ),
        Rule(
            f"at least {limits.min_photos_per_class} usable photos in every class",
            "critical",
            "validate.min_photos_per_class",
            gxe.ExpectColumnValuesToBeBetween(column="num_usable", min_value=limits.min_photos_per_class),
            "classes",
        ),
        Rule(
            "no path twice",
            "critical",
            "data.source",
            gxe.ExpectColumnValuesToBeUnique(column="path"),
        ),
        Rule(
            f"the largest class has at most {limits.max_class_ratio:g} times the photos of any other",
            "warning",
            "validate.max_class_ratio",
            gxe.ExpectColumnValuesToBeBetween(column="times_smaller", max_value=limits.max_class_ratio),
            "classes",
        ),
        Rule(
            f"formats are {', '.join(limits.formats)}",
            "warning",
            "validate.formats",
            gxe.ExpectColumnValuesToBeInSet(column="format", value_set=list(limits.formats)),
        ),
        Rule(
            f"the shorter side has at least {limits.min_side} pixels",
            "warning",
            "validate.min_side",
            gxe.ExpectColumnValuesToBeBetween(column="shorter_side", min_value=limits.min_side),
        ),
        Rule(
            f"the longer side is at most {limits.max_aspect:g} times the shorter",
            "warning",
            "validate.max_aspect",
            gxe.ExpectColumnValuesToBeBetween(column="elongation", max_value=limits.max_aspect),
        ),
        Rule(
            f"at most {limits.max_dark_fraction:.0%} of the photos are darker than {limits.dark_brightness:g}",
            "warning",
            "validate.max_dark_fraction",
            gxe.ExpectColumnValuesToBeBetween(
                column="brightness", min_value=limits.dark_brightness, mostly=1 - limits.max_dark_fraction
            ),
        ),
        Rule(
            "no photo twice (by digest)",
            "warning",
            "data.source",
            gxe.ExpectColumnValuesToBeUnique(column="sha256"),
        ),
    ]


def count_classes(manifest: pd.DataFrame) -> pd.DataFrame:
    """One row per class: `path` (the class, as the index of failures), `num_usable`, `times_smaller`."""
    usable = manifest.groupby("label")["usable"].sum().astype(int)
    return pd.DataFrame(
        {
            "path": usable.index.astype(str),
            "num_usable": usable.to_numpy(),
            "times_smaller": usable.max() / usable.clip(lower=1).to_numpy(),
        }
    )


def _flatten(manifest: pd.DataFrame) -> pd.DataFrame:
    table = manifest[CHECKED_COLUMNS].copy()
    sides = manifest[["width", "height"]]
    table["shorter_side"] = sides.min(axis=1).where(manifest["decodes"])
    table["elongation"] = (sides.max(axis=1) / sides.min(axis=1).clip(lower=1)).where(manifest["decodes"])
    table["brightness"] = manifest["brightness"].where(manifest["decodes"])
    table["format"] = manifest["format"].where(manifest["decodes"])
    return table


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


def _run_suite(context: Any, name: str, table: pd.DataFrame, rules: list[Rule]) -> list[Any]:
    suite = context.suites.add(gx.ExpectationSuite(name=name))
    for rule in rules:
        if rule.table == name:
            rule.expectation.meta = {"parameter": rule.parameter, "title": rule.title}
            rule.expectation.severity = rule.severity
            suite.add_expectation(rule.expectation)
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


def _judge(rule: Rule, outcome: Any) -> Verdict:
    details = outcome.result
    worst = tuple(html.unescape(str(row["path"])) for row in details.get("unexpected_index_list") or [])
    count, total = details.get("unexpected_count", 0), details.get("element_count", 0)
    what = "classes" if rule.table == "classes" else "photos"
    observed = f"all {total:,} {what} meet it" if not count else f"{count:,} of {total:,} {what} do not"
    return Verdict(rule.title, rule.severity, bool(outcome.success), observed, rule.parameter, worst[:MAX_WORST])
