"""Reading archives without trust: nothing is read in one piece that is large, nothing for ever, nothing backwards.

`tarfile` reads the header of a member whole, however long it says it is, and skips what it does not want by unpacking
it; `zipfile` reads its directory whole. Both do it through the file they are given, which is where they are held up.
"""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from convlens.errors import ConvLensError

MAX_HEADER_BYTES = 1 << 20  # of a tar member: names, attributes; ordinary ones have some hundreds
MAX_DIRECTORY_BYTES = 1 << 27  # of a zip: about a million and a half files
SKIP_BYTES = 1 << 20
MAGIC: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"]\x00\x00": lzma.open,
}


class Guarded(io.RawIOBase):
    """A readable file that refuses large single reads, going back, and more content than it may have.

    Raises `ConvLensError`, which the readers of Python's standard library let pass.
    """

    def __init__(self, file: IO[bytes], archive: Path, *, allowance: int) -> None:
        self._file = file
        self._archive = archive
        self._left = allowance
        self._place = 0

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise refuse_header(self._archive)
        block = self._file.read(size)
        self._left -= len(block)
        self._place += len(block)
        if self._left < 0:
            raise refuse_bomb(self._archive)
        return block

    def readinto(self, buffer: Any) -> int:
        block = self.read(min(len(buffer), MAX_HEADER_BYTES))
        buffer[: len(block)] = block
        return len(block)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + (self._place if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END or target < self._place:
            raise ConvLensError(f"Expected a whole zip or tar archive. Received: {self._archive}: it leads back.")
        while self._place < target and self.read(min(SKIP_BYTES, target - self._place)):
            pass  # a compressed file is unpacked to be skipped, so that counts as well
        return self._place

    def tell(self) -> int:
        return self._place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


class BoundedReads(io.BufferedReader):
    """A file on disk that refuses single reads above `MAX_DIRECTORY_BYTES`."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise refuse_header(Path(str(self.name)))
        return super().read(MAX_DIRECTORY_BYTES if size is None or size < 0 else size)


def open_tar_stream(archive: Path, *, allowance: int) -> Guarded:
    """The uncompressed content of a tar archive, by its first bytes plain or one of gzip, bzip2, xz and lzma."""
    with open(archive, "rb") as file:
        head = file.read(6)
    opener = next((open_it for magic, open_it in MAGIC.items() if head.startswith(magic)), open)
    return Guarded(cast("IO[bytes]", opener(archive, "rb")), archive, allowance=allowance)


def open_zip_file(archive: Path) -> BoundedReads:
    """The file of a zip archive."""
    return BoundedReads(io.FileIO(archive))


def refuse_header(archive: Path) -> ConvLensError:
    """The error for a header or directory of giant or nonsensical size."""
    return ConvLensError(
        f"Expected a zip or tar archive of photos. Received: {archive}, with a header of a size that no photo needs. "
        "Unpack it by hand and name the folder if that is right."
    )


def refuse_bomb(archive: Path) -> ConvLensError:
    """The error for an archive whose content is out of proportion to its size."""
    return ConvLensError(
        f"Expected an archive of photos. Received: {archive}, which unpacks to more than a photo archive of its size "
        "can hold. Unpack it by hand and name the folder if that is right."
    )
