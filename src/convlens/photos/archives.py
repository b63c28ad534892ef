"""Unpacking zip and tar archives that may be hostile: nothing leaves the folder, nothing grows without end."""

import errno
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from convlens.errors import ConvLensError, printable
from convlens.photos.archive_streams import Guarded, open_tar_stream, open_zip_file

MAX_MEMBERS = 2_000_000
MAX_RATIO = 200
ALWAYS_ALLOWED_BYTES = 1 << 30
HEADER_SHARE = 1 << 20  # bytes at least for the headers of a tar, beside its content
DAMAGE = (  # what Python's readers raise on archives that are cut off, changed, encrypted or of unknown make
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    MemoryError,  # an xz file names the memory it wants
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
TAKEN = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
UNWRITABLE = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}
DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Member:
    """A regular file in an archive: its name, and its content to be read once."""

    name: str
    content: IO[bytes]


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar archive, by its content."""
    try:
        return path.is_file() and (zipfile.is_zipfile(path) or _is_tar(path))
    except (*DAMAGE, ConvLensError):
        return False


def _is_tar(path: Path) -> bool:
    with open_tar_stream(path, allowance=ALWAYS_ALLOWED_BYTES) as stream, _read_tar(stream):
        return True


def unpack_archive(archive: Path, folder: Path) -> int:
    """Unpack the regular files of an archive below `folder`, which must exist and be empty.

    Returns:
        How many files were written.

    Raises:
        ConvLensError: a name that leaves the folder, a link or device, encryption, damage, or more content than a
            photo archive of this size can hold.
    """
    allowance = _allow(archive)
    count = 0
    try:
        for count, member in enumerate(_open_members(archive), start=1):  # noqa: B007 - returned
            allowance = _write_member(member, _safe_path(member.name, folder, archive), allowance, archive)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk, not the archive
        words = printable(" ".join(str(error).split()) or type(error).__name__)
        raise ConvLensError(f"Expected a whole zip or tar archive. Received: {archive}: {words}") from error
    return count


def _allow(archive: Path) -> int:
    """Bytes that the content of an archive may have."""
    return int(max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * archive.stat().st_size))


def _open_members(archive: Path) -> Iterator[Member]:
    return _open_zip(archive) if zipfile.is_zipfile(archive) else _open_tar(archive)


def _open_zip(archive: Path) -> Iterator[Member]:
    with open_zip_file(archive) as file, zipfile.ZipFile(file) as opened:
        for count, info in enumerate(opened.infolist(), start=1):
            _check_count(count, archive)
            mode = info.external_attr >> 16
            if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and stat.S_IFMT(mode):
                raise _refuse(archive, info.filename, "a link or device")
            if not info.is_dir():
                with opened.open(info) as content:
                    yield Member(info.filename, content)


def _open_tar(archive: Path) -> Iterator[Member]:
    # Twice the content: what is skipped counts here and not there, and every member has its headers.
    with open_tar_stream(archive, allowance=2 * _allow(archive) + HEADER_SHARE) as stream, _read_tar(stream) as opened:
        for count, info in enumerate(opened, start=1):
            _check_count(count, archive)
            opened.members = []  # type: ignore[attr-defined]  # else all members of a long archive stay in memory
            if info.isdir():
                continue
            content = opened.extractfile(info) if info.isreg() else None
            if content is None:
                raise _refuse(archive, info.name, "a link or device")
            yield Member(info.name, content)


def _read_tar(stream: Guarded) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:")


def _check_count(count: int, archive: Path) -> None:
    if count > MAX_MEMBERS:
        raise ConvLensError(f"Expected at most {MAX_MEMBERS:,} files and folders in {archive}. Received: more.")


def _safe_path(name: str, folder: Path, archive: Path) -> Path:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or DRIVE.match(pure.parts[0]):
        raise _refuse(archive, name, "a name that leaves the folder")
    return folder.joinpath(*pure.parts)


def _create(target: Path, name: str, archive: Path) -> IO[bytes]:
    """Open a new file; what is there already came from the same archive."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return open(target, "xb")
    except OSError as error:
        if error.errno in TAKEN:
            raise _refuse(archive, name, "a name held twice, or by a file and a folder") from None
        if error.errno in UNWRITABLE:
            raise _refuse(archive, name, "a name that cannot be written here") from None
        raise


def _write_member(member: Member, target: Path, allowance: int, archive: Path) -> int:
    with _create(target, member.name, archive) as file:
        while block := member.content.read(1 << 20):
            allowance -= len(block)
            if allowance < 0:
                raise ConvLensError(
                    f"Expected an archive of photos. Received: {archive}, which unpacks to more than {MAX_RATIO} "
                    "times its size. Unpack it by hand and name the folder if that is right."
                )
            file.write(block)
    return allowance


def _refuse(archive: Path, name: str, what: str) -> ConvLensError:
    shown = printable(name[:200])
    return ConvLensError(f"Expected plain files in {archive}. Received: '{shown}', {what}. Nothing was unpacked.")
