import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from small_training import (
    demand,
    use_own_store,
    write_card,
    write_network,
    write_operating_point,
    write_photo,
    write_training,
)

from convlens import __version__
from convlens.cli.main import main
from convlens.stages.register import register

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with photos and a trained network, and a store without models."""
    use_own_store(tmp_path, monkeypatch)
    write_network(tmp_path / "data/model/model.keras")
    write_card(tmp_path / "data/model/card.json")
    write_photo(tmp_path / "dark.png", 0.1)
    write_photo(tmp_path / "bright.png", 0.9)
    return tmp_path


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose model is registered and champion."""
    root = tmp_path_factory.mktemp("registered")
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_own_store(root, monkeypatch)
        register(**write_training(root), params=demand())
    return root


@pytest.fixture
def champion(root: Path, registered: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, with a store that has a champion."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{registered}/mlflow.db")
    return root


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    told = capfd.readouterr()
    return int(stopped.value.code or 0), told.out, told.err


def test_predict_prints_a_table(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, "predict", "dark.png", "bright.png", "--model", "data/model")
    assert (code, err) == (0, "")
    assert out == (
        "photo       label   cats   dogs\n"
        "dark.png    cats   98.2%   1.8%\n"
        "bright.png  dogs    1.8%  98.2%\n"
    )  # fmt: skip


def test_predict_prints_json(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "predict", "--json", "bright.png", "lost.png", "--model", "data/model")
    assert code == 1
    bright, lost = json.loads(out)
    assert bright == {
        "photo": "bright.png",
        "label": "dogs",
        "probabilities": {"cats": pytest.approx(0.018, abs=1e-3), "dogs": pytest.approx(0.982, abs=1e-3)},
        "unsure": False,
        "error": None,
    }
    assert lost == {
        "photo": "lost.png",
        "label": None,
        "probabilities": None,
        "unsure": None,
        "error": "Expected a photo file. Received: lost.png, which does not exist.",
    }


@pytest.mark.parametrize("model", ["data/model", "models:/convlens@champion"])
def test_threshold_and_top_k_can_be_given(champion: Path, capfd: pytest.CaptureFixture[str], model: str) -> None:
    asked = ["predict", "dark.png", "bright.png", "lost.png", "--threshold", "0.99", "--top-k", "1", "--model", model]
    code, out, _ = run(capfd, *asked)
    assert code == 1
    assert [line.rstrip() for line in out.splitlines()] == [
        "photo       label       top 1",
        "dark.png    cats   cats 98.2%",
        "bright.png  cats   dogs 98.2%",
        "lost.png    Expected a photo file. Received: lost.png, which does not exist.",
    ]
    _, out, _ = run(capfd, *asked, "--json")
    dark, _, lost = json.loads(out)
    assert dark["top"] == [{"label": "cats", "probability": dark["probabilities"]["cats"]}]
    assert lost["top"] is None


@pytest.mark.parametrize("model", ["data/model", "models:/convlens@champion"])
def test_more_places_than_classes_are_told(champion: Path, capfd: pytest.CaptureFixture[str], model: str) -> None:
    code, out, err = run(capfd, "predict", "dark.png", "--top-k", "3", "--model", model)
    assert (code, out, err) == (1, "", "Expected top_k from 0 to 2, the classes. Received: 3.\n")


def test_unsure_answers_are_marked(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    card = json.loads((root / "data/model/card.json").read_text())
    write_operating_point(root / "data/operating_point", card["key"], min_confidence=0.985)
    assert run(capfd, "predict", "dark.png", "--model", "data/model")[1] == (
        "photo     label   cats  dogs\ndark.png  cats   98.2%  1.8%  unsure\n"
    )


def test_bad_photos_are_told_and_the_others_answered(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "broken.png").write_bytes((root / "dark.png").read_bytes()[:60])
    (root / "text.jpg").write_text("no photo")
    code, out, err = run(capfd, "predict", "broken.png", "data", "dark.png", "text.jpg", "--model", "data/model")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["photo", "broken.png", "data", "dark.png", "text.jpg"]
    assert "Expected a whole photo. Received: broken.png" in lines[1]
    assert lines[2].endswith("Expected a photo file. Received: the folder data. Name the files in it.")
    assert "98.2%" in lines[3]
    assert lines[4].endswith("Expected an image that Pillow can read. Received: text.jpg, which is none.")


def test_only_bad_photos_need_no_head(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "predict", "lost.png", "--model", "data/model")
    assert code == 1
    assert out == "lost.png  Expected a photo file. Received: lost.png, which does not exist.\n"


def test_name_that_is_no_text_is_shown(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (root / "dark.png").rename(name)
    code, out, _ = run(capfd, "predict", name, "--model", "data/model")
    assert code == 0
    assert "caf�.png  cats" in out


@pytest.mark.parametrize("model", ["models:/convlens@champion", "models:/convlens/1"])
def test_predict_asks_the_registered_model(champion: Path, capfd: pytest.CaptureFixture[str], model: str) -> None:
    code, out, err = run(capfd, "predict", "bright.png", "--model", model)
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == "bright.png  dogs   1.8%  98.2%"


def test_pulled_model_answers_elsewhere(
    champion: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run(capfd, "pull", "models/best")
    assert (code, err) == (0, "")
    assert out.startswith(
        "convlens version 1 (champion) is in models/best. Ask it: convlens predict --model models/best"
    )
    assert {path.name for path in (champion / "models").iterdir()} == {"best"}
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    elsewhere = champion / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("DVC_ROOT", str(elsewhere))
    code, out, err = run(capfd, "predict", "../bright.png", "--model", "../models/best")
    assert (code, err) == (0, "")
    assert "98.2%" in out
    assert list(elsewhere.iterdir()) == []


def test_pull_takes_an_empty_folder(champion: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (champion / "here").mkdir()
    assert run(capfd, "pull", "here")[0] == 0
    assert (champion / "here/MLmodel").is_file()


@pytest.mark.parametrize("target", ["data", "dark.png"])
def test_pull_refuses_what_is_in_use(champion: Path, capfd: pytest.CaptureFixture[str], target: str) -> None:
    code, out, err = run(capfd, "pull", target)
    assert (code, out) == (1, "")
    assert err == f"Expected a new or empty folder. Received: {target}, which has content. Name another one.\n"


def test_failed_pull_leaves_nothing(
    champion: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    def fill_the_disk(dst_path: str, **_: object) -> None:
        (Path(dst_path) / "MLmodel").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", fill_the_disk)
    code, _, err = run(capfd, "pull", "models/best")
    assert code == 1
    assert "No space left on device" in err
    assert list((champion / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["predict", "dark.png", "--model", "models:/convlens@best"],
            "Expected a version of 'convlens' with the alias 'best'. Received: aliases champion. "
            "Or take a version by number: models:/convlens/1.",
        ),
        (
            ["pull", "there", "--alias", "best"],
            "Expected a version of 'convlens' with the alias 'best'. Received: aliases champion. ",
        ),
        (
            ["predict", "dark.png", "--model", "models:/other@champion"],
            "which has none. Train and register one first: `make repro` (or `dvc repro`).",
        ),
        (["pull", "there", "--name", "other"], "Expected a registered model 'other'. Received: sqlite:///"),
        (["predict", "dark.png", "--model", "models:/convlens/9"], "Expected a model that MLflow can load."),
        (["predict", "dark.png", "--model", "runs:/123/photo_model"], "Expected a model that MLflow can load."),
    ],
)
def test_wrong_address_is_told(
    champion: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    code, out, err = run(capfd, *arguments)
    assert (code, out) == (1, "")
    assert told in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("model", ["no/such/folder", "data", "dark.png"])
def test_folder_without_a_model_is_told(root: Path, capfd: pytest.CaptureFixture[str], model: str) -> None:
    code, _, err = run(capfd, "predict", "dark.png", "--model", model)
    assert code == 1
    assert err == (
        "Expected a model: models:/NAME@ALIAS, models:/NAME/VERSION, a pulled folder, or data/model. "
        f"Received: '{model}', which is none of these.\n"
    )


def test_broken_network_is_told(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "data/model/model.keras").write_bytes(b"broken")
    code, _, err = run(capfd, "predict", "dark.png", "--model", "data/model")
    assert code == 1
    assert err.startswith("Expected a trained network in data/model (model.keras and card.json)")
    assert len(err.splitlines()) == 1


def test_registry_without_champion_says_how_to_get_one(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    MlflowClient(f"sqlite:///{root}/mlflow.db").create_registered_model("convlens")
    code, _, err = run(capfd, "predict", "dark.png")
    assert code == 1
    assert err == (
        "Expected a version of 'convlens' with the alias 'champion'. Received: aliases none. "
        "A version becomes champion when it meets `register.criteria`. "
        "Train and register one first: `make repro` (or `dvc repro`).\n"
    )


@pytest.mark.parametrize("arguments", [["predict", "dark.png"], ["pull", "there"]])
def test_missing_store_is_told_and_not_made(
    root: Path, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    (root / "mlflow.db").unlink()
    code, _, err = run(capfd, *arguments)
    assert code == 1
    assert err == (
        f"Expected an MLflow store. Received: no database at {root}/mlflow.db. "
        "Train and register one first: `make repro` (or `dvc repro`). "
        "Or set MLFLOW_TRACKING_URI to the store that has the model.\n"
    )
    assert not (root / "mlflow.db").exists()


def test_unreachable_server_is_told(
    root: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, _, err = run(capfd, "predict", "dark.png")
    assert code == 1
    assert err.startswith("Expected the MLflow store http://127.0.0.1:9 to answer. Received: ")
    assert err.endswith("Start the server, or correct MLFLOW_TRACKING_URI.\n")
    assert len(err.splitlines()) == 1


def test_photos_are_needed(capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, "predict")
    assert code == 2
    assert "Missing argument 'PHOTO...'" in err


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "--version") == (0, f"convlens, version {__version__}\n", "")


def test_help_is_light() -> None:
    code = (
        "import sys; from convlens.cli.main import commands\n"
        "commands(['--help'], standalone_mode=False)\n"
        "print(sorted({'tensorflow', 'keras', 'mlflow', 'pandas', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "predict" in done.stdout
    assert "pull" in done.stdout


def test_the_package_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "convlens", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"convlens, version {__version__}\n"
