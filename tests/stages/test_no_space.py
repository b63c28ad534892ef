"""A disk that is full at any moment: wherever a stage opens a file to write, it may find no room."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from photo_files import make_group, write_classes, write_photo

from convlens.errors import ConvLensError
from convlens.params import DataParams
from convlens.stages.ingest import ingest
from convlens.stages.preprocess import preprocess

SOURCE = DataParams(source="pets")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Disk:
    """Refuses the files below a folder after so many were opened to be written; None for a disk with room."""

    def __init__(self) -> None:
        self.folder = ""
        self.room: int | None = None

    def watch(self, event: str, details: tuple[Any, ...]) -> None:
        """An audit hook: https://docs.python.org/3/library/audit_events.html."""
        if self.room is None or event != "open" or not details[2] & WRITES:
            return
        if os.path.abspath(os.fsdecode(details[0])).startswith(self.folder):
            self.room -= 1
            if self.room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


DISK = Disk()
sys.addaudithook(lambda event, details: DISK.watch(event, details) if event == "open" and details[0] else None)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    write_classes(tmp_path / "pets", {"cats": 6, "dogs": 6})
    DISK.folder = str(tmp_path)
    for run in STAGES.values():
        run()
    yield
    DISK.room = None


def run_ingest() -> None:
    ingest(photos=Path("data/photos.parquet"), raw=Path("data/raw"), data=SOURCE)


def run_validate() -> None:
    from convlens.stages.validate import validate

    validate(
        photos=Path("data/photos.parquet"),
        manifest=Path("data/manifest"),
        report=Path("reports/validation"),
        validate=make_group(
            "validate", min_photos_per_class=2, max_quarantined_fraction=0.5, max_unreadable_fraction=0.5
        ),
    )


def run_preprocess() -> None:
    preprocess(
        manifest=Path("data/manifest"),
        prepared=Path("data/prepared"),
        data=SOURCE,
        preprocess=make_group("preprocess", photos_per_shard=4),
    )


STAGES: dict[str, Callable[[], None]] = {"ingest": run_ingest, "validate": run_validate, "preprocess": run_preprocess}


def tree() -> dict[str, bytes]:
    files = [path for name in ("data", "reports") for path in sorted(Path(name).rglob("*")) if path.is_file()]
    return {path.as_posix(): path.read_bytes() for path in files}


def fill_disk(run: Callable[[], None], *, room: int) -> str:
    """Run a stage on a disk with room for so many files; what it says if that is not enough."""
    DISK.room = room
    try:
        run()
    except ConvLensError as error:
        return str(error)
    finally:
        DISK.room = None
    return ""


@pytest.mark.parametrize("stage", STAGES)
def test_no_room_at_any_moment_is_told_and_leaves_the_earlier_result(stage: str) -> None:
    write_photo(Path("pets/dogs/new.png"))  # so that every result of the stage would be another
    write_photo(Path("pets/dogs/broken.jpg"), b"no photo")
    for earlier in list(STAGES)[: list(STAGES).index(stage)]:
        STAGES[earlier]()
    before = tree()
    files = 0
    while told := fill_disk(STAGES[stage], room=files):
        assert told.startswith("Expected to write ")
        assert "No space left on device" in told
        assert tree() == before
        files += 1 + files // 2  # one by one at first, then a few of many
    assert files >= 2
    assert tree() != before
    assert not list(Path().rglob("*.part"))
