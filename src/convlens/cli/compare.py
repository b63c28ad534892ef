"""The command `convlens compare`. Light to import: what it needs is loaded when it is called."""

import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convlens.environment import hold_stderr
from convlens.errors import ConvLensError, printable

if TYPE_CHECKING:
    from convlens.compare.comparison import FirstResults, RunsCompared
    from convlens.compare.runs import Snapshot

REGRESSION, FAILURE = 1, 2


@click.command()
@click.argument("revisions", nargs=-1, metavar="[BASE] [HEAD]...")
@click.option("--markdown", is_flag=True, help="Print Markdown, for a comment on a pull request.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a page, too, with curves and photos; one HEAD only.",
)
@click.option(
    "--filters",
    is_flag=True,
    help="Say which filters have no counterpart, layer by layer; loads both networks, one HEAD only.",
)
def compare(revisions: Sequence[str], markdown: bool, page: Path | None, filters: bool) -> None:
    """Compare runs, photo by photo, with a verdict.

    Parameters, data, metrics with intervals, and predictions that changed.

    BASE is the last commit unless given, HEAD the workspace; each may be any Git revision, a DVC experiment, or
    `workspace`. Every further HEAD is compared with BASE too.

    Exit code 1: one of them is a regression, as `compare` in params.yaml defines it. Exit code 2: they could not be
    compared. A BASE without results, as before a repository's first run, is no error.
    """
    base, *heads = revisions or ("HEAD",)
    heads = heads or ["workspace"]
    if len(heads) > 1 and (page is not None or filters):
        raise click.UsageError("--html and --filters compare two runs. Name one HEAD.")
    try:
        regression = _compare([base, *heads], markdown=markdown, page=page, filters=filters)
    except ConvLensError as error:
        click.echo(printable(str(error), keep="\n"), err=True)
        sys.exit(FAILURE)
    except Exception:  # Python ends with 1 by itself, which would be read as a regression
        traceback.print_exc()
        sys.exit(FAILURE)
    if regression:
        sys.exit(REGRESSION)


def _compare(names: Sequence[str], *, markdown: bool, page: Path | None, filters: bool) -> bool:
    """Compare, print and write; whether there is a regression."""
    from convlens.compare.describe import describe
    from convlens.compare.sections import render_markdown, render_text
    from convlens.files import write_text

    with hold_stderr() if filters else nullcontext():  # what TensorFlow says by itself
        compared = compare_revisions(names, filters=filters)
    if page is not None:
        from convlens.pages.comparison import render_page

        write_text(page, render_page(compared))
    sections = describe(compared)
    click.echo(render_markdown(sections) if markdown else render_text(sections))
    return compared.has_regression


def compare_revisions(names: Sequence[str], *, filters: bool = False) -> "RunsCompared | FirstResults":
    """Compare revisions with the first of them, as the workspace's params.yaml says.

    Args:
        names: the base, then one or more others.
        filters: whether to match the filters of two runs, which loads TensorFlow and both networks.

    Raises:
        ConvLensError: no repository, no such revision, or one other than the first without results.
    """
    from convlens.compare.comparison import FirstResults, compare_runs
    from convlens.compare.runs import NoResultsError, find_root, read_snapshot
    from convlens.params import CompareParams, EvaluateParams, parse_group, read_yaml

    root = find_root()
    where = root / "params.yaml"
    groups = read_yaml(where)  # what is amiss in the other groups is no business of a comparison
    groups = groups if isinstance(groups, dict) else {}
    evaluate = parse_group(EvaluateParams, groups.get("evaluate", {}), where=f"{where}: evaluate")
    settings = parse_group(CompareParams, groups.get("compare", {}), where=f"{where}: compare")
    heads = [read_snapshot(root, name) for name in names[1:]]
    try:
        base = read_snapshot(root, names[0])
    except NoResultsError as error:
        return FirstResults(names[0], str(error), tuple(heads))
    compared = compare_runs(_add_durations([base, *heads]), evaluate=evaluate, compare=settings)
    return _match_filters(compared) if filters and len(heads) == 1 else compared


def _match_filters(compared: "RunsCompared") -> "RunsCompared":
    from convlens.compare.filters import compare_filters

    try:
        return replace(compared, filters=compare_filters(*compared.runs))
    except ConvLensError as error:  # a network that is not at hand; the rest is worth telling all the same
        return replace(compared, filters_note=str(error))


def _add_durations(snapshots: "Sequence[Snapshot]") -> "list[Snapshot]":
    """Times are no results and in no commit: MLflow has those of the trainings that were recorded there."""
    from convlens.tracking.runs import find_durations

    keys = {str(run.card["key"]) for run in snapshots if "key" in run.card}
    seconds = find_durations(sorted(keys)) if keys else {}
    return [replace(run, seconds=seconds.get(str(run.card.get("key")))) for run in snapshots]
