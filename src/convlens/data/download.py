"""Download archives, with resume and checksum, and unpack them into a folder that nothing leaves."""

import bz2
import errno
import gzip
import io
import lzma
import os
import re
import stat
import struct
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from typing import IO, Any, cast

import requests
import urllib3

from convlens.data.loader import digest_photo
from convlens.errors import ConvLensError, printable
from convlens.progress import say, track

# --- downloading: resumes where it stopped, checks what came, appears whole or not at all ---

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.2
TIMEOUT_SECONDS = (10.0, 30.0)
MIN_BYTES_PER_SECOND = 1000.0  # below this, over a window, a server counts as stalled
WINDOW_SECONDS = 60.0  # also for the head of an answer, and for looking up the server's name
MAX_SECONDS = 12 * 3600.0  # for all attempts together; the next run resumes from there
BUSY = (429, 500, 502, 503, 504)  # a later attempt may go well
BLOCK = 1 << 15


class PassingError(Exception):
    """What a later attempt may not meet: a busy or slow server, a connection that was cut."""


def download_archive(url: str, target: Path, *, sha256: str | None, size: int | None) -> Path:
    """Bring a file, or take the one that is there already if it is the right one.

    Args:
        url: http or https address.
        target: where the file appears; `target` with `.part` holds what has come so far, and with `.part.etag` the
            server's name for the version that is the beginning of.
        sha256: expected digest in hexadecimal, if known.
        size: expected size in bytes, if known.

    Raises:
        ConvLensError: the server cannot be reached, is too slow or answers with an error, or size or digest differ.
    """
    if target.is_file() and not _find_problem(target, sha256, size):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    deadline = time.monotonic() + MAX_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch_rest(url, part, size, deadline)
            break
        except (PassingError, requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            if attempt == ATTEMPTS or time.monotonic() > deadline:
                raise ConvLensError(
                    f"Expected to download {url}. Received, after {attempt} attempts: {_reason(error)}. What has come "
                    "is kept: run the same command again, or download by hand and name the file as data.source."
                ) from error
            time.sleep(min(FIRST_WAIT_SECONDS * 2**attempt, 5.0))
        except requests.RequestException as error:
            raise ConvLensError(f"Expected to download {url}. Received: {_reason(error)}. Correct the card.") from error
    if problem := _find_problem(part, sha256, size):
        _discard(part)
        raise ConvLensError(f"Expected {problem} from {url}. The download was discarded; correct the card or retry.")
    if sha256 is None:
        say(f"ingest: sha256 of {url} is {digest_photo(str(part))[1]}; write it into the card to pin the data.")
    os.replace(part, target)
    _discard(part)
    return target


def _fetch_rest(url: str, part: Path, size: int | None, deadline: float) -> None:
    tag_file = part.with_name(part.name + ".etag")
    have = part.stat().st_size if part.is_file() and tag_file.is_file() else 0
    headers = {"Range": f"bytes={have}-", "If-Range": tag_file.read_text()} if have else {}
    with _ask(url, {**headers, "Accept-Encoding": "identity"}, deadline) as response:
        if have and response.status_code == 416:
            return  # nothing is left to bring
        if response.status_code in BUSY:
            raise PassingError(f"{response.status_code} {response.reason}")
        if not response.ok:
            raise ConvLensError(f"Expected an archive at {url}. Received: {response.status_code} {response.reason}.")
        resumed = response.status_code == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _discard(part)
            raise PassingError("the server went on at another place than it was asked to")
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or "W/"
        if tag.startswith("W/"):  # it may name several versions
            tag_file.unlink(missing_ok=True)
        else:
            tag_file.write_text(tag)
        length = response.headers.get("Content-Length", "")
        blocks = _read_steadily(response, deadline)
        with open(part, "ab" if resumed else "wb") as file:
            total = int(length) if length.isdecimal() else 0
            for block in track(blocks, total=total, task=f"download {url}", unit="bytes", weigh=len):
                file.write(block)
                if size is not None and file.tell() > size:
                    _discard(part)
                    raise ConvLensError(
                        f"Expected {size:,} bytes from {url}. Received: more. The download was discarded; correct the "
                        "card."
                    )
    tag_file.unlink(missing_ok=True)


def _ask(url: str, headers: dict[str, str], deadline: float) -> requests.Response:
    """The head of an answer, asked for in a thread that is left behind when it takes too long.

    Time limits of sockets count the wait for one byte: a server that sends a byte now and then is never late.
    """
    found: SimpleQueue[requests.Response | requests.RequestException] = SimpleQueue()

    def ask() -> None:
        try:
            found.put(requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS))
        except requests.RequestException as error:
            found.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = found.get(timeout=max(min(WINDOW_SECONDS, deadline - time.monotonic()), 0.001))
    except Empty:
        raise PassingError("0 bytes, then nothing in time") from None
    if isinstance(answer, requests.RequestException):
        raise answer
    return answer


def _read_steadily(response: requests.Response, deadline: float) -> Iterator[bytes]:
    """The content as it comes, while it comes fast enough."""
    received, waited = 0, 0.0  # in this window; the time that the taker takes is not the server's
    while True:
        started = time.monotonic()
        block = response.raw.read1(BLOCK, decode_content=True)
        waited += time.monotonic() - started
        if not block:
            return
        yield block
        received += len(block)
        if received >= MIN_BYTES_PER_SECOND * WINDOW_SECONDS:
            received, waited = 0, 0.0
        elif waited >= WINDOW_SECONDS:
            raise PassingError(f"{received:,} bytes in {waited:.0f} s are too few")
        if time.monotonic() > deadline:
            raise PassingError("it took longer than a download may take")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".etag").unlink(missing_ok=True)


def _find_problem(path: Path, sha256: str | None, size: int | None) -> str:
    have = path.stat().st_size
    if size is not None and have != size:
        return f"{size:,} bytes (received {have:,})"
    if sha256 is not None and (digest := digest_photo(str(path))[1]) != sha256:
        return f"sha256 {sha256} (received {digest})"
    return ""


def _reason(error: BaseException) -> str:
    """The innermost words: requests wraps what urllib3 wraps around what the system says."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    error = getattr(error, "reason", None) or error
    words = " ".join(str(error.args[0] if error.args else error).split())
    return words.rpartition("): ")[2][:200]


# --- unpacking archives that may be hostile: nothing leaves the folder, nothing grows without end ---

MAX_MEMBERS = 2_000_000
MAX_RATIO = 200
ALWAYS_ALLOWED_BYTES = 1 << 30
MAX_HEADER_BYTES = 1 << 20  # of a tar member: names, attributes; ordinary ones have some hundreds
MAX_DIRECTORY_BYTES = 1 << 27  # of a zip: about a million and a half files
BLOCK_BYTES = 1 << 20
DAMAGE = (  # what Python's readers raise on archives that are truncated, changed, encrypted or of unknown make
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
MAGIC: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"]\x00\x00": lzma.open,
}


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar archive, by its content."""
    try:
        if not path.is_file() or zipfile.is_zipfile(path):
            return path.is_file()
        with _open_tar(path, ALWAYS_ALLOWED_BYTES):
            return True
    except (*DAMAGE, ConvLensError):
        return False


def unpack_archive(archive: Path, folder: Path) -> int:
    """Unpack the regular files of an archive below `folder`, which must exist and be empty.

    Returns:
        How many files were written.

    Raises:
        ConvLensError: a name that leaves the folder, a link or device, encryption, damage, or more content than a
            photo archive of this size can hold.
    """
    left = allowance = int(max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * archive.stat().st_size))
    members = _read_zip(archive) if zipfile.is_zipfile(archive) else _read_tar(archive, allowance)
    count = 0
    try:
        for place, (name, content) in enumerate(members, start=1):
            if place > MAX_MEMBERS:
                raise ConvLensError(f"Expected at most {MAX_MEMBERS:,} files and folders in {archive}. Received: more.")
            if content is None:
                continue
            with _create_file(name, folder, archive) as file:
                while block := content.read(BLOCK_BYTES):
                    left -= len(block)
                    if left < 0:
                        raise _refuse_bomb(archive)
                    file.write(block)
            count += 1
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk, not the archive
        words = printable(" ".join(str(error).split()) or type(error).__name__)
        raise ConvLensError(f"Expected a whole zip or tar archive. Received: {archive}: {words}") from error
    return count


def _read_zip(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Name and content of every file, None for a folder."""
    with _BoundedReads(io.FileIO(archive)) as file, zipfile.ZipFile(file) as opened:
        for info in opened.infolist():
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise _refuse_member(archive, info.filename, "a link or device")
            if info.is_dir():
                yield info.filename, None
            else:
                with opened.open(info) as content:
                    yield info.filename, content


def _read_tar(archive: Path, allowance: int) -> Iterator[tuple[str, IO[bytes] | None]]:
    """The same of a tar. `tarfile`'s own filters let links into the folder pass, which no photo needs."""
    # Twice the content: what is skipped counts here and not there, and every member has its headers.
    with _open_tar(archive, 2 * allowance + MAX_HEADER_BYTES) as opened:
        for info in opened:
            opened.members = []  # type: ignore[attr-defined]  # else all members of a long archive stay in memory
            if not info.isdir() and not info.isreg():
                raise _refuse_member(archive, info.name, "a link or device")
            yield info.name, opened.extractfile(info)


def _create_file(name: str, folder: Path, archive: Path) -> IO[bytes]:
    """Open a new file; what is there already came from the same archive."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or DRIVE.match(pure.parts[0]):
        raise _refuse_member(archive, name, "a name that leaves the folder")
    target = folder.joinpath(*pure.parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return open(target, "xb")
    except OSError as error:
        if error.errno in TAKEN:
            raise _refuse_member(archive, name, "a name held twice, or by a file and a folder") from None
        if error.errno in UNWRITABLE:
            raise _refuse_member(archive, name, "a name that cannot be written here") from None
        raise


def _refuse_member(archive: Path, name: str, what: str) -> ConvLensError:
    shown = printable(name[:200])
    return ConvLensError(f"Expected plain files in {archive}. Received: '{shown}', {what}. Nothing was unpacked.")


def _refuse_header(archive: Path) -> ConvLensError:
    return ConvLensError(
        f"Expected a zip or tar archive of photos. Received: {archive}, with a header of a size that no photo needs. "
        "Unpack it by hand and name the folder if that is right."
    )


def _refuse_bomb(archive: Path) -> ConvLensError:
    return ConvLensError(
        f"Expected an archive of photos. Received: {archive}, which unpacks to more than a photo archive of its size "
        "can hold. Unpack it by hand and name the folder if that is right."
    )


# `tarfile` reads the header of a member whole, however long it says it is, and skips what it does not want by unpacking
# it; `zipfile` reads its directory whole. Both do it through the file they are given, which is where they are held up.


@contextmanager
def _open_tar(archive: Path, allowance: int) -> Iterator[tarfile.TarFile]:
    """A tar archive, by its first bytes plain or one of gzip, bzip2, xz and lzma."""
    with open(archive, "rb") as file:
        head = file.read(6)
    opener = next((open_it for magic, open_it in MAGIC.items() if head.startswith(magic)), open)
    with (
        GuardedStream(opener(archive, "rb"), archive, allowance=allowance) as stream,
        tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:") as opened,
    ):
        yield opened


class GuardedStream(io.RawIOBase):
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
            raise _refuse_header(self._archive)
        block = self._file.read(size)
        self._left -= len(block)
        self._place += len(block)
        if self._left < 0:
            raise _refuse_bomb(self._archive)
        return block

    def readinto(self, buffer: Any) -> int:
        block = self.read(min(len(buffer), MAX_HEADER_BYTES))
        buffer[: len(block)] = block
        return len(block)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + (self._place if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END or target < self._place:
            raise ConvLensError(f"Expected a whole zip or tar archive. Received: {self._archive}: it leads back.")
        while self._place < target and self.read(min(BLOCK_BYTES, target - self._place)):
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


class _BoundedReads(io.BufferedReader):
    """A file on disk that refuses single reads above `MAX_DIRECTORY_BYTES`."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise _refuse_header(Path(str(self.name)))
        return super().read(MAX_DIRECTORY_BYTES if size is None or size < 0 else size)
