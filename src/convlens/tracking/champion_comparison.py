"""Compare a version with the champion, photo by photo, on test photos that the champion was not trained on.

Where the champion's stored predictions cover these photos they are used; else the champion predicts them now. One
training becomes several versions by its operating point, all with the same run, which holds the predictions of the
latest: so every version has the digest of its own as a tag.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from convlens.environment import hold_stderr
from convlens.files import read_csv
from convlens.metrics.comparison import compare_accuracies
from convlens.metrics.evaluation import load_predictions
from convlens.params import EvaluateParams
from convlens.progress import say
from convlens.tracking.gate import ChampionComparison
from convlens.tracking.models import LoadImages
from convlens.tracking.registry import HIDDEN
from convlens.tracking.store import Store, describe_failure, no_warnings

PREDICTIONS = "evaluation/predictions.csv"
SPLITS = "data/splits.csv"
TEXTS = ("path", "label", "split", "sha256")  # whatever classes and photos are called
IDENTITY = ["sha256", "label"]
PREDICTIONS_TAG = f"{HIDDEN}answers"  # digest of the version's predictions.csv
PREFIX = "probability_"
WORDS = {"better": "better", "worse": "worse", "same": "no difference that these photos can show"}


def digest_predictions(path: Path) -> str:
    """Name the content of a predictions.csv."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def compare_with_champion(
    store: Store,
    champion: ModelVersion,
    test: pd.DataFrame,
    classes: Sequence[str],
    settings: EvaluateParams,
    load_images: LoadImages | None = None,
) -> ChampionComparison:
    """Compare a version with the champion on the version's test photos.

    Args:
        store: where the champion is.
        champion: the version to beat.
        test: one row per test photo: path, label, sha256, row, correct (of the version).
        classes: of the version.
        settings: how the paired comparison is made.
        load_images: gives uint8 arrays (n, S, S, 3) for values of `row`, for photos whose files are gone.
    """
    splits, stored = _load_predictions(store, champion)
    if splits is not None and set(splits["label"]) != set(classes):
        return _no_rival(champion, splits["label"])
    trained = set() if splits is None else set(splits.loc[splits["split"] != "test", "sha256"])
    fair = test[~test["sha256"].isin(trained)].reset_index(drop=True)
    if fair.empty:
        return _nothing("the champion was trained on all of these test photos, so nothing can be compared")
    stored = stored[[*IDENTITY, "correct"]].drop_duplicates(IDENTITY).rename(columns={"correct": "by_champion"})
    correct = fair.merge(stored, on=IDENTITY, how="left", validate="many_to_one")["by_champion"]
    if correct.notna().all():
        return compare_correct(fair, correct.astype(bool), settings, "the champion's stored predictions")
    say("The champion has no stored predictions of these test photos; it is evaluated on them now.")
    try:
        with no_warnings(), hold_stderr():
            model = mlflow.pyfunc.load_model(f"models:/{champion.name}/{champion.version}")
    except (MlflowException, OSError) as error:
        return _nothing(f"the champion cannot be opened: {describe_failure(error)}")
    paths = [Path(path) for path in fair["path"]]
    if all(path.is_file() for path in paths):  # the fairest: the champion sees the photos at its own size
        predicted = model.predict(paths)
    elif load_images is not None:
        predicted = model.predict(load_images(fair["row"].to_numpy()))
    else:
        return _nothing("the champion has no predictions of these photos, and they are not here to make them")
    named = [name.removeprefix(PREFIX) for name in predicted.columns if name.startswith(PREFIX)]
    if named and set(named) != set(classes):
        return _no_rival(champion, named)
    correct = predicted["label"].reset_index(drop=True) == fair["label"]
    return compare_correct(fair, correct, settings, "the champion evaluated now")


def compare_versions(
    store: Store, champion: ModelVersion, version: ModelVersion, settings: EvaluateParams
) -> ChampionComparison:
    """Compare a version of the registry with the champion by the predictions that its run holds."""
    splits, test = _load_predictions(store, version)
    if splits is None or test.empty:
        return _nothing(f"the run of version {version.version} does not hold its predictions any more")
    return compare_with_champion(store, champion, test, sorted(set(splits["label"])), settings)


def compare_correct(
    test: pd.DataFrame, champion_correct: pd.Series, settings: EvaluateParams, source: str
) -> ChampionComparison:
    """Compare, in pairs and as `convlens compare` does, which test photos each of two models classifies correctly.

    Args:
        test: label and correct (of the version) by photo.
        champion_correct: of the champion, in the same order.
        settings: how intervals are made.
        source: where the champion's predictions come from, for people.
    """
    before, after = champion_correct.to_numpy(bool), test["correct"].to_numpy(bool)
    found = compare_accuracies(
        test["label"].to_numpy(),
        before,
        after,
        num_resamples=settings.num_resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    value, low, high = (100 * (x or 0.0) for x in (found.difference.value, found.difference.low, found.difference.high))
    chance = "p < 0.001" if found.mcnemar.p_value < 0.001 else f"p = {found.mcnemar.p_value:.3f}"
    interval = f"{low:+.1f} to {high:+.1f}, {settings.confidence:.0%} paired interval"
    note = f"{WORDS[found.word]}: {value:+.1f} points ({interval}; McNemar's exact test, {chance})"
    return ChampionComparison(len(test), float(after.mean()), float(before.mean()), source, found.word, note)


def _nothing(reason: str) -> ChampionComparison:
    return ChampionComparison(0, 0.0, 0.0, reason)


def _no_rival(champion: ModelVersion, classes: Sequence[str] | pd.Series) -> ChampionComparison:
    names = ", ".join(sorted(set(classes)))
    reason = f"the champion, version {champion.version}, has other classes ({names}), so it is no rival"
    return ChampionComparison(0, 0.0, 0.0, reason, is_rival=False)


def _load_predictions(store: Store, version: ModelVersion) -> tuple[pd.DataFrame | None, pd.DataFrame]:
    """A version's photos, and its predictions of the test photos; empty if its run is gone or holds another's."""
    nothing = pd.DataFrame({name: [] for name in (*IDENTITY, "correct")}, dtype=object)
    with tempfile.TemporaryDirectory(prefix="convlens-") as folder:
        try:
            splits, predictions = (
                Path(store.client.download_artifacts(str(version.run_id), name, folder))
                for name in (SPLITS, PREDICTIONS)
            )
        except (MlflowException, OSError):
            return None, nothing
        photos = read_csv(splits, TEXTS)
        if digest_predictions(predictions) != version.tags.get(PREDICTIONS_TAG):
            return photos, nothing
        correct = load_predictions(predictions.parent)[["path", "correct"]]
    return photos, photos[photos["split"] == "test"].merge(correct, on="path")
