"""The commands about champions. Light to import: what they need is loaded when they are called."""

import json
import sys

import click

from convlens.environment import hold_stderr

MODEL_NAME = click.option(
    "--model-name", "--name", "name", default="convlens", show_default=True, help="Name of the registered model."
)


@click.command()
@click.argument("version", required=False)
@MODEL_NAME
@click.option("--force", is_flag=True, help="Promote it although it misses criteria; needs --reason.")
@click.option("--reason", default="", help="Why, with --force; recorded.")
@click.option("--markdown", is_flag=True, help="Print Markdown, for the summary of a CI job.")
def promote(version: str | None, name: str, force: bool, reason: str, markdown: bool) -> None:
    """Make VERSION the champion if it meets every criterion of the gate; the former champion becomes `previous`.

    VERSION is a number or an alias; left out, it is the challenger. The store is that of MLFLOW_TRACKING_URI. Exit
    code 1: it misses a criterion, or somebody else changed the champion meanwhile.
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
@MODEL_NAME
@click.option("--reason", default="", help="Why; recorded.")
def rollback(name: str, reason: str) -> None:
    """Make the previous champion the champion again.

    The version that falls does not come back by itself: `convlens promote VERSION --force --reason WHY`.
    """
    from convlens.tracking.promotion import roll_back

    period = roll_back(name, reason.strip())
    click.echo(f"{name} version {period.version} is the champion again, after version {period.before}: {period.why}.")


@click.command()
@MODEL_NAME
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object per change of champion.")
def history(name: str, as_json: bool) -> None:
    """Say who was champion, when, by whom and why; the newest first."""
    from convlens.tracking.promotion import format_history, read_history

    rows = read_history(name)
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else format_history(rows, name))
