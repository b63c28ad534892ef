"""What a run holds of a training, gathered from files and written to a store."""

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image
from small_training import demand, stage_paths, use_own_store, write_training

from convlens.data.prepared import Prepared
from convlens.models.files import TrainingRun
from convlens.tracking.record import MAX_NOTE_LENGTH, Picture, Record, complete_run, gather_record, stage_pictures
from convlens.tracking.runs import add_epochs, epoch_metrics, evaluation_metrics, find_durations, find_or_create_run
from convlens.tracking.store import open_store

FOLDS = "fold,epoch,train_loss\n1,1,0.7\n1,2,0.6\n2,1,0.8\n2,2,0.4\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished training, but for its network, which would cost the import of TensorFlow."""
    use_own_store(tmp_path, monkeypatch)
    monkeypatch.setattr("small_training.write_network", lambda path, threshold: None)
    write_training(tmp_path)
    return tmp_path


def gather(root: Path, **card: object) -> Record:
    paths = stage_paths(root)
    training = TrainingRun.load(paths["model_folder"], root / "reports/training")
    training.card.update(card)
    places = {name: paths[name] for name in ("reports", "project")}
    return gather_record(Prepared.load(paths["prepared"]), training, params=demand(), **places)


def complete(record: Record) -> Run:
    return complete_run(open_store(), "trials", record)


def files(root: Path, run: Run) -> set[str]:
    folder = root / "mlartifacts" / run.info.run_id / "artifacts"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def paint(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "teal").save(path)


def test_pictures_are_plots_layers_and_epochs(root: Path) -> None:
    maps = root / "reports/feature_maps"
    for name in ("conv_1", "conv_10", "conv_2"):
        paint(maps / f"01-cat.jpg/{name}.png")
    for number in range(2, 7):
        paint(maps / f"0{number}-dog.jpg/conv_1.png")
    for epoch in (1, 16):
        paint(maps / f"over_time_{epoch:05d}.png")
    record = gather(root)
    assert [(series, step, path.name) for series, step, path in record.pictures] == [
        ("evaluation/confusion_matrix", 0, "confusion_matrix.png"),
        ("feature_maps/01-cat.jpg", 0, "conv_1.png"),
        ("feature_maps/01-cat.jpg", 1, "conv_2.png"),
        ("feature_maps/01-cat.jpg", 2, "conv_10.png"),
        *((f"feature_maps/0{number}-dog.jpg", 0, "conv_1.png") for number in (2, 3, 4)),
        *(("feature_maps/over_time", epoch, f"over_time_{epoch:05d}.png") for epoch in (1, 16)),
    ]
    run = complete(record)
    assert run.data.tags["mlflow.loggedImages"] == "True"
    before = files(root, run)
    assert len([name for name in before if name.startswith("images/")]) == 2 * 9
    record.lock.write_text("stages:\n  train:\n    cmd: another\n")  # all files are sent again
    complete(record)
    assert files(root, run) == before


def test_hidden_files_stay_at_home(root: Path) -> None:
    record = gather(root)
    (root / "reports/evaluation/.gitignore").write_text("/a.csv\n")
    (root / "reports/validation/data_docs/.hidden").write_text("x")
    assert not [name for name in files(root, complete(record)) if "/." in name or name.startswith(".")]


def test_folds_are_runs_below_the_training_s(root: Path) -> None:
    record = gather(root)
    assert record.folds == {}
    (root / "reports/label_errors/folds.csv").write_text(FOLDS)
    whole = complete(gather(root))
    complete(gather(root))
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    below = client.search_runs(
        ["1"], f"tags.`mlflow.parentRunId` = '{whole.info.run_id}'", order_by=["attributes.run_name"]
    )
    assert [run.info.run_name for run in below] == ["fold 1", "fold 2"]
    assert [run.data.params for run in below] == [{"label_errors.fold": "1"}, {"label_errors.fold": "2"}]
    assert {run.info.status for run in below} == {"FINISHED"}
    curves = [client.get_metric_history(run.info.run_id, "curves/train_loss") for run in below]
    assert [[(point.step, point.value) for point in curve] for curve in curves] == [
        [(1, 0.7), (2, 0.6)],
        [(1, 0.8), (2, 0.4)],
    ]
    assert len(client.search_runs(["1"])) == 3

    client.delete_run(whole.info.run_id)
    again = complete(gather(root))
    assert {client.get_run(run.info.run_id).data.tags["mlflow.parentRunId"] for run in below} == {again.info.run_id}


def test_no_folds_leave_a_header(root: Path) -> None:
    (root / "reports/label_errors/folds.csv").write_text("fold,epoch\n")
    assert gather(root).folds == {}


def test_links_of_the_description_lead_to_artifacts(root: Path) -> None:
    text = "[report](report.html) [docs](validation/data_docs/index.html) [web](https://a.b/c) [top](#top)"
    run = complete(replace(gather(root), description=text))
    place = f"#/experiments/1/runs/{run.info.run_id}/artifacts"
    assert run.data.tags["mlflow.note.content"] == (
        f"[report]({place}/report.html) [docs]({place}/validation/data_docs/index.html) "
        "[web](https://a.b/c) [top](#top)"
    )


def test_a_long_description_is_cut(root: Path) -> None:
    run = complete(replace(gather(root), description="x" * 9000))
    assert run.data.tags["mlflow.note.content"] == "x" * MAX_NOTE_LENGTH + "\n\n…"


def test_epochs_lie_as_far_apart_as_they_took(root: Path) -> None:
    run = complete(gather(root))
    points = MlflowClient(f"sqlite:///{root}/mlflow.db").get_metric_history(run.info.run_id, "curves/train_loss")
    assert points[1].timestamp - points[0].timestamp == 1500


@pytest.mark.parametrize("here", [True, False])
def test_the_machine_is_told_where_it_is_known(root: Path, here: bool) -> None:
    if not here:
        (root / "reports/training/timing.csv").write_text(f"key,epoch,seconds\n{'f' * 64},1,2.0\n")
    record = gather(root)
    assert ("convlens.machine" in record.tags) is here
    assert ("convlens.version.keras" in record.tags) is here
    assert all(("seconds" in values) is here for _, values in record.epochs)


def test_automatic_threads_are_told_in_words(root: Path) -> None:
    assert gather(root).tags["convlens.num_threads"] == "1"
    assert gather(root, num_threads=0).tags["convlens.num_threads"] == "one per processor"


# --- names of metrics ---


def test_epoch_metrics_are_curves() -> None:
    assert epoch_metrics({"epoch": 1, "train_loss": 0.5}) == {"curves/train_loss": 0.5}


def test_evaluation_metrics_are_numbers() -> None:
    values = {"num_photos": 4, "accuracy": 0.5, "roc_auc": None, "name": "x", "ok": True}
    assert evaluation_metrics(values) == {"test/num_photos": 4.0, "test/accuracy": 0.5}
    assert evaluation_metrics({"shift": 1}, section="robustness") == {"robustness/shift": 1.0}


# --- pictures ---


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    path = tmp_path / "plot.png"
    Image.new("RGBA", (600, 300), "teal").save(path)
    return Picture("feature_maps/cat #1+2.jpg", 3, path)


def test_names_are_those_of_mlflow(picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own `log_image` names its files so; its page takes them apart again."""
    use_own_store(tmp_path, monkeypatch)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("trials", (tmp_path / "files").as_uri())
    run = client.create_run(experiment)
    key = "feature_maps/cat _1_2.jpg"
    with Image.open(picture.path) as image:
        client.log_image(run.info.run_id, image, key=key, step=3, timestamp=77)
    stage_pictures([picture], tmp_path / "own", 77)
    theirs = next((tmp_path / "files").glob("*/artifacts/images"))
    assert _parts(tmp_path / "own/images") == _parts(theirs)
    assert client.get_run(run.info.run_id).data.tags["mlflow.loggedImages"] == "True"


def _parts(folder: Path) -> list[tuple[list[str], str, int]]:
    """Parts of the names without the random one, suffixes, and the longer side in pixels."""
    return [_describe(path) for path in sorted(folder.iterdir())]


def _describe(path: Path) -> tuple[list[str], str, int]:
    with Image.open(path) as image:
        side = max(image.size)
    return [part for part in path.with_suffix("").name.split("+") if len(part) != 36], path.suffix, side


def test_staging_again_gives_the_same_files(picture: Picture, tmp_path: Path) -> None:
    for _ in range(2):
        stage_pictures([picture, Picture(picture.series, 4, picture.path)], tmp_path / "own", 77)
    files = sorted(path.name for path in (tmp_path / "own/images").iterdir())
    assert len(files) == 4
    assert len({name.split("+")[5].removesuffix(".png") for name in files}) == 2


# --- how long trainings took ---


def test_the_seconds_of_all_epochs_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_own_store(tmp_path, monkeypatch)
    store = open_store()
    for key, experiment in (("aa", "one"), ("bb", "two")):
        run = find_or_create_run(store, experiment=experiment, key=key)
        add_epochs(store, run, [(1, {"seconds": 1.5}), (2, {"seconds": 2.0 if key == "aa" else 4.0})])
    find_or_create_run(store, experiment="one", key="timeless")
    assert find_durations(["aa", "bb", "timeless", "unknown"]) == {"aa": 3.5, "bb": 5.5}


def test_no_store_is_no_failure_and_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert find_durations(["aa"]) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert find_durations(["aa"]) == {}
