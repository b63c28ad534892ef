import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from interrupts import ctrl_c_is_heard
from photo_files import ROOT, make_flag_limits, noise_photo, write_photo

from convlens.data import workers
from convlens.data.decoding import decode_photos
from convlens.data.facts import Candidate, scan_photo
from convlens.data.loader import LoaderSettings, PhotoError, load_photo
from convlens.data.workers import count_workers, map_in_processes
from convlens.errors import ConvLensError

SETTINGS = LoaderSettings(24, keep_aspect=True, resampling="lanczos")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("photos")
    kinds = ("PNG", "JPEG", "WEBP")
    return [str(write_photo(folder / f"{i:02d}", noise_photo(str(i), (40 + i, 50)), kinds[i % 3])) for i in range(50)]


def test_processes_give_the_same_as_none(paths: list[str]) -> None:
    expected = [load_photo(Path(path), SETTINGS) for path in paths]
    for num_workers in (1, 2):
        decoded = [pixels for pixels, _ in decode_photos(paths, SETTINGS, num_workers=num_workers)]
        np.testing.assert_array_equal(np.stack(decoded), np.stack(expected))


def test_facts_from_processes_and_errors_from_processes(paths: list[str], tmp_path: Path) -> None:
    broken = write_photo(tmp_path / "broken.jpg", b"no photo")
    many = [*paths, str(broken)]
    scan = partial(scan_photo, flag_limits=make_flag_limits())
    candidates = [Candidate(path) for path in many]
    found = list(map_in_processes(scan, candidates, num_workers=2))
    assert found == list(map_in_processes(scan, candidates, num_workers=1))
    with pytest.raises(PhotoError, match=r"Received: .*broken\.jpg, which is none") as caught:
        list(decode_photos(many, SETTINGS, num_workers=2))
    assert caught.value.reason == "not an image that Pillow can read"


def test_a_killed_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "SMALL_JOB", 0)
    with pytest.raises(ConvLensError, match=r"Expected 2 worker processes to finish. Received: one was killed"):
        list(map_in_processes(os._exit, [9], num_workers=2))


def test_small_jobs_stay_in_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    items = list(range(workers.SMALL_JOB - 1))
    assert set(map_in_processes(lambda _: os.getpid(), items, num_workers=8)) == {os.getpid()}
    assert list(map_in_processes(lambda item: item * 2, items)) == [item * 2 for item in items]
    assert list(map_in_processes(str, [])) == []


def test_work_is_done_as_it_is_asked_for() -> None:
    def items_done() -> Iterator[int]:
        yield from map_in_processes(done.append, range(10))  # type: ignore[arg-type]

    done: list[int] = []
    results = items_done()
    next(results)
    assert done == [0]


def test_the_number_of_processes() -> None:
    assert count_workers(3) == 3
    assert 1 <= count_workers(0) <= (os.cpu_count() or 1)


PARENT = """
import sys, time
from convlens.data import workers
workers.SMALL_JOB = 2
if __name__ == "__main__":
    for _ in workers.map_in_processes(time.sleep, [0.0] * 8 + [60.0] * 8, num_workers=2, chunk=1):
        print("working", flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux lists processes there")
def test_the_processes_of_a_killed_one_end(tmp_path: Path) -> None:
    """They would wait for work for ever: each holds the end of the pipe that it reads from."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, start_new_session=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "src")}) as parent:  # fmt: skip
        assert parent.stdout is not None
        parent.stdout.readline()
        assert len(list_session(parent.pid)) > 2
        parent.kill()
    wait_until(lambda: list_session(parent.pid) == [])


INTERRUPTED = """
import time
from convlens.data import workers
if __name__ == "__main__":
    try:
        for _ in workers.map_in_processes(time.sleep, [0.01] * 100_000, num_workers=2, chunk=1):
            print("working", flush=True)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals are held back where there are any")
def test_ctrl_c_is_for_the_process_that_asked(tmp_path: Path) -> None:
    """A terminal sends it to all; nobody wants to read where each of them was."""
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with (
        ctrl_c_is_heard(),
        subprocess.Popen(
            [sys.executable, script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=environment,
        ) as parent,
    ):
        assert parent.stdout is not None
        parent.stdout.readline()
        os.killpg(parent.pid, signal.SIGINT)
        told = parent.stdout.read().replace("working\n", "")
    assert told == "interrupted\n"
    assert parent.returncode == 0


def list_session(leader: int) -> list[int]:
    """The living processes of a session, zombies aside."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come true")
