"""`convlens compare`."""

import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import click

from convlens.compare.comparison import FirstResults, RunsCompared, compare_runs
from convlens.compare.describe import describe
from convlens.compare.runs import NoResultsError, Snapshot, find_root, read_snapshot
from convlens.compare.sections import render_markdown, render_text
from convlens.environment import hold_stderr
from convlens.errors import ConvLensError, printable
from convlens.files import write_text
from convlens.params import CompareParams, EvaluateParams, Group, parse_group, read_yaml

# --- Compares revisions of the repository at hand: reading, comparing and showing in one go ---


class _Settings(Group):
    """The groups of params.yaml that a comparison goes by; what is amiss in others is no business of its."""

    evaluate: EvaluateParams
    compare: CompareParams


def compare_revisions(names: Sequence[str], *, filters: bool = False) -> RunsCompared | FirstResults:
    """Compare revisions with the first of them, as the workspace's params.yaml says.

    Args:
        names: the base, then one or more others.
        filters: whether to match the filters of two runs, which loads TensorFlow and both networks.

    Raises:
        ConvLensError: no repository, no such revision, or one other than the first without results.
    """
    root = find_root()
    settings = _read_settings(root / "params.yaml")
    heads = [read_snapshot(root, name) for name in names[1:]]
    try:
        base = read_snapshot(root, names[0])
    except NoResultsError as error:
        return FirstResults(names[0], str(error), tuple(heads))
    snapshots = _add_durations([base, *heads])
    compared = compare_runs(snapshots, evaluate=settings.evaluate, compare=settings.compare)
    return _match_filters(root, compared) if filters and len(heads) == 1 else compared


def render(compared: RunsCompared | FirstResults, *, markdown: bool) -> str:
    """The comparison as Markdown, or as text for a terminal."""
    sections = describe(compared)
    return render_markdown(sections) if markdown else render_text(sections)


def write_page(compared: RunsCompared | FirstResults, path: Path) -> None:
    """The comparison as one HTML file, whole or not at all.

    Raises:
        ConvLensError: the file cannot be written.
    """
    from convlens.pages.comparison import render_page

    write_text(path, render_page(compared))


def _read_settings(path: Path) -> _Settings:
    values = read_yaml(path)
    known = {name: values[name] for name in _Settings.model_fields if isinstance(values, dict) and name in values}
    return parse_group(_Settings, known, where=str(path))


def _match_filters(root: Path, compared: RunsCompared) -> RunsCompared:
    from convlens.compare.filters import compare_filters

    base, head = compared.runs
    try:
        return replace(compared, filters=compare_filters(root, base.name, head.name))
    except ConvLensError as error:  # a network that is not at hand; the rest is worth telling all the same
        return replace(compared, filters_note=str(error))


def _add_durations(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Times are no results and in no commit: MLflow has those of the trainings that were recorded there."""
    from convlens.tracking.runs import find_durations

    keys = {str(run.card["key"]) for run in snapshots if "key" in run.card}
    seconds = find_durations(sorted(keys)) if keys else {}
    return [replace(run, seconds=seconds.get(str(run.card.get("key")))) for run in snapshots]


# --- The command `convlens compare`. Light to import: what it needs is loaded when it is called ---

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
@click.option("--feature-maps", is_flag=True, help="Write a page, too, with the filters of both networks side by side.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("filters_compared.html"),
    show_default=True,
    metavar="PAGE",
    help="That page.",
)
@click.option("--filters", is_flag=True, help="Say which filters were born and died; loads both networks.")
def compare(
    revisions: Sequence[str], markdown: bool, page: Path | None, feature_maps: bool, out: Path, filters: bool
) -> None:
    """Compare runs: parameters, data, metrics with intervals, and answers photo by photo.

    BASE is the last commit unless given, HEAD the workspace; each may be any Git revision, a DVC experiment, or
    `workspace`. Every further HEAD is compared with BASE too.

    Exit code 1: one of them is a regression, as `compare` in params.yaml defines it. Exit code 2: they could not be
    compared. A BASE without results, as before a repository's first run, is no error.
    """
    base, *heads = revisions or ("HEAD",)
    heads = heads or ["workspace"]
    if len(heads) > 1 and (page is not None or filters or feature_maps):
        raise click.UsageError("--html, --filters and --feature-maps compare two runs. Name one HEAD.")
    try:
        regression = _compare([base, *heads], markdown=markdown, page=page, filters=filters)
        if feature_maps:
            _show_filters(base, heads[0], out)
    except ConvLensError as error:
        click.echo(printable(str(error), keep="\n"), err=True)
        sys.exit(FAILURE)
    except Exception:  # Python ends with 1 by itself, which would be read as a regression
        traceback.print_exc()
        sys.exit(FAILURE)
    if regression:
        sys.exit(REGRESSION)


def _show_filters(base: str, head: str, out: Path) -> None:
    from convlens.compare.runs import NoResultsError, find_root

    if not out.absolute().parent.is_dir():
        raise ConvLensError(f"Expected a folder for --out. Received: {out}, whose folder is not there.")
    with hold_stderr():
        from convlens.compare.filters import write_filters_page

        try:
            write_filters_page(find_root(), base, head, out)
            words = f"The filters of both networks are in {out}. Open it in a browser."
        except NoResultsError as error:  # as before a repository's first run
            words = f"No page of filters was written. {error}"
    click.echo(words, err=True)


def _compare(names: Sequence[str], *, markdown: bool, page: Path | None, filters: bool) -> bool:

    with hold_stderr() if filters else nullcontext():  # what TensorFlow says by itself
        compared = compare_revisions(names, filters=filters)
    if page is not None:
        write_page(compared, page)
    click.echo(render(compared, markdown=markdown))
    return compared.has_regression
