"""Run one stage of the pipeline: `python -m convlens.pipeline NAME --path value …`.

The signature of the stage's function is its contract: a parameter of type `Path` comes from the command line (so
paths stand only in `dvc.yaml`), a parameter of a `Group` type is the group of that name in `params.yaml`,
one of type `TrainingRecipe` is the groups `model`, `augment` and `train` together, one of type `Params` all of them,
one of type `Recording` what a run's record needs besides and no result depends on.
"""

import argparse
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

STAGES = (
    "ingest",
    "validate",
    "preprocess",
    "train",
    "evaluate",
    "robustness",
    "label_errors",
    "report",
    "register",
)


def load_stage(name: str) -> Callable[..., None]:
    """The function of a stage: module `convlens.stages.NAME`, function `NAME`."""
    from convlens.environment import hold_stderr

    with hold_stderr():
        stage: Callable[..., None] = getattr(importlib.import_module(f"convlens.stages.{name}"), name)
    return stage


def path_names(stage: Callable[..., None]) -> list[str]:
    """Name the parameters of a stage that are files or folders."""
    return [name for name, kind in _hints(stage).items() if kind is Path]


def group_names(stage: Callable[..., None]) -> list[str]:
    """Name the groups of `params.yaml` that a stage asks for, as its block in `dvc.yaml` must list them."""
    from convlens.params import Params, Recording, TrainingRecipe

    names: list[str] = []
    for name, kind in _hints(stage).items():
        if kind in (Params, TrainingRecipe):
            names += kind.group_names()
        elif kind not in (Path, Recording):
            names.append(name)
    return names


def run_stage(name: str, arguments: Sequence[str], params_path: Path = Path("params.yaml")) -> None:
    """Call a stage with paths from the command line and groups from `params.yaml`."""
    from convlens.params import Params, Recording, TrainingRecipe, load_params

    params = load_params(params_path)
    stage = load_stage(name)
    by_type = {Params: params, TrainingRecipe: params.recipe, Recording: params.recording}
    given: dict[str, object] = {}
    parser = argparse.ArgumentParser(prog=f"python -m convlens.pipeline {name}", allow_abbrev=False)
    for parameter, kind in _hints(stage).items():
        if kind is Path:
            parser.add_argument(f"--{parameter.replace('_', '-')}", type=Path, required=True, metavar="PATH")
        else:
            given[parameter] = by_type[kind] if kind in by_type else params.group(parameter)
    stage(**vars(parser.parse_args(arguments)), **given)


def _hints(stage: Callable[..., None]) -> dict[str, Any]:
    hints = get_type_hints(stage)
    return {name: hints[name] for name in inspect.signature(stage).parameters}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stage that the command line names; errors meant for users come as one line, without traceback.

    Returns:
        The exit code: 0; 1 for errors; 2 for a wrong command line; 130, as shells have it, after Ctrl-C.
    """
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or [""]
    if name not in STAGES:
        print(f"Expected a stage: one of {', '.join(STAGES)}. Received: '{name}'.", file=sys.stderr)
        return 2
    try:
        return _run_guarded(name, rest)
    except KeyboardInterrupt:
        print(f"{name}: interrupted. The same command resumes it.", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("convlens"):
            raise
        print(
            f"Expected an environment with ConvLens's packages. Received: {sys.executable} without '{error.name}'. "
            "Run `make setup`, then `make repro`, or activate .venv.",
            file=sys.stderr,
        )
        return 1


def _run_guarded(name: str, rest: Sequence[str]) -> int:
    from convlens.environment import prepare_environment
    from convlens.errors import ConvLensError, printable

    prepare_environment()
    try:
        run_stage(name, rest)
    except ConvLensError as error:
        print(printable(f"{name}: {error}", keep="\n"), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
