"""The criteria of `params.yaml`, from the results of a training to the aliases of its version."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from small_training import demand, use_own_store, write_training

from convlens.errors import ConvLensError
from convlens.params import RegisterParams
from convlens.stages.register import register
from convlens.tracking import models as packed
from convlens.tracking.promotion import roll_back

OTHER_KEY = "cd" * 32


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a store of its own."""
    use_own_store(tmp_path, monkeypatch)
    return tmp_path


def client(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root}/mlflow.db")


def aliases(root: Path) -> dict[str, str]:
    found: dict[str, str] = client(root).get_registered_model("convlens").aliases
    return {name: str(version) for name, version in found.items()}


def missed(root: Path) -> dict[str, str]:
    """Criteria of registration.json that are missed, and why."""
    criteria = json.loads((root / "reports/registration.json").read_text())["criteria"]
    return {item["name"]: item["note"] for item in criteria if not item["passed"]}


def test_every_file_is_held_against_its_criteria(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strict = demand(
        0.7,
        evaluation={"accuracy": {"min": 0.5, "end": "lower"}},
        robustness={"model_shift_consistency": {"min": 0.99}},
        label_errors={"num_suspicious": {"max": 2}},
        slices={"min_accuracy": 0.75},
    )
    register(**write_training(root, threshold=0.2), register=strict)
    assert missed(root) == {
        "evaluation.accuracy_low": "the lower end of its interval, on 4 photos",
        "robustness.model_shift_consistency": "",
        "label_errors.num_suspicious": "",
        "worst_slice": "brightness dark, 2 photos; of 2 slices",
    }
    assert aliases(root) == {"challenger": "1"}
    assert "register: 4 of 7 criteria are missed.\n" in capsys.readouterr().err


def test_an_unknown_metric_is_told_before_anything_is_recorded(root: Path) -> None:
    wrong = demand(robustness={"shift_consistency": {"min": 0.9}})
    with pytest.raises(ConvLensError) as told:
        register(**write_training(root), register=wrong)
    assert str(told.value) == (
        "Expected `register.criteria.robustness.shift_consistency` in params.yaml to name a metric of "
        "reports/robustness/metrics.json. Received: 'shift_consistency', which is none. "
        "Did you mean 'model_shift_consistency'? There are: model_shift_consistency."
    )
    assert client(root).search_registered_models() == []
    assert [item.name for item in client(root).search_experiments()] == ["Default"]


def test_who_was_rolled_back_does_not_come_back_by_itself(root: Path) -> None:
    register(**write_training(root, threshold=0.2), register=demand(0.5))
    paths = write_training(root, key=OTHER_KEY)
    register(**paths, register=demand(0.5))
    roll_back("convlens", "wrong at night")
    register(**paths, register=demand(0.5))  # the verdict stands
    assert aliases(root) == {"champion": "1"}
    register(**paths, register=demand(0.6))  # judged anew
    assert aliases(root) == {"champion": "1", "challenger": "2"}
    assert missed(root) == {"not_rolled_back": "it was rolled back: wrong at night"}


def test_a_model_that_could_not_be_served_is_asked_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no port is free")

    paths = write_training(root)
    with monkeypatch.context() as broken:
        broken.setattr(packed, "predict_served", fail)
        register(**paths, register=demand())
    assert missed(root) == {"answers_when_served": "it does not answer over HTTP: no port is free"}
    assert aliases(root) == {"challenger": "1"}
    register(**paths, register=demand())
    assert aliases(root) == {"champion": "1"}
    assert missed(root) == {}


def test_demands_are_recorded_in_a_form_that_comes_back_the_same() -> None:
    params: RegisterParams = demand(0.7, slices={"min_accuracy": 0.75, "end": "lower"})
    plain = params.criteria.model_dump(mode="json")
    assert json.loads(json.dumps(plain)) == plain
