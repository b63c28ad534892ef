import http.server
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from small_training import KEY, use_own_store

from convlens.tracking import live
from convlens.tracking.live import INTERVAL, SWITCH, LiveRun, SystemSampler, next_step, open_live_run

EPOCH = {"train_loss": 0.5, "validation_accuracy": 0.75, "learning_rate": 0.1}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_own_store(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def hung_server() -> Iterator[str]:
    """A server that takes every request and never answers."""
    release = threading.Event()

    class Silence(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            release.wait()

        do_POST = do_GET

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silence)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    release.set()
    server.shutdown()
    server.server_close()


def start(name: str | None = None) -> LiveRun:
    return open_live_run(
        key=KEY, experiment="trials", params={"model.architecture": "residual", "train.epochs": "2"}, name=name
    )


def only_run(root: Path) -> Run:
    (run,) = MlflowClient(f"sqlite:///{root}/mlflow.db").search_runs(["1"])
    return run


def curves_of(run: Run) -> set[str]:
    return {name for name in run.data.metrics if not name.startswith("system/")}


def curve(root: Path, name: str) -> list[tuple[int, float]]:
    history = MlflowClient(f"sqlite:///{root}/mlflow.db").get_metric_history(only_run(root).info.run_id, name)
    return [(metric.step, metric.value) for metric in history]


def test_records_epochs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with start() as run:
        run.log_epoch(1, EPOCH)
        run.log_epoch(2, EPOCH | {"train_loss": float("nan")})
    recorded = only_run(root)
    assert recorded.info.run_name == f"residual {KEY[:8]}"
    assert recorded.info.status == "FINISHED"
    assert recorded.data.params == {"model.architecture": "residual", "train.epochs": "2"}
    assert recorded.data.tags["convlens.key"] == KEY
    assert curve(root, "curves/validation_accuracy") == [(1, 0.75), (2, 0.75)]
    assert curves_of(recorded) == {f"curves/{name}" for name in EPOCH}
    assert recorded.data.tags["convlens.recorded"] == "live"
    assert recorded.data.tags["convlens.version.keras"] == version("keras")
    assert "processors" in recorded.data.tags["convlens.machine"]
    assert capsys.readouterr() == ("", "")


def test_resumes_the_same_run_without_doubling_steps(root: Path) -> None:
    killed = start()
    killed.log_epoch(1, EPOCH)
    killed.log_epoch(2, EPOCH)
    killed.finish("KILLED")
    assert only_run(root).info.status == "KILLED"
    with start(name="another name") as resumed:
        for epoch in (2, 3):
            resumed.log_epoch(epoch, EPOCH)
            resumed.log_epoch(epoch, EPOCH)
    assert curve(root, "curves/train_loss") == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert only_run(root).info.status == "FINISHED"
    assert only_run(root).info.run_name == f"residual {KEY[:8]}"


def test_is_named_after_the_dvc_experiment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "wide-net")
    start().finish()
    assert only_run(root).info.run_name == "wide-net"
    assert only_run(root).data.tags["convlens.dvc_experiment"] == "wide-net"


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_failure_of_the_training_is_recorded(root: Path, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), start():
        raise error
    assert only_run(root).info.status == status


def test_a_training_that_ends_before_its_database_is_made_is_recorded(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a busy machine that takes longer than one waits for a server; the run must not stay RUNNING for ever."""
    monkeypatch.setattr(live, "FINISH_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt), start():
        raise KeyboardInterrupt
    assert only_run(root).info.status == "KILLED"
    assert "not recorded" not in capsys.readouterr().err


def test_run_is_running_while_it_runs(root: Path) -> None:
    run = start()
    run.log_epoch(1, EPOCH)
    wait_for_metrics(root)
    assert only_run(root).info.status == "RUNNING"
    run.finish()


def wait_for_metrics(root: Path) -> None:
    client, deadline = MlflowClient(f"sqlite:///{root}/mlflow.db"), time.monotonic() + 60
    while not any(curves_of(run) for run in client.search_runs(["1"])):
        assert time.monotonic() < deadline, "the first epoch did not arrive"
        time.sleep(0.05)


def test_epochs_that_pile_up_arrive_together_and_the_machine_is_watched(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store slower than the training gets fewer, larger batches."""
    monkeypatch.setattr(live, "FINISH_SECONDS", 60.0)
    batches: list[int] = []
    let_go = threading.Event()
    real = MlflowClient.log_batch

    def count(self: MlflowClient, run_id: str, metrics: tuple[Metric, ...] = (), **rest: object) -> None:
        curves = [metric for metric in metrics if metric.key.startswith("curves/")]
        batches.append(len(curves))
        if not curves and metrics:  # the first look at the machine
            let_go.wait(60)
        real(self, run_id, metrics=metrics, **rest)

    monkeypatch.setattr(MlflowClient, "log_batch", count)
    with start() as run:
        for epoch in range(1, 401):
            run.log_epoch(epoch, EPOCH)
        let_go.set()
    assert [size for size in batches if size] == [1000, 200]
    assert len(curve(root, "curves/train_loss")) == 400
    assert [step for step, _ in curve(root, "system/cpu_utilization_percentage")] == [0, 1]


def test_store_that_refuses_costs_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    with start() as run:
        for epoch in range(1, 50):
            run.log_epoch(epoch, EPOCH)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("MLflow: epochs are not recorded live any more (")
    assert line.endswith(" The stage `register` completes the record.")
    assert "secret" not in line


def test_training_does_not_wait_for_a_hung_server(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hung_server: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", hung_server)
    monkeypatch.setattr(live, "REQUEST_SECONDS", 1)
    run = start()
    for epoch in range(1, 1000):  # the server lets nothing go before the fixture ends: waiting for it would never end
        run.log_epoch(epoch, EPOCH)
    run.finish()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_finish_gives_up_waiting(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(live, "LOCAL_FINISH_SECONDS", 0.1)
    monkeypatch.setattr(live, "open_store", lambda: let_go.wait(20))
    run = start()
    run.finish()
    assert "it does not answer" in capsys.readouterr().err
    let_go.set()


def test_failing_in_the_middle_keeps_what_was_recorded(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = MlflowClient.log_batch

    def fail_at_second_epoch(self: MlflowClient, run_id: str, metrics: object = (), **rest: object) -> None:
        if any(metric.step == 2 for metric in metrics):  # type: ignore[attr-defined]
            raise OSError(28, "No space left on device")
        real(self, run_id, metrics=metrics, **rest)

    monkeypatch.setattr(MlflowClient, "log_batch", fail_at_second_epoch)
    with start() as run:
        run.log_epoch(1, EPOCH)
        wait_for_metrics(root)
        for epoch in (2, 3):
            run.log_epoch(epoch, EPOCH)
    assert curve(root, "curves/train_loss") == [(1, 0.5)]
    assert "No space left on device" in capsys.readouterr().err


# --- how busy the machine is ---


class Steady(BaseMetricsMonitor):
    """Reads 1, 2, 3 … and forgets what it was asked for."""

    count = 0

    def collect_metrics(self) -> None:
        type(self).count += 1
        self._metrics["gauge_megabytes"].append(self.count + 1 / 3)

    def aggregate_metrics(self) -> dict[str, float]:
        return {name: sum(values) / len(values) for name, values in self._metrics.items()}


class Absent(Steady):
    def __init__(self) -> None:
        raise ImportError("no such device")


class Forbidden(Steady):
    def collect_metrics(self) -> None:
        raise PermissionError


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Steady, "count", 0)
    for name in (SWITCH, INTERVAL):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("fresh")
def test_samples_are_named_for_mlflow_and_counted() -> None:
    sampler = SystemSampler(5, [Steady, Absent])
    assert sampler.seconds_left == 0
    assert (sampler.sample(), sampler.step) == ({"system/gauge_megabytes": 2.333}, 6)
    assert sampler.sample() == {"system/gauge_megabytes": 3.333}
    assert 0 < (sampler.seconds_left or 0) <= 10


@pytest.mark.usefixtures("fresh")
def test_a_gauge_that_fails_later_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = SystemSampler(0, [Steady])
    monkeypatch.setattr(Steady, "collect_metrics", Forbidden.collect_metrics)
    assert sampler.sample() == {}


@pytest.mark.parametrize("gauges", [[], [Absent]])
def test_nothing_to_read_is_never_due(gauges: list[type[BaseMetricsMonitor]]) -> None:
    assert SystemSampler(0, gauges).seconds_left is None


@pytest.mark.usefixtures("fresh")
def test_the_user_may_switch_it_off_and_choose_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERVAL, "3600")
    sampler = SystemSampler(0, [Steady])
    sampler.sample()
    assert 3000 < (sampler.seconds_left or 0) <= 3600
    monkeypatch.setenv(SWITCH, "False")
    assert SystemSampler(0, [Steady]).seconds_left is None


def test_this_machine_has_a_processor_and_memory() -> None:
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(
        SystemSampler().sample()
    )


def test_a_resumed_run_goes_on_counting() -> None:
    steps = defaultdict(set, {"system/a": {0, 1, 4}, "curves/b": {9}, "system/c": set()})
    assert next_step(steps.items()) == 5
    assert next_step([("curves/b", {9})]) == 0
