"""A real Dask scheduler and real workers, each a process of its own on 127.0.0.1."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from photo_files import ROOT, make_flag_limits, make_group, noise_photo, write_photo

from convlens.data import workers as cluster
from convlens.data.decoding import decode_photos
from convlens.data.facts import Candidate, scan_photo
from convlens.data.loader import LoaderSettings, PhotoError
from convlens.data.validation import scan_with_pictures
from convlens.data.workers import SMALL_JOB, describe_code, map_in_processes, map_on_cluster, run_batch
from convlens.errors import ConvLensError

SETTINGS = LoaderSettings(24)
NUM_PHOTOS = 60
MARK = "CONVLENS_TEST_ROLE"
needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="Dask is not installed: pip install -e '.[cluster]'"
)
START_SECONDS = 120


class Cluster:
    """A scheduler; workers join it, in a folder of their own or the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = (folder / "cluster.log").open("w")
        self._processes: list[subprocess.Popen[bytes]] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-jupyter")

    def start(self, *command: str, folder: Path | None = None, code: Path = ROOT / "src") -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(code), MARK: command[0]}
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            cwd=folder or self.folder,
            env=environment,
            stdout=self._log,
            stderr=self._log,
        )
        self._processes.append(process)
        return process

    def add_worker(self, **where: Path) -> subprocess.Popen[bytes]:
        command = ("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0")
        return self.start(*command, **where)

    def wait_for(self, num_workers: int) -> None:
        from distributed import Client

        with Client(self.address, timeout=START_SECONDS, set_as_default=False) as client:
            deadline = time.monotonic() + START_SECONDS
            while len(client.nthreads()) != num_workers:
                assert time.monotonic() < deadline, (self.folder / "cluster.log").read_text()
                time.sleep(0.1)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        self._log.close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def started(project: Path) -> Iterator[Cluster]:
    found = Cluster(project)
    yield found
    found.stop()


def write_photos() -> list[str]:
    for index in range(NUM_PHOTOS):
        write_photo(Path(f"pets/{index:03d}.png"), noise_photo(str(index)))
    return [f"pets/{index:03d}.png" for index in range(NUM_PHOTOS)]


@needs_dask
def test_a_killed_worker_changes_nothing(started: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_photos()
    write_photo(Path("pets/broken.png"), b"no photo")
    candidates = [Candidate(path) for path in [*paths, "pets/broken.png"]]
    scan = partial(scan_photo, flag_limits=make_flag_limits())
    expected = [scan(candidate) for candidate in candidates]
    decoded = np.stack([pixels for pixels, _ in decode_photos(paths, SETTINGS, num_workers=1)])
    table = pd.DataFrame(
        {"path": paths, "label": "cats", "bytes": 1, "sha256": paths, "split": "", "regions": [[]] * 60}
    )
    local = scan_with_pictures(table, make_group("validate"), num_workers=1)
    victim = started.add_worker()
    started.add_worker()
    started.wait_for(2)

    found = map_on_cluster(scan, candidates, address=started.address, chunk=1)
    first = [next(found) for _ in range(5)]
    victim.send_signal(signal.SIGKILL)
    assert [*first, *found] == expected
    started.wait_for(1)

    monkeypatch.setenv("CONVLENS_CLUSTER", started.address)  # as a user says it, and through the callers
    np.testing.assert_array_equal(np.stack([pixels for pixels, _ in decode_photos(paths, SETTINGS)]), decoded)
    far = scan_with_pictures(table, make_group("validate"))
    pd.testing.assert_frame_equal(far.manifest, local.manifest)
    pd.testing.assert_frame_equal(far.gallery, local.gallery)
    with pytest.raises(PhotoError, match=r"Received: pets/broken\.png, which is none"):
        list(decode_photos([*paths, "pets/broken.png"], SETTINGS))
    assert set(map_in_processes(os.getenv, [MARK] * SMALL_JOB)) == {"worker"}, "the work was done elsewhere"


def _tell_process(_: int) -> int:
    return os.getpid()


@needs_dask
def test_unfit_workers_are_told(started: Cluster, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_photos()
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    decode = partial(scan_photo, flag_limits=make_flag_limits())
    candidates = [Candidate(path) for path in paths]

    def told() -> str:
        with pytest.raises(ConvLensError) as caught:
            list(map_on_cluster(decode, candidates, address=started.address))
        return str(caught.value)

    worker = started.add_worker(folder=elsewhere)
    started.wait_for(1)
    assert f"Received: a worker in {elsewhere} for which pets/000.png is missing, where it should be" in told()
    monkeypatch.setattr(cluster, "describe_code", lambda: "ConvLens code of another day")
    assert told().startswith(
        "Expected workers with ConvLens code of another day. Received: a worker with ConvLens code"
    )
    with pytest.raises(ConvLensError, match=r"Expected ConvLens on the scheduler .* the scheduler cannot import it"):
        list(map_on_cluster(_tell_process, [1], address=started.address))
    worker.kill()
    started.wait_for(0)
    stranger = started.add_worker(code=write_photo(elsewhere / "convlens/__init__.py", b"").parents[1])
    started.wait_for(1)
    assert "Received: No module named 'convlens.data'. Start them in the repository's folder" in told()
    stranger.kill()
    started.wait_for(0)
    monkeypatch.setattr(cluster, "WORKER_SECONDS", 0.2)
    assert told().startswith(f"Expected workers at {started.address}. Received: none for 0.2 s. Start some with")


@needs_dask
def test_the_loss_of_all_is_told(started: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_photos()
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(cluster, "WORKER_SECONDS", 5.0)
    worker = started.add_worker()
    started.wait_for(1)
    decode = partial(scan_photo, flag_limits=make_flag_limits())
    found = map_on_cluster(decode, [Candidate(path) for path in paths], address=started.address, chunk=1)
    next(found)
    worker.kill()
    started.wait_for(0)
    monkeypatch.setattr(cluster, "WORKER_SECONDS", 0.2)
    with pytest.raises(ConvLensError, match=r"Expected workers at .* Received: none for 0.2 s"):
        list(found)
    worker = started.add_worker()
    started.wait_for(1)
    found = map_on_cluster(decode, [Candidate(path) for path in paths], address=started.address, chunk=1)
    next(found)
    started.stop()
    with pytest.raises(ConvLensError, match=r"Received: (the connection is lost|none for)"):
        list(found)


@needs_dask
def test_no_scheduler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    monkeypatch.setenv("CONVLENS_CLUSTER", "tcp://127.0.0.1:9")
    with pytest.raises(ConvLensError, match=r"Expected a Dask scheduler at tcp://127.0.0.1:9 .*Received: no answer"):
        list(map_in_processes(_tell_process, range(SMALL_JOB)))
    assert set(map_in_processes(_tell_process, range(SMALL_JOB - 1))) == {os.getpid()}, "small jobs need no cluster"
    for address in ("nonsense://host", "127.0.0.1:none"):
        with pytest.raises(ConvLensError, match="Expected a Dask scheduler at "):
            list(map_on_cluster(_tell_process, [1], address=address))


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConvLensError, match=r"without 'distributed'. Run `python -m pip install -e '\.\[cluster\]'"):
        list(map_on_cluster(_tell_process, [1], address="tcp://127.0.0.1:9"))


def test_a_batch_is_refused_where_its_result_would_differ(project: Path) -> None:
    write_photo(Path("a.png"))
    size = Path("a.png").stat().st_size
    assert run_batch(len, ["a.png"], describe_code(), size) == [5]
    assert run_batch(len, ["gone.png"], describe_code(), -1) == [8], "missing everywhere"
    with pytest.raises(ConvLensError, match=f"a.png is {size:,} bytes, where it should be missing"):
        run_batch(len, ["a.png"], describe_code(), -1)
    with pytest.raises(ConvLensError, match=r"Expected workers with other code. Received: a worker with ConvLens code"):
        run_batch(len, ["a.png"], "other code", size)
