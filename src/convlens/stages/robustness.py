"""Stage `robustness`: accuracy and consistency on perturbed test photos, beside a dense baseline."""

from pathlib import Path

from convlens.auxiliary.baseline import baseline_recipe, train_baseline
from convlens.data.perturbations import resize
from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.files import evenly_spaced
from convlens.metrics.robustness import BASELINE, MODEL, EvaluatedNetwork, Robustness
from convlens.models.files import load_card, load_trained_model
from convlens.models.inference import OperatingPoint, Predictor
from convlens.params import EvaluateParams, ModelParams, RobustnessParams, TrainParams
from convlens.plots.robustness import plot_curves, plot_places
from convlens.plots.style import to_png
from convlens.progress import say
from convlens.training.runtime import prepare_runtime
from convlens.wording import show_share

SPLIT = "test"


def robustness(
    *,
    prepared: Path,
    model_folder: Path,
    operating_point: Path,
    results: Path,
    model: ModelParams,
    train: TrainParams,
    evaluate: EvaluateParams,
    robustness: RobustnessParams,
) -> None:
    """Perturb test photos, and measure how the trained network and a dense baseline predict them.

    Args:
        prepared: folder of arrays per split.
        model_folder: folder of the trained network.
        operating_point: folder of its operating point, from `evaluate`.
        results: folder to write: metrics, tables and plots; see `Robustness`.
        model: the group `model`, for the form of the baseline.
        train: the group `train`, for its device and threads.
        evaluate: the group `evaluate`, for the confidence of the intervals.
        robustness: the group `robustness`.

    Raises:
        ConvLensError: no test photos, or no model.
    """
    data = Prepared.load(prepared)
    images, labels = data.images(SPLIT), data.labels(SPLIT)
    if not len(labels):
        raise ConvLensError("Expected photos in the test split. Received: none. Raise preprocess.test_fraction.")
    size = robustness.baseline.image_size
    recipe = baseline_recipe(robustness.baseline, model, train, seed=robustness.seed)
    runtime = prepare_runtime(recipe.train)  # before anything else touches TensorFlow
    point = OperatingPoint.load(operating_point, key=load_card(model_folder)["key"])
    network, baseline = load_trained_model(model_folder), train_baseline(data, recipe, size, runtime=runtime)
    predict, predict_baseline = Predictor(network, point), Predictor(baseline, OperatingPoint())
    found = Robustness.measure(
        {
            MODEL: EvaluatedNetwork(network.count_params(), lambda photos: point.predict(predict(photos))),
            BASELINE: EvaluatedNetwork(
                baseline.count_params(),
                lambda photos: predict_baseline(resize(photos, size, data.loader.resampling)).argmax(axis=1),
            ),
        },
        images,
        labels,
        robustness,
        rows=evenly_spaced(len(labels), robustness.max_photos),
        confidence=evaluate.confidence,
    )
    found.save(
        results,
        {"curves.png": to_png(plot_curves(found.curves)), "places.png": to_png(plot_places(found.places))},
    )
    numbers = found.metrics
    for name, title in ((MODEL, "the network"), (BASELINE, "the dense baseline")):
        say(
            f"robustness: {title}: accuracy {show_share(numbers[f'{name}_accuracy'])}, "
            f"{show_share(numbers[f'{name}_places_agreement'])} of {numbers['num_photos']:,} photos "
            "predicted alike at all nine places."
        )
