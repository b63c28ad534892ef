"""Ctrl-C and `kill -9` in every stage of `make repro`: typed again and again, it ends as if nothing had happened."""

import os
import re
import shutil
import signal
import site
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from interrupts import ctrl_c_is_heard
from mlflow import MlflowClient
from pipeline.clone import EPOCHS, Clone, stages_run, stamp_environment

from convlens.pipeline import STAGES

CTRL_C, KILL = signal.SIGINT, signal.SIGKILL
# What differs from run to run.
OWN = ("reports/training/timing.csv", "reports/training/speed.png")
SAID = "said"

pytestmark = pytest.mark.timeout(1800)  # the first test waits for two runs of the pipeline and fifteen pieces of one


@dataclass(frozen=True)
class Moment:
    """Where an interruption comes: in which stage, upon which of Python's audit events or what DVC says, and how."""

    stage: str
    event: str
    pattern: str
    number: signal.Signals


MOMENTS = (
    Moment("check", "open", r"data/\.check\.txt", CTRL_C),
    Moment("ingest", "open", r"data/\.raw\..*\.part/", CTRL_C),  # photos are being painted, by several processes
    Moment("ingest", SAID, "Updating lock file", CTRL_C),  # DVC is about to write dvc.lock
    Moment("validate", "import", "^great_expectations$", CTRL_C),
    Moment("validate", "open", r"reports/validation/\.data_docs\..*\.part/", KILL),
    Moment("preprocess", "open", r"data/\.prepared\..*\.part/train", CTRL_C),
    Moment("preprocess", SAID, "Updating lock file", KILL),
    Moment("train", "open", r"reports/training/\.timing\.csv", CTRL_C),  # the first epoch is over
    Moment("train", "open", r"reports/training/\.history\.csv", KILL),  # the network is written, its history is not
    Moment("evaluate", "open", r"reports/evaluation/\.[^/]*\.part$", CTRL_C),
    Moment("robustness", "open", r"data/prepared/", CTRL_C),
    Moment("label_errors", "open", r"data/prepared/", CTRL_C),
    Moment("report", "open", r"reports/\.feature_maps\..*\.part/", CTRL_C),
    Moment("register", "sqlite3.connect", r"mlflow\.db", CTRL_C),
    Moment("register", "open", r"reports/\.registration\.json", KILL),  # everything is recorded but the file
)


def make_environment(clone: Clone) -> None:
    """Give a clone an environment of its own: the packages of this one, and a point where stages stop."""
    home = clone.folder / ".venv"
    packages = home / site.getsitepackages()[0].removeprefix(f"{sys.prefix}/")
    packages.mkdir(parents=True)
    (home / "bin").mkdir()
    for program in (Path(sys.prefix) / "bin").iterdir():
        (home / "bin" / program.name).symlink_to(program)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", home)
    shutil.copy(Path(__file__).with_name("stopping_point.py"), packages)
    lines = (f"import site; site.addsitedir({site.getsitepackages()[0]!r})", "import stopping_point", "")
    (packages / "these.pth").write_text("\n".join(lines))
    stamp_environment(clone.folder)


def interrupt(clone: Clone, moment: Moment) -> str:
    """Type `make repro`, and end all of its processes at a moment, as a terminal does; what was said."""
    told = clone.folder.parent / "stopped"
    told.unlink(missing_ok=True)
    where = "\n".join((moment.stage, moment.event, moment.pattern, str(told)))
    process = clone.start("env", f"CONVLENS_TEST_STOP={where}", "make", "repro")
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))
    reader.start()
    while not (is_said(lines, moment) if moment.event == SAID else told.exists()):
        assert process.poll() is None, f"{moment} did not come:\n{''.join(lines)}"
        time.sleep(0.005)
    os.killpg(process.pid, moment.number)
    reader.join()  # until the last process has closed its output
    process.communicate()
    return "".join(lines)


def is_said(lines: list[str], moment: Moment) -> bool:
    _, begun, rest = "".join(lines).partition(f"Running stage '{moment.stage}'")
    return bool(begun) and moment.pattern in rest


@pytest.fixture(scope="module")
def interrupted(reproduced: Clone, tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, list[str]]:
    """A fresh clone in which `make repro` was typed until it came through, and what it said each time."""
    folder = tmp_path_factory.mktemp("interrupted") / "convlens"
    subprocess.run(["git", "clone", "--quiet", str(reproduced.folder), str(folder)], check=True)
    clone = Clone(folder)
    make_environment(clone)
    with ctrl_c_is_heard():
        told = [interrupt(clone, moment) for moment in MOMENTS]
    return clone, [*told, clone.run("make", "repro").stdout]


def test_every_stage_is_interrupted() -> None:
    assert {moment.stage for moment in MOMENTS if moment.number == CTRL_C} == set(STAGES)
    assert {moment.number for moment in MOMENTS} == {CTRL_C, KILL}


def test_each_was_interrupted_where_it_should_be(interrupted: tuple[Clone, list[str]]) -> None:
    for moment, text in zip(MOMENTS, interrupted[1], strict=False):
        if moment.event == SAID:  # DVC may have been quicker
            assert moment.stage in stages_run(text), text
        else:
            assert stages_run(text)[-1:] == [moment.stage], text


def test_it_is_told_in_few_words(interrupted: tuple[Clone, list[str]]) -> None:
    *told, last = interrupted[1]
    for moment, text in zip(MOMENTS, told, strict=True):
        assert "Traceback" not in text, text
        if moment.number == CTRL_C and moment.event != SAID:
            assert text.count(f"{moment.stage}: interrupted. The same command resumes it.") == 1, text
    assert stages_run(last) == ["register"]
    said = last.replace("label_errors", "")  # the name of a stage
    assert not re.search("traceback|warning|error", said, flags=re.IGNORECASE)


def contents(folder: Path) -> dict[str, bytes]:
    """Everything a run leaves in data, reports and the root, but what differs from run to run."""
    inside = [path for name in ("data", "reports") for path in (folder / name).rglob("*")]
    files = {path.relative_to(folder).as_posix(): path for path in [*inside, *folder.glob("*.*")] if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name not in OWN and "mlflow.db" not in name}


def test_it_ends_as_if_nothing_had_happened(reproduced: Clone, interrupted: tuple[Clone, list[str]]) -> None:
    clone, _ = interrupted
    found, expected = contents(clone.folder), contents(reproduced.folder)
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert clone.changed_files() == reproduced.changed_files()


def test_nothing_is_left_lying_about(interrupted: tuple[Clone, list[str]]) -> None:
    clone, _ = interrupted
    assert [path for pattern in ("*.part", "*.tmp") for path in clone.folder.rglob(pattern)] == []
    assert list((clone.folder / ".convlens/checkpoints").glob("*")) == []
    assert (clone.folder / ".dvc/tmp/rwlock").read_text() == "{}"
    assert stages_run(clone.run("make", "repro").stdout) == []


def test_it_is_one_run_and_one_version(interrupted: tuple[Clone, list[str]]) -> None:
    client = MlflowClient(f"sqlite:///{interrupted[0].folder}/mlflow.db")
    (run,) = client.search_runs([found.experiment_id for found in client.search_experiments()])
    assert run.info.status == "FINISHED"
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "curves/validation_loss")]
    assert sorted(steps) == list(range(1, EPOCHS + 1))
    (version,) = client.search_model_versions()
    assert version.run_id == run.info.run_id
    assert client.get_model_version_by_alias("tiny", "champion").version == version.version
