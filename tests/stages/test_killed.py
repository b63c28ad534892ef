"""`kill -9` and full disks: the same command gives what an uninterrupted run gives, and nothing is lost before."""

import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from photo_files import ROOT, encode, noise_photo, write_classes, write_photo

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
STAGES = ("ingest", "validate", "preprocess")
NUM_PHOTOS = 40


def start(stage: str, home: Path) -> "subprocess.Popen[str]":
    _, _, *rest = shlex.split(PIPELINE[stage]["cmd"].replace("${data.source}", "pets.zip"))
    words = [sys.executable, *rest]
    return subprocess.Popen(words, cwd=home, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip


def run(stage: str, home: Path) -> str:
    """Run a stage to its end and give what it said."""
    with start(stage, home) as process:
        _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return told


def tree(home: Path) -> dict[str, bytes]:
    paths = [path for name in ("data", "reports") for path in sorted((home / name).rglob("*")) if path.is_file()]
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after uninterrupted runs of the three stages."""
    home = tmp_path_factory.mktemp("done")
    photos = write_classes(home / "pets", {"cats": NUM_PHOTOS // 2, "dogs": NUM_PHOTOS // 2})
    write_photo(photos / "cats/cut.jpg", encode(noise_photo("cut", (99, 99)), "JPEG")[:300])
    shutil.make_archive(str(home / "pets"), "zip", home, "pets")
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["data"]["source"] = "pets.zip"
    values["preprocess"] |= {"num_workers": 1, "image_size": 32}
    (home / "params.yaml").write_text(yaml.safe_dump(values))
    for stage in STAGES:
        run(stage, home)
    return home


def kill_at(stage: str, home: Path, sign: str) -> None:
    """Kill a stage as soon as a path that matches `sign` is there."""
    with start(stage, home) as process:
        while not list(home.glob(sign)):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("stage", "sign"),
    [("ingest", "data/.raw.*.part/pets/dogs/*"), ("preprocess", "data/.prepared.*.part/train")],
)
def test_a_killed_stage_goes_well_the_next_time(stage: str, sign: str, done: Path, tmp_path: Path) -> None:
    """The others are killed in tests/pipeline/test_interrupted.py."""
    home = tmp_path / "home"
    shutil.copytree(done, home)
    expected = tree(home)
    kill_at(stage, home, sign)
    left = {name: content for name, content in tree(home).items() if ".part" not in name}
    assert left == expected  # the earlier result is whole
    run(stage, home)
    assert tree(home) == expected
    assert not list(home.rglob("*.part"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("mounting a disk needs mount")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only the super-user mounts disks")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fail(stage: str, home: Path) -> str:
    with start(stage, home) as process:
        _, told = process.communicate(timeout=120)
    assert process.returncode == 1, told
    return told


def check_full(stage: str, home: Path, words: str) -> None:
    """A stage that cannot write says so in one line, and leaves what was there."""
    before = tree(home)
    told = fail(stage, home).splitlines()
    assert [line for line in told if line.startswith(f"{stage}: Expected to write ") and words in line] == told[-1:], (
        told
    )
    assert tree(home) == before
    assert not list(home.rglob("*.part"))


def test_a_full_disk_is_told_and_the_earlier_result_stays(done: Path, small_disk: Path) -> None:
    for name in ("params.yaml", "pets.zip"):
        shutil.copy(done / name, small_disk)
    for name in ("data", "reports"):
        shutil.copytree(done / name, small_disk / name)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "ballast").write_bytes(bytes(free - 20_000))
    for stage in ("ingest", "preprocess"):
        check_full(stage, small_disk, "Received: No space left on device.")


def test_files_that_may_not_grow_are_told(done: Path, tmp_path: Path) -> None:
    """What every user can try: a limit on the size of files in place of the disk's."""
    home = tmp_path / "home"
    shutil.copytree(done, home)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        check_full("preprocess", home, "Received: File too large.")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
