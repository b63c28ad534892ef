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
from typing import IO

from convlens.errors import ConvLensError

MAX_MEMBERS = 5_000_000
MAX_RATIO = 200
ALWAYS_ALLOWED_BYTES = 1 << 30
DAMAGE = (  # what Python's readers raise on archives that are cut off, changed, encrypted or of unknown make
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
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
        return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))
    except DAMAGE:
        return False


def unpack_archive(archive: Path, folder: Path) -> int:
    """Unpack the regular files of an archive below `folder`, which must exist and be empty.

    Returns:
        How many files were written.

    Raises:
        ConvLensError: a name that leaves the folder, a link or device, encryption, damage, or more content than a
            photo archive of this size can hold.
    """
    allowance = max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * archive.stat().st_size)
    count = 0
    try:
        for member in _open_members(archive):
            count += 1
            if count > MAX_MEMBERS:
                raise ConvLensError(f"Expected at most {MAX_MEMBERS:,} files in {archive}. Received: more.")
            allowance = _write_member(member, _safe_path(member.name, folder, archive), allowance, archive)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk, not the archive
        words = " ".join(str(error).split()) or type(error).__name__
        raise ConvLensError(f"Expected a whole zip or tar archive. Received: {archive}: {words}") from error
    return count


def _open_members(archive: Path) -> Iterator[Member]:
    return _open_zip(archive) if zipfile.is_zipfile(archive) else _open_tar(archive)


def _open_zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            mode = info.external_attr >> 16
            if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and stat.S_IFMT(mode):
                raise _refuse(archive, info.filename, "a link or device")
            if not info.is_dir():
                with opened.open(info) as content:
                    yield Member(info.filename, content)


def _open_tar(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as opened:
        for info in opened:
            if info.isdir():
                continue
            content = opened.extractfile(info) if info.isreg() else None
            if content is None:
                raise _refuse(archive, info.name, "a link or device")
            yield Member(info.name, content)


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
    return ConvLensError(f"Expected plain files in {archive}. Received: '{name[:200]}', {what}. Nothing was unpacked.")
