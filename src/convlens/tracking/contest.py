"""Measures the champion on the test photos of a new version.

Only photos the champion was not trained on count. Where its stored answers cover them, these are used; else the
champion is loaded and asked anew. Its run may hold the answers of another version meanwhile: one training becomes
several versions by its threshold. So a digest on the version says which answers are its own.
"""

import hashlib
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
from convlens.tracking.gate import Contest, Difference
from convlens.tracking.quiet import no_warnings
from convlens.tracking.registry import HIDDEN
from convlens.tracking.store import Store

PREDICTIONS = "evaluation/predictions.csv"
SPLITS = "data/splits.csv"
IDENTITY = ["sha256", "label"]
ANSWERS_TAG = f"{HIDDEN}answers"  # digest of the version's predictions.csv

# Says how the champion's and the new version's right answers differ, from labels and both.
Comparer = Callable[[np.ndarray, np.ndarray, np.ndarray], Difference]


def digest_answers(path: Path) -> str:
    """Names the content of a predictions.csv."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def hold_contest(
    store: Store,
    champion: ModelVersion,
    test: pd.DataFrame,
    load_images: Callable[[np.ndarray], np.ndarray] | None,
    *,
    compare: Comparer,
) -> Contest:
    """Compare a new version with the champion on the new version's test photos.

    Args:
        store: where the champion is.
        champion: the version to beat.
        test: one row per test photo: path, label, sha256, row, correct (the new version's verdicts).
        load_images: gives uint8 arrays (n, S, S, 3) for values of `row`; asked only if the photos themselves are gone.
            None where there are no arrays.
        compare: compares both photo by photo.
    """
    splits, answers = _stored(store, champion)
    trained = set(splits.loc[splits["split"] != "test", "sha256"]) if splits is not None else set()
    fair = test[~test["sha256"].isin(trained)].reset_index(drop=True)
    if fair.empty:
        return Contest(0, 0.0, 0.0, "the champion was trained on all of these test photos, so nothing can be compared")
    answers = answers[[*IDENTITY, "correct"]].drop_duplicates(IDENTITY).rename(columns={"correct": "champion_correct"})
    stored = fair.merge(answers, on=IDENTITY, how="left", validate="many_to_one")["champion_correct"]
    if stored.notna().all():
        return _contest(fair, stored.astype(bool), "the champion's stored answers", compare)
    say("The champion has no stored answers to these test photos; it is evaluated anew on them.")
    labels = _ask_anew(champion, fair, load_images)
    if isinstance(labels, str):
        return Contest(0, 0.0, 0.0, labels)
    return _contest(fair, labels == fair["label"], "the champion evaluated anew", compare)


def hold_stored_contest(store: Store, champion: ModelVersion, version: ModelVersion, *, compare: Comparer) -> Contest:
    """Compare a version of the registry with the champion by the answers that its run holds."""
    _, test = _stored(store, version)
    if test.empty:
        return Contest(0, 0.0, 0.0, f"the run of version {version.version} does not hold its answers any more")
    return hold_contest(store, champion, test, None, compare=compare)


def _contest(test: pd.DataFrame, champion_correct: pd.Series, source: str, compare: Comparer) -> Contest:
    both = champion_correct.to_numpy(bool), test["correct"].to_numpy(bool)
    accuracies = float(both[1].mean()), float(both[0].mean())
    return Contest(len(test), *accuracies, source, compare(test["label"].to_numpy(), *both))


def _stored(store: Store, version: ModelVersion) -> tuple[pd.DataFrame | None, pd.DataFrame]:
    """A version's photos, and its answers by photo; empty if its run is gone, or holds others' answers."""
    nothing = pd.DataFrame({name: [] for name in (*IDENTITY, "correct")}, dtype=object)
    with tempfile.TemporaryDirectory(prefix="convlens-") as folder:
        try:
            places = [
                store.client.download_artifacts(str(version.run_id), name, folder) for name in (SPLITS, PREDICTIONS)
            ]
        except (MlflowException, OSError):
            return None, nothing
        splits, predictions = (pd.read_csv(place, keep_default_na=False) for place in places)
        own = digest_answers(Path(places[1])) == version.tags.get(ANSWERS_TAG)
    if not own:
        return splits, nothing
    return splits, splits[splits["split"] == "test"].merge(predictions[["path", "correct"]], on="path")


def _ask_anew(
    champion: ModelVersion, test: pd.DataFrame, load_images: Callable[[np.ndarray], np.ndarray] | None
) -> pd.Series | str:
    """The champion's answers, or why there are none."""
    try:
        with no_warnings(), hold_stderr():
            model = mlflow.pyfunc.load_model(f"models:/{champion.name}/{champion.version}")
    except (MlflowException, OSError) as error:
        return f"the champion cannot be opened: {describe_failure(error)}"
    paths = [Path(path) for path in test["path"]]
    # The photos themselves are fairest: the champion sees them at its own size.
    there = all(path.is_file() for path in paths)
    if not there and load_images is None:
        return "the champion has not answered these photos, and they are not here to ask it"
    photos = paths if there or load_images is None else load_images(test["row"].to_numpy())
    labels: pd.Series = model.predict(photos)["label"].reset_index(drop=True)
    return labels
