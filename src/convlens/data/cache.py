"""What photos were decoded to, kept from run to run, so that a stage that runs for ten new photos decodes ten.

DVC runs a stage whole or not at all. This cache stands beside it and is never the truth: an entry is found by the
digest of the photo's file, in a file named by the digest of all else that the entry depends on (code, versions of
libraries, parameters), and carries a checksum; what is damaged counts as missing. Results are the same with it and
without it, and its folder may be deleted at any time. Where there is no room for it, or another process uses it, work
goes on without.
"""

import fcntl
import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic
from typing import TypeVar
from convlens.environment import repository_root
from convlens.data.workers import describe_code

Item = TypeVar("Item")
Result = TypeVar("Result")

HEADER = struct.Struct("<32sII")  # digest of the key, length and checksum of the content that follows
MAX_BYTES = 8 << 30  # of one file: the pixels of 138,000 photos at 144x144
FREE_SHARE = 0.25  # of the disk that the cache may take of what is free
MIN_USED = 0.5  # of a file's bytes; a file of which a run needs less is begun anew


@dataclass(frozen=True)
class Codec(Generic[Result]):
    """How results become bytes and come back, exactly; `pack` gives b'' for what is not to be kept."""

    pack: Callable[[Result], bytes]
    unpack: Callable[[bytes], Result]


class ResultCache(Generic[Item, Result]):
    """Results of one function, by key. Holds about what the last run needed, at most twice as much."""

    def __init__(
        self, folder: Path | None, name: str, *, codec: Codec[Result], depends_on: object, keys: Sequence[str]
    ) -> None:
        """Open the file of results, or begin one.

        Args:
            folder: where files are kept; None keeps nothing.
            name: of the results; files of the same name that depended on something else are deleted.
            codec: how results are written.
            depends_on: all that results depend on besides key and code; its `repr` counts.
            keys: of the run that begins; '' for what must not be kept.
        """
        self._codec = codec
        self._index: dict[bytes, tuple[int, int, int]] = {}  # where the content begins, its length and checksum
        self._file, self._end, self._limit = -1, 0, 0
        if folder is not None:
            with suppress(OSError):
                self._open(folder, name, depends_on)
                self._read_index()
                self._begin_anew_if_unused({_digest(key) for key in keys})

    def map(
        self, keys: Sequence[str], items: Sequence[Item], compute: Callable[[Sequence[Item]], Iterator[Result]]
    ) -> Iterator[Result]:
        """Yield the result of every item, in order.

        Args:
            keys: one per item.
            items: what `compute` takes, here without those whose results are known.
            compute: gives the results of some items, in order.
        """
        known = [_digest(key) in self._index for key in keys]
        fresh = compute([item for item, has in zip(items, known, strict=True) if not has])
        for key, item, has in zip(keys, items, known, strict=True):
            content = self.read(key) if has else b""
            if content:
                yield self._codec.unpack(content)
                continue
            result = next(iter(compute([item]))) if has else next(fresh)
            self.write(key, self._codec.pack(result))
            yield result
        next(fresh, None)  # lets it come to its end

    def read(self, key: str) -> bytes:
        """What was written under a key, b'' if nothing was, or if it is damaged."""
        start, length, checksum = self._index.get(_digest(key), (0, 0, 0))
        try:
            content = os.pread(self._file, length, start) if length else b""
        except OSError:
            return b""
        return content if len(content) == length and zlib.crc32(content) == checksum else b""

    def write(self, key: str, content: bytes) -> None:
        """Keep some bytes under a key, if there is room."""
        length = HEADER.size + len(content)
        if not key or not content or self._file < 0 or self._end + length > self._limit:
            return
        entry = (self._end + HEADER.size, len(content), zlib.crc32(content))
        try:
            written = os.writev(self._file, [HEADER.pack(_digest(key), *entry[1:]), content])
        except OSError:
            written = 0
        if written < length:  # the disk is full: what is there stays, the last piece of it is no entry
            self._limit = 0
            return
        self._index[_digest(key)] = entry
        self._end += length

    def close(self) -> None:
        """Let go of the file; another process may have it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> "ResultCache[Item, Result]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, folder: Path, name: str, depends_on: object) -> None:
        version = hashlib.sha256(f"{describe_code()} {depends_on!r}".encode()).hexdigest()[:16]
        path = folder / f"{name}-{version}.bin"
        folder.mkdir(parents=True, exist_ok=True)
        for other in set(folder.glob(f"{name}-*.bin")) - {path}:
            other.unlink(missing_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._limit = min(MAX_BYTES, int(shutil.disk_usage(folder).free * FREE_SHARE) + os.fstat(file).st_size)
        except OSError:  # another process uses it
            os.close(file)
            raise
        self._file = file

    def _read_index(self) -> None:
        """Find the entries; a process that was killed leaves a piece of one at the end, which is cut off."""
        size = os.fstat(self._file).st_size
        while len(header := os.pread(self._file, HEADER.size, self._end)) == HEADER.size:
            digest, length, checksum = HEADER.unpack(header)
            start = self._end + HEADER.size
            if start + length > size:
                break
            self._index[digest] = (start, length, checksum)
            self._end = start + length
        os.ftruncate(self._file, self._end)

    def _begin_anew_if_unused(self, wanted: set[bytes]) -> None:
        used = sum(HEADER.size + self._index[digest][1] for digest in wanted & self._index.keys())
        if used < MIN_USED * self._end:
            os.ftruncate(self._file, 0)
            self._index, self._end = {}, 0


def cache_folder() -> Path:
    """Where stages keep results: with the real repository's downloads, also in DVC's temporary experiments."""
    return Path(repository_root(), ".convlens", "cache")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
