"""Measures the champion on the test photos of a new version.

Only photos the champion was not trained on count. Where its stored answers cover them, these are used; else the
champion is loaded and asked anew.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from convlens.environment import hold_stderr
from convlens.progress import say
from convlens.tracking.failures import describe_failure
from convlens.tracking.gate import Contest
from convlens.tracking.quiet import no_warnings
from convlens.tracking.store import Store

PREDICTIONS = "evaluation/predictions.csv"
SPLITS = "data/splits.csv"
IDENTITY = ["sha256", "label"]


def hold_contest(
    store: Store, champion: ModelVersion, test: pd.DataFrame, load_images: Callable[[np.ndarray], np.ndarray]
) -> Contest:
    """Compare a new version with the champion on the new version's test photos.

    Args:
        store: where the champion is.
        champion: the version to beat.
        test: one row per test photo: path, label, sha256, row, correct (the new version's verdicts).
        load_images: gives uint8 arrays (n, S, S, 3) for values of `row`; asked only if the photos themselves are gone.
    """
    splits, answers = _stored(store, champion.run_id)
    trained = set(splits.loc[splits["split"] != "test", "sha256"]) if splits is not None else set()
    fair = test[~test["sha256"].isin(trained)].reset_index(drop=True)
    if fair.empty:
        return Contest(0, 0.0, 0.0, "the champion was trained on all of these test photos, so nothing can be compared")
    stored = fair.merge(answers, on=IDENTITY, how="left", validate="many_to_one")["champion_correct"]
    if stored.notna().all():
        return _contest(fair, stored.astype(bool), "the champion's stored answers")
    say("register: the test photos are not the champion's; it is evaluated anew on them.")
    return _ask_anew(champion, fair, load_images)


def _contest(test: pd.DataFrame, champion_correct: pd.Series, source: str) -> Contest:
    return Contest(len(test), float(test["correct"].mean()), float(champion_correct.mean()), source)


def _stored(store: Store, run_id: str | None) -> tuple[pd.DataFrame | None, pd.DataFrame]:
    """The champion's photos, and its answers by photo; empty if its run is gone."""
    nothing = pd.DataFrame({"sha256": [], "label": [], "champion_correct": []}, dtype=object)
    with tempfile.TemporaryDirectory(prefix="convlens-") as folder:
        try:
            places = [store.client.download_artifacts(str(run_id), name, folder) for name in (SPLITS, PREDICTIONS)]
        except (MlflowException, OSError):
            return None, nothing
        splits, predictions = (pd.read_csv(place, keep_default_na=False) for place in places)
    test = splits[splits["split"] == "test"]
    both = test.merge(predictions[["path", "correct"]], on="path").rename(columns={"correct": "champion_correct"})
    return splits, both[[*IDENTITY, "champion_correct"]].drop_duplicates(IDENTITY)


def _ask_anew(champion: ModelVersion, test: pd.DataFrame, load_images: Callable[[np.ndarray], np.ndarray]) -> Contest:
    try:
        with no_warnings(), hold_stderr():
            model = mlflow.pyfunc.load_model(f"models:/{champion.name}/{champion.version}")
    except (MlflowException, OSError) as error:
        return Contest(0, 0.0, 0.0, f"the champion cannot be opened: {describe_failure(error)}")
    paths = [Path(path) for path in test["path"]]
    # The photos themselves are fairest: the champion sees them at its own size.
    photos = paths if all(path.is_file() for path in paths) else load_images(test["row"].to_numpy())
    labels = model.predict(photos)["label"]
    return _contest(test, labels.reset_index(drop=True) == test["label"], "the champion evaluated anew")
