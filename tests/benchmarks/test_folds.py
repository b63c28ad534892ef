"""`benchmarks/folds.py` on a handful of tiny photos. How accurate the networks are is not asked here."""

import json

import folds
import numpy as np
import pytest
from click.testing import CliRunner
from photo_files import ROOT, write_classes
from scipy.special import log_softmax

from convlens.errors import ConvLensError
from convlens.metrics.calibration import fit_temperature
from convlens.metrics.intervals import wilson_interval
from convlens.training.checkpoints import Checkpoint

FACTS = {"epochs": 2, "seconds": 1.0, "cpu_seconds": 2.0, "memory_megabytes": 3.0, "num_train": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("folds") / "photos", {"cats": 9, "dogs": 9})


@pytest.fixture
def two_epochs(small_params):
    return lambda **train: small_params(batch_size=4, epochs=2, **train)


@pytest.fixture
def validate(folder, two_epochs, one_process):
    """Cross-validate, with the changes to `train` that are given."""
    return lambda workspace, train=(), **given: folds.cross_validate(
        folder, two_epochs(**dict(train)), workspace=workspace, **given
    )


def test_every_photo_is_evaluated_once_by_a_network_that_was_not_trained_on_it(validate, tmp_path, monkeypatch) -> None:
    tasks, plan = [], folds.plan_folds
    monkeypatch.setattr(folds, "plan_folds", lambda *given: tasks.extend(plan(*given)) or tasks)
    result = validate(tmp_path / "kept", count=3)
    assert json.loads(json.dumps(result)) == result
    assert sorted(np.concatenate([task.evaluated for task in tasks])) == list(range(18))  # disjoint, and all of them
    assert (result["count"], result["num_evaluated"], result["photos"]["num_photos"]) == (3, 18, 18)
    counts = [
        tuple(fold[name] for name in ("fold", "num_train", "num_evaluated", "epochs")) for fold in result["folds"]
    ]
    assert counts == [(1, 12, 6, 2), (2, 12, 6, 2), (3, 12, 6, 2)]
    assert all((task.folder / name).is_file() for task in tasks for name in ("predictions.npz", "model.keras"))


def test_what_is_done_is_not_done_again(validate, tmp_path, monkeypatch) -> None:
    first = validate(tmp_path, count=2, numbers=[1])
    assert [fold["fold"] for fold in first["folds"]] == [2]
    assert first["log_loss"] is None  # there are no other predictions to fit a temperature to
    assert first["log_loss_untempered"] > 0
    told = []
    monkeypatch.setattr(folds, "_tell_epoch", lambda epoch, number: told.append(number))
    result = validate(tmp_path, count=2)
    assert set(told) == {0}
    assert result["folds"][1]["num_correct"] == first["folds"][0]["num_correct"]
    validate(tmp_path, {"seed": 1}, count=2, numbers=[1])
    assert set(told) == {0, 1}  # other parameters, other folds


def test_an_interrupted_training_is_resumed_and_tells_the_time_of_both_parts(validate, tmp_path, monkeypatch) -> None:
    def interrupt(epoch, number) -> None:
        if epoch.values["epoch"] == 2:
            raise KeyboardInterrupt

    whole = validate(tmp_path / "whole", count=2, numbers=[0])
    with monkeypatch.context() as patch:
        patch.setattr(folds, "_tell_epoch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            validate(tmp_path / "kept", count=2, numbers=[0])
    (state,) = (tmp_path / "kept").rglob("checkpoint")
    first = Checkpoint(state).load().seconds
    for result in (validate(tmp_path / "kept", count=2, numbers=[0]) for _ in range(2)):
        (fold,) = result["folds"]
        assert (fold["epochs"], fold["cpu_seconds"]) == (2, None)
        assert fold["seconds"] > first > 0
        assert fold["log_loss_untempered"] == whole["folds"][0]["log_loss_untempered"]
    assert not state.exists()


def test_numbers_of_predictions_that_are_known(two_epochs, tmp_path) -> None:
    labels, assigned = np.array([0, 1, 0, 1, 1]), np.array([0, 0, 0, 1, 1])
    logits = [np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), np.array([[0.0, 2.0], [1.0, 0.0]])]
    tasks = [folds.FoldTask(number, assigned, labels, tmp_path, tmp_path, two_epochs()) for number in (0, 1)]
    result = folds.evaluate_folds(tasks, [{"logits": each, **FACTS} for each in logits])
    assert (result["num_evaluated"], result["accuracy"]) == (5, 0.6)
    assert (result["accuracy_low"], result["accuracy_high"]) == wilson_interval(3, 5)
    first, second = result["folds"]
    assert [(fold["num_correct"], fold["num_evaluated"]) for fold in (first, second)] == [(2, 3), (1, 2)]
    assert first["temperature"] == fit_temperature(logits[1], labels[3:]).value
    for fold, given, truth in ((first, logits[0], labels[:3]), (second, logits[1], labels[3:])):
        losses = -log_softmax(given / fold["temperature"], axis=1)[np.arange(len(truth)), truth]
        assert fold["log_loss"] == pytest.approx(losses.mean())
    assert result["log_loss"] == pytest.approx((3 * first["log_loss"] + 2 * second["log_loss"]) / 5)


@pytest.mark.parametrize("changes", [{"keep": "best"}, {"patience": 3}])
def test_a_recipe_that_chooses_by_the_photos_it_is_evaluated_on_is_refused(validate, changes) -> None:
    with pytest.raises(ConvLensError, match=r"chooses nothing by the photos it is evaluated on.*Received: "):
        validate(None, changes, count=2)


def test_too_many_folds_for_the_photos_are_refused(validate) -> None:
    with pytest.raises(ConvLensError, match=r"each of 10 folds\. Received: photos of .cats. in 9\. Take fewer"):
        validate(None, count=10)


def test_the_command_says_which_recipe_was_measured(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    given = {}
    fold = {"fold": 1, "num_evaluated": 9, "accuracy": 8 / 9, "log_loss": None, "log_loss_untempered": 0.5, **FACTS}
    numbers = {"count": 2, "jobs": 2, "num_evaluated": 9, "log_loss": None, "folds": [{**fold, "cpu_seconds": None}]}
    result = {
        **{**numbers, "accuracy": 8 / 9, "accuracy_low": 0.5, "accuracy_high": 0.99},
        "photos": {"classes": ["cats", "dogs"], "num_photos": 18},
        "machine": {"num_cores": 2, "system": "Linux", "features": [], "packages": {}},
    }

    def measured(photos, params, **others):
        given.update(others, photos=photos, width=params.model.residual.width)
        return result

    monkeypatch.setattr(folds, "cross_validate", measured)
    target = tmp_path / "numbers.json"
    words = ["--photos", str(folder), "--folds", "2", "--only", "1", "--jobs", "2", "--preset", "thorough"]
    done = CliRunner().invoke(folds.main, [*words, "--json", str(target)], catch_exceptions=False)
    assert given == {"count": 2, "numbers": [0], "jobs": 2, "workspace": None, "photos": folder, "width": 32}
    assert json.loads(target.read_text()) == {**result, "params": "params.yaml", "preset": "thorough"}
    head, table, found = done.output.replace("\u00a0", " ").split("\n\n")
    assert head.startswith("18 photos of 2 classes in 2 folds, 2 at a time; preset thorough.\n")
    assert " ".join(table.splitlines()[2].split()) == "| 1 | 4 | 9 | 88.9 % | 0.500 | 2 | 1 s | – | 3 MB |"
    assert found.startswith("Accuracy 88.9 % (50.0 to 99.0) on 9 photos.\n")
