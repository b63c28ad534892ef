"""The champion on the new version's photos: by its stored predictions where it has them, else evaluated now."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from registry_store import NAME, add_evaluated_version, use_registry

from convlens.params import EvaluateParams
from convlens.tracking.champion_comparison import PREDICTIONS, PREDICTIONS_TAG, compare_versions, compare_with_champion
from convlens.tracking.gate import ChampionComparison
from convlens.tracking.store import Store, no_warnings

SETTINGS = EvaluateParams(num_resamples=100, confidence=0.95, seed=0)
RIGHT, WRONG = True, False
STORED, NOW = "the champion's stored predictions", "the champion evaluated now"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return use_registry(tmp_path, monkeypatch, num_versions=0)


class AllCats:
    """The champion's model."""

    given: Any = None

    def predict(self, photos: Any) -> pd.DataFrame:
        self.given = photos
        return pd.DataFrame({"label": ["cats"] * len(photos)})


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> AllCats:
    model = AllCats()
    with no_warnings():  # MLflow loads that module now
        monkeypatch.setattr(importlib.import_module("mlflow.pyfunc"), "load_model", lambda _: model)
    return model


def photos(names: str, correct: list[bool], label: str = "cats") -> pd.DataFrame:
    rows = [{"path": f"{name}.png", "label": label, "sha256": name * 64, "row": row} for row, name in enumerate(names)]
    return pd.DataFrame(rows).assign(correct=correct)


def load_arrays(rows: np.ndarray) -> np.ndarray:
    return np.zeros((len(rows), 2, 2, 3), np.uint8)


def compare(store: Store, champion: ModelVersion, test: pd.DataFrame, classes: tuple[str, ...] = ("cats",)) -> tuple:
    """Number of photos, accuracy of version and champion, and where the champion's predictions come from."""
    return numbers(compare_with_champion(store, champion, test, classes, SETTINGS, load_arrays))


def numbers(found: ChampionComparison) -> tuple:
    return found.num_photos, found.accuracy, found.champion_accuracy, found.source


def test_stored_predictions_of_the_same_photos_are_used(store: Store) -> None:
    champion = add_evaluated_version(store, [RIGHT, RIGHT, RIGHT, WRONG])
    assert compare(store, champion, photos("dcba", [RIGHT, RIGHT, WRONG, WRONG])) == (4, 0.5, 0.75, STORED)


def test_other_photos_are_shown_to_the_champion(store: Store, model: AllCats) -> None:
    champion = add_evaluated_version(store, [WRONG, WRONG, WRONG, WRONG])
    assert compare(store, champion, photos("abx", [RIGHT, WRONG, WRONG])) == (3, 1 / 3, 1.0, NOW)
    assert model.given.shape == (3, 2, 2, 3)


def test_the_files_themselves_are_shown_where_they_are(store: Store, tmp_path: Path, model: AllCats) -> None:
    champion = add_evaluated_version(store, [WRONG], photos="a")
    (tmp_path / "x.png").write_bytes(b"")
    compare(store, champion, photos("x", [RIGHT]))
    assert model.given == [Path("x.png")]


@pytest.mark.usefixtures("model")
def test_predictions_that_another_version_left_in_the_run_are_not_the_champion_s(store: Store) -> None:
    """One training, another threshold: another version, in the same run. So are predictions of unknown origin."""
    champion = add_evaluated_version(store, [RIGHT, RIGHT, RIGHT, RIGHT])
    later = "path,correct\na.png,False\nb.png,False\nc.png,False\nd.png,False\n"
    store.client.log_text(champion.run_id, later, PREDICTIONS)
    assert compare(store, champion, photos("abcd", [WRONG] * 4)) == (4, 0.0, 1.0, NOW)
    champion = add_evaluated_version(store, [WRONG], photos="a")
    store.client.delete_model_version_tag(NAME, champion.version, PREDICTIONS_TAG)
    champion = store.client.get_model_version(NAME, champion.version)
    assert compare(store, champion, photos("a", [RIGHT])) == (1, 1.0, 1.0, NOW)


def test_photos_the_champion_was_trained_on_do_not_count(store: Store) -> None:
    champion = add_evaluated_version(store, [RIGHT, WRONG], photos="ab", trained_on="cd")
    assert compare(store, champion, photos("abcd", [RIGHT] * 4)) == (2, 1.0, 0.5, STORED)
    assert compare(store, champion, photos("cd", [RIGHT] * 2))[0] == 0


def test_a_champion_that_cannot_be_opened_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    champion = add_evaluated_version(store, [RIGHT], photos="a")

    def fail(_: str) -> None:
        raise MlflowException("no such file")

    with no_warnings():
        monkeypatch.setattr(importlib.import_module("mlflow.pyfunc"), "load_model", fail)
    expected = (0, 0.0, 0.0, "the champion cannot be opened: no such file")
    assert compare(store, champion, photos("x", [RIGHT])) == expected


def test_two_versions_of_the_registry_are_compared_by_their_runs(store: Store) -> None:
    champion = add_evaluated_version(store, [RIGHT, RIGHT, WRONG, WRONG])
    version = add_evaluated_version(store, [RIGHT, RIGHT, RIGHT, WRONG])
    assert numbers(compare_versions(store, champion, version, SETTINGS)) == (4, 0.75, 0.5, STORED)


@pytest.mark.usefixtures("model")
def test_photos_that_are_nowhere_cannot_be_compared(store: Store) -> None:
    champion = add_evaluated_version(store, [RIGHT], photos="a")
    version = add_evaluated_version(store, [RIGHT], photos="x")
    nowhere = "the champion has no predictions of these photos, and they are not here to make them"
    assert numbers(compare_versions(store, champion, version, SETTINGS)) == (0, 0.0, 0.0, nowhere)
    store.client.delete_model_version_tag(NAME, version.version, PREDICTIONS_TAG)
    version = store.client.get_model_version(NAME, version.version)
    gone = "the run of version 2 does not hold its predictions any more"
    assert numbers(compare_versions(store, champion, version, SETTINGS)) == (0, 0.0, 0.0, gone)


@pytest.mark.parametrize("label", ["0", "007", "NA", "1e3"])
def test_classes_are_text_whatever_they_look_like(store: Store, label: str) -> None:
    champion = add_evaluated_version(store, [RIGHT, WRONG], photos="ab", label=label)
    test = photos("ab", [RIGHT, RIGHT], label)
    assert compare(store, champion, test, (label,)) == (2, 1.0, 0.5, STORED)


def test_a_champion_of_other_classes_is_no_rival(store: Store) -> None:
    champion = add_evaluated_version(store, [RIGHT], photos="a")
    found = compare_with_champion(store, champion, photos("a", [RIGHT], "dogs"), ("dogs",), SETTINGS)
    assert not found.is_rival
    assert found.source == "the champion, version 1, has other classes (cats), so it is no rival"
