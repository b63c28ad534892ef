"""The command `check`: what is wrong with parameters, photos, Git and the disk, before anything is run."""

import sys
from pathlib import Path

import click

from convlens.errors import ConvLensError, printable

PARAMS = Path("params.yaml")
MAX_TOLD = 12


@click.command()
def check() -> None:
    """Check everything before a run.

    Look at parameters, criteria, photos, Git and the disk, before anything is run.

    Takes a second or two and changes nothing. Exit code 1: something is wrong, a line each. `make repro` does it first.
    """
    from convlens.params import load_params
    from convlens.stages.check import find_problems

    try:
        params = load_params(PARAMS)
        problems = find_problems(params)
        told = f"Nothing wrong with parameters, criteria, {params.data.source}, Git and the disk."
    except ConvLensError as error:
        problems = [*str(error).splitlines(), *find_problems(None, _find_source())]
        told = ""
    click.echo("\n".join(printable(line) for line in problems) or told, err=bool(problems))
    if changes := _describe_changes():
        click.echo(changes, err=bool(problems))
    if problems:
        sys.exit(1)


def _find_source() -> str:
    """The `data.source` of parameters that are wrong elsewhere; '' if it is none."""
    from convlens.params import read_yaml

    try:
        source = read_yaml(PARAMS)["data"]["source"]
    except (ConvLensError, TypeError, KeyError):
        return ""
    return source if isinstance(source, str) else ""


def _describe_changes() -> str:
    """How params.yaml differs from the last commit, and what takes that back; '' if it does not."""
    from convlens.params import list_differences, read_committed, read_yaml

    try:
        committed, now = read_committed(PARAMS), read_yaml(PARAMS)
    except ConvLensError:
        return f"`git checkout {PARAMS}` brings the committed one back."
    if not isinstance(committed, dict) or not isinstance(now, dict) or not (rows := list_differences([committed, now])):
        return ""
    shown = ", ".join(f"{row.name} {' -> '.join(row.values)}" for row in rows[:MAX_TOLD])
    more = f" and {len(rows) - MAX_TOLD} more" if len(rows) > MAX_TOLD else ""
    return f"{PARAMS} differs from the last commit: {shown}{more}. `git checkout {PARAMS}` takes it back."
