"""Command lines checked without doing the work: do the program, its options and its values exist?"""

import re
import runpy
import shlex
import subprocess
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from dvc.cli import DvcParserError, parse_args
from dvc.exceptions import DvcException
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from convlens.params import load_params
from convlens.pipeline import STAGES
from convlens.presets import load_preset, to_arguments

ASSIGNMENT = re.compile(r"^[A-Z][A-Z0-9_]*=")
SEPARATORS = re.compile(r"^(\||\|\||&&|&|;)$")
PRESET = re.compile(r"\$\(convlens preset ([\w-]+)\)")


def command_lines(script: str, presets: Path) -> list[list[str]]:
    """The simple commands of a shell script as words, without assignments before them and comments.

    Args:
        script: what a block shows.
        presets: the repository, whose presets take the place of `$(convlens preset NAME)`.
    """
    commands: list[list[str]] = []
    expanded = PRESET.sub(lambda found: preset_arguments(found[1], presets), script)
    for line in expanded.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        commands.append([])
        for word in words:
            if SEPARATORS.match(word):
                commands.append([])
            elif commands[-1] or not ASSIGNMENT.match(word):
                commands[-1].append(word.rstrip(";"))
    return [words for words in commands if words]


def preset_arguments(name: str, folder: Path) -> str:
    return to_arguments(load_preset(name, folder=folder / "presets", params=folder / "params.yaml").values)


def check_command(words: list[str], folder: Path) -> None:
    """Parse a command of ours; other programs pass.

    Raises:
        ValueError: there is no such command, option, parameter, stage or target.
    """
    program, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    if program == "convlens":
        from convlens.cli.main import commands

        check_click(commands, arguments)
    elif program == "mlflow":
        check_click(mlflow_commands(), arguments)
    elif program == "python" and arguments[0].startswith(("tools/", "benchmarks/")):
        check_click(tool_commands(folder / arguments[0]), arguments[1:])
    elif program in ("dvc", "make"):
        {"dvc": check_dvc, "make": check_make}[program](arguments, folder)


def tool_commands(path: Path) -> click.Command:
    """What a script of tools/ or benchmarks/ does when it is started."""
    found = runpy.run_path(str(path))
    return next(found[name] for name in ("commands", "main") if isinstance(found.get(name), click.Command))


def mlflow_commands() -> click.Command:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, while it is imported
        from mlflow.cli import cli
    return cli


def check_click(command: click.Command, words: list[str]) -> None:
    """Parse the words of a command of click, down to its last subcommand."""
    rest = list(words)
    try:
        while isinstance(command, click.Group) and not (rest and rest[0].startswith("-")):
            name = rest.pop(0) if rest else ""
            found = command.get_command(click.Context(command), name)
            if found is None:
                raise ValueError(f"{' '.join(words)}: No such command '{name}'")
            command = found
        command.make_context(command.name, rest)
    except click.exceptions.Exit:  # --help
        return
    except click.ClickException as error:
        if "does not exist" in error.format_message():  # a photo of the reader's own
            return
        raise ValueError(f"{' '.join(words)}: {error.format_message()}") from error


def check_dvc(words: list[str], folder: Path) -> None:
    try:
        parsed = parse_args(words)
    except (DvcParserError, SystemExit) as error:
        raise ValueError(f"dvc {' '.join(words)}: no such command or option") from error
    for target in getattr(parsed, "targets", None) or []:
        if words[0] in ("repro", "exp") and target not in STAGES:
            raise ValueError(f"dvc {' '.join(words)}: no stage {target}")
    for values in parameter_sets(getattr(parsed, "set_param", None) or []):
        check_parameters(values, folder)


def parameter_sets(overrides: list[str]) -> list[list[str]]:
    """What `-S` asks for: the overrides of params.yaml for each experiment; several values make a sweep."""
    return [sweep["params.yaml"] for sweep in get_hydra_sweeps(to_path_overrides(overrides))] if overrides else []


def check_parameters(overrides: list[str], folder: Path) -> None:
    """Lay overrides over params.yaml as DVC does, and check the result as a stage would.

    Raises:
        ValueError, ConvLensError: a parameter that is unknown or out of range.
    """
    with TemporaryDirectory() as temporary:
        copy = Path(temporary) / "params.yaml"
        copy.write_bytes((folder / "params.yaml").read_bytes())
        try:
            apply_overrides(copy, overrides)
        except DvcException as error:
            raise ValueError(f"{error}: {error.__cause__}") from error
        load_params(copy)


def check_make(words: list[str], folder: Path) -> None:
    done = subprocess.run(["make", "-n", *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"make {' '.join(words)}: {done.stderr}")
