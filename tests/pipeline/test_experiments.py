"""DVC's experiments and comparisons, as the README shows them."""

import json
import re

import pytest
from pipeline.clone import stages_run

from convlens.pipeline import STAGES

TWO_SIZES = [{"until": 0.5, "size": 32}, {"until": 1.0, "size": 40}]


def metric(clone):
    return json.loads((clone.folder / "reports/evaluation/metrics.json").read_text())


@pytest.fixture
def committed(clone):
    """A clone with its results committed, which DVC compares with."""
    clone.commit("Results")
    return clone


def write_preset(clone, name, text):
    (clone.folder / f"presets/{name}.yaml").write_text(f"# {name}.\n{text}\n")


def cells(shown: str, name: str) -> list[str]:
    """What a table of `convlens compare` has in the row of this name."""
    (row,) = (line.strip() for line in shown.splitlines() if line.strip().startswith(f"{name}  "))
    return re.split(r"\s{2,}", row)[1:]


def test_run_compare_and_show(committed):
    clone = committed
    write_preset(clone, "shorter", "train: {epochs: 1}")
    ran = clone.run("sh", "-c", "dvc exp run --name shorter $(convlens preset shorter)").stdout
    assert "Ran experiment(s): shorter" in ran
    assert stages_run(ran) == ["check", *STAGES[STAGES.index("train") :]]
    params = json.loads(clone.run("dvc", "params", "diff", "--json").stdout)
    assert params["params.yaml"]["train.epochs"]["new"] == 1
    metrics = json.loads(clone.run("dvc", "metrics", "diff", "--json").stdout)
    assert "log_loss" in metrics["reports/evaluation/metrics.json"]
    clone.run("dvc", "plots", "show", "--out", "plots")
    page = (clone.folder / "plots/index.html").read_text()
    assert "validation_loss" in page
    assert any((clone.folder / "plots").rglob("*curves.png"))
    shown = clone.run("dvc", "exp", "show", "--csv").stdout
    assert "shorter" in shown
    compared = clone.run("convlens", "compare", "HEAD", "shorter", check=False).stdout
    assert cells(compared, "train.epochs") == ["3", "1"]
    assert cells(compared, "epochs") == ["3", "1"]
    assert "Traceback" not in compared
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{clone.folder}/mlflow.db")
    experiments = [found.experiment_id for found in client.search_experiments()]
    assert "shorter" in {run.info.run_name for run in client.search_runs(experiments)}
    go_back(clone, client)


def go_back(clone, client):
    """DVC restores the earlier training from its run cache; it stays the run that it was."""
    experiments = [found.experiment_id for found in client.search_experiments()]
    before = {run.info.run_id for run in client.search_runs(experiments)}
    clone.change(train__epochs=3)
    told = clone.run("dvc", "repro").stdout
    assert "Stage 'train' is cached - skipping run" in told
    assert {"train", "register"} & set(stages_run(told)) == {"register"}
    runs = client.search_runs(experiments)
    assert {run.info.run_id for run in runs} == before
    assert {run.data.params["train.epochs"]: run.info.status for run in runs} == {"1": "FINISHED", "3": "FINISHED"}
    for run in runs:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "curves/train_loss")]
        assert len(steps) == len(set(steps)) == int(run.data.params["train.epochs"])


def test_an_unknown_parameter_is_refused(committed):
    refused = committed.run("dvc", "exp", "run", "-S", "train.nosuch=1", check=False)
    assert refused.returncode != 0
    assert "train.nosuch" in refused.stdout


def test_a_queue_with_two_workers_records_in_one_store(committed):
    clone = committed
    write_preset(clone, "two-sizes", f"model: {{residual: {{training_sizes: {TWO_SIZES}}}}}")
    sweep = "dvc exp run --queue --name sweep $(convlens preset two-sizes) -S 'train.seed=5,6'"
    clone.run("sh", "-c", sweep)
    clone.run("dvc", "queue", "start", "--jobs", "2")
    done = clone.run("dvc", "queue", "logs", "--follow", next_task(clone), check=False)
    wait_for_queue(clone)
    status = clone.run("dvc", "queue", "status").stdout
    assert status.count("Success") == 2, status + done.stdout
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{clone.folder}/mlflow.db")
    experiments = [found.experiment_id for found in client.search_experiments()]
    runs = client.search_runs(experiments)
    assert {run.data.params["train.seed"] for run in runs} == {"0", "5", "6"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    compare_the_sweep(clone)


def compare_the_sweep(clone):
    """What ran in other folders is compared here: from the experiments' commits, DVC's cache and MLflow."""
    shown = clone.run("convlens", "compare", "HEAD", "sweep-1", "sweep-2", check=False).stdout
    assert cells(shown, "train.seed") == ["0", "5", "6"]
    sizes = cells(shown, "model.residual.training_sizes")
    assert [json.loads(text) for text in sizes] == [[{"until": 1.0, "size": 32}], TWO_SIZES, TWO_SIZES]
    assert len(cells(shown, "against HEAD")) == 2
    assert "no verdict" not in shown
    assert "unknown" not in shown
    markdown = clone.run("convlens", "compare", "--markdown", "sweep-1", "sweep-2", check=False).stdout
    assert "| train.seed | 5 | 6 |" in markdown


def next_task(clone) -> str:
    return clone.run("dvc", "queue", "status").stdout.splitlines()[1].split()[0]


def wait_for_queue(clone, seconds=300):
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = clone.run("dvc", "queue", "status").stdout
        if "Running" not in status and "Queued" not in status:
            return
        time.sleep(2)
    raise AssertionError(f"the queue did not end:\n{status}")
