"""Run one stage of the pipeline: `python -m convlens.pipeline NAME --path value …`.

The signature of the stage's function is its contract: a parameter of type `Path` comes from the command line (so
paths stand only in `dvc.yaml`), a parameter of a `Group` type is the group of that name in `params.yaml`,
one of type `TrainingRecipe` is the groups `model`, `augment` and `train` together, one of type `Params` all of them,
one of type `Recording` what a run's record needs besides and no result depends on.

DVC writes into `dvc.lock` what parameters and files are when a stage ends, not what the stage has read. So the runner
notes them at the start, and lets nothing be written if they are others at the end.
"""

import argparse
import hashlib
import importlib
import inspect
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, get_type_hints

STAGES = (
    "check",
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
    """Call a stage with paths from the command line and groups from `params.yaml`.

    Raises:
        ConvLensError: the stage's own; or a parameter or a file that DVC records as its input has changed meanwhile.
    """
    from convlens.files import before_replacing
    from convlens.params import Params, Recording, TrainingRecipe, parse_group, read_yaml

    values = read_yaml(params_path)
    params = parse_group(Params, values, where=str(params_path))
    inputs = StageInputs(name, values, params_path)
    stage = load_stage(name)
    by_type = {Params: params, TrainingRecipe: params.recipe, Recording: params.recording}
    given: dict[str, object] = {}
    parser = argparse.ArgumentParser(prog=f"python -m convlens.pipeline {name}", allow_abbrev=False)
    for parameter, kind in _hints(stage).items():
        if kind is Path:
            parser.add_argument(f"--{parameter.replace('_', '-')}", type=Path, required=True, metavar="PATH")
        else:
            given[parameter] = by_type[kind] if kind in by_type else params.group(parameter)
    paths = vars(parser.parse_args(arguments))
    with before_replacing(inputs.watch):
        stage(**paths, **given)
    inputs.check()


def _hints(stage: Callable[..., None]) -> dict[str, Any]:
    hints = get_type_hints(stage)
    return {name: hints[name] for name in inspect.signature(stage).parameters}


# --- the inputs of a stage, as they were when it began ---

NOT_READ = ("__pycache__",)  # what Python leaves beside the code; hidden files are none either
MAX_TOLD = 3


class StageInputs:
    """The parameters and files that DVC records as the inputs of a stage, by its block in `dvc.yaml`.

    Code is compared by its content, everything else by size, times and inode, which no copy put back has again.
    Without a `dvc.yaml` nothing is recorded, and nothing is compared.
    """

    def __init__(self, name: str, values: Any, params_path: Path) -> None:
        """Note what is there now.

        Args:
            name: of the stage.
            values: the plain content of the file of parameters.
            params_path: that file.
        """
        from convlens.params import read_yaml

        pipeline = Path("dvc.yaml")
        block = read_yaml(pipeline)["stages"].get(name, {}) if pipeline.is_file() else {}
        self._path, self._names = params_path, list(block.get("params", []))
        self._params = self._choose(values)
        paths = (_plain_path(path) for kind in ("outs", "metrics", "plots") for path in block.get(kind, []))
        self._outputs = [Path(path).absolute() for path in paths]
        self._deps = [_fill_in(dependency, values) for dependency in block.get("deps", [])]
        self._files = _describe_files(self._deps)
        self._stage, self._moment = name, self._changed_at()
        self._is_checked = False

    def watch(self, path: Path) -> None:
        """Check before the first result takes its place; until then warn, once, of parameters that have changed.

        Raises:
            ConvLensError: as `check`.
        """
        from convlens.errors import ConvLensError
        from convlens.progress import say

        is_output = any(path.absolute().is_relative_to(output) for output in self._outputs)
        if is_output and not self._is_checked:
            self._is_checked = True
            self.check()
        elif not is_output and (moment := self._changed_at()) != self._moment:
            self._moment = moment
            try:
                changes = self._list_parameters()
            except ConvLensError:  # somebody is in the middle of editing it
                return
            if changes:
                say(
                    f"{self._stage}: warning: {self._path} has changed: {', '.join(changes)}. The stage goes on with "
                    "what it began with; put that back before it ends, or its results are not taken."
                )

    def check(self) -> None:
        """Compare with what is there now.

        Raises:
            ConvLensError: a parameter or a file is another than when the stage began.
        """
        from convlens.errors import ConvLensError

        changes, now = self._list_parameters(), _describe_files(self._deps)
        files = sorted(path for path in self._files.keys() | now.keys() if self._files.get(path) != now.get(path))
        changes += files[:MAX_TOLD] + ([f"{len(files) - MAX_TOLD:,} other files"] if len(files) > MAX_TOLD else [])
        if changes:
            raise ConvLensError(
                "Expected parameters and files to stay as they are while the stage runs. Received changes: "
                f"{', '.join(changes)}. Its results are not taken and nothing is recorded; the same command runs it "
                "with what is there now, or resumes a training if you put back what was."
            )

    def _list_parameters(self) -> list[str]:
        from convlens.params import flatten_params, read_yaml

        before, now = flatten_params(self._params), flatten_params(self._choose(read_yaml(self._path)))
        return [
            f"{name} {before.get(name, 'missing')} -> {now.get(name, 'missing')}"
            for name in before | now
            if before.get(name) != now.get(name)
        ]

    def _choose(self, values: Any) -> dict[str, Any]:
        return {name: _look_up(values, name) for name in self._names}

    def _changed_at(self) -> int:
        return self._path.stat().st_mtime_ns if self._path.is_file() else 0


def _plain_path(entry: str | Mapping[str, Any]) -> str:
    """The path of an entry of `dvc.yaml`, which may have settings of its own."""
    return entry if isinstance(entry, str) else next(iter(entry))


def _look_up(values: Any, name: str) -> Any:
    """A value of nested ones by its dotted name; None where there is none."""
    for part in name.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _fill_in(path: str, values: Any) -> str:
    """A path of `dvc.yaml` with its parameters, as in `${data.source}`."""
    return re.sub(r"\$\{([\w.]+)\}", lambda found: str(_look_up(values, found[1])), path)


def _describe_files(dependencies: Sequence[str]) -> dict[str, object]:
    """For every file of some dependencies, what tells whether it has changed."""
    found: dict[str, object] = {}
    for dependency in dependencies:
        is_code = Path(dependency).parts[:1] == ("src",)
        for path in _walk(dependency):
            try:
                status = os.stat(path)
                content = hashlib.sha256(Path(path).read_bytes()).digest() if is_code else b""
            except OSError:  # a dead link, or one that is gone again
                continue
            times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
            found[path] = content if is_code else times
    return found


def _walk(dependency: str) -> Iterator[str]:
    """The files of a dependency: itself, or what is below it."""
    if not os.path.isdir(dependency):
        yield dependency
    for folder, folders, files in os.walk(dependency):
        folders[:] = [name for name in folders if name not in NOT_READ and not name.startswith(".")]
        yield from (os.path.join(folder, name) for name in files if not name.startswith("."))


# --- the process of a stage ---


@contextmanager
def _ending_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP of a terminal that closes, end a stage as Ctrl-C does: what it holds open is closed."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stage that the command line names; errors meant for users come as one line, without traceback.

    Returns:
        The exit code: 0; 1 for errors; 2 for a wrong command line; as shells have it, 130 after Ctrl-C, 143 after
        SIGTERM.
    """
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or [""]
    if name not in STAGES:
        print(f"Expected a stage: one of {', '.join(STAGES)}. Received: '{name}'.", file=sys.stderr)
        return 2
    try:
        with _ending_like_ctrl_c():
            return _run_guarded(name, rest)
    except KeyboardInterrupt as interruption:
        print(f"{name}: interrupted. The same command resumes it.", file=sys.stderr)
        return 128 + (interruption.args[0] if interruption.args else signal.SIGINT)
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
