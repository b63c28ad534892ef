"""The commands of `convlens bench`. Light to import: what a command needs is loaded when it is called."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from convlens.errors import ConvLensError

CONTESTANTS = ("keras", "keras-cached", "classic", "residual")
DEFAULT_CONTESTANTS = ("keras", "classic", "residual")

photos_option = click.option(
    "--photos",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="A folder with a folder of photos for each class. Default: data.source of params.yaml.",
)
json_option = click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write all numbers there as well."
)
markdown_option = click.option("--markdown", is_flag=True, help="Print the table as Markdown.")


@click.group()
def bench() -> None:
    """Measure ConvLens on this machine, beside what one would write instead. Needs idle cores."""


@bench.command()
@photos_option
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=5,
    show_default=True,
    help="Time of training for each contestant.",
)
@click.option(
    "--contestant",
    "contestants",
    type=click.Choice(CONTESTANTS),
    multiple=True,
    default=DEFAULT_CONTESTANTS,
    show_default=True,
    help="Who trains; can be given several times. Ratios are to the first.",
)
@json_option
@markdown_option
def train(
    photos: Path | None, minutes: float, contestants: Sequence[str], json_file: Path | None, markdown: bool
) -> None:
    """Train side by side: the lecture's Keras code, and ConvLens with the lecture's network and with its own."""
    from convlens.bench.tables import format_train
    from convlens.bench.train import bench_train
    from convlens.params import load_params

    _check_target(json_file)
    result = bench_train(photos, load_params(), minutes=minutes, names=list(dict.fromkeys(contestants)))
    _write(json_file, result)
    click.echo(format_train(result, markdown=markdown))


@bench.command()
@photos_option
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Runs; the median counts.")
@json_option
@markdown_option
def data(photos: Path | None, repeats: int, json_file: Path | None, markdown: bool) -> None:
    """From files to arrays: a loop with Pillow, Keras' loader, and ConvLens checking, decoding and reading."""
    from convlens.bench.data import bench_data
    from convlens.bench.tables import format_data
    from convlens.params import load_params

    _check_target(json_file)
    result = bench_data(photos, load_params(), repeats=repeats)
    _write(json_file, result)
    click.echo(format_data(result, markdown=markdown))


@bench.command()
@click.option(
    "--count",
    "counts",
    type=click.IntRange(min=100),
    multiple=True,
    default=(1_000, 10_000, 25_000, 100_000),
    show_default=True,
    help="Photos; can be given several times. A million takes minutes and 3 GB of memory.",
)
@json_option
@markdown_option
def duplicates(counts: Sequence[int], json_file: Path | None, markdown: bool) -> None:
    """How the search for near-duplicates grows, on synthetic photos with crops among them."""
    from convlens.bench.duplicates_bench import bench_duplicates, format_duplicates
    from convlens.params import load_params

    _check_target(json_file)
    result = bench_duplicates(sorted(set(counts)), load_params().preprocess)
    _write(json_file, result)
    click.echo(format_duplicates(result, markdown=markdown))


@bench.command()
@photos_option
@click.option("--folds", "count", type=click.IntRange(min=2), default=5, show_default=True, help="Parts.")
@click.option(
    "--only", "numbers", type=click.IntRange(min=1), multiple=True, help="Of the parts, just this one; from 1."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings side by side.")
@click.option(
    "--params", "file", type=click.Path(path_type=Path), default="params.yaml", show_default=True, help="The recipe."
)
@click.option("--preset", help="Parameters of this preset.")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Keeps what is done there; the same command goes on where it was.",
)
@json_option
@markdown_option
def folds(
    photos: Path | None,
    count: int,
    numbers: Sequence[int],
    jobs: int,
    file: Path,
    preset: str | None,
    workspace: Path | None,
    json_file: Path | None,
    markdown: bool,
) -> None:
    """How good the recipe is on all photos: each is answered by a network that did not learn from it."""
    from convlens.bench.fold_results import format_folds
    from convlens.bench.folds import bench_folds
    from convlens.params import load_params
    from convlens.presets import load_preset

    _check_target(json_file)
    if max(numbers, default=0) > count:
        raise ConvLensError(f"Expected --only from 1 to {count}, the number of folds. Received: {max(numbers)}.")
    params = load_params(file) if preset is None else load_preset(preset, params=file).params
    chosen = [number - 1 for number in numbers]
    result = bench_folds(photos, params, count=count, numbers=chosen, jobs=jobs, workspace=workspace)
    _write(json_file, result)
    click.echo(format_folds(result, markdown=markdown))


@bench.command()
@json_option
@markdown_option
def position(json_file: Path | None, markdown: bool) -> None:
    """What a network learns of a place: heads on the left to learn from, then the same heads left and right."""
    from convlens.bench.position import bench_position, format_position
    from convlens.params import load_params

    _check_target(json_file)
    result = bench_position(load_params())
    _write(json_file, result)
    click.echo(format_position(result, markdown=markdown))


@bench.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...", type=click.Path(path_type=Path, exists=True))
@click.option("--address", default="http://127.0.0.1:5001", show_default=True, help="Of the server of `make serve`.")
@click.option("--requests", "num_requests", type=click.IntRange(1), default=500, show_default=True, help="In all.")
@click.option("--clients", "num_clients", type=click.IntRange(1, 64), default=4, show_default=True,
              help="That ask at the same time.")  # fmt: skip
@click.option("--photos-per-request", type=click.IntRange(min=1), default=1, show_default=True)
@json_option
def serve(
    photos: Sequence[Path],
    address: str,
    num_requests: int,
    num_clients: int,
    photos_per_request: int,
    json_file: Path | None,
) -> None:
    """Ask the model server of `make serve` about PHOTOs: speed, and whether answers are lost or wrong under load.

    The exit code is 1 if one is.
    """
    from convlens.bench.serving import bench_serving, format_serving

    _check_target(json_file)
    given = {"num_requests": num_requests, "num_clients": num_clients, "photos_per_request": photos_per_request}
    result = bench_serving(address, photos, **given)
    _write(json_file, result)
    click.echo(format_serving(result))
    if result["num_lost"] or result["num_wrong"]:
        sys.exit(1)


def _check_target(path: Path | None) -> None:
    """Before the work, not after it."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise ConvLensError(f"Expected a file in an existing folder after --json. Received: {path}.")


def _write(path: Path | None, result: dict[str, Any]) -> None:
    if path is not None:
        from convlens.files import write_json

        write_json(path, result)
