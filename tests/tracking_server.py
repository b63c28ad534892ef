"""A real MLflow server on 127.0.0.1 that tests may hang, fill up, kill and bring back."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import psutil

SMALL_FILE = 16_384  # bytes; no database fits


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class TrackingServer:
    """`mlflow server` and the processes it starts.

    Attributes:
        arguments: of the command, besides host, port and workers.
        environment: variables besides those of the tests.
        port: stays the same when the server comes back.
    """

    arguments: list[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.kill()
        own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
        address = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *address, *self.arguments],
                cwd=self.folder,
                env={**own, **quiet, **self.environment},
                stdout=log,
                stderr=log,
            )
        self._wait()

    def _wait(self, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except OSError:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise AssertionError((self.folder / "server.log").read_text()) from None
                time.sleep(0.2)

    def hang(self) -> None:
        """It takes connections still, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """Writes fail as on a full disk: no file may grow beyond what every database has."""
        self._limit_files(SMALL_FILE)

    def free_disk(self) -> None:
        self._limit_files(resource.RLIM_INFINITY)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            process.send_signal(number)

    def _limit_files(self, size: int) -> None:
        for process in self._processes():
            hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))

    def _processes(self) -> list[psutil.Process]:
        if self._process is None or self._process.poll() is not None:
            return []
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]


@contextmanager
def serve_tracking(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[TrackingServer]:
    server = TrackingServer(list(arguments), folder, environment or {})
    try:
        server.start()
        yield server
    finally:
        server.kill()
