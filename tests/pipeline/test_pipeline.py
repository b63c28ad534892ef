"""All stages by `dvc repro` in a fresh clone on a tiny synthetic data set."""

import json

from mlflow import MlflowClient
from pipeline.clone import EPOCHS

from convlens.pipeline import STAGES

DVC_OUTPUTS = {
    "data/photos.parquet",
    "data/raw",
    "data/manifest/manifest.parquet",
    "data/manifest/gallery.parquet",
    "data/prepared",
    "data/model",
    "data/operating_point/operating_point.json",
    "data/operating_point/reference.npz",
    "reports/validation/quarantine.csv",
    "reports/validation/data_docs",
    "data/prepared/duplicates.json",
    "reports/evaluation/classes.csv",
    "reports/evaluation/confusion_matrix.csv",
    "reports/evaluation/predictions.csv",
    "reports/evaluation/validation_predictions.csv",
    "reports/robustness/curves.csv",
    "reports/robustness/places.csv",
    "reports/label_errors/folds.csv",
    "reports/label_errors/photos.csv",
    "reports/report.html",
    "reports/feature_maps.html",
    "reports/feature_maps",
    "reports/summary.md",
}
IN_GIT = {
    "reports/validation/result.json",
    "reports/training/history.csv",
    "reports/training/curves.png",
    "reports/evaluation/metrics.json",
    "reports/evaluation/plots/confusion.csv",
    "reports/evaluation/plots/confusion_matrix.png",
    "reports/evaluation/plots/precision_recall.csv",
    "reports/evaluation/plots/precision_recall.png",
    "reports/evaluation/plots/reliability.csv",
    "reports/evaluation/plots/reliability.png",
    "reports/evaluation/plots/risk_coverage.csv",
    "reports/evaluation/plots/risk_coverage.png",
    "reports/evaluation/plots/roc.csv",
    "reports/evaluation/plots/roc_curve.png",
    "reports/evaluation/plots/slices.csv",
    "reports/evaluation/plots/slices.png",
    "reports/evaluation/plots/thresholds.csv",
    "reports/evaluation/plots/thresholds.png",
    "reports/robustness/plots/curves.png",
    "reports/robustness/metrics.json",
    "reports/robustness/plots/places.png",
    "reports/label_errors/metrics.json",
    "reports/model_card.md",
}
FOLDERS = ("validation", "evaluation", "training", "robustness", "label_errors")
LOCAL = {
    "reports/registration.json",
    "reports/training/speed.png",
    "reports/training/timing.csv",
    "reports/validation/.gitignore",
}


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run_of(clone):
    client = MlflowClient(f"sqlite:///{clone.folder}/mlflow.db")
    (experiment,) = (found for found in client.search_experiments() if found.name != "Default")
    (run,) = client.search_runs([experiment.experiment_id])
    return client, run


def test_the_first_repro_runs_all_stages_in_order(reproduced):
    assert [line for line in reproduced.first_output.splitlines() if line.startswith("Running stage")] == [
        f"Running stage '{stage}':" for stage in STAGES
    ]
    assert "Traceback" not in reproduced.first_output
    assert "oneDNN" not in reproduced.first_output


def test_exactly_the_declared_outputs_are_there(reproduced):
    ignored = {f"reports/{name}.gitignore" for name in ("", *(f"{folder}/" for folder in FOLDERS))}
    written = files_below(reproduced.folder / "reports") - {name.removeprefix("reports/") for name in ignored}
    folders = tuple(f"{name.removeprefix('reports/')}/" for name in DVC_OUTPUTS if name.startswith("reports/"))
    single = {name for name in written if not name.startswith(folders)}
    assert {f"reports/{name}" for name in single} == {
        *(IN_GIT | LOCAL) - ignored,
        *(name for name in DVC_OUTPUTS if name.startswith("reports/") and (reproduced.folder / name).is_file()),
    }
    assert all((reproduced.folder / name).exists() for name in DVC_OUTPUTS)


def test_no_untracked_file_is_left(reproduced):
    clone_files = [line for line in reproduced.changed_files() if line.startswith("??")]
    new = {line[3:] for line in clone_files}
    assert new <= {"dvc.lock", *IN_GIT, *(f"{folder}/.gitignore" for folder in ("data", "reports"))} | {
        "reports/evaluation/.gitignore",
        "reports/validation/.gitignore",
    }


def test_the_results_are_true_to_each_other(reproduced):
    folder = reproduced.folder
    metrics = json.loads((folder / "reports/evaluation/metrics.json").read_text())
    card = json.loads((folder / "data/model/card.json").read_text())
    prepared = json.loads((folder / "data/prepared/card.json").read_text())
    predictions = (folder / "reports/evaluation/predictions.csv").read_text().splitlines()
    assert metrics["num_photos"] == len(predictions) - 1 == sum(prepared["counts"]["test"].values())
    assert metrics["accuracy_low"] <= metrics["accuracy"] <= metrics["accuracy_high"]
    assert card["classes"] == prepared["classes"] == ["cats", "dogs"]
    assert card["epochs"] == EPOCHS
    history = (folder / "reports/training/history.csv").read_text().splitlines()
    assert len(history) == 1 + EPOCHS


def test_mlflow_holds_one_complete_run_and_a_champion(reproduced):
    client, run = run_of(reproduced)
    key = json.loads((reproduced.folder / "data/model/card.json").read_text())["key"]
    assert run.info.status == "FINISHED"
    assert run.data.tags["convlens.key"] == key
    assert run.data.params["train.epochs"] == str(EPOCHS)
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "curves/validation_loss")]
    assert sorted(steps) == list(range(1, EPOCHS + 1))
    assert run.inputs.dataset_inputs
    version = client.get_model_version_by_alias("tiny", "champion")
    assert version.version == 1 or version.version == "1"


def test_a_changed_parameter_concerns_exactly_the_stages_that_read_it(clone):
    """As DVC says; that they run is seen in test_ci_scripts and test_records."""
    clone.change(evaluate__seed=7)
    concerned = {"check", *STAGES[STAGES.index("evaluate") :]}
    assert set(json.loads(clone.run("dvc", "status", "--json").stdout)) == concerned
