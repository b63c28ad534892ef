"""The command `convlens`: predict photos with a model, evaluate it on others, bring a model home.

Everything heavy is imported by the command that needs it, so `convlens --help` answers at once.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convlens import __version__
from convlens.cli.backbones import backbones, learning_curve
from convlens.cli.check import check
from convlens.cli.compare import compare
from convlens.cli.evaluate import evaluate
from convlens.cli.explain import explain
from convlens.cli.export import export
from convlens.cli.options import default_address, model_option, quiet_option
from convlens.cli.params import params
from convlens.cli.predict import predict
from convlens.cli.registry import history, promote, rollback
from convlens.environment import hold_stderr, prepare_environment
from convlens.errors import ConvLensError, printable

if TYPE_CHECKING:
    from convlens.params import ParameterRow


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="convlens")
def commands() -> None:
    """Use the networks that ConvLens has trained. To train one: `make repro`, or `dvc repro`."""


@commands.command()
@click.argument("folder", type=click.Path(path_type=Path))
@model_option("models:/NAME@ALIAS or models:/NAME/VERSION.")
@quiet_option
def pull(folder: Path, model: str | None) -> None:
    """Download a registered model into a folder.

    FOLDER is new or empty. It gets all that the model needs to predict elsewhere.
    """
    address = model or default_address()
    with hold_stderr(replay=False):
        from convlens.tracking.access import pull_model

        found = pull_model(address, folder)
    click.echo(f"{found.describe()}. It is in {folder}. Use it: convlens predict --model {folder} PHOTO")


@commands.command()
@click.argument("name", required=False)
@click.option("--write", is_flag=True, help="Change params.yaml in place instead.")
def preset(name: str | None, write: bool) -> None:
    """List the presets, or print one for `dvc exp run`.

    As in: dvc exp run $(convlens preset NAME).
    """
    from convlens import presets

    if name is None:
        known = presets.list_presets()
        width = max(map(len, known), default=0)
        click.echo("\n".join(f"{name.ljust(width)}  {purpose}".rstrip() for name, purpose in known.items()))
        return
    try:
        found = presets.load_preset(name)
        if found.taken_back:
            values = ", ".join(f"{row.name} {row.values[0]} -> {row.values[1]}" for row in found.taken_back)
            click.echo(f"preset: params.yaml differed from the last commit; taken back: {values}.", err=True)
        click.echo(_tell_changes(presets.write_preset(found)) if write else presets.to_arguments(found.changes))
    except ConvLensError:
        if not (write or sys.stdout.isatty()):
            click.echo("--no-preset")  # a shell goes on without what $(...) failed to give; DVC refuses this option
        raise


@commands.command()
@click.option(
    "--prepared",
    type=click.Path(path_type=Path),
    default=Path("data/prepared"),
    show_default=True,
    help="The arrays that `dvc repro preprocess` writes.",
)
@click.option(
    "--wait-minutes", type=click.FloatRange(min=0), default=60, show_default=True, help="Time for the chief to come."
)
def worker(prepared: Path, wait_minutes: float) -> None:
    """Help the chief of TF_CONFIG to train.

    The chief runs `dvc repro`; nothing is written here. For training on several machines: set TF_CONFIG on each, run
    `dvc repro` on the first one and this on the others, from the same commit, with the same params.yaml and prepared
    photos.
    """
    from convlens.params import load_params

    params = load_params()
    with hold_stderr():
        from convlens.cli.worker import work
    work(prepared, params.recipe, wait_seconds=60 * wait_minutes)


commands.add_command(backbones)
commands.add_command(check)
commands.add_command(compare)
commands.add_command(evaluate)
commands.add_command(explain)
commands.add_command(export)
commands.add_command(params)
commands.add_command(predict)
commands.add_command(history)
commands.add_command(learning_curve)
commands.add_command(promote)
commands.add_command(rollback)


def _tell_changes(changes: "Sequence[ParameterRow]") -> str:
    lines = [f"{row.name}: {' -> '.join(row.values)}" for row in changes]
    return "\n".join(lines) or "Nothing to change: params.yaml has these values already."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors meant for users come as one line, without traceback."""
    prepare_environment()
    try:
        commands(args=None if arguments is None else list(arguments))
    except ConvLensError as error:
        click.echo(printable(str(error), keep="\n"), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
