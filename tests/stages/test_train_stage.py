"""The stage `train` on a handful of prepared photos."""

import json
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from small_training import use_own_store, write_training

from convlens.data.prepared import Prepared
from convlens.errors import ConvLensError
from convlens.models.files import TrainingRun, load_snapshots, load_trained_model
from convlens.params import TrainingRecipe, load_params
from convlens.stages.train import train
from convlens.training.key import training_key

BRIGHTNESS = tuple(step / 13 for step in range(1, 13))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_own_store(tmp_path, monkeypatch)
    write_training(tmp_path, brightness=BRIGHTNESS)
    for file in (tmp_path / "data/model").iterdir():
        file.unlink()
    return tmp_path


def recipe(**changes):
    params = load_params()
    values = {"epochs": 2, "batch_size": 4, "precision": "float32", "optimizer": "adam", "learning_rate": 0.01}
    dense = params.model.dense.model_copy(update={"units": (4,)})
    return TrainingRecipe(
        model=params.model.model_copy(update={"architecture": "dense", "dense": dense}),
        augment=params.augment,
        train=params.train.model_copy(update={**values, **changes}),
    )


def run(root: Path, **changes) -> None:
    train(
        prepared=root / "data/prepared",
        model_folder=root / "data/model",
        training=root / "reports/training",
        checkpoints=Path(".convlens/checkpoints"),
        recipe=recipe(**changes),
        recording=load_params().recording,
    )


def runs(root: Path):
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    return client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


def test_it_writes_model_card_and_history(root, capsys):
    run(root)
    card = json.loads((root / "data/model/card.json").read_text())
    prepared = Prepared.load(root / "data/prepared")
    assert card["key"] == training_key(prepared.card, recipe())
    assert card["classes"] == list(prepared.classes)
    assert card["architecture"] == "dense"
    assert card["epochs"] == 2
    assert load_trained_model(root / "data/model").count_params() == card["num_parameters"]
    loaded = TrainingRun.load(root / "data/model", root / "reports/training")
    assert loaded.history["epoch"].tolist() == [1, 2]
    assert (loaded.card, list(loaded.snapshots)) == (card, [1])
    timing = pd.read_csv(root / "reports/training/timing.csv")
    assert list(timing) == ["key", "epoch", "seconds", "photos_per_second", "memory_megabytes"]
    assert timing["epoch"].tolist() == [1, 2]
    assert set(timing["key"]) == {card["key"]}
    assert not list((root / ".convlens/checkpoints").glob("*"))
    told = capsys.readouterr().err
    assert "train: dense, 2 epochs over 12 photos, 12 to validate, cpu, float32." in told
    assert "epoch   2/2" in told
    (recorded,) = runs(root)
    assert recorded.info.status == "FINISHED"
    assert recorded.data.tags["convlens.key"] == card["key"]


def test_the_same_inputs_give_the_same_bytes(root):
    results = []
    for _ in range(2):
        run(root)
        files = ("data/model/model.keras", "data/model/card.json", "reports/training/history.csv")
        results.append([(root / file).read_bytes() for file in files])
    assert results[0] == results[1]
    assert len(runs(root)) == 1


def test_a_loss_that_is_not_finite_names_the_photos_and_leaves_no_model(root):
    with pytest.raises(ConvLensError, match=r"Expected a finite loss.* Photos of that batch: photos/train/") as caught:
        run(root, learning_rate=3e38, optimizer="sgd", epochs=5)
    assert str(caught.value).count("photos/train/") == 4
    assert not (root / "data/model/model.keras").exists()
    assert [recorded.info.status for recorded in runs(root)] == ["FAILED"]


def test_the_key_follows_what_the_result_depends_on(root):
    card = Prepared.load(root / "data/prepared").card
    key = training_key(card, recipe())
    assert key == training_key({**card, "source": "elsewhere"}, recipe())
    assert key != training_key({**card, "digest": "other"}, recipe())
    assert key != training_key(card, recipe(epochs=3))
    model = recipe().model
    other = model.model_copy(update={"classic": model.classic.model_copy(update={"filters": 7})})
    assert key == training_key(
        card, recipe().model_copy(update={"model": other})
    )  # only the chosen architecture counts


def transfer_key(weights, sha256=None):
    model = load_params().model
    transfer = model.transfer.model_copy(update={"weights": weights, "weights_sha256": sha256})
    changed = model.model_copy(update={"architecture": "transfer", "transfer": transfer})
    return training_key({}, recipe().model_copy(update={"model": changed}))


def test_the_key_follows_what_pretrained_weights_are_and_not_where_they_lie(monkeypatch):
    key = transfer_key("a.h5", "0" * 64)
    assert key == transfer_key("/elsewhere/b.h5", "0" * 64)
    keys = {key, transfer_key("a.h5", "1" * 64), transfer_key("imagenet"), transfer_key("none")}
    monkeypatch.setattr("convlens.training.key.version", lambda _: "another Keras")
    assert len(keys | {transfer_key("imagenet")}) == 5


def snapshots(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "data/model/snapshots").iterdir())}


def test_a_training_that_was_interrupted_resumes_in_the_same_run_and_keeps_the_same_snapshots(
    root, monkeypatch, capsys
):
    run(root, epochs=5, snapshots=2)
    whole = snapshots(root)
    assert list(whole) == ["epoch_00001.npz", "epoch_00004.npz"]

    def stop(text):
        if "epoch   4" in text:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("convlens.stages.train.say", stop)
        with pytest.raises(KeyboardInterrupt):
            run(root, epochs=5, snapshots=2)
    assert [recorded.info.status for recorded in runs(root)] == ["KILLED"]
    capsys.readouterr()
    run(root, epochs=5, snapshots=2)
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("train: resumes at epoch 4; dense, 5 epochs over 12 photos")
    assert "epoch   4/5" in told[1]
    assert [recorded.info.status for recorded in runs(root)] == ["FINISHED"]
    assert snapshots(root) == whole
    assert not list((root / ".convlens/checkpoints").glob("*"))


def test_the_network_itself_is_no_snapshot(root):
    run(root, epochs=4, snapshots=6)
    assert list(snapshots(root)) == ["epoch_00001.npz", "epoch_00002.npz"]
    weights = load_snapshots(root / "data/model")[1]
    shapes = [values.shape for values in load_trained_model(root / "data/model").get_weights()]
    assert [values.shape for values in weights] == shapes
    run(root, epochs=4, snapshots=0)
    assert snapshots(root) == {}
