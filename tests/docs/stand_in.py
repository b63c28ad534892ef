"""Takes the place of `make`, `dvc` and `mlflow` where the documentation's commands run: heavy work is only checked.

    python stand_in.py FOLDER PROGRAM ARGUMENTS…

`make` says what it would do. `dvc repro`, `dvc exp run` and `dvc queue start` check their command line and the
parameters they set; an experiment is then saved under its name with the results that are there, so that what follows
in the documentation finds it. Servers of MLflow are parsed. Everything else runs as it is.
What is only checked here runs in earnest in HEAVY's tests.
"""

import os
import subprocess
import sys
from pathlib import Path

HEAVY = {
    ("dvc", "repro"): "tests/pipeline/test_pipeline.py::test_the_first_repro_runs_all_stages_in_order",
    ("dvc", "exp", "run"): "tests/pipeline/test_experiments.py::test_run_a_queue_compare_show_and_go_back",
    ("dvc", "queue", "start"): "tests/pipeline/test_experiments.py::test_run_a_queue_compare_show_and_go_back",
    ("mlflow", "ui"): "",
    ("mlflow", "server"): "",
    ("mlflow", "models", "serve"): "",
}


def is_heavy(words: list[str]) -> bool:
    return any(tuple(words[: len(start)]) == start for start in HEAVY)


def main(folder: Path, words: list[str]) -> int:
    """Run a command, or check it if it is heavy; its exit status."""
    if words[0] == "make" and words[1:] != ["help"]:
        return run(["make", "-n", *words[1:]])
    if not is_heavy(words):
        return run(words)
    from docs.dry import check_command

    try:
        check_command(words, folder)
    except Exception as error:  # told like any failed command
        print(f"{' '.join(words)}: {error}", file=sys.stderr)
        return 1
    return save_experiments(words) if words[1:3] == ["exp", "run"] else 0


def save_experiments(words: list[str]) -> int:
    """Under the names that DVC would give: NAME, or NAME-1, NAME-2 … for a sweep."""
    from docs.dry import parameter_sets
    from dvc.cli import parse_args

    parsed = parse_args(words[1:])
    if not parsed.name:
        return 0
    count = len(parameter_sets(parsed.set_param))
    first, *others = [f"{parsed.name}-{i + 1}" for i in range(count)] if count > 1 else [parsed.name]
    status = run(["dvc", "exp", "save", "--quiet", "--force", "--name", first])
    references = ["git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps"]
    for line in subprocess.run(references, capture_output=True, text=True, check=True).stdout.splitlines():
        place, _, commit = line.partition(" ")
        for name in others if place.endswith(f"/{first}") else []:  # the same results under the other names
            run(["git", "update-ref", f"{place.removesuffix(first)}{name}", commit])
    return status


def run(words: list[str]) -> int:
    """Run the program itself, not the one that stands in for it."""
    shims = os.environ["STAND_INS"]
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != shims)
    return subprocess.run(words, env={**os.environ, "PATH": path}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
