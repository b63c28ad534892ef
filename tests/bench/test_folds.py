"""`convlens bench folds` on a handful of tiny photos. How good the answers are is not asked here."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_params import small_params
from convlens.cli.main.main import main
from photo_files import ROOT, write_classes
from scipy.special import log_softmax

from convlens.bench import fold_training
from convlens.bench.fold_results import format_folds, judge_folds
from convlens.bench.fold_training import FoldResult, FoldTask
from convlens.bench.folds import bench_folds
from convlens.errors import ConvLensError
from convlens.metrics.calibration import fit_temperature
from convlens.metrics.intervals import wilson_interval
from convlens.params import Params
from convlens.training.checkpoints import Checkpoint
from convlens.wording import show_share

FACTS = {"epochs": 2, "seconds": 1.0, "cpu_seconds": 2.0, "memory_megabytes": 3.0, "num_learnt": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("folds") / "photos", {"cats": 9, "dogs": 9})


def two_epochs(**train: Any) -> Params:
    return small_params(batch_size=4, epochs=2, **train)


def call_here(function, task):
    """In this process, after the way through a pickle that it would take to its own."""
    function, task = pickle.loads(pickle.dumps((function, task)))
    return function(task)


def test_every_photo_is_asked_about_once_by_a_network_that_did_not_learn_from_it(folder, tmp_path) -> None:
    result = bench_folds(folder, two_epochs(), count=3, workspace=tmp_path / "kept", call=call_here)
    assert json.loads(json.dumps(result)) == result
    assert (result["count"], result["num_asked"], result["photos"]["num_photos"]) == (3, 18, 18)
    assert [(fold["fold"], fold["num_learnt"], fold["num_photos"], fold["epochs"]) for fold in result["folds"]] == [
        (1, 12, 6, 2),
        (2, 12, 6, 2),
        (3, 12, 6, 2),
    ]
    assert all(min(fold["seconds"], fold["cpu_seconds"], fold["memory_megabytes"]) > 0 for fold in result["folds"])
    kept = {path.relative_to(tmp_path / "kept").as_posix().partition("/")[2] for path in files(tmp_path / "kept")}
    assert kept >= {f"fold-{number}/{name}" for number in (1, 2, 3) for name in ("answers.npz", "model.keras")}
    assert "3 folds, 1 at a time" in format_folds(result)


def test_what_is_done_is_not_done_again(folder, tmp_path, monkeypatch) -> None:
    first = bench_folds(folder, two_epochs(), count=2, numbers=[1], workspace=tmp_path / "kept", call=call_here)
    assert [fold["fold"] for fold in first["folds"]] == [2]
    assert first["log_loss"] is None  # there are no other answers to fit a temperature to
    assert first["log_loss_untempered"] > 0
    trained, train = [], fold_training._train

    def watch(task: FoldTask, checkpoint: Any) -> FoldResult:
        trained.append(task.number)
        return train(task, checkpoint)

    monkeypatch.setattr(fold_training, "_train", watch)
    result = bench_folds(folder, two_epochs(), count=2, workspace=tmp_path / "kept", call=call_here)
    assert trained == [0]
    assert result["folds"][1]["num_right"] == first["folds"][0]["num_right"]
    bench_folds(folder, two_epochs(seed=1), count=2, numbers=[1], workspace=tmp_path / "kept", call=call_here)
    assert trained == [0, 1]  # other parameters, other folds


def test_a_training_that_was_cut_off_goes_on_and_tells_the_time_of_both_parts(folder, tmp_path, monkeypatch) -> None:
    def cut_off(report: Any, number: int) -> None:
        if report.values["epoch"] == 2:
            raise KeyboardInterrupt

    given = {"count": 2, "numbers": [0], "workspace": tmp_path / "kept", "call": call_here}
    whole = bench_folds(folder, two_epochs(), **{**given, "workspace": tmp_path / "whole"})
    with monkeypatch.context() as patch:
        patch.setattr(fold_training, "_tell", cut_off)
        with pytest.raises(KeyboardInterrupt):
            bench_folds(folder, two_epochs(), **given)
    (state,) = (tmp_path / "kept").rglob("checkpoint")
    first = Checkpoint(state).load().seconds
    for result in (bench_folds(folder, two_epochs(), **given), bench_folds(folder, two_epochs(), **given)):
        (fold,) = result["folds"]
        assert (fold["epochs"], fold["cpu_seconds"]) == (2, None)
        assert fold["seconds"] > first > 0
        assert fold["log_loss_untempered"] == whole["folds"][0]["log_loss_untempered"]
        assert format_folds(result).splitlines()[4].split()[-3] == "–"
    assert not state.exists()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_numbers_of_answers_that_are_known() -> None:
    labels = np.array([0, 1, 0, 1, 1])
    assigned = np.array([0, 0, 0, 1, 1])
    logits = [np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), np.array([[0.0, 2.0], [1.0, 0.0]])]
    tasks = [FoldTask(number, assigned, labels, 2, Path(), Path(), two_epochs()) for number in (0, 1)]
    result = judge_folds(tasks, [FoldResult(each, FACTS) for each in logits])
    low, high = wilson_interval(3, 5)
    assert (result["num_asked"], result["accuracy"]) == (5, 0.6)
    assert (result["accuracy_low"], result["accuracy_high"]) == (low, high)
    first, second = result["folds"]
    assert [(fold["num_right"], fold["num_photos"]) for fold in (first, second)] == [(2, 3), (1, 2)]
    assert first["temperature"] == fit_temperature(logits[1], labels[3:]).value
    for fold, given, truth in ((first, logits[0], labels[:3]), (second, logits[1], labels[3:])):
        losses = -log_softmax(given / fold["temperature"], axis=1)[np.arange(len(truth)), truth]
        assert fold["log_loss"] == pytest.approx(losses.mean())
    assert result["log_loss"] == pytest.approx((3 * first["log_loss"] + 2 * second["log_loss"]) / 5)
    assert first["num_learnt"] == 4


@pytest.mark.parametrize("changes", [{"keep": "best"}, {"patience": 3}])
def test_a_recipe_that_chooses_by_the_photos_it_is_asked_about_is_refused(folder, changes) -> None:
    with pytest.raises(ConvLensError, match=r"chooses nothing by the photos it is asked about.*Received: "):
        bench_folds(folder, two_epochs(**changes), count=2)


def test_too_many_folds_for_the_photos_are_refused(folder) -> None:
    with pytest.raises(ConvLensError, match=r"each of 10 folds\. Received: photos of .cats. in 9\. Take fewer"):
        bench_folds(folder, two_epochs(), count=10)


def test_the_command_refuses_a_fold_that_is_not_there(capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "folds", "--folds", "3", "--only", "4"])
    assert stopped.value.code == 1
    assert "Expected --only from 1 to 3, the number of folds. Received: 4." in capsys.readouterr().err


def test_the_command_prints_and_writes(folder, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(ROOT)
    asked: dict[str, Any] = {}
    fold = {
        **{"fold": 1, "num_photos": 9, "num_right": 8, "accuracy": 8 / 9, "temperature": None},
        **{"log_loss": None, "log_loss_untempered": 0.5, **FACTS},
    }
    result = {
        **{"bench": "folds", "count": 2, "jobs": 2, "num_asked": 9, "log_loss": None, "folds": [fold]},
        **{"accuracy": 8 / 9, "accuracy_low": 0.5, "accuracy_high": 0.99},
        "photos": {"source": "here", "classes": ["cats", "dogs"], "num_photos": 18, "digest": "d"},
        "machine": {"num_cores": 2, "system": "Linux", "features": [], "packages": {}},
    }

    def measured(photos: Path, params: Params, **given: Any) -> dict[str, Any]:
        asked.update(given, photos=photos, width=params.model.residual.width)
        return result

    monkeypatch.setattr("convlens.bench.folds.bench_folds", measured)
    target = tmp_path / "numbers.json"
    words = ["--photos", str(folder), "--folds", "2", "--only", "1", "--jobs", "2", "--preset", "thorough"]
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "folds", *words, "--json", str(target)])
    assert stopped.value.code in (0, None)
    assert asked == {"count": 2, "numbers": [0], "jobs": 2, "workspace": None, "photos": folder, "width": 32}
    assert json.loads(target.read_text()) == result
    assert f"{show_share(8 / 9)} (50.0 to 99.0) of 9 photos right." in capsys.readouterr().out
