"""A team's MLflow server, with PostgreSQL and an S3-compatible store behind it, under the real pipeline."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from object_store import serve_own
from pipeline.clone import EPOCHS, ROOT, Clone, lose_training, stages_run
from postgres import find_postgres, serve_postgres
from tracking_server import TrackingServer, serve_tracking

PACKAGES = ROOT / "tools/server/packages"
BUCKET = "team"


@pytest.fixture
def objects() -> dict[str, bytes]:
    """What lies in the S3-compatible store, by bucket and key."""
    return {}


@pytest.fixture
def team(tmp_path: Path, objects: dict[str, bytes]) -> Iterator[TrackingServer]:
    programs = find_postgres()
    if programs is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    if not PACKAGES.is_dir():
        pytest.skip(f"needs pip install --target {PACKAGES.relative_to(ROOT)} -r tools/server/requirements.txt")
    with serve_own(objects) as store, serve_postgres(programs) as database:
        environment = {
            "PYTHONPATH": str(PACKAGES),
            "MLFLOW_S3_ENDPOINT_URL": store,
            "AWS_ACCESS_KEY_ID": "team",
            "AWS_SECRET_ACCESS_KEY": "kept-on-the-server",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        }
        arguments = ("--backend-store-uri", database, "--artifacts-destination", f"s3://{BUCKET}/mlflow")
        with serve_tracking(tmp_path, *arguments, environment=environment) as server:
            yield server


def test_training_and_record_need_no_more_than_the_address(
    clone: Clone, team: TrackingServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    lose_training(clone)
    done = clone.run("dvc", "repro", MLFLOW_TRACKING_URI=team.uri)
    assert stages_run(done.stdout) == ["train", "register"]
    assert "not recorded" not in done.stdout

    client = MlflowClient(team.uri, team.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("convlens").experiment_id])
    assert (run.info.status, run.data.tags["convlens.recorded"]) == ("FINISHED", "live")
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "curves/validation_loss")]
    assert steps == list(range(1, EPOCHS + 1))
    assert len(run.inputs.dataset_inputs) == 3
    assert {"test/accuracy", "system/cpu_utilization_percentage"} <= set(run.data.metrics)
    page = f"{BUCKET}/mlflow/{run.info.experiment_id}/{run.info.run_id}/artifacts/report.html"
    assert objects[page] == (clone.folder / "reports/report.html").read_bytes()
    assert client.get_model_version_by_alias("tiny", "champion").run_id == run.info.run_id

    clone.run("convlens", "pull", str(tmp_path / "pulled"), MLFLOW_TRACKING_URI=team.uri)
    network = tmp_path / "pulled/artifacts/model.keras"
    assert network.read_bytes() == (clone.folder / "data/model/model.keras").read_bytes()
    assert not {"mlflow.db", "mlartifacts", "mlruns"} & set(os.listdir(clone.folder))
    assert not any(b"kept-on-the-server" in content for content in objects.values())
