import pytest
from small_training import write_training

from convlens.cli import worker
from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.params import load_params
from convlens.training.key import training_key
from convlens.training.runtime import Runtime


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_worker_trains_what_the_chief_trains_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepared = write_training(tmp_path)["prepared"]
    before, params, seen = files(tmp_path), load_params(), {}

    def prepare(train, rendezvous):
        seen["rendezvous"] = rendezvous
        return Runtime("cpu", "float32", 0)

    def fit(recipe, train, **others):
        seen.update(others, recipe=recipe, train=train)

    monkeypatch.setattr(worker, "prepare_runtime", prepare)
    monkeypatch.setattr(worker, "fit", fit)
    worker.work(prepared, params.recipe, wait_seconds=7)
    card = Prepared.load(prepared).card
    key = training_key(card, params.recipe)
    assert (seen["rendezvous"].key, seen["rendezvous"].is_chief, seen["rendezvous"].seconds) == (key, False, 7)
    assert (seen["recipe"], seen["num_classes"]) == (params.recipe, 2)
    assert len(seen["train"].labels) == len(seen["validation"].labels) == 4
    assert files(tmp_path) == before


def test_a_worker_without_other_machines_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    prepared = write_training(tmp_path)["prepared"]
    with pytest.raises(ConvLensError, match="Expected the machines of the training in the environment variable"):
        worker.work(prepared, load_params().recipe, wait_seconds=0)
