"""Stage `label_errors`: photos whose label is probably wrong, by networks that were not trained on them."""

from pathlib import Path

import numpy as np
import pandas as pd

from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.metrics.evaluation import PROBABILITY, load_predictions
from convlens.metrics.label_errors import LabelErrors
from convlens.models.files import load_card
from convlens.models.inference import OperatingPoint
from convlens.params import EvaluateParams, LabelErrorsParams, TrainingRecipe
from convlens.progress import say


def label_errors(
    *,
    prepared: Path,
    model_folder: Path,
    operating_point: Path,
    evaluation: Path,
    results: Path,
    recipe: TrainingRecipe,
    evaluate: EvaluateParams,
    label_errors: LabelErrorsParams,
) -> None:
    """Judge every label by predictions of networks that were not trained on its photo.

    No network was trained on the validation photos; they chose its operating point, and at most its epoch.

    Args:
        prepared: folder of arrays per split.
        model_folder: folder of the trained network.
        operating_point: folder of its operating point, from `evaluate`.
        evaluation: folder with its predictions of the validation and test photos, from `evaluate`.
        results: folder to write: metrics, photos, and history of the folds; see `LabelErrors`.
        recipe: the groups `model`, `augment` and `train`, for the networks of the folds.
        evaluate: the group `evaluate`, for the confidence of the interval.
        label_errors: the group `label_errors`.

    Raises:
        ConvLensError: an input is missing, or belongs to other photos.
    """
    data, card, count = Prepared.load(prepared), load_card(model_folder), label_errors.folds
    columns = [f"{PROBABILITY}{name}" for name in data.classes]
    probabilities: dict[str, np.ndarray] = {}
    folds = pd.DataFrame({"fold": [], "epoch": []})
    if count:  # what only folds need: TensorFlow takes longer to load than the rest of the stage
        from convlens.auxiliary.cross_validation import assign_folds, predict_out_of_fold
        from convlens.training.runtime import prepare_runtime

        runtime = prepare_runtime(recipe.train.changed(precision=card["precision"], strategy="single"))
        point = OperatingPoint.load(operating_point, key=card["key"])
        assigned = assign_folds(data, count, seed=recipe.train.seed)
        probabilities["train"], folds = predict_out_of_fold(
            data, recipe, assigned, key=card["key"], point=point, runtime=runtime
        )
    for split in ("validation", "test"):
        table, paths = load_predictions(evaluation, split).set_index("path"), list(data.photos(split)["path"])
        if len(table) != len(paths) or set(table.index) != set(paths):
            raise ConvLensError(
                f"Expected predictions for all {split} photos in {evaluation}. Received: others. Run `dvc repro`."
            )
        probabilities[split] = table.loc[paths, columns].to_numpy(np.float64)
    found = LabelErrors.find(
        pd.concat([data.photos(split) for split in probabilities], ignore_index=True),
        np.concatenate(list(probabilities.values())),
        data.classes,
        folds=folds,
        confidence=evaluate.confidence,
    )
    found.save(results)
    numbers = found.metrics
    if numbers["note"]:
        say(f"label_errors: no label is judged; the networks are too weak. {numbers['note']}")
    else:
        say(f"label_errors: {numbers['num_suspicious']:,} of {numbers['num_photos']:,} labels to check first.")
