"""What photos were decoded to, kept from run to run, so that a stage that runs for ten new photos decodes ten.

DVC runs a stage whole or not at all. This cache stands beside it and is never the truth: an entry is found by the
digest of the bytes that were decoded, in a database named by the digest of all else that the entry depends on (code,
versions of libraries, parameters), and carries a checksum; what is damaged counts as missing. Results are the same
with it and without it, and its folder may be deleted at any time. Where there is no room for it, work goes on without.
"""

import hashlib
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from convlens.data.loader import digest_photo, is_address
from convlens.data.workers import Item, Result, describe_code, map_in_threads
from convlens.environment import repository_root

Answer = TypeVar("Answer")

MAX_BYTES = 8 << 30  # of one database: the pixels of 138,000 photos at 144x144
FREE_SHARE = 0.25  # of the disk that the cache may take of what is free
MIN_USED = 0.5  # of the entries; where a run needs less, it deletes the others
BUSY_SECONDS = 5.0  # to wait for another process that writes
WRITTEN_AT_ONCE = 64
DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
TABLE = "CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, checksum INTEGER, content BLOB)"


@dataclass(frozen=True)
class Codec(Generic[Result]):
    """How results become bytes and come back, exactly; `pack` gives b'' for what is not to be kept."""

    pack: Callable[[Result], bytes]
    unpack: Callable[[bytes], Result]


@dataclass(frozen=True)
class Photo:
    """A photo whose result is wanted.

    Attributes:
        path: of the file or the object.
        sha256: of its bytes, as it was listed; '' for what must not be kept.
        aspect: what the result depends on besides, such as the suffix.
    """

    path: str
    sha256: str
    aspect: str = ""

    def key(self, sha256: str) -> bytes:
        """What the result of bytes with this digest is kept under."""
        return hashlib.sha256(f"{sha256} {self.aspect}".encode()).digest()


def map_cached(
    photos: Sequence[Photo],
    items: Sequence[Item],
    compute: Callable[[Sequence[Item]], Iterator[tuple[Result, str]]],
    *,
    folder: Path | None,
    name: str,
    codec: Codec[Result],
    depends_on: object,
) -> Iterator[tuple[Result, str]]:
    """Yield the result of every photo with the sha256 of the bytes it was made of, in order.

    What earlier runs found out is not computed again. A file whose result is known is read to see that it still is
    what was listed; an object in a store, which is read over a network, counts as what was listed. Several processes
    may share a folder.

    Args:
        photos: all photos of this run; afterwards the folder holds about their results, at most twice as many.
        items: what `compute` takes, one per photo.
        compute: gives the same for some items.
        folder: where results are kept; None keeps nothing.
        name: of the results; those of the same name that depended on something else are deleted.
        codec: how results are written.
        depends_on: all that results depend on besides the photo and the code; its `repr` counts.
    """
    with closing(ResultDatabase(folder, name, f"{describe_code()} {depends_on!r}")) as results:
        known = results.find({photo.key(photo.sha256) for photo in photos if photo.sha256})
        candidates = [photo for photo in photos if photo.sha256 and photo.key(photo.sha256) in known]
        same = dict(zip(candidates, map_in_threads(_is_as_listed, candidates), strict=True))
        fresh = compute([item for photo, item in zip(photos, items, strict=True) if not same.get(photo)])
        for photo, item in zip(photos, items, strict=True):
            content = results.read(photo.key(photo.sha256)) if same.get(photo) else b""
            if content:
                yield codec.unpack(content), photo.sha256
                continue
            result, sha256 = next(iter(compute([item]))) if same.get(photo) else next(fresh)
            if photo.sha256 and sha256:
                results.write(photo.key(sha256), codec.pack(result))
            yield result, sha256
        next(fresh, None)  # lets it come to its end


def _is_as_listed(photo: Photo) -> bool:
    return is_address(photo.path) or digest_photo(photo.path)[1] == photo.sha256


class ResultDatabase:
    """A SQLite database of bytes by key, which is given up, not complained about, when anything is wrong with it."""

    def __init__(self, folder: Path | None, name: str, version: str) -> None:
        self._database: sqlite3.Connection | None = None
        self._pending: list[tuple[bytes, int, bytes]] = []
        self._room = 0
        if folder is None:
            return
        self._path = folder / f"{name}-{hashlib.sha256(version.encode()).hexdigest()[:16]}.sqlite"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            for other in folder.glob(f"{name}-*"):  # made by other code, or a link to who knows what
                if other.is_symlink() or not other.name.startswith(self._path.name):
                    other.unlink(missing_ok=True)
            if not self._open():  # damaged: begin anew
                self._open()
            size = self._path.stat().st_size
            self._room = min(MAX_BYTES, int(shutil.disk_usage(folder).free * FREE_SHARE) + size) - size

    def find(self, wanted: set[bytes]) -> set[bytes]:
        """Those of some keys that there is something under; where they are few of all, the others are deleted."""

        def search(database: sqlite3.Connection) -> set[bytes]:
            present = {row[0] for row in database.execute("SELECT key FROM results")}
            found = wanted & present
            if len(found) < MIN_USED * len(present):
                with database:
                    others = ((key,) for key in present - found)
                    database.executemany("DELETE FROM results WHERE key = ?", others)
            return found

        return self._ask(search, set())

    def read(self, key: bytes) -> bytes:
        """What was written under a key; b'' if nothing was, or if it is damaged."""
        query = "SELECT checksum, content FROM results WHERE key = ?"
        row = self._ask(lambda database: database.execute(query, (key,)).fetchone(), None)
        checksum, content = row or (0, b"")
        return content if isinstance(content, bytes) and zlib.crc32(content) == checksum else b""

    def write(self, key: bytes, content: bytes) -> None:
        """Keep some bytes under a key, if there is room."""
        if not content or len(content) > self._room:
            return
        self._room -= len(content)
        self._pending.append((key, zlib.crc32(content), content))
        if len(self._pending) >= WRITTEN_AT_ONCE:
            self._flush()

    def close(self) -> None:
        """Write what is pending, and let go of the database."""
        self._flush()
        if self._database is not None:
            self._database.close()

    def _flush(self) -> None:
        def write(database: sqlite3.Connection) -> None:
            with database:
                database.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", self._pending)

        self._ask(write, None)
        self._pending.clear()

    def _open(self) -> bool:
        def begin(database: sqlite3.Connection) -> bool:
            database.execute("PRAGMA auto_vacuum = FULL")
            database.execute("PRAGMA synchronous = OFF")  # what a power failure damages is begun anew
            database.execute(TABLE)
            database.execute("SELECT key, checksum, content FROM results LIMIT 1").fetchall()
            return True

        with suppress(sqlite3.Error):
            self._database = sqlite3.connect(self._path, timeout=BUSY_SECONDS)
        return self._ask(begin, False)

    def _ask(self, work: Callable[[sqlite3.Connection], Answer], otherwise: Answer) -> Answer:
        """What some work on the database gives; an error ends its use, and where it is damaged, the database."""
        if self._database is None:
            return otherwise
        try:
            return work(self._database)
        except sqlite3.Error as error:
            self._database.close()
            self._database = None
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED:
                self._path.unlink(missing_ok=True)
            return otherwise


def cache_folder() -> Path:
    """Where stages keep results: with the real repository's downloads, also in DVC's temporary experiments."""
    return Path(repository_root(), ".convlens", "cache")
