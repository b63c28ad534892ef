"""What a run holds of a training, gathered from files and written to a store."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image
from small_training import stage_paths, use_own_store, write_training

from convlens.data.prepared import Prepared
from convlens.tracking.record import MAX_NOTE_LENGTH, Record, Results, complete_run, gather_record
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
    stored = json.loads((paths["model_folder"] / "card.json").read_text())
    results = Results(**{name: paths[name] for name in Results.__dataclass_fields__})
    return gather_record(results, Prepared.load(paths["prepared"]), {**stored, **card})


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
    assert [(picture.series, picture.step, picture.path.name) for picture in record.pictures] == [
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
    complete(replace(record, lock_digest="another"))  # all files are sent again
    assert files(root, run) == before


def test_hidden_files_stay_at_home(root: Path) -> None:
    record = gather(root)
    (root / "reports/evaluation/.gitignore").write_text("/a.csv\n")
    (root / "reports/validation/data_docs/.hidden").write_text("x")
    assert not [name for name in files(root, complete(record)) if "/." in name or name.startswith(".")]


def test_folds_are_runs_below_the_training_s(root: Path) -> None:
    record = gather(root)
    assert record.parts == []
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
    assert gather(root).parts == []


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
