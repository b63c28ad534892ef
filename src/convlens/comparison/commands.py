"""The command `convlens compare`. Light to import: what it needs is loaded when it is called."""

import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import click

from convlens.environment import hold_stderr
from convlens.errors import ConvLensError, printable

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
    from convlens.comparison.revisions import NoResultsError, find_root

    if not out.absolute().parent.is_dir():
        raise ConvLensError(f"Expected a folder for --out. Received: {out}, whose folder is not there.")
    with hold_stderr():
        from convlens.comparison.filters_page import write_filters_page

        try:
            write_filters_page(find_root(), base, head, out)
            words = f"The filters of both networks are in {out}. Open it in a browser."
        except NoResultsError as error:  # as before a repository's first run
            words = f"No page of filters was written. {error}"
    click.echo(words, err=True)


def _compare(names: Sequence[str], *, markdown: bool, page: Path | None, filters: bool) -> bool:
    from convlens.comparison.run import compare_revisions, render, write_page

    with hold_stderr() if filters else nullcontext():  # what TensorFlow says by itself
        compared = compare_revisions(names, filters=filters)
    if page is not None:
        write_page(compared, page)
    click.echo(render(compared, markdown=markdown))
    return compared.has_regression
