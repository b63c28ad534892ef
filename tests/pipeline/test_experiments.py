"""DVC's experiments and comparisons, as the README shows them."""

import json
import re
import time

from mlflow import MlflowClient
from pipeline.clone import Clone, stages_run

TWO_SIZES = [{"until": 0.5, "size": 32}, {"until": 1.0, "size": 40}]
STRICTER = "register: {criteria: {evaluation: {accuracy: {min: 0.01}}}}"


def write_preset(clone: Clone, name: str, text: str) -> None:
    (clone.folder / f"presets/{name}.yaml").write_text(f"# {name}.\n{text}\n")


def cells(shown: str, name: str) -> list[str]:
    """What a table of `convlens compare` has in the row of this name."""
    (row,) = (line.strip() for line in shown.splitlines() if line.strip().startswith(f"{name}  "))
    return re.split(r"\s{2,}", row)[1:]


def runs_of(clone: Clone) -> list:
    client = MlflowClient(f"sqlite:///{clone.folder}/mlflow.db")
    return list(client.search_runs([found.experiment_id for found in client.search_experiments()]))


def test_run_a_queue_compare_show_and_go_back(clone: Clone) -> None:
    """One folder for all: what is asked here builds on what ran before."""
    clone.commit("Results")
    refused = clone.run("dvc", "exp", "run", "-S", "train.nosuch=1", check=False)
    assert refused.returncode != 0
    assert "train.nosuch" in refused.stdout
    queue_with_two_workers(clone)
    compare_the_sweep(clone)
    run_in_the_workspace(clone)
    go_back(clone)


def queue_with_two_workers(clone: Clone) -> None:
    """Both train at once, in folders of their own, and record in one store; stages behind `evaluate` cost only time."""
    write_preset(clone, "two-sizes", f"model: {{residual: {{training_sizes: {TWO_SIZES}}}}}")
    sweep = "dvc exp run --queue --name sweep $(convlens preset two-sizes) -S 'train.seed=5,6' evaluate"
    clone.run("sh", "-c", sweep)
    clone.run("dvc", "queue", "start", "--jobs", "2")
    names = [line.split()[0] for line in clone.run("dvc", "queue", "status").stdout.splitlines()[1:3]]
    logs = [clone.run("dvc", "queue", "logs", "--follow", name, check=False).stdout for name in names]
    wait_for_queue(clone)
    status = clone.run("dvc", "queue", "status").stdout
    assert status.count("Success") == 2, status + "".join(logs)
    runs = runs_of(clone)
    assert {run.data.params["train.seed"] for run in runs} == {"0", "5", "6"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {"sweep-1", "sweep-2"} < {run.info.run_name for run in runs}


def wait_for_queue(clone: Clone, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = clone.run("dvc", "queue", "status").stdout
        if "Running" not in status and "Queued" not in status:
            return
        time.sleep(2)
    raise AssertionError(f"the queue did not end:\n{status}")


def compare_the_sweep(clone: Clone) -> None:
    """What ran in other folders is compared here: from the experiments' commits, DVC's cache and MLflow."""
    shown = clone.run("convlens", "compare", "HEAD", "sweep-1", "sweep-2", check=False).stdout
    assert "Traceback" not in shown
    assert cells(shown, "train.seed") == ["0", "5", "6"]
    sizes = cells(shown, "model.residual.training_sizes")
    assert [json.loads(text) for text in sizes] == [[{"until": 1.0, "size": 32}], TWO_SIZES, TWO_SIZES]
    assert len(cells(shown, "against HEAD")) == 2
    assert "no verdict" not in shown
    assert "unknown" not in shown
    markdown = clone.run("convlens", "compare", "--markdown", "sweep-1", "sweep-2", check=False).stdout
    assert "| train.seed | 5 | 6 |" in markdown
    metrics = json.loads(clone.run("dvc", "metrics", "diff", "--json", "HEAD", "sweep-1").stdout)
    assert "log_loss" in metrics["reports/evaluation/metrics.json"]


def run_in_the_workspace(clone: Clone) -> None:
    write_preset(clone, "stricter", STRICTER)
    ran = clone.run("sh", "-c", "dvc exp run --name stricter $(convlens preset stricter)").stdout
    assert "Ran experiment(s): stricter" in ran
    assert stages_run(ran) == ["check", "report", "register"]  # the report says whether the criteria are met
    params = json.loads(clone.run("dvc", "params", "diff", "--json").stdout)
    assert params["params.yaml"]["register.criteria.evaluation.accuracy.min"]["new"] == 0.01
    clone.run("dvc", "plots", "show", "--out", "plots")
    page = (clone.folder / "plots/index.html").read_text()
    assert "validation_loss" in page
    assert any((clone.folder / "plots").rglob("*curves.png"))
    shown = clone.run("dvc", "exp", "show", "--csv").stdout
    assert "stricter" in shown


def go_back(clone: Clone) -> None:
    """DVC restores an earlier training from its run cache; it stays the run that it was."""
    before = {run.info.run_id: run.info.end_time for run in runs_of(clone)}
    clone.change(train__seed=5, model__residual__training_sizes=TWO_SIZES)
    told = clone.run("dvc", "repro", "evaluate").stdout
    assert "Stage 'train' is cached - skipping run" in told
    clone.run("git", "checkout", "--quiet", "params.yaml")
    told = clone.run("dvc", "repro").stdout
    assert "Stage 'train' is cached - skipping run" in told
    assert stages_run(told) == ["check", "report", "register"]  # of the criteria before
    runs = runs_of(clone)
    assert set(before) == {run.info.run_id for run in runs}
    assert {run.info.status for run in runs} == {"FINISHED"}
    client = MlflowClient(f"sqlite:///{clone.folder}/mlflow.db")
    for run in runs:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "curves/train_loss")]
        assert len(steps) == len(set(steps)) == int(run.data.params["train.epochs"])
