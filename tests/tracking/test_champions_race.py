"""Two processes promote at once, on a local database and on a real server: the record stays true."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from registry_store import NAME, aliases, fill_registry, use_registry

from convlens.tracking.registry import list_alias_periods
from convlens.tracking.store import Store

SOURCE = Path(__file__).parents[2] / "src"
ROUNDS = 4
# Each process makes its own two versions champion in turn, whoever is champion at the moment.
PROMOTE = """
import sys
from mlflow import MlflowClient
from convlens.tracking.registry import ChampionChangedError, Reason, promote
from convlens.tracking.registry import CHAMPION, find_alias
from convlens.tracking.store import Store

uri, rounds, *numbers = sys.argv[1:]
store = Store(uri, MlflowClient(uri, uri))
print("ready", flush=True)
sys.stdin.readline()
done = late = 0
for turn in range(int(rounds)):
    version = store.client.get_model_version("convlens", numbers[turn % 2])
    try:
        promote(store, version, Reason("gate", ""), expected=find_alias(store, "convlens", CHAMPION))
        done += 1
    except ChampionChangedError:
        late += 1
print(done, late)
"""


def race(uri: str) -> list[tuple[int, int]]:
    """Promotions that were done and that came too late, for two processes that start together."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    commands = [[sys.executable, "-c", PROMOTE, uri, str(ROUNDS), *pair] for pair in ("12", "34")]
    both = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    counts = [process.communicate(timeout=300)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    return [(int(done), int(late)) for done, late in counts]


def check_record(store: Store, counts: list[tuple[int, int]]) -> None:
    """Each change follows the one before, all that were done are there, and the aliases are those of the last."""
    periods = list_alias_periods(store, NAME)
    assert [done + late for done, late in counts] == [ROUNDS, ROUNDS]
    assert len(periods) == sum(done for done, _ in counts)
    assert [period.before for period in periods] == [None, *(period.version for period in periods[:-1])]
    assert aliases(store) == {"champion": periods[-1].version, "previous": periods[-1].before}
    assert store.client.get_registered_model(NAME).tags == {}  # no claim is left


def test_two_at_once_on_a_local_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = use_registry(tmp_path, monkeypatch, num_versions=4)
    check_record(store, race(store.uri))


def test_two_at_once_on_a_server(server: str) -> None:
    store = fill_registry(Store(server, MlflowClient(server, server)), 4)
    check_record(store, race(server))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of an MLflow server on this machine, with a database of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", str(tmp_path)]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*command, *places], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        await_health(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def await_health(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        assert process.poll() is None
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise AssertionError("the server does not start")
