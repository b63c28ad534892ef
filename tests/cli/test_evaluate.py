"""`convlens evaluate` as a user runs it, with a network of four weights whose answers are known beforehand."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from external_model import paint, write_folder, write_model

from convlens.cli.main import commands
from convlens.errors import ConvLensError
from convlens.metrics.external import ExternalEvaluation

FILES = {"metrics.json", "predictions.csv", "drift.csv", "report.html"}
RED = (0.9, 0.1, 0.1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def root(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data/model and data/operating_point, and nothing else: no params.yaml, no store."""
    shutil.copytree(made.parent, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ask(root: Path) -> Callable[..., Result]:
    def evaluate(*arguments: str) -> Result:
        return CliRunner().invoke(commands, ["evaluate", "--model", "data/model", *arguments])

    return evaluate


def plain(text: str) -> str:
    """What is printed, with single spaces instead of columns, line ends and spaces that do not break."""
    return " ".join(text.split())


def read_json(path: Path) -> dict:
    content: dict = json.loads(path.read_text())
    return content


def test_photos_like_those_of_the_training(root: Path, ask: Callable[..., Result]) -> None:
    write_folder(root / "photos")
    done = ask("photos", "--out", "new/out")
    assert (done.exit_code, done.exception) == (0, None)
    assert done.stdout.splitlines()[0] == "data/model: 12 photos classified"
    told = plain(done.stdout)
    assert "Accuracy 100 % (75.8 % to 100 %) 100 % (96.3 % to 100 %) +0.0 points (−24.2 to +3.7)" in told
    assert "No difference to the test split (100 %) that these photos can show" in told
    assert "0 photos of 12 unlike any of the training: 0 % (0 % to 24.2 %)" in told
    assert {path.name for path in (root / "new/out").iterdir()} == FILES
    assert {path.name for path in (root / "new").iterdir()} == {"out"}
    metrics = read_json(root / "new/out/metrics.json")
    assert (metrics["accuracy"], metrics["num_photos"], metrics["num_unreadable"]) == (1.0, 12, 0)
    assert (metrics["against_test_split"], metrics["num_unlike"]) == ("same", 0)
    answers = pd.read_csv(root / "new/out/predictions.csv", keep_default_na=False)
    assert list(answers.columns) == ["path", "label", "predicted", "correct", "probability_cats", "probability_dogs",
                                     "unsure", "distance", "unlike", "error"]  # fmt: skip
    assert list(answers["label"]) == ["cats"] * 6 + ["dogs"] * 6
    page = (root / "new/out/report.html").read_text()
    assert "Cats or dogs?" in page
    assert 'src="http' not in page
    assert page.count("data:image/png;base64,") >= 12


def test_the_same_photos_give_the_same_bytes(root: Path, ask: Callable[..., Result]) -> None:
    write_folder(root / "photos")
    contents = []
    for name in ("first", "second"):
        assert ask("photos", "--out", name).exit_code == 0
        contents.append({path.name: path.read_bytes() for path in (root / name).iterdir()})
    assert contents[0] == contents[1]


def test_worse_and_unlike_photos_are_told(root: Path, ask: Callable[..., Result]) -> None:
    """Red photos are not bright enough for dogs, and no color of the training."""
    for name in ("cats", "dogs"):
        for index in range(20):
            paint(root / "photos" / name / f"{index}.png", RED)
    done = ask("photos", "--out", "out")
    metrics = read_json(root / "out/metrics.json")
    assert (metrics["accuracy"], metrics["against_test_split"], metrics["num_unlike"]) == (0.5, "worse", 40)
    assert metrics["difference_accuracy"] == -0.5
    assert "features" in metrics["drift"]
    assert "Worse than on the test split (100 %): −50.0 points" in plain(done.stdout)
    drift = pd.read_csv(root / "out/drift.csv").set_index("statistic")
    assert list(drift.index) == ["brightness", "contrast", "sharpness", "aspect", "megapixels", "confidence",
                                 "features"]  # fmt: skip
    assert drift.loc["features", "p_value"] == 0.001
    assert not drift.loc["megapixels", "differs"]
    assert "Worse than on the test split" in (root / "out/report.html").read_text()


def test_names_with_spaces_and_umlauts_and_broken_photos(root: Path, ask: Callable[..., Result]) -> None:
    write_folder(root / "meine Fotos <neu>", ("Kätzchen süß", "dogs"))
    (root / "meine Fotos <neu>/dogs/kaputt & leer.jpg").write_bytes(b"")
    (root / "meine Fotos <neu>/dogs/halb.png").write_bytes((root / "meine Fotos <neu>/dogs/00.png").read_bytes()[:200])
    done = ask("meine Fotos <neu>", "--map", "Kätzchen süß=cats", "--out", "Ergebnis süß")
    assert (done.exit_code, done.exception) == (0, None)
    assert done.stdout.splitlines()[0] == "data/model: 12 photos classified, 2 could not be read"
    assert "  dogs/kaputt & leer.jpg: not an image that Pillow can read" in done.stdout
    answers = pd.read_csv(root / "Ergebnis süß/predictions.csv", keep_default_na=False).set_index("path")
    assert len(answers) == 14
    assert answers.loc["dogs/kaputt & leer.jpg"].to_dict() == {
        "label": "dogs", "predicted": "", "correct": "", "probability_cats": "", "probability_dogs": "",
        "unsure": "", "distance": "", "unlike": "", "error": "not an image that Pillow can read",
    }  # fmt: skip
    page = (root / "Ergebnis süß/report.html").read_text()
    assert "kaputt &amp; leer.jpg" in page
    assert "Kätzchen süß/00.png" in page


def test_one_class_has_no_ranking(root: Path, ask: Callable[..., Result]) -> None:
    write_folder(root / "photos")
    shutil.rmtree(root / "photos/cats")
    done = ask("photos", "--out", "out")
    metrics = read_json(root / "out/metrics.json")
    assert done.exit_code == 0
    assert (metrics["accuracy"], metrics["roc_auc"], metrics["difference_roc_auc"]) == (1.0, None, None)
    assert "ROC AUC" in done.stdout


def test_one_photo(root: Path, ask: Callable[..., Result]) -> None:
    paint(root / "photos/dogs/only.png", (0.8, 0.8, 0.8))
    done = ask("photos", "--out", "out")
    assert (done.exit_code, done.exception) == (0, None)
    assert read_json(root / "out/metrics.json")["num_photos"] == 1


def test_photos_without_labels_get_answers_and_drift(root: Path, ask: Callable[..., Result]) -> None:
    paint(root / "photos/a.png", (0.2, 0.2, 0.2))
    paint(root / "photos/b.png", RED)
    done = ask("photos", "--out", "out")
    assert (done.exit_code, done.exception) == (0, None)
    assert [line.split() for line in done.stdout.splitlines()[2:5]] == [
        ["prediction", "photos", "share"], ["cats", "2", "100", "%"], ["dogs", "0", "0", "%"],
    ]  # fmt: skip
    metrics = read_json(root / "out/metrics.json")
    assert "accuracy" not in metrics
    assert metrics["num_unlike"] == 1
    answers = pd.read_csv(root / "out/predictions.csv", keep_default_na=False)
    assert list(answers["label"]) == ["", ""]
    assert "nobody can say how many predictions are right" in (root / "out/report.html").read_text()


def test_folders_can_be_said_to_mean_nothing(root: Path, ask: Callable[..., Result]) -> None:
    write_folder(root / "photos", ("2024", "2025"))
    done = ask("photos", "--unlabeled")
    assert done.exit_code == 0
    assert "12 photos classified" in done.stdout


def test_nothing_readable_is_an_error_and_leaves_no_folder(root: Path, ask: Callable[..., Result]) -> None:
    (root / "photos/cats").mkdir(parents=True)
    (root / "photos/cats/a.jpg").write_text("no photo")
    done = ask("photos", "--out", "out")
    assert isinstance(done.exception, ConvLensError)
    assert str(done.exception) == (
        "Expected photos that can be read. Received: 1, none of which can. The first: not an image that Pillow can read"
    )
    assert not (root / "out").exists()


def test_a_model_of_other_classes(root: Path, ask: Callable[..., Result]) -> None:
    write_folder(root / "photos", ("apples", "pears"))
    done = ask("photos")
    assert isinstance(done.exception, ConvLensError)
    assert str(done.exception) == (
        "Expected folders named as the model's classes, 'cats', 'dogs'. Received: 'apples', 'pears'. Say what they are:"
        " --map apples=CLASS --map pears=CLASS (nothing after = leaves a folder out), or --unlabeled."
    )


def test_out_in_use_is_refused_before_the_work(root: Path, ask: Callable[..., Result]) -> None:
    (root / "photos").mkdir()
    (root / "out").mkdir()
    (root / "out/thesis.txt").write_text("mine")
    done = ask("photos", "--out", "out")
    assert "Expected a new or empty folder after --out" in str(done.exception)
    assert (root / "out/thesis.txt").read_text() == "mine"


def test_force_replaces_an_earlier_evaluation(root: Path, ask: Callable[..., Result]) -> None:
    write_folder(root / "photos")
    assert ask("photos", "--out", "out").exit_code == 0
    assert "say --force" in str(ask("photos", "--out", "out").exception)
    assert ask("photos", "--out", "out", "--force").exit_code == 0


@pytest.mark.parametrize("other", [True, False], ids=["those of another training", "none"])
def test_a_model_without_its_reference_statistics_is_evaluated_all_the_same(
    root: Path, ask: Callable[..., Result], other: bool
) -> None:
    shutil.copyfile(Path(__file__).parents[2] / "params.yaml", root / "params.yaml")
    (root / "data/operating_point/reference.npz").unlink()
    if other:
        write_model(root, key="cd" * 32)
    write_folder(root / "photos", per_class=3)
    done = ask("photos", "--out", "out")
    assert (done.exit_code, done.exception) == (0, None)
    assert ("are of another training" if other else "has no reference statistics") in plain(done.stdout)
    assert "against_test_split" not in read_json(root / "out/metrics.json")
    assert {path.name for path in (root / "out").iterdir()} == FILES - {"drift.csv"}


def test_classes_may_look_like_numbers(root: Path, ask: Callable[..., Result]) -> None:
    """What is saved is read back as it was: `007` stays text, and so does a photo called `NA`."""
    write_model(root, classes=("007", "1"))
    write_folder(root / "photos", ("007", "1"))
    paint(root / "NA.png", (0.2, 0.2, 0.2)).rename(root / "photos/007/NA")
    done = ask("photos", "--out", "out")
    assert (done.exit_code, done.exception) == (0, None)
    metrics, predictions, drift = ExternalEvaluation.load(root / "out")
    assert metrics["accuracy"] == 1.0
    assert list(predictions["label"]) == list(predictions["predicted"]) == ["007"] * 7 + ["1"] * 6
    assert "probability_007" in predictions
    assert drift["statistic"].iloc[-1] == "features"


def test_help_says_what_the_command_does() -> None:
    done = CliRunner().invoke(commands, ["evaluate", "--help"])
    assert "--map NAME=CLASS" in done.stdout
    assert "Write metrics.json, predictions.csv, drift.csv and report.html there" in plain(done.stdout)
