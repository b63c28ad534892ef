"""The champion on the new version's photos: by its own stored answers where it has them, else asked anew."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from registry_store import NAME, add_evaluated_version, use_registry

from convlens.tracking.champion_comparison import PREDICTIONS, PREDICTIONS_TAG, compare_versions, compare_with_champion
from convlens.tracking.gate import ChampionComparison, Difference
from convlens.tracking.store import Store, no_warnings

SAME = Difference("same", "as compared")
RIGHT, WRONG = True, False


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def store(root: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return use_registry(root, monkeypatch, num_versions=0)


class AllCats:
    """The champion, asked anew."""

    asked: Any = None

    def predict(self, photos: Any) -> pd.DataFrame:
        self.asked = photos
        return pd.DataFrame({"label": ["cats"] * len(photos)})


@pytest.fixture
def champion_model(monkeypatch: pytest.MonkeyPatch) -> AllCats:
    model = AllCats()
    with no_warnings():  # MLflow loads that module now
        monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda _: model)
    return model


def photos(names: str, correct: list[bool]) -> pd.DataFrame:
    rows = [{"path": f"{name}.png", "label": "cats", "sha256": name * 64, "row": row} for row, name in enumerate(names)]
    return pd.DataFrame(rows).assign(correct=correct)


def compare(labels: np.ndarray, champion_right: np.ndarray, new_right: np.ndarray) -> Difference:
    assert len(labels) == len(champion_right) == len(new_right)
    return SAME


def load_arrays(rows: np.ndarray) -> np.ndarray:
    return np.zeros((len(rows), 2, 2, 3), np.uint8)


def test_stored_answers_to_the_same_photos_are_used(store: Store, root: Path) -> None:
    champion = add_evaluated_version(store, root, [RIGHT, RIGHT, RIGHT, WRONG])
    test = photos("dcba", [RIGHT, RIGHT, WRONG, WRONG])  # in another order
    held = compare_with_champion(store, champion, test, load_arrays, compare=compare)
    assert held == ChampionComparison(4, 0.5, 0.75, "the champion's stored answers", SAME)


@pytest.mark.usefixtures("champion_model")
def test_other_photos_are_shown_to_the_champion(store: Store, root: Path, champion_model: AllCats) -> None:
    champion = add_evaluated_version(store, root, [WRONG, WRONG, WRONG, WRONG])
    held = compare_with_champion(store, champion, photos("abx", [RIGHT, WRONG, WRONG]), load_arrays, compare=compare)
    assert held == ChampionComparison(3, 1 / 3, 1.0, "the champion evaluated anew", SAME)
    assert champion_model.asked.shape == (3, 2, 2, 3)


@pytest.mark.usefixtures("champion_model")
def test_the_files_themselves_are_shown_where_they_are(store: Store, root: Path, champion_model: AllCats) -> None:
    champion = add_evaluated_version(store, root, [WRONG], photos="a")
    (root / "x.png").write_bytes(b"")
    compare_with_champion(store, champion, photos("x", [RIGHT]), load_arrays, compare=compare)
    assert champion_model.asked == [Path("x.png")]


@pytest.mark.usefixtures("champion_model")
def test_answers_that_another_version_left_in_the_run_are_not_the_champion_s(store: Store, root: Path) -> None:
    """One training, another threshold: another version, in the same run."""
    champion = add_evaluated_version(store, root, [RIGHT, RIGHT, RIGHT, RIGHT])
    later = "path,correct\na.png,False\nb.png,False\nc.png,False\nd.png,False\n"
    store.client.log_text(champion.run_id, later, PREDICTIONS)
    held = compare_with_champion(store, champion, photos("abcd", [WRONG] * 4), load_arrays, compare=compare)
    assert held == ChampionComparison(4, 0.0, 1.0, "the champion evaluated anew", SAME)


@pytest.mark.usefixtures("champion_model")
def test_answers_of_unknown_origin_are_asked_anew(store: Store, root: Path) -> None:
    champion = add_evaluated_version(store, root, [WRONG], photos="a")
    store.client.delete_model_version_tag(NAME, champion.version, PREDICTIONS_TAG)
    champion = store.client.get_model_version(NAME, champion.version)
    held = compare_with_champion(store, champion, photos("a", [RIGHT]), load_arrays, compare=compare)
    assert held.source == "the champion evaluated anew"


def test_photos_the_champion_was_trained_on_do_not_count(store: Store, root: Path) -> None:
    champion = add_evaluated_version(store, root, [RIGHT, WRONG], photos="ab", trained_on="cd")
    held = compare_with_champion(store, champion, photos("abcd", [RIGHT] * 4), load_arrays, compare=compare)
    assert held == ChampionComparison(2, 1.0, 0.5, "the champion's stored answers", SAME)
    assert (
        compare_with_champion(store, champion, photos("cd", [RIGHT] * 2), load_arrays, compare=compare).num_photos == 0
    )


def test_a_champion_that_cannot_be_opened_is_told(store: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    champion = add_evaluated_version(store, root, [RIGHT], photos="a")

    def fail(_: str) -> None:
        raise MlflowException("no such file")

    with no_warnings():
        monkeypatch.setattr(mlflow.pyfunc, "load_model", fail)
    held = compare_with_champion(store, champion, photos("x", [RIGHT]), load_arrays, compare=compare)
    assert held == ChampionComparison(0, 0.0, 0.0, "the champion cannot be opened: no such file")


def test_two_versions_of_the_registry_are_compared_by_their_runs(store: Store, root: Path) -> None:
    champion = add_evaluated_version(store, root, [RIGHT, RIGHT, WRONG, WRONG])
    version = add_evaluated_version(store, root, [RIGHT, RIGHT, RIGHT, WRONG])
    held = compare_versions(store, champion, version, compare=compare)
    assert held == ChampionComparison(4, 0.75, 0.5, "the champion's stored answers", SAME)


@pytest.mark.usefixtures("champion_model")
def test_photos_that_are_nowhere_cannot_be_compared(store: Store, root: Path) -> None:
    champion = add_evaluated_version(store, root, [RIGHT], photos="a")
    version = add_evaluated_version(store, root, [RIGHT], photos="x")
    held = compare_versions(store, champion, version, compare=compare)
    assert held == ChampionComparison(
        0, 0.0, 0.0, "the champion has not answered these photos, and they are not here to ask it"
    )
    store.client.delete_model_version_tag(NAME, version.version, PREDICTIONS_TAG)
    version = store.client.get_model_version(NAME, version.version)
    held = compare_versions(store, champion, version, compare=compare)
    assert held == ChampionComparison(0, 0.0, 0.0, "the run of version 2 does not hold its answers any more")
