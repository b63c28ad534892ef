import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from docs.blocks import read_blocks
from external_model import paint, write_model
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
from convlens.cli.main import commands, main
from convlens.stages.register import register

SOURCE = Path(__file__).parents[2] / "src"
FOLDER_LINE = "data/model: cats, dogs; trained on photos dddddddddddd\n"
CHAMPION_LINE = "convlens version 1 (champion): cats, dogs; trained on synthetic (dddddddddddd)\n"


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
    assert (code, err) == (0, FOLDER_LINE)
    assert run(capfd, "predict", "-q", "dark.png", "bright.png", "--model", "data/model") == (0, out, "")
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
        "unlike": None,
        "error": None,
    }
    assert lost == {
        "photo": "lost.png",
        "label": None,
        "probabilities": None,
        "unsure": None,
        "unlike": None,
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
    assert (code, out) == (1, "")
    assert err.splitlines()[1] == "Expected top_k from 0 to 2, the classes. Received: 3."


def test_unsure_answers_are_marked(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    card = json.loads((root / "data/model/card.json").read_text())
    write_operating_point(root / "data/operating_point", card["key"], min_confidence=0.985)
    assert run(capfd, "predict", "dark.png", "--model", "data/model")[1] == (
        "photo     label   cats  dogs\ndark.png  cats   98.2%  1.8%  unsure\n"
    )


def test_bad_photos_are_told_and_the_others_answered(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "broken.png").write_bytes((root / "dark.png").read_bytes()[:60])
    (root / "text.jpg").write_text("no photo")
    code, out, err = run(capfd, "predict", "broken.png", "dark.png", "text.jpg", "--model", "data/model")
    assert (code, err) == (1, FOLDER_LINE)
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["photo", "broken.png", "dark.png", "text.jpg"]
    assert "Expected a whole photo. Received: broken.png" in lines[1]
    assert "98.2%" in lines[2]
    assert lines[3].endswith("Expected an image that Pillow can read. Received: text.jpg, which is none.")


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
    assert (code, err) == (0, CHAMPION_LINE)
    assert out.splitlines()[1] == "bright.png  dogs   1.8%  98.2%"


def test_pulled_model_answers_elsewhere(
    champion: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run(capfd, "pull", "models/best")
    assert (code, err) == (0, "")
    assert out == (
        f"{CHAMPION_LINE.strip()}. It is in models/best. Use it: convlens predict --model models/best PHOTO\n"
    )
    assert {path.name for path in (champion / "models").iterdir()} == {"best"}
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    elsewhere = champion / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("DVC_ROOT", str(elsewhere))
    code, out, err = run(capfd, "predict", "../bright.png", "--model", "../models/best")
    assert (code, err) == (
        0,
        CHAMPION_LINE.replace("convlens version 1 (champion)", "../models/best (convlens version 1)"),
    )
    assert "98.2%" in out
    code, _, err = run(capfd, "predict", "../bright.png")
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("Expected --model MODEL: models:/NAME@ALIAS")
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
    def fill_the_disk(_: Path, target: Path, **__: object) -> None:
        (target / "MLmodel").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("convlens.tracking.access.shutil.copytree", fill_the_disk)
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
            "Or take a version by number: --model models:/convlens/1.",
        ),
        (
            ["pull", "there", "--model", "models:/convlens@best"],
            "Expected a version of 'convlens' with the alias 'best'. Received: aliases champion. ",
        ),
        (
            ["predict", "dark.png", "--model", "models:/other@champion"],
            "which has convlens. Train and register one first: `make repro` (or `dvc repro`).",
        ),
        (
            ["pull", "there", "--model", "models:/other@champion"],
            "Expected a registered model 'other'. Received: sqlite:///",
        ),
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


@pytest.mark.parametrize("model", ["no/such/folder", "dark.png"])
def test_folder_without_a_model_is_told(root: Path, capfd: pytest.CaptureFixture[str], model: str) -> None:
    code, _, err = run(capfd, "predict", "dark.png", "--model", model)
    assert code == 1
    assert err == (
        "Expected a model: models:/NAME@ALIAS, models:/NAME/VERSION, a pulled folder, data/model, or a .keras file. "
        f"Received: '{model}', which is none of these.\n"
    )


def test_broken_network_is_told(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "data/model/model.keras").write_bytes(b"broken")
    code, _, err = run(capfd, "predict", "dark.png", "--model", "data/model")
    assert code == 1
    assert err.splitlines()[1].startswith("Expected a trained network in data/model (model.keras and card.json)")
    assert len(err.splitlines()) == 2


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


def test_no_line_of_the_help_is_cut() -> None:
    for columns in (80, 120):
        text = CliRunner().invoke(commands, ["--help"], terminal_width=columns, max_content_width=columns).output
        assert "..." not in text.partition("Commands:")[2]
    for name, command in commands.commands.items():
        assert len((command.help or "").splitlines()[0]) <= 60, name


def test_a_folder_is_predicted_as_a_table_for_programs(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, brightness in (("a/dark.png", 0.1), ("b/bright.png", 0.9), (".hidden.png", 0.5)):
        write_photo(root / "mine" / name, brightness)
    (root / "mine/notes.txt").write_text("no photo")
    code, out, _ = run(capfd, "predict", "mine", "--csv", "--model", "data/model/model.keras")
    assert code == 0
    table = pd.read_csv(io.StringIO(out))
    assert list(table) == ["photo", "label", "probability_cats", "probability_dogs", "unsure", "unlike", "error"]
    assert table["photo"].tolist() == ["mine/a/dark.png", "mine/b/bright.png"]
    assert table["label"].tolist() == ["cats", "dogs"]


def test_what_is_wrong_is_told_before_a_network_is_loaded(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "data/model/model.keras").write_bytes(b"what would fail if it were read")
    card = root / "data/model/card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"classes": ["a", "b", "c"]}))
    write_photo(root / "mine/a/dark.png", 0.1)
    for arguments, told in (
        (["predict", "dark.png", "--threshold", "0.4"], "Expected no threshold for 3 classes"),
        (["predict", "dark.png", "--top-k", "4"], "Expected top_k from 0 to 3"),
        (["predict", "dark.png", "--classes", "a,b,c"], "with a Keras file only"),
        (["predict", "dark.png", "--html", "no/page.html"], "Expected a folder for --html"),
        (
            ["evaluate", "mine", "--map", "a=d"],
            "with folders 'a' and classes 'a', 'b', 'c'",
        ),
        (["evaluate", "mine", "--map", "a"], "Expected --map FOLDER=CLASS, each folder once"),
        (["explain", "dark.png", "--out", "no/page.html"], "Expected a folder for --out"),
    ):
        code, out, err = run(capfd, *arguments, "--model", "data/model")
        assert (code, out) == (1, ""), arguments
        assert told in err.splitlines()[-1], arguments


def test_any_keras_file_is_taken_everywhere(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_network(root / "other.keras")
    file = ["--model", "other.keras", "--classes", "night, day"]
    code, out, err = run(capfd, "predict", "dark.png", *file)
    assert (code, out.splitlines()[1].split()) == (0, ["dark.png", "night", "98.2%", "1.8%"])
    assert err == "other.keras: night, day\n"
    (root / "mine/night").mkdir(parents=True)
    (root / "mine/day").mkdir()
    (root / "dark.png").rename(root / "mine/night/dark.png")
    (root / "bright.png").rename(root / "mine/day/bright.png")
    code, out, _ = run(capfd, "evaluate", "mine", *file, "--out", "seen")
    assert (code, out.splitlines()[0]) == (0, "other.keras: 2 photos classified")


def test_photos_unlike_the_training_photos_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the table, as a flag for programs, on the page of predictions and on that of feature maps."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path)
    paint(tmp_path / "mine/dogs/gray.png", (0.8, 0.8, 0.8))
    paint(tmp_path / "mine/red <b>.png", (0.9, 0.1, 0.1))
    model = ["--model", "data/model"]
    code, out, _ = run(capfd, "predict", "mine", "--html", "page.html", *model)
    said = "the photo is unlike the training photos, further from them than every held-out photo"
    assert code == 0
    gray, red, _, sentence = out.splitlines()[1:]
    assert (gray.split()[0], gray.endswith("%")) == ("mine/dogs/gray.png", True)
    assert red.endswith("unlike")
    assert sentence == f"mine/red <b>.png: do not rely on it, {said}."
    page = (tmp_path / "page.html").read_text()
    assert f"Do not rely on it: {said}" in page
    assert "labeled “dogs” by its folder: correct" in page
    assert "red &lt;b&gt;.png" in page
    code, out, _ = run(capfd, "predict", "mine", "--json", *model)
    assert [row["unlike"] for row in json.loads(out)] == [False, True]
    code, out, err = run(capfd, "explain", "mine", "--out", "maps.html", *model)
    assert (code, out) == (0, "2 of 2 photos are in maps.html. Open it in a browser.\n")
    assert f"red <b>.png: Do not rely on it: {said}" in err
    assert f'<p class="notice">red &lt;b&gt;.png: Do not rely on it: {said}' in (tmp_path / "maps.html").read_text()


def test_the_examples_of_the_readme_run_elsewhere(
    champion: Path, registered: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In an empty folder, without this repository: a pulled folder, then the registry; no stray store is left."""
    elsewhere = champion / "elsewhere"
    assert run(capfd, "pull", "elsewhere/my-model")[0] == 0
    write_photo(elsewhere / "photo.jpg", 0.1)
    write_photo(elsewhere / "other.png", 0.9)
    (pulled,) = [block.text for block in read_blocks("README.md") if block.language == "python"]
    (registry,) = [block.text for block in read_blocks("docs/models.md") if "set_tracking_uri" in block.text]
    for shown, real in (("/path/to/convlens", str(registered)), ("models:/synthetic@", "models:/convlens@")):
        assert shown in registry
        registry = registry.replace(shown, real)
    script = (
        "import sys\nsys.modules['convlens'] = None\n" + pulled + registry + "print(model.predict(['photo.jpg']))\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "PYTHONPATH"))}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=elsewhere, env=environment, capture_output=True, text=True, check=True
    )
    assert [line.split()[1] for line in done.stdout.splitlines() if line[:1].isdigit()] == ["cats", "dogs", "cats"]
    assert {path.name for path in elsewhere.iterdir()} == {"my-model", "photo.jpg", "other.png"}
