"""Stage `robustness`: how far the test photos may be changed before the answers change, beside a dense network."""

from pathlib import Path

import numpy as np

from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.files import write_bytes, write_csv, write_json
from convlens.metrics.robustness import Results, Sample, measure_contestants
from convlens.params import EvaluateParams, ModelParams, RobustnessParams, TrainParams
from convlens.plots.robustness import plot_curves, plot_places
from convlens.plots.style import to_png
from convlens.progress import say
from convlens.training.baseline import open_model, train_baseline
from convlens.wording import show_share

SPLIT = "test"


def robustness(
    *,
    prepared: Path,
    model_folder: Path,
    operating_point: Path,
    metrics: Path,
    curves: Path,
    curves_figure: Path,
    places: Path,
    places_figure: Path,
    model: ModelParams,
    train: TrainParams,
    evaluate: EvaluateParams,
    robustness: RobustnessParams,
) -> None:
    """Disturb test photos, ask the trained network and a fully connected one, and write what came of it.

    Args:
        prepared: folder of arrays per split.
        model_folder: folder of the trained network.
        operating_point: folder of its operating point, from `evaluate`.
        metrics: numbers with the ends of their intervals (flat JSON).
        curves: one row per network, disturbance and strength: accuracy and consistency (CSV).
        curves_figure: the same as a picture (PNG).
        places: one row per network and place of a shrunken photo (CSV).
        places_figure: the same as a picture (PNG).
        model: the group `model`, for the form of the baseline.
        train: the group `train`, for its device and threads.
        evaluate: the group `evaluate`, for the confidence of the intervals.
        robustness: the group `robustness`.

    Raises:
        ConvLensError: no test photos, or no model.
    """
    data = Prepared.load(prepared)
    sample = choose_sample(data, robustness.max_photos)
    contestants = [
        open_model(model_folder, operating_point),
        train_baseline(data, robustness, model=model, train=train),
    ]
    found = measure_contestants(contestants, sample, robustness, confidence=evaluate.confidence)
    pictures = to_png(plot_curves(found.curves)), to_png(plot_places(found.places))

    write_csv(curves, found.curves)
    write_csv(places, found.places)
    write_bytes(curves_figure, pictures[0])
    write_bytes(places_figure, pictures[1])
    write_json(metrics, found.metrics)
    _tell(found)


def choose_sample(prepared: Prepared, max_photos: int) -> Sample:
    """At most so many test photos, evenly taken.

    Raises:
        ConvLensError: there are none.
    """
    images, labels = prepared.images(SPLIT), prepared.labels(SPLIT)
    if not len(labels):
        raise ConvLensError("Expected photos in the test split. Received: none. Raise preprocess.test_fraction.")
    rows = np.unique(np.linspace(0, len(labels) - 1, min(max_photos, len(labels))).round().astype(np.int64))
    return Sample(images, rows, labels[rows])


def _tell(found: Results) -> None:
    numbers = found.metrics
    for name, title in (("model", "the network"), ("baseline", "a dense one")):
        say(
            f"robustness: {title}: {show_share(numbers[f'{name}_accuracy'])} right, "
            f"{show_share(numbers[f'{name}_places_agreement'])} of {numbers['num_photos']:,} photos "
            "answered alike at all nine places."
        )
