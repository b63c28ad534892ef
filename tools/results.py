"""The README's table of results: made from docs/results.json, to which a measurement adds a row.

    make results                                          the table in README.md made anew
    python tools/results.py render --check                whether it is what docs/results.json says
    python tools/results.py measure --photos NAME ...     one more row: the pipeline, run at this commit
    python tools/results.py measure --photos NAME --here  one more row: the results in this folder
    python tools/results.py folds FILE --photos NAME      one more row: what `benchmarks/folds.py --json FILE` wrote

A measurement clones the last commit into a temporary folder and runs the pipeline there, so a row's commit is what
was measured. Rows hold numbers and names, never photos.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

ROOT = Path(__file__).parents[1]
ROWS, README = Path("docs/results.json"), Path("README.md")
START = "<!-- results: `make results` writes what follows -->"
END = "<!-- end of results -->"
HEAD = ("Photos", "Parameters", "Evaluated on", "Accuracy (95 % interval)", "Log loss", "Training", "Measured at")
STAGES = ("ingest", "validate", "preprocess", "train", "evaluate")
CODE = ("src", "benchmarks", "params.yaml", "dvc.yaml", "presets", "data/cards")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One result on the test photos, and where it comes from.

    Attributes:
        photos: what the data set is called.
        digest: of the prepared photos and their split, at least the first 12 digits.
        parameters: `params.yaml`, and what differs from it.
        protocol: which photos were evaluated on.
        accuracy, accuracy_low, accuracy_high: shares, with the 95 % interval.
        log_loss: in nats; None if it was not noted.
        epochs: of the training; None if they differ among several.
        seconds: of the training on the clock, one training's if there were several.
        commit: of the code, shortened.
        machine: its class: cores and instructions.
    """

    photos: str
    digest: str
    parameters: str
    protocol: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    log_loss: float | None
    epochs: int | None
    seconds: float
    commit: str
    machine: str

    @property
    def cells(self) -> tuple[str, ...]:
        """What its line in the table says."""
        low, high = f"{self.accuracy_low:.1%}"[:-1], f"{self.accuracy_high:.1%}"[:-1]
        epochs = "" if self.epochs is None else f", {self.epochs} epochs"
        return (
            f"{self.photos} (`{self.digest[:12]}`)",
            self.parameters,
            self.protocol,
            f"**{self.accuracy:.1%}** ({low} to {high})".replace("%", " %"),
            "–" if self.log_loss is None else f"{self.log_loss:.3f}",
            f"{tell_time(self.seconds)}{epochs}",
            f"`{self.commit}`, {self.machine}",
        )


def tell_time(seconds: float) -> str:
    """`2 min 13 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def read_rows(path: Path) -> list[Row]:
    """The stored rows.

    Raises:
        click.ClickException: a row lacks a value or has an unknown one.
    """
    wanted = {field.name for field in fields(Row)}
    values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    for value in values:
        if set(value) != wanted:
            wrong = ", ".join(sorted(set(value) ^ wanted))
            raise click.ClickException(f"Expected rows with {', '.join(sorted(wanted))} in {path}. Differs: {wrong}.")
    return [Row(**value) for value in values]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Store rows, one value a line, so that changes are readable."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def add_row(rows: Sequence[Row], new: Row) -> list[Row]:
    """The new row in the place of the one with the same photos, parameters and protocol, or at the end."""
    name = (new.photos, new.parameters, new.protocol)
    places = [i for i, row in enumerate(rows) if (row.photos, row.parameters, row.protocol) == name]
    return [new if i in places else row for i, row in enumerate(rows)] + ([] if places else [new])


def render_table(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = [HEAD, ("---",) * 3 + ("---:",) * 2 + ("---",) * 2, *(row.cells for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def fill(text: str, table: str) -> str:
    """A document with the table between its two comments.

    Raises:
        click.ClickException: the comments are not there.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise click.ClickException(f"Expected the lines {START} and {END} around the table.")
    return f"{before}{start}\n\n{table}\n{end}{after}"


def filled_readme() -> str:
    """README.md with the table as it should be."""
    return fill((ROOT / README).read_text(encoding="utf-8"), render_table(read_rows(ROOT / ROWS)))


def fill_readme() -> None:
    """Write the table into README.md."""
    (ROOT / README).write_text(filled_readme(), encoding="utf-8")


def read_result(folder: Path, *, photos: str, parameters: str, commit: str) -> Row:
    """What a run in this folder has reached."""
    sys.path.append(str(ROOT / "benchmarks"))
    from harness import describe_machine

    metrics, model = read_json(folder / "reports/evaluation/metrics.json"), read_json(folder / "data/model/card.json")
    prepared = read_json(folder / "data/prepared/card.json")
    counts = {split: sum(classes.values()) for split, classes in prepared["counts"].items()}
    with (folder / "reports/training/timing.csv").open(encoding="utf-8") as file:
        seconds = sum(float(line["seconds"]) for line in csv.DictReader(file))
    machine = describe_machine()
    return Row(
        photos=photos,
        digest=prepared["digest"][:12],
        parameters=parameters,
        protocol=f"{counts['test']:,} photos, after training on {counts['train']:,}",
        **{name: round(metrics[name], 4) for name in ("accuracy", "accuracy_low", "accuracy_high", "log_loss")},
        epochs=model["epochs"],
        seconds=round(seconds, 1),
        commit=commit,
        machine=tell_machine(f"{machine['num_cores']} cores", machine),
    )


def tell_machine(cores: str, machine: Mapping[str, Any]) -> str:
    """The class of a machine, from the values that the benches describe it by: `2 cores (Linux x86_64, avx2)`."""
    return f"{cores} ({', '.join([machine['system'], *machine['features'][-1:]])})"


def read_json(path: Path) -> Mapping[str, Any]:
    """An object of JSON."""
    values: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def run_in_clone(clone: Path, overrides: Sequence[str]) -> None:
    """Run the pipeline up to `evaluate` as an experiment, recording to a store of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_"))}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    settings = [word for override in overrides for word in ("--set-param", override)]
    subprocess.run(["dvc", "exp", "run", "evaluate", *settings], cwd=clone, env=environment, check=True)


def last_commit(root: Path) -> str:
    """The commit of the code, shortened.

    Raises:
        click.ClickException: code or parameters differ from it.
    """
    changed = git(root, "status", "--porcelain", "--", *CODE)
    if changed:
        raise click.ClickException(f"Expected code and parameters as committed. Received changes:\n{changed}")
    return git(root, "rev-parse", "--short=10", "HEAD")


def git(root: Path, *words: str) -> str:
    """What a command of Git says."""
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


@click.group()
def commands() -> None:
    """The README's table of results."""


@commands.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 if the table is not current.")
def render(check: bool) -> None:
    """Write the table into README.md from docs/results.json."""
    if not check:
        fill_readme()
    elif filled_readme() != (ROOT / README).read_text(encoding="utf-8"):
        raise click.ClickException(f"Expected the table of {ROWS} in {README}. Received another. Run `make results`.")


@commands.command()
@click.option("--source", help="Folder, archive or card. Default: data.source of params.yaml.")
@click.option("--here", is_flag=True, help="Take the results in this folder, which must be those of the last commit.")
@click.option("--photos", "name", required=True, help="What the photos are called in the table.")
@click.option("--preset", help="Parameters of this preset.")
@click.option("--set-param", "-S", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter, as for DVC.")
def measure(source: str | None, here: bool, name: str, preset: str | None, settings: Sequence[str]) -> None:
    """Run the pipeline at the last commit and add what it reaches to docs/results.json and README.md."""
    commit = last_commit(ROOT)
    shown = ", ".join([f"preset `{preset}`" if preset else "`params.yaml`", *(f"`{item}`" for item in settings)])
    if here:
        if source or preset or settings:
            raise click.UsageError("--here takes what there is; leave out --source, --preset and --set-param.")
        check_current(ROOT)
        row = read_result(ROOT, photos=name, parameters=shown, commit=commit)
    else:
        row = measure_clone(list_overrides(source, preset, settings), photos=name, parameters=shown, commit=commit)
    write_rows(ROOT / ROWS, add_row(read_rows(ROOT / ROWS), row))
    fill_readme()


@commands.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--photos", "name", required=True, help="What the photos are called in the table.")
def folds(file: Path, name: str) -> None:
    """Add what `benchmarks/folds.py` measured at the last commit to docs/results.json and README.md."""
    row = read_folds(read_json(file), photos=name, commit=last_commit(ROOT))
    write_rows(ROOT / ROWS, add_row(read_rows(ROOT / ROWS), row))
    fill_readme()


def read_folds(values: Mapping[str, Any], *, photos: str, commit: str) -> Row:
    """What a cross-validation has reached; time and epochs are those of one training.

    Raises:
        click.ClickException: the file does not say which recipe was measured.
    """
    if not {"params", "preset", "folds"} <= set(values):
        raise click.ClickException("Expected a file of `benchmarks/folds.py --json`. Received another. Measure again.")
    over = "" if values["params"] == "params.yaml" else f" over `{values['params']}`"
    done, machine = values["folds"], values["machine"]
    epochs = {fold["epochs"] for fold in done}
    which = f"{values['count']} folds" if len(done) == values["count"] else f"{len(done)} of {values['count']} folds"
    cores, jobs = machine["num_cores"], values["jobs"]
    shared = f"{cores} cores" if jobs == 1 else f"{max(1, cores // jobs)} of {cores} cores"
    return Row(
        photos=photos,
        digest=values["photos"]["digest"][:12],
        parameters=f"preset `{values['preset']}`{over}" if values["preset"] else f"`{values['params']}`",
        protocol=f"{values['num_evaluated']:,} photos, each after training on {done[0]['num_train']:,} others, {which}",
        **{name: round(values[name], 4) for name in ("accuracy", "accuracy_low", "accuracy_high")},
        log_loss=None if values["log_loss"] is None else round(values["log_loss"], 4),
        epochs=epochs.pop() if len(epochs) == 1 else None,
        seconds=round(sum(fold["seconds"] for fold in done) / len(done), 1),
        commit=commit,
        machine=tell_machine(shared, machine),
    )


def list_overrides(source: str | None, preset: str | None, settings: Sequence[str]) -> list[str]:
    """The parameters that differ from params.yaml, as DVC takes them."""
    from convlens.presets import load_preset, to_arguments

    overrides = []
    if preset:
        found = load_preset(preset, folder=ROOT / "presets", params=ROOT / "params.yaml")
        overrides = to_arguments(found.values).replace("-S ", "").split()
    place = [f"data.source='{(ROOT / source).resolve()}'"] if source else []
    return [*overrides, *settings, *place]


def measure_clone(overrides: Sequence[str], *, photos: str, parameters: str, commit: str) -> Row:
    """What the last commit reaches in a clone of its own."""
    with TemporaryDirectory() as temporary:
        clone = Path(temporary) / "convlens"
        git(ROOT, "clone", "--quiet", str(ROOT), str(clone))
        run_in_clone(clone, overrides)
        return read_result(clone, photos=photos, parameters=parameters, commit=commit)


def check_current(root: Path) -> None:
    """Refuse results that DVC would make anew.

    Raises:
        click.ClickException: they are not those of the code and the parameters.
    """
    told = subprocess.run(["dvc", "status", "--quiet", *STAGES], cwd=root, check=False)
    if told.returncode:
        raise click.ClickException(
            "Expected current results. Received others: `dvc status` says which. Run `dvc repro`."
        )


if __name__ == "__main__":
    commands()
