"""A tracking server that fails in every way, and what trainings and records make of it."""

import http.server
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow.utils.rest_utils as rest
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from small_training import blank_database, demand, use_own_store, write_training
from tracking_server import TrackingServer, serve_tracking

from convlens.errors import ConvLensError
from convlens.stages.register import register
from convlens.tracking import live
from convlens.tracking.live import open_live_run

NEVER_LIVE = "MLflow: epochs are not recorded live any more ("
LATER = "The stage `register` completes the record."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    if sys.platform != "linux":
        pytest.skip("filling a disk by a limit on files needs Linux")
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(blank_database(), folder / "server.db")
    database, files = f"sqlite:///{folder}/server.db", str(folder / "files")
    with serve_tracking(folder, "--backend-store-uri", database, "--artifacts-destination", files) as started:
        yield started


@dataclass
class Requests:
    """What MLflow asks of its server.

    Attributes:
        pending: those that wait for an answer.
        failed: timeout and retries of those that failed.
    """

    pending: int = 0
    failed: list[tuple[int, int]] = field(default_factory=list)

    def wait_for_answers(self) -> None:
        while self.pending:
            time.sleep(0.01)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    seen = Requests()
    real = rest._get_http_response_with_retries

    def watch(method: str, url: str, max_retries: int, *rest_of: Any, timeout: int, **named: Any) -> Any:
        seen.pending += 1
        failed = True
        try:
            answer = real(method, url, max_retries, *rest_of, timeout=timeout, **named)
            failed = answer.status_code >= 500
            return answer
        finally:
            seen.pending -= 1
            seen.failed += [(timeout, max_retries)] if failed else []

    monkeypatch.setattr(rest, "_get_http_response_with_retries", watch)
    return seen


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_own_store(tmp_path, monkeypatch)
    return tmp_path


def train(key: str, fail: Callable[[], None]) -> None:
    """A training; after its first epoch the server fails."""
    with open_live_run(key=key, experiment="trials", params={"train.epochs": "2"}) as run:
        run.log_epoch(1, {"train_loss": 0.7})
        fail()
        run.log_epoch(2, {"train_loss": 0.5})


def find(key: str) -> list[Run]:
    client = MlflowClient()
    experiments = [found.experiment_id for found in client.search_experiments()]
    return list(client.search_runs(experiments, f"tags.`convlens.key` = '{key}'"))


def wait_for_curve(key: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not any("curves/train_loss" in run.data.metrics for run in find(key)):
        assert time.monotonic() < deadline, "the first epoch did not arrive"
        time.sleep(0.1)


def check_recorded(key: str) -> None:
    (run,) = find(key)
    history = MlflowClient().get_metric_history(run.info.run_id, "curves/train_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.7), (2, 0.5)]
    assert run.info.status == "FINISHED"
    assert MlflowClient().search_model_versions(f"run_id = '{run.info.run_id}'")


def test_a_password_in_the_address_stays_there(
    server: TrackingServer, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    address = server.uri.replace("://", "://someone:planted-in-uri-42@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    key = "e5" * 32
    train(key, lambda: None)
    register(**write_training(root, key=key), params=demand())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    check_recorded(key)
    told = "".join(capfd.readouterr())
    assert "in http://…@127.0.0.1" in told
    assert "planted-in-uri-42" not in told
    stored = [path for path in server.folder.rglob("*") if path.is_file()]
    assert len(stored) > 20
    assert [path for path in stored if b"planted-in-uri-42" in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("key", "fail", "mend"),
    [
        ("a1" * 32, TrackingServer.hang, TrackingServer.go_on),
        ("b2" * 32, TrackingServer.fill_disk, TrackingServer.free_disk),
        ("c3" * 32, TrackingServer.kill, TrackingServer.start),
    ],
    ids=["hung", "disk full", "killed"],
)
def test_a_failure_costs_a_training_one_request_and_one_line(
    server: TrackingServer,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    requests: Requests,
    capsys: pytest.CaptureFixture[str],
    key: str,
    fail: Callable[[TrackingServer], None],
    mend: Callable[[TrackingServer], None],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    for name in ("REQUEST_SECONDS", "FINISH_SECONDS"):  # until it fails, it may be as slow as a busy machine makes it
        monkeypatch.setattr(live, name, 120)

    def fail_in_the_middle() -> None:
        wait_for_curve(key)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
        requests.wait_for_answers()
        fail(server)

    try:
        train(key, fail_in_the_middle)
        assert requests.failed == [(2, 0)]
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(NEVER_LIVE)
        assert line.endswith(LATER)
        paths = write_training(root, key=key)
        with monkeypatch.context() as impatient:
            impatient.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            with pytest.raises(ConvLensError, match=r"Expected the MLflow store http://127.* to answer.*`dvc repro`"):
                register(**paths, params=demand())
        assert not paths["registration"].exists()
    finally:
        mend(server)
        monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    register(**paths, params=demand())
    assert paths["registration"].exists()
    check_recorded(key)


class _Odd(http.server.BaseHTTPRequestHandler):
    """Answers every request in the same odd way."""

    status, headers_sent, body = 500, dict[str, str](), b"oh no"
    count = 0

    def do_GET(self) -> None:
        type(self).count += 1
        self.send_response(self.status)
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (500, {}, b"oh no"),
        (503, {"Retry-After": "3600"}, b"come back in an hour"),
        (401, {"WWW-Authenticate": "Basic"}, b"who are you?"),
        (200, {"Content-Type": "text/html"}, b"<h1>Please log in</h1>"),
        (307, {"Location": "http://127.0.0.1:9/"}, b""),
    ],
)
def test_odd_answers_cost_one_request_and_one_line(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    headers: dict[str, str],
    body: bytes,
) -> None:
    odd = type("Odd", (_Odd,), {"status": status, "headers_sent": headers, "body": body, "count": 0})
    front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), odd)
    threading.Thread(target=front.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{front.server_port}")
    monkeypatch.setattr(live, "REQUEST_SECONDS", 60)
    monkeypatch.setattr(live, "FINISH_SECONDS", 60.0)
    try:
        train("d4" * 32, lambda: None)
        assert odd.count == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(NEVER_LIVE)
        with pytest.raises(ConvLensError, match="Expected the MLflow store http://127"):
            register(**write_training(root), params=demand())
        assert odd.count <= 3  # register tries its first request twice
    finally:
        front.shutdown()
        front.server_close()


def test_the_longest_wait_is_a_few_seconds() -> None:
    """Each request has this timeout, none is repeated, and none follows one that failed (see above)."""
    assert live.REQUEST_SECONDS <= 3
    assert live.FINISH_SECONDS <= 5
