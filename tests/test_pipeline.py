import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from photo_files import PARAMS, ROOT, import_expectations, write_classes

from convlens import pipeline as stage
from convlens.errors import ConvLensError
from convlens.files import write_text
from convlens.params import (
    DataParams,
    Params,
    PreprocessParams,
    TrainingRecipe,
    TrainParams,
    ValidateParams,
    load_params,
)
from convlens.pipeline import STAGES, group_names, load_stage, main, path_names, run_stage


def sample(*, photos: Path, model_folder: Path, data: DataParams, validate: ValidateParams) -> None:
    pass


def learn(*, prepared: Path, recipe: TrainingRecipe, data: DataParams) -> None:
    pass


def record(*, everything: Params) -> None:
    pass


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A stage that notes how it was called; the working directory has the shipped parameters."""
    calls: list[dict[str, Any]] = []

    def note(*, source: Path, out_folder: Path, preprocess: PreprocessParams) -> None:
        calls.append({"source": source, "out_folder": out_folder, "preprocess": preprocess})

    shutil.copy(PARAMS, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "load_stage", lambda _: note)
    return calls


def test_a_signature_tells_paths_and_groups() -> None:
    assert path_names(sample) == ["photos", "model_folder"]
    assert group_names(sample) == ["data", "validate"]
    assert group_names(learn) == ["model", "augment", "train", "data"]
    assert group_names(record)[:3] == ["data", "validate", "preprocess"]


def test_the_pipeline_calls_every_stage_as_its_signature_says() -> None:
    """Paths of the command line and groups under `params` are those of the function."""
    import_expectations()
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert list(stages) == list(STAGES)
    for name in ("ingest", "validate", "preprocess"):
        function = load_stage(name)
        words = stages[name]["cmd"].split()
        assert words[words.index("convlens.pipeline") + 1] == name
        options = [word for word in words if word.startswith("--")]
        assert sorted(options) == sorted(f"--{path.replace('_', '-')}" for path in path_names(function))
        assert set(stages[name]["params"]) == set(group_names(function))
        assert function.__module__ == f"convlens.stages.{name}"
        assert function.__name__ == name


def test_a_stage_gets_its_paths_and_groups(called: list[dict[str, Any]]) -> None:
    assert main(["ingest", "--source", "pets", "--out-folder", "a b"]) == 0
    (call,) = called
    assert (call["source"], call["out_folder"]) == (Path("pets"), Path("a b"))
    assert call["preprocess"] == load_params(PARAMS).preprocess


def test_a_stage_may_take_a_recipe_or_everything(called: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def note(*, out: Path, recipe: TrainingRecipe, everything: Params) -> None:
        given.update(out=out, recipe=recipe, everything=everything)

    monkeypatch.setattr(stage, "load_stage", lambda _: note)
    assert main(["train", "--out", "here"]) == 0
    params = load_params(PARAMS)
    assert given["everything"] == params
    recipe = given["recipe"]
    assert (recipe.model, recipe.augment, recipe.train) == (params.model, params.augment, params.train)


@pytest.mark.parametrize(
    "arguments",
    [["--source", "pets"], [], ["--source", "pets", "--out-folder", "x", "--color", "red"], ["--sour", "x"]],
)
def test_wrong_paths_are_told(
    arguments: list[str], called: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["ingest", *arguments])
    assert caught.value.code == 2
    assert "python -m convlens.pipeline ingest: error: " in capsys.readouterr().err
    assert called == []


def test_ctrl_c_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "run_stage", interrupt)
    assert main(["ingest"]) == 130
    assert capsys.readouterr().err == "ingest: interrupted. The same command resumes it.\n"


@pytest.mark.parametrize("arguments", [[], ["paint"], ["--help"]])
def test_an_unknown_stage_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    name = arguments[0] if arguments else ""
    assert capsys.readouterr().err == f"Expected a stage: one of {', '.join(STAGES)}. Received: '{name}'.\n"


def test_errors_for_users_come_as_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*, data: DataParams) -> None:
        raise ConvLensError("Expected this. Received: that.")

    shutil.copy(PARAMS, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "load_stage", lambda _: fail)
    assert main(["train"]) == 1
    assert capsys.readouterr().err == "train: Expected this. Received: that.\n"


def test_parameters_are_checked_before_a_stage_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "load_stage", lambda _: pytest.fail("the stage was loaded"))
    assert main(["train"]) == 1
    assert "train: Expected a YAML file at params.yaml. Received: nothing there." in capsys.readouterr().err


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    monkeypatch.setattr(stage, "run_stage", fail)
    assert main(["train"]) == 1
    assert "without 'tensorflow'. Run `make setup`" in capsys.readouterr().err


def test_errors_of_our_own_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'convlens.nothing'", name="convlens.nothing")

    monkeypatch.setattr(stage, "run_stage", fail)
    with pytest.raises(ModuleNotFoundError):
        main(["train"])


def test_another_file_of_parameters(called: list[dict[str, Any]], tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    text = re.sub(r"image_size: \d+", "image_size: 61", PARAMS.read_text(encoding="utf-8"))
    other.write_text(text, encoding="utf-8")
    run_stage("ingest", ["--source", "a", "--out-folder", "b"], other)
    assert called[0]["preprocess"].image_size == 61


# --- inputs that change while a stage runs ---

PIPELINE = """\
stages:
  train:
    cmd: none
    deps:
    - ${data.source}
    - src
    params: [train, register.experiment]
    outs:
    - model:
        cache: false
"""


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], int]:
    """Runs a stage that calls something between reading and writing; gives the exit code."""
    write_classes(tmp_path / "pets", {"cats": 2, "dogs": 2})
    (tmp_path / "src").mkdir()
    (tmp_path / "src/code.py").write_text("one")
    text = PARAMS.read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(re.sub(r"(?m)^  source: \S+", "  source: pets", text), encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_text("earlier")
    for path in tmp_path.rglob("*.*"):
        os.utime(path, (0, 0))  # made long ago: a clock of hundredths of a second tells every change
    monkeypatch.chdir(tmp_path)

    def run(happen: Callable[[], None]) -> int:
        def learn(*, model: Path, timing: Path, train: TrainParams) -> None:
            happen()
            write_text(timing, "one epoch")
            write_text(model / "weights", f"{train.epochs} epochs")

        monkeypatch.setattr(stage, "load_stage", lambda _: learn)
        return main(["train", "--model", "model", "--timing", "timing.csv"])

    return run


def edit(name: str, value: str) -> None:
    """Save another value in params.yaml, as an editor does."""
    path = Path("params.yaml")
    path.write_text(re.sub(rf"(?m)^  {name}: \S+", f"  {name}: {value}", path.read_text("utf-8")), "utf-8")


def replace_photo(times: int) -> None:
    """Put another photo in the place of one, and that one back, and so on."""
    photo = min(Path("pets/cats").iterdir())
    contents = [b"another", photo.read_bytes()]
    for number in range(times):
        photo.write_bytes(contents[number % 2])


CHANGES: dict[str, tuple[Callable[[], None], str]] = {
    "a parameter": (lambda: edit("epochs", "7"), "train.epochs 60 -> 7"),
    "one of a group": (lambda: edit("experiment", "other"), "register.experiment convlens -> other"),
    "a photo": (lambda: replace_photo(1), "pets/cats/"),
    "a photo that is put back": (lambda: replace_photo(2), "pets/cats/"),
    "a photo more": (lambda: Path("pets/dogs/new.jpg").write_bytes(b"new"), "pets/dogs/new.jpg"),
    "a photo less": (lambda: min(Path("pets/dogs").iterdir()).unlink(), "pets/dogs/"),
    "the code": (lambda: Path("src/code.py").write_text("two") and None, "src/code.py"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_made_from_other_inputs_is_not_taken(
    what: str, training: Callable[[Callable[[], None]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    happen, told = CHANGES[what]
    assert training(happen) == 1
    assert Path("model/weights").read_text() == "earlier"
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("train: Expected parameters and files to stay as they are while the stage runs. Received ch")
    assert told in last


def test_a_change_after_the_first_result_was_written_fails_too(
    training: Callable[[Callable[[], None]], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = write_text

    def write_then_edit(path: Path, text: str) -> None:
        saved(path, text)
        if path.name == "weights":
            edit("epochs", "7")

    monkeypatch.setitem(globals(), "write_text", write_then_edit)
    assert training(lambda: None) == 1


def put_back() -> None:
    edit("epochs", "7")
    edit("epochs", "60")


def leave_traces() -> None:
    Path("src/__pycache__").mkdir()
    Path("src/__pycache__/code.pyc").write_bytes(b"")
    Path("src/code.py").write_text("one")
    Path("pets/cats/.DS_Store").write_bytes(b"")


@pytest.mark.parametrize("happen", [put_back, lambda: edit("max_regression", "0.5"), leave_traces])
def test_what_changes_no_input_of_the_stage_is_fine(
    happen: Callable[[], None], training: Callable[[Callable[[], None]], int]
) -> None:
    assert training(happen) == 0
    assert Path("model/weights").read_text() == "60 epochs"


def test_a_changed_parameter_is_warned_of_at_once(
    training: Callable[[Callable[[], None]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert training(lambda: edit("epochs", "7")) == 1
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("train: warning: params.yaml has changed: train.epochs 60 -> 7. The stage goes on with")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_ends_are_as_orderly_as_ctrl_c(
    number: signal.Signals,
    training: Callable[[Callable[[], None]], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # under nohup it would be ignored
    try:
        assert training(lambda: os.kill(os.getpid(), number)) == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err == "train: interrupted. The same command resumes it.\n"


def run_process(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    text = PARAMS.read_text(encoding="utf-8")
    (folder / "params.yaml").write_text(re.sub(r"(?m)^  source: \S+", f"  source: {source}", text), encoding="utf-8")
    paths = ["--photos", "data/photos.parquet", "--raw", "data/raw"]
    return subprocess.run(
        [sys.executable, "-m", "convlens.pipeline", "ingest", *paths],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_real_process_with_a_missing_source(tmp_path: Path) -> None:
    done = run_process(tmp_path, "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "ingest: Expected data.source to be a folder of class folders, a zip or tar archive, or a card. "
        "Received: nowhere, which does not exist. Correct data.source in params.yaml.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_a_real_process_that_succeeds(tmp_path: Path) -> None:
    write_classes(tmp_path / "pets", {"cats": 2, "dogs": 2})
    done = run_process(tmp_path, "pets")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("2 cats, 2 dogs.\n")
    assert (tmp_path / "data/photos.parquet").is_file()
