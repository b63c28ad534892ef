"""The command `convlens export`: a model for machines without Python or Keras. Light to import, as `--help` is."""

from collections.abc import Sequence
from pathlib import Path

import click

from convlens.cli.evaluate import check_target
from convlens.cli.options import find_chosen, model_option, open_chosen, quiet_option
from convlens.environment import hold_stderr

FORMATS = ("onnx", "tflite", "savedmodel")


@click.command()
@click.argument("photos", nargs=-1, metavar="[PHOTO]...", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="Which form to write.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="New or empty.")
@model_option("models:/NAME@ALIAS, models:/NAME/VERSION, a pulled folder, or data/model.")
@quiet_option
def export(photos: Sequence[Path], form: str, out: Path, model: str | None) -> None:
    """Write a model for ONNX, TensorFlow Lite or Serving.

    It takes upright RGB photos of any size as uint8 and gives calibrated probabilities; resizing, the mean
    over its views and the temperature are inside, labels and settings go along. Before anything stays in FOLDER it is
    evaluated on synthetic pictures, and on each PHOTO if you name some, and must predict as the model itself does.
    """
    check_target(out, force=False)
    opened = open_chosen(find_chosen(model))
    with hold_stderr(replay=False):
        from convlens.models.export import RESIZED_TOLERANCE, TOLERANCE, export_network
        from convlens.tracking.access import load_network

        done = export_network(
            load_network(opened),
            opened.classifier.card,
            opened.operating_point,
            form,
            out,
            answer=opened.classifier.predict_arrays,
            photos=photos,
        )
    click.echo(
        f"{done.path} answers {done.num_pictures} pictures as the model does: '{done.label}' with {done.low:.1%} to "
        f"{done.high:.1%}. Largest difference of a probability: {done.difference:.0e} (at most {TOLERANCE:.0e}) for "
        f"pictures of the network's size, {done.resized_difference:.0e} (at most {RESIZED_TOLERANCE:.0e}) for others."
    )
