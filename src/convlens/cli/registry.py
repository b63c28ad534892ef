"""The commands about champions. Light to import: what they need is loaded when they are called."""

import json
import sys

import click

from convlens.cli.options import default_address
from convlens.environment import hold_stderr

SCHEME = "models:/"


def _read_name(_context: click.Context, _option: click.Parameter, given: str | None) -> str:
    """`photos`, as well as `models:/photos` with or without an alias; left out, what params.yaml says."""
    return (given or default_address()).removeprefix(SCHEME).partition("@")[0].partition("/")[0]


NAMED_MODEL = click.option(
    "--model", "name", metavar="NAME", callback=_read_name, help="Name in the registry.  [default: that of params.yaml]"
)


@click.command()
@click.argument("version", required=False)
@NAMED_MODEL
@click.option("--force", is_flag=True, help="Promote it although it misses criteria; needs --reason.")
@click.option("--reason", default="", help="Why, with --force; recorded.")
@click.option("--markdown", is_flag=True, help="Print Markdown, for the summary of a CI job.")
def promote(version: str | None, name: str, force: bool, reason: str, markdown: bool) -> None:
    """Make a version the champion, if it meets the criteria.

    It must meet every criterion of the gate; the former champion becomes `previous`. VERSION is a number or an alias;
    left out, it is the challenger. The store is that of MLFLOW_TRACKING_URI. Exit code 1: it misses a criterion, or
    somebody else changed the champion meanwhile.
    """
    if force != bool(reason.strip()):
        raise click.UsageError("Expected --force and --reason together. Received: one of them.")
    with hold_stderr(replay=False):
        from convlens.tracking.promotion import promote_version
    done = promote_version(name, version, force=reason.strip() if force else "")
    click.echo(done.markdown() if markdown else done.text())
    if not done.is_champion:
        sys.exit(1)


@click.command()
@NAMED_MODEL
@click.option("--reason", default="", help="Why; recorded.")
def rollback(name: str, reason: str) -> None:
    """Go back to the previous champion.

    The version that falls does not come back by itself: `convlens promote VERSION --force --reason WHY`.
    """
    from convlens.tracking.promotion import roll_back

    period = roll_back(name, reason.strip())
    click.echo(f"{name} version {period.version} is the champion again, after version {period.before}: {period.why}.")


@click.command()
@NAMED_MODEL
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object per change of champion.")
def history(name: str, as_json: bool) -> None:
    """List who was champion, when and why.

    The newest first, each with the user who made it champion.
    """
    from convlens.tracking.promotion import format_history, read_history

    rows = read_history(name)
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else format_history(rows, name))
