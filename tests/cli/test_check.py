"""What is wrong is told before anything is run: parameters, criteria, photos, Git, the disk."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from photo_files import PARAMS, write_classes
from report_inputs import PARAMS as PARAMETERS
from report_inputs import make_evaluation, make_inputs
from robustness_inputs import make_results

from convlens.cli.main import main
from convlens.metrics.label_errors import LabelErrors
from convlens.stages.check import reach_source
from convlens.tracking.gate import expected_metrics

GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.com")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with its parameters committed, and a folder of photos beside it."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    write_classes(tmp_path / "pets", {"cats": 2, "dogs": 2})
    text = PARAMS.read_text(encoding="utf-8")
    (root / "params.yaml").write_text(re.sub(r"(?m)^  source: \S+", "  source: ../pets", text), encoding="utf-8")
    for command in (("init", "--quiet"), ("add", "params.yaml"), ("commit", "--quiet", "--message", "Start")):
        subprocess.run([*GIT, *command], cwd=root, check=True)
    monkeypatch.chdir(root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return root


def change(old: str, new: str) -> None:
    path = Path("params.yaml")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def run(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    with pytest.raises(SystemExit) as stopped:
        main(["check"])
    told = capsys.readouterr()
    return int(stopped.value.code or 0), (told.err or told.out).splitlines()


def test_nothing_wrong_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys) == (0, ["Nothing wrong with parameters, criteria, ../pets, Git and the disk."])


def test_a_card_is_no_folder_to_look_through(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(PARAMS.parent / "data/cards", root / "data/cards")
    change("source: ../pets", "source: data/cards/synthetic.yaml")
    code, told = run(capsys)
    assert code == 0
    assert told[0] == "Nothing wrong with parameters, criteria, data/cards/synthetic.yaml, Git and the disk."


def test_typos_that_piled_up_are_told_together_with_what_takes_them_back(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change("  epochs: 60", "  epoch: 60\n  epochs: 0")
    change("source: ../pets", "source: ../nowhere")
    code, told = run(capsys)
    assert code == 1
    assert told == [
        "params.yaml: expected train.epochs to be greater than or equal to 1. Received: 0.",
        "params.yaml: unknown parameter 'train.epoch'. Did you mean 'train.epochs'? Remove it, or correct its "
        "spelling.",
        "Expected data.source to be a folder of class folders, a zip or tar archive, or a card. Received: ../nowhere, "
        "which does not exist. Correct data.source in params.yaml.",
        "params.yaml differs from the last commit: data.source ../pets -> ../nowhere, train.epoch – -> 60, "
        "train.epochs 60 -> 0. `git checkout params.yaml` takes it back.",
    ]


@pytest.mark.parametrize(
    ("criteria", "told"),
    [
        ("evaluation:\n      acuracy: {min: 0.9}", "Received: 'acuracy', which is none. Did you mean 'accuracy'?"),
        ("evaluation:\n      recall_cat: {min: 0.9}", "Did you mean 'recall_cats'?"),
        ("evaluation:\n      threshold: {min: 0.9, end: lower}", "Received: 'threshold', which has none."),
        ("robustness:\n      model_shift: {min: 0.9}", "Received: 'model_shift', which is none. Did you mean "),
        ("label_errors:\n      suspicious: {max: 1}", "Did you mean 'num_suspicious'?"),
        ("evaluation:\n      recall_cats: {min: 0.9, end: lower}", ""),
        ("robustness:\n      baseline_gray_consistency: {max: 1.0, end: upper}", ""),
    ],
)
def test_criteria_that_no_metric_has_are_told(
    criteria: str, told: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    section = criteria.partition(":")[0]
    text = Path("params.yaml").read_text(encoding="utf-8")
    pattern = (
        r"(?ms)^    evaluation:.*?(?=^    robustness)" if section == "evaluation" else rf"(?m)^    {section}: {{}}"
    )
    Path("params.yaml").write_text(re.sub(pattern, f"    {criteria}\n", text), encoding="utf-8")
    code, lines = run(capsys)
    assert code == bool(told)
    assert told in lines[0]


def test_the_names_are_those_of_the_results() -> None:
    """As they are measured, so that a metric with another name, or a new one, is seen."""
    inputs = make_inputs(("maine coon", "dogs"), per_class=12)
    given = inputs.evaluation.predictions
    robustness = PARAMETERS.robustness.model_copy(update={"rotation": (), "max_photos": 4})
    measured = {
        "evaluation": make_evaluation(
            inputs.prepared.photos("test"), ("maine coon", "dogs"), 1.0, calibrated=True
        ).metrics,
        "robustness": make_results(robustness).metrics,
        "label_errors": LabelErrors.find(
            given.assign(split="test"),
            given.filter(like="probability_").to_numpy(),
            sorted(set(given["label"])),
            folds=pd.DataFrame({"fold": [], "epoch": []}),
            confidence=0.95,
        ).metrics,
    }
    for section, metrics in measured.items():
        numbers = {name for name, value in metrics.items() if not isinstance(value, str | bool)}
        assert numbers == set(expected_metrics(section, ("maine coon", "dogs"), robustness)), section


def make_pipe(folder: Path) -> None:
    os.mkfifo(folder / "cats/pipe.jpg")


def make_dead_link(folder: Path) -> None:
    (folder / "dogs/dead.jpg").symlink_to("nowhere.jpg")


def make_strange_name(folder: Path) -> None:
    open(os.fsencode(folder) + b"/dogs/caf\xe9.jpg", "wb").close()


def make_one_class(folder: Path) -> None:
    shutil.rmtree(folder / "dogs")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (make_pipe, "Expected files that DVC can read in ../pets. Received: ../pets/cats/pipe.jpg: a pipe or another"),
        (make_dead_link, "Received: ../pets/dogs/dead.jpg: a link to nothing. Remove or rename them: DVC stops at"),
        (make_strange_name, r"Received: b'../pets/dogs/caf\xe9.jpg': a name that is not UTF-8."),
        (make_one_class, "Received: ../pets with one class only ('cats')."),
        (shutil.rmtree, "Received: ../pets, which does not exist."),
    ],
)
def test_photos_that_dvc_would_stop_at_are_told(
    make: Callable[[Path], None], told: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(root.parent / "pets")
    code, (line,) = run(capsys)
    assert code == 1
    assert told in line


def test_a_folder_without_git_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(root / ".git")
    assert run(capsys)[1][0].startswith("Expected a repository of Git, in which DVC works. Received: ")


def test_a_full_disk_is_told(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    assert run(capsys)[1][0].startswith("Expected 0.0 GB of room for 4 photos of 144x144 pixels, here and in DVC's")


# --- experiments that run in a copy of the repository ---


@pytest.fixture
def copy(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of an experiment that DVC runs from its queue."""
    copy = root / ".dvc/tmp/exps/tmp1234"
    copy.mkdir(parents=True)
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.chdir(copy)
    return copy


def test_a_relative_source_leads_to_the_same_photos_in_a_copy(copy: Path) -> None:
    assert not Path("../pets").exists()
    for _ in range(2):
        reach_source("../pets")
        assert sorted(path.name for path in Path("../pets").iterdir()) == ["cats", "dogs"]


@pytest.mark.parametrize("source", ["own photos", "../run", "../../../../../pets"])
def test_where_no_link_can_be_an_absolute_path_is_asked_for(source: str, root: Path, copy: Path) -> None:
    target = Path(os.path.normpath(root / source))
    shutil.copytree(root.parent / "pets", target)
    Path("../run").mkdir()
    try:
        with pytest.raises(Exception, match=rf"Write data\.source={re.escape(str(target))}\.$"):
            reach_source(source)
    finally:
        shutil.rmtree(target)
