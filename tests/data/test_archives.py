import gzip
import io
import lzma
import os
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convlens.data import download as archives
from convlens.data.download import GuardedStream, is_archive, unpack_archive
from convlens.errors import ConvLensError

CONTENT = {"pets/cats/1.jpg": b"meow", "pets/dogs/große 1.jpg": b"woof" * 1000, "pets/empty.txt": b""}


def write_zip(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def write_tar(path: Path, members: list[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_tar_member(path: Path, name: str, kind: bytes, link: str = "") -> Path:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        archive.addfile(info)
    return path


WRITERS: list[Callable[[Path, list[tuple[str, bytes]]], Path]] = [
    write_zip,
    write_tar,
    lambda path, members: write_tar(path, members, "w:gz"),
    lambda path, members: write_tar(path, members, "w:bz2"),
    lambda path, members: write_tar(path, members, "w:xz"),
]
every_kind = pytest.mark.parametrize("write", WRITERS, ids=["zip", "tar", "gz", "bz2", "xz"])
zip_and_tar = pytest.mark.parametrize("write", WRITERS[:2], ids=["zip", "tar"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "inner" / "raw"
    target.mkdir(parents=True)
    return target


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(archive: Path, folder: Path, words: str) -> None:
    """Unpacking fails with one line, and nothing appears outside of the folder."""
    before = sorted(path for path in folder.parents[1].rglob("*") if not path.is_relative_to(folder))
    with pytest.raises(ConvLensError, match=words) as caught:
        unpack_archive(archive, folder)
    assert "\n" not in str(caught.value)
    assert sorted(path for path in folder.parents[1].rglob("*") if not path.is_relative_to(folder)) == before


@every_kind
def test_archives_are_unpacked_whatever_they_are_called(write: Callable, tmp_path: Path, folder: Path) -> None:
    archive = write(tmp_path / "download", list(CONTENT.items()))
    assert is_archive(archive)
    assert unpack_archive(archive, folder) == 3
    assert tree(folder) == CONTENT


def test_folders_and_windows_separators(tmp_path: Path, folder: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", [("cats/", b""), ("cats\\1.jpg", b"1"), ("./dogs//2.jpg", b"2")])
    assert unpack_archive(archive, folder) == 2
    assert tree(folder) == {"cats/1.jpg": b"1", "dogs/2.jpg": b"2"}


def test_a_colon_is_no_drive(tmp_path: Path, folder: Path) -> None:
    unpack_archive(write_zip(tmp_path / "a.zip", [("12:30/1.jpg", b"1")]), folder)
    assert tree(folder) == {"12:30/1.jpg": b"1"}


@zip_and_tar
@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "c:/evil", "C:evil", "\\\\host\\evil", ".."],
)
def test_names_that_leave_the_folder_are_refused(name: str, write: Callable, tmp_path: Path, folder: Path) -> None:
    archive = write(tmp_path / "a", [("fine.jpg", b"1"), (name, b"evil")])
    refuse(archive, folder, r"Received: '.*', a name that leaves the folder")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path, folder: Path) -> None:
    archive = write_tar_member(tmp_path / "a.tar", "cats/1.jpg", kind, "/etc/passwd")
    refuse(archive, folder, "Received: 'cats/1.jpg', a link or device")
    assert tree(folder) == {}


@pytest.mark.parametrize("mode", [0o120777, 0o020644, 0o010644])
def test_links_and_devices_in_a_zip_are_refused(mode: int, tmp_path: Path, folder: Path) -> None:
    info = zipfile.ZipInfo("cats/1.jpg")
    info.create_system, info.external_attr = 3, mode << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refuse(tmp_path / "a.zip", folder, "a link or device")


def test_a_link_cannot_be_written_through(tmp_path: Path, folder: Path) -> None:
    """A link first, a file below it next: the link is refused before anything follows it."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("way")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("way/evil"))
    refuse(tmp_path / "a.tar", folder, "a link or device")
    assert not (tmp_path / "evil").exists()


def test_an_encrypted_zip_is_told(tmp_path: Path, folder: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", [("cats/1.jpg", b"secret")])
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag in the file's own header, and in the directory at the end
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    refuse(archive, folder, "Expected a whole zip or tar archive.*encrypted")


@every_kind
def test_truncated_archives_are_told(write: Callable, tmp_path: Path, folder: Path) -> None:
    noise = np.random.default_rng(0).bytes(60_000)
    content = write(tmp_path / "whole", [("cats/1.jpg", noise), ("dogs/1.jpg", noise[::-1])]).read_bytes()
    archive = tmp_path / "cut"
    for share in (0.1, 0.4, 0.8):
        archive.write_bytes(content[: int(len(content) * share)])
        if is_archive(archive):
            refuse(archive, folder, "Expected a whole zip or tar archive|held twice")


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", bytes(10240)]
)
def test_what_is_no_archive(content: bytes, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    if is_archive(path):  # zeros are a tar archive without members
        assert unpack_archive(path, folder) == 0
    assert not is_archive(tmp_path)
    assert not is_archive(tmp_path / "missing")


@every_kind
def test_a_bomb_is_stopped(write: Callable, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write(tmp_path / "bomb", [("cats/1.jpg", bytes(3_000_000)), ("dogs/1.jpg", bytes(3_000_000))])
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED_BYTES", 4_000_000)
    monkeypatch.setattr(archives, "MAX_RATIO", 0.5)
    refuse(archive, folder, "unpacks to more than")
    assert sum(len(content) for content in tree(folder).values()) <= 4_000_000


@zip_and_tar
def test_too_many_files_are_stopped(
    write: Callable, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write(tmp_path / "many", [(f"{index}.jpg", b"1") for index in range(20)])
    monkeypatch.setattr(archives, "MAX_MEMBERS", 10)
    refuse(archive, folder, "Expected at most 10 files and folders in .*many")
    assert len(tree(folder)) == 10


@zip_and_tar
@pytest.mark.parametrize(
    "names", [["a/1", "a/1"], ["a", "a/1"], ["a/1", "a"], ["a/1", "./a//1"]], ids=["twice", "file", "folder", "spelled"]
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_held_twice_are_refused(names: list[str], write: Callable, tmp_path: Path, folder: Path) -> None:
    archive = write(tmp_path / "a", [(name, b"1") for name in names])
    refuse(archive, folder, "a name held twice, or by a file and a folder")


@zip_and_tar
def test_names_that_cannot_be_written_are_refused(write: Callable, tmp_path: Path, folder: Path) -> None:
    refuse(write(tmp_path / "a", [("x" * 300, b"1")]), folder, "a name that cannot be written here")


def test_a_full_disk_is_not_taken_for_damage(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_zip(tmp_path / "a.zip", [("cats/1.jpg", b"1")])

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives, "_create_file", fail)
    with pytest.raises(OSError, match="No space left"):
        unpack_archive(archive, folder)


def test_unpacked_files_cannot_be_run(tmp_path: Path, folder: Path) -> None:
    info = zipfile.ZipInfo("run.sh")
    info.create_system, info.external_attr = 3, 0o104777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "#!/bin/sh")
    unpack_archive(tmp_path / "a.zip", folder)
    assert not os.access(folder / "run.sh", os.X_OK)


def write_lying_tar(path: Path, kind: bytes, size: int, opener: Any = open) -> Path:
    """A tar whose first header says that a name or a list of attributes of so many bytes follows, all of one letter."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    with opener(path, "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size >> 20):
            file.write(b"a" * (1 << 20))
        file.write(bytes(1024))
    return path


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
@pytest.mark.parametrize("opener", [open, gzip.open, lzma.open], ids=["plain", "gzip", "xz"])
def test_giant_headers_are_refused_unread(kind: bytes, opener: Any, tmp_path: Path, folder: Path) -> None:
    archive = write_lying_tar(tmp_path / "giant", kind, 16 << 20, opener)
    tracemalloc.start()
    try:
        assert not is_archive(archive)
        refuse(archive, folder, "with a header of a size that no photo needs")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20  # xz needs 8 MB of its own


def test_long_names_of_ordinary_length_are_fine(tmp_path: Path, folder: Path) -> None:
    name = "/".join(["a" * 100] * 9) + "/ä.jpg"
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        target = folder / str(kind)
        target.mkdir()
        with tarfile.open(tmp_path / "a.tar", "w", format=kind) as archive:
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"1"))
        unpack_archive(tmp_path / "a.tar", target)
        assert tree(target) == {name: b"1"}


def test_what_is_skipped_counts_as_well(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        file.write(bytes(16 << 20))
    with GuardedStream(gzip.open(tmp_path / "a.gz"), tmp_path / "a.gz", allowance=4 << 20) as stream:
        assert stream.seek(3 << 20) == stream.tell() == 3 << 20
        with pytest.raises(ConvLensError, match="it leads back"):
            stream.seek(0)
        with pytest.raises(ConvLensError, match="which unpacks to more than a photo archive of its size can hold"):
            stream.seek(1 << 40)


def test_too_many_folders_are_stopped(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 10)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for index in range(20):
            info = tarfile.TarInfo(str(index))
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
    refuse(tmp_path / "a.tar", folder, "Expected at most 10 files and folders")


def test_a_giant_directory_of_a_zip_is_refused_unread(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_DIRECTORY_BYTES", 4096)
    archive = write_zip(tmp_path / "a.zip", [(f"cats/{index}.jpg", b"1") for index in range(200)])
    refuse(archive, folder, "with a header of a size that no photo needs")


def test_sizes_that_make_no_sense_are_told(tmp_path: Path, folder: Path) -> None:
    """Attributes may state any size: below zero it would lead back, and round and round."""
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("cats/1.jpg")
        info.pax_headers = {"size": "-1024"}
        archive.addfile(info)
        archive.addfile(tarfile.TarInfo("cats/2.jpg"))
    with pytest.raises(ConvLensError, match="Expected a"):
        unpack_archive(tmp_path / "a.tar", folder)
