"""Stage `evaluate`: what the trained network answers on the test split, and what the answers are worth."""

from pathlib import Path

import pandas as pd

from convlens.errors import ConvLensError
from convlens.network.inference import predict_probabilities
from convlens.network.model_files import load_card, load_trained_model
from convlens.params import EvaluateParams
from convlens.photos.prepared import Prepared, open_prepared
from convlens.progress import say
from convlens.report.figures_evaluation import plot_confusion_matrix, plot_roc_curve
from convlens.report.figures_style import to_png
from convlens.report.wording import interval_of, show_interval, show_share
from convlens.stages.evaluate_tables import Answers, Evaluation, count_table, measure_answers, round_array
from convlens.stages.outputs import write_bytes, write_csv, write_json

SPLIT = "test"


def evaluate(
    *,
    prepared: Path,
    model_folder: Path,
    metrics: Path,
    predictions: Path,
    class_scores: Path,
    confusion: Path,
    confusion_table: Path,
    confusion_figure: Path,
    roc: Path,
    roc_figure: Path,
    reliability: Path,
    evaluate: EvaluateParams,
) -> None:
    """Predict the test split, then write every number, table and figure about it.

    Args:
        prepared: folder of arrays per split.
        model_folder: folder of the trained network.
        metrics: all numbers with the ends of their intervals (flat JSON).
        predictions: one row per photo: path, label, predicted, correct, probability of each class (CSV).
        class_scores: one row per class: photos, answers, precision, recall, F1 (CSV).
        confusion: one row per photo: actual, predicted (CSV).
        confusion_table: one row per actual class, one column per answer (CSV).
        confusion_figure: the same as a picture (PNG).
        roc: points of the ROC curve, per class if there are more than two (CSV).
        roc_figure: the same as a picture (PNG).
        reliability: photos in bins of similar probability, with their accuracy (CSV).
        evaluate: the group `evaluate`.

    Raises:
        ConvLensError: no test photos, no model, or a model of other classes.
    """
    answers = _answer(open_prepared(prepared), model_folder)
    found = measure_answers(answers, evaluate)
    confusion_png, roc_png = _draw(found, answers)

    write_csv(predictions, found.predictions)
    write_csv(class_scores, found.class_scores)
    write_csv(confusion, _pair_answers(found.predictions))
    write_csv(confusion_table, count_table(found.counts, answers.classes))
    write_csv(roc, found.roc)
    write_csv(reliability, found.reliability)
    write_bytes(confusion_figure, confusion_png)
    write_bytes(roc_figure, roc_png)
    write_json(metrics, found.metrics)
    _tell(found)


def _answer(prepared: Prepared, model_folder: Path) -> Answers:
    photos = prepared.photos(SPLIT)
    if photos.empty:
        raise ConvLensError("Expected photos in the test split. Received: none. Raise preprocess.test_fraction.")
    model, mirror = load_trained_model(model_folder), load_card(model_folder)["mirror"]
    probabilities = predict_probabilities(model, prepared.images(SPLIT), mirror=mirror)
    if probabilities.shape[1] != len(prepared.classes):
        raise ConvLensError(
            f"Expected a model of the {len(prepared.classes)} classes {', '.join(prepared.classes)}. "
            f"Received: one of {probabilities.shape[1]} classes. Train it on these photos: dvc repro."
        )
    # Rounded before anything is computed, so that every number can be had again from the file of predictions.
    return Answers(list(photos["path"]), prepared.classes, prepared.labels(SPLIT), round_array(probabilities))


def _draw(found: Evaluation, answers: Answers) -> tuple[bytes, bytes]:
    confusion = plot_confusion_matrix(found.counts, answers.classes)
    roc = plot_roc_curve(found.roc, interval_of(found.metrics, "roc_auc"))
    return to_png(confusion), to_png(roc)


def _pair_answers(predictions: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"actual": predictions["label"], "predicted": predictions["predicted"]})


def _tell(found: Evaluation) -> None:
    value, low, high = interval_of(found.metrics, "accuracy")
    say(
        f"evaluate: {show_share(value)} of {found.metrics['num_photos']:,} test photos answered right"
        f"{show_interval(low, high)}."
    )
