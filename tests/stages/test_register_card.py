"""The model card as a version's description, and the reference statistics that go with the model."""

from pathlib import Path

import pytest
from external_model import make_reference, paint
from mlflow import MlflowClient
from small_training import demand, use_own_store, write_training

from convlens.stages.register import register
from convlens.tracking.access import open_with_reference, pull_model
from convlens.tracking.promotion import MORE, shorten_card

PARAMS = demand()


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    use_own_store(tmp_path, monkeypatch)
    paths = write_training(tmp_path)
    make_reference().save(paths["operating_point"])
    return paths


def test_card_and_reference_statistics_come_home_with_the_model(paths: dict[str, Path], tmp_path: Path) -> None:
    register(**paths, register=PARAMS)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    described = client.get_model_version("convlens", "1").description
    assert described == paths["model_card"].read_text()

    paths["model_card"].write_text("# Written anew\n")
    register(**paths, register=PARAMS)
    assert client.get_model_version("convlens", "1").description == "# Written anew\n"

    pull_model("convlens", "champion", tmp_path / "pulled")
    pixels = paint(tmp_path / "photo.png", (0.8, 0.8, 0.8))
    for address in ("models:/convlens@champion", str(tmp_path / "pulled")):
        opened = open_with_reference(address)
        assert opened.note == ""
        assert opened.reference is not None
        assert opened.reference.key == opened.classifier.card["key"]
        assert opened.folder is not None
        assert {path.name for path in opened.folder.iterdir()} >= {
            "model.keras",
            "card.json",
            "operating_point.json",
            "reference.npz",
        }
        assert opened.classifier.predict([pixels])["label"].tolist() == ["dogs"]


def test_a_long_card_is_cut_between_sections() -> None:
    head, first, second = "# Card\n\n", "## One\n\n" + "a" * 300 + "\n\n", "## Two\n\n" + "b" * 300 + "\n"
    whole = head + first + second
    assert shorten_card(whole, len(whole)) == whole
    assert shorten_card(whole, len(whole) - 1) == (head + first).rstrip() + MORE
    assert shorten_card(whole, 200) == head.rstrip() + MORE
    assert len(shorten_card("x" * 9000, 500)) <= 500
